package netstack_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"time"

	"weir/examples/embed/internal/dir"
	"weir/examples/embed/netstack"
	"weir/gateway"
)

// A sandbox may fetch web pages and nothing else, and the world sees one
// address.
func Example() {
	machine, err := dir.Write(map[string]string{
		"machine.yaml": `
interfaces:
  - {name: sandbox, addresses: [192.0.2.1/24]}
  - {name: world, addresses: [203.0.113.1/24]}
`,
		"rules.v4": `
*nat
-A POSTROUTING -o world -j MASQUERADE
COMMIT
*filter
:INPUT DROP
:FORWARD DROP
-A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
-A FORWARD -i sandbox -p tcp --dport 80 -j ACCEPT
-A FORWARD -i sandbox -p tcp -j REJECT --reject-with tcp-reset
COMMIT
`,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(machine)

	// weir, with an end of a link in memory for each of its interfaces.
	in, sandboxEnd := gateway.NewLink("sandbox", "guest", 1500, 256)
	out, worldEnd := gateway.NewLink("world", "server", 1500, 256)
	g, errs := gateway.New(machine, gateway.Options{Devices: map[string]gateway.Device{"sandbox": in, "world": out}})
	if len(errs) > 0 {
		fmt.Println(errs)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	done := make(chan error)
	go func() { done <- g.Run(ctx) }()

	// The sandbox and a server, each with gVisor's stack on its end.
	guest, err := netstack.NewHost(netstack.New(sandboxEnd), netip.MustParsePrefix("192.0.2.10/24"), netip.MustParseAddr("192.0.2.1"))
	if err != nil {
		fmt.Println(err)
		return
	}
	server, err := netstack.NewHost(netstack.New(worldEnd), netip.MustParsePrefix("203.0.113.80/24"), netip.MustParseAddr("203.0.113.1"))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, port := range []uint16{80, 22} {
		l, err := server.Listen(port)
		if err != nil {
			fmt.Println(err)
			return
		}
		go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			host, _, _ := net.SplitHostPort(r.RemoteAddr)
			fmt.Fprint(w, "hello ", host)
		}))
	}

	client := guest.Client(5 * time.Second)
	if r, err := client.Get("http://203.0.113.80:80/"); err != nil {
		fmt.Println(err)
	} else {
		text, _ := io.ReadAll(r.Body)
		fmt.Println("port 80:", string(text))
	}
	_, err = client.Get("http://203.0.113.80:22/")
	fmt.Println("port 22:", err)

	stop()
	fmt.Println("end:", <-done)
	// Output:
	// port 80: hello 203.0.113.1
	// port 22: Get "http://203.0.113.80:22/": connect tcp 203.0.113.80:22: connection was refused
	// end: <nil>
}
