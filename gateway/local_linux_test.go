package gateway

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

const localRules = `*nat
-A POSTROUTING -o wan0 -s 192.0.2.0/24 -j MASQUERADE
-A PREROUTING -i lan0 -p tcp --dport 2222 -j REDIRECT --to-ports 22
COMMIT
*filter
:INPUT DROP
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -i lan0 -p tcp --dport 22 -j ACCEPT
-A INPUT -p icmp -j ACCEPT
-A OUTPUT -p tcp --dport 81 -j REJECT --reject-with tcp-reset
COMMIT
`

func TestTheMachinesOwnStackIsTheKernel(t *testing.T) {
	dir := machineFiles(t, map[string]string{"machine.yaml": homeYAML + "local: tun0\n", "rules.v4": localRules})
	w := newTUNWorld(t, dir)
	w.router.script(`ip addr add 192.0.2.1/32 dev tun0
		ip addr add 203.0.113.2/32 dev tun0
		ip addr add 2001:db8:1::1/128 dev tun0 nodad
		ip route add default dev tun0 src 203.0.113.2
		ip -6 route add default dev tun0`)
	l := w.router.listen("tcp", "0.0.0.0:22")
	go greet(l, "the machine")
	out := w.server.listen("tcp", "203.0.113.1:80")
	go greet(out, "the server")
	ask := func(h *host, addr string) (string, error) {
		c, err := h.dial(t.Context(), "tcp", addr)
		if err != nil {
			return "", err
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		b, err := io.ReadAll(c)
		return string(b), err
	}
	eventually(t, "no way to the machine", func() error { _, err := w.client.try("ping", "-c1", "-W1", "192.0.2.1"); return err })
	for _, c := range []struct {
		name string
		from *host
		addr string
		want string // empty: it fails
	}{
		{"a client reaches the machine", w.client, "192.0.2.1:22", "the machine met 192.0.2.10"},
		{"by its other address", w.client, "203.0.113.2:22", "the machine met 192.0.2.10"},
		{"by a port that is redirected", w.client, "198.51.100.1:2222", "the machine met 192.0.2.10"},
		{"the machine reaches a server", w.router, "203.0.113.1:80", "the server met 203.0.113.2"},
		{"a rule of OUTPUT refuses", w.router, "203.0.113.1:81", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := ask(c.from, c.addr)
			if got != c.want || (err != nil) != (c.want == "") {
				t.Errorf("%q %v, want %q", got, err, c.want)
			}
		})
	}
	t.Run("what INPUT drops does not reach the kernel", func(t *testing.T) {
		if out, err := w.server.try("curl", "-s", "-m1", "http://203.0.113.2:22/"); err == nil || strings.Contains(out, "machine") {
			t.Errorf("%s %v", out, err)
		}
	})
	w.weir.stop()
}

// greet says who it is and whom it met.
func greet(l net.Listener, name string) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
		_, _ = io.WriteString(c, name+" met "+host)
		c.Close()
	}
}
