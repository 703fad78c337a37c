package vm_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/link/ethernet"

	"weir/examples/embed/internal/dir"
	"weir/examples/embed/netstack"
	"weir/examples/embed/vm"
	"weir/gateway"
)

// A virtual machine behind a unix socket, as
//
//	qemu-system-x86_64 -netdev stream,id=n0,addr.type=unix,addr.path=SOCKET -device virtio-net,netdev=n0
//
// connects it, may fetch web pages. A stack of gVisor's stands in for the
// virtual machine: it sends Ethernet frames and asks for its router by ARP.
func Example() {
	machine, err := dir.Write(map[string]string{
		"machine.yaml": `
interfaces:
  - {name: vm0, addresses: [192.0.2.1/24]}
  - {name: world, addresses: [203.0.113.1/24]}
`,
		"rules.v4": `
*nat
-A POSTROUTING -o world -j MASQUERADE
COMMIT
*filter
:FORWARD DROP
-A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
-A FORWARD -i vm0 -p tcp --dport 80 -j ACCEPT
COMMIT
`,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(machine)

	// The socket that the virtual machine connects to.
	path := filepath.Join(machine, "vm.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		fmt.Println(err)
		return
	}
	card, err := net.Dial("unix", path) // QEMU does this
	if err != nil {
		fmt.Println(err)
		return
	}
	socket, err := l.Accept()
	if err != nil {
		fmt.Println(err)
		return
	}

	out, worldEnd := gateway.NewLink("world", "server", 1500, 256)
	g, errs := gateway.New(machine, gateway.Options{Devices: map[string]gateway.Device{
		"vm0":   gateway.NewEthernet(vm.Stream("vm0", socket, 1500), gateway.MAC{0, 0, 0x5e, 0, 0x53, 1}),
		"world": out,
	}})
	if len(errs) > 0 {
		fmt.Println(errs)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	done := make(chan error)
	go func() { done <- g.Run(ctx) }()

	guest, err := netstack.NewHost(ethernet.New(newCard(card, "\x00\x00\x5e\x00\x53\x0a")), netip.MustParsePrefix("192.0.2.10/24"), netip.MustParseAddr("192.0.2.1"))
	if err != nil {
		fmt.Println(err)
		return
	}
	server, err := netstack.NewHost(netstack.New(worldEnd), netip.MustParsePrefix("203.0.113.80/24"), netip.MustParseAddr("203.0.113.1"))
	if err != nil {
		fmt.Println(err)
		return
	}
	web, err := server.Listen(80)
	if err != nil {
		fmt.Println(err)
		return
	}
	go http.Serve(web, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		fmt.Fprint(w, "hello ", host)
	}))

	if r, err := guest.Client(10 * time.Second).Get("http://203.0.113.80/"); err != nil {
		fmt.Println(err)
	} else {
		text, _ := io.ReadAll(r.Body)
		fmt.Println("the server:", string(text))
	}

	stop()
	fmt.Println("end:", <-done)
	// Output:
	// the server: hello 203.0.113.1
	// end: <nil>
}
