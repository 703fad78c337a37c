package wireguard_test

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"regexp"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"

	"weir/examples/embed/internal/dir"
	"weir/examples/embed/netstack"
	"weir/examples/embed/wireguard"
	"weir/gateway"
)

// Peers of a VPN reach one server behind it and not each other; the server sees
// the address of the VPN's end. The tunnel itself runs over loopback.
func Example() {
	machine, err := dir.Write(map[string]string{
		"machine.yaml": `
interfaces:
  - {name: wg0, addresses: [192.0.2.1/24], mtu: 1420}
  - {name: world, addresses: [203.0.113.1/24]}
`,
		"rules.v4": `
*nat
-A POSTROUTING -o world -j MASQUERADE
COMMIT
*filter
:FORWARD DROP
-A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
-A FORWARD -i wg0 -o world -d 203.0.113.80 -p tcp --dport 80 -j ACCEPT
-A FORWARD -j REJECT --reject-with icmp-admin-prohibited
COMMIT
`,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(machine)

	// weir between the tunnel and the world.
	tunnel, inner := gateway.NewLink("wg0", "wg0", 1420, 256)
	out, worldEnd := gateway.NewLink("world", "server", 1500, 256)
	g, errs := gateway.New(machine, gateway.Options{Devices: map[string]gateway.Device{"wg0": tunnel, "world": out}})
	if len(errs) > 0 {
		fmt.Println(errs)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	done := make(chan error)
	go func() { done <- g.Run(ctx) }()

	// WireGuard: this end, and a peer with a stack of its own.
	private, public := key(), key()
	near := device.NewDevice(wireguard.New(inner), conn.NewDefaultBind(), device.NewLogger(device.LogLevelSilent, ""))
	defer near.Close()
	plain, peerEnd := gateway.NewLink("peer", "guest", 1420, 256)
	far := device.NewDevice(wireguard.New(plain), conn.NewDefaultBind(), device.NewLogger(device.LogLevelSilent, ""))
	defer far.Close()
	if err := configure(near, private, public, "192.0.2.10/32", ""); err != nil {
		fmt.Println(err)
		return
	}
	if err := configure(far, public, private, "0.0.0.0/0", "127.0.0.1:"+port(near)); err != nil {
		fmt.Println(err)
		return
	}

	peer, err := netstack.NewHost(netstack.New(peerEnd), netip.MustParsePrefix("192.0.2.10/24"), netip.MustParseAddr("192.0.2.1"))
	if err != nil {
		fmt.Println(err)
		return
	}
	server, err := netstack.NewHost(netstack.New(worldEnd), netip.MustParsePrefix("203.0.113.80/24"), netip.MustParseAddr("203.0.113.1"))
	if err != nil {
		fmt.Println(err)
		return
	}
	l, err := server.Listen(80)
	if err != nil {
		fmt.Println(err)
		return
	}
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		fmt.Fprint(w, "hello ", host)
	}))

	client := peer.Client(10 * time.Second)
	if r, err := client.Get("http://203.0.113.80/"); err != nil {
		fmt.Println(err)
	} else {
		text, _ := io.ReadAll(r.Body)
		fmt.Println("the server:", string(text))
	}
	_, err = client.Get("http://203.0.113.81/")
	fmt.Println("elsewhere:", err != nil)

	stop()
	fmt.Println("end:", <-done)
	// Output:
	// the server: hello 203.0.113.1
	// elsewhere: true
	// end: <nil>
}

// key makes a private key.
func key() *ecdh.PrivateKey {
	k, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	return k
}

// configure gives a device its key and one peer.
func configure(d *device.Device, own, other *ecdh.PrivateKey, allowed, endpoint string) error {
	c := fmt.Sprintf("private_key=%s\npublic_key=%s\nallowed_ip=%s\n",
		hex.EncodeToString(own.Bytes()), hex.EncodeToString(other.PublicKey().Bytes()), allowed)
	if endpoint != "" {
		c += "endpoint=" + endpoint + "\n"
	}
	if err := d.IpcSet(c); err != nil {
		return err
	}
	return d.Up()
}

var listenPort = regexp.MustCompile(`listen_port=(\d+)`)

// port is where a device listens.
func port(d *device.Device) string {
	text, err := d.IpcGet()
	if m := listenPort.FindStringSubmatch(text); err == nil && m != nil {
		return m[1]
	}
	return "0"
}
