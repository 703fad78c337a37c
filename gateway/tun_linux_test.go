package gateway

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const home6Rules = `*nat
-A POSTROUTING -o wan0 -j MASQUERADE
COMMIT
*filter
:FORWARD DROP
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i lan0 -j ACCEPT
COMMIT
`

// world is a client and a server with a weir between them.
type world struct {
	client, router, server *host
	weir                   *process
	sniffer                *sniffer
}

// newTUNWorld moves weir's TUN devices into the namespaces of the two hosts.
func newTUNWorld(t *testing.T, dir string, args ...string) *world {
	t.Helper()
	w := &world{client: newHost(t), router: newHost(t), server: newHost(t)}
	w.weir = w.router.weir(append(append([]string{"run"}, args...), dir)...)
	w.router.run("ip", "link", "set", "lan0", "netns", w.client.path)
	w.router.run("ip", "link", "set", "wan0", "netns", w.server.path)
	w.server.script(`ip addr add 203.0.113.1/24 dev wan0
		ip addr add 198.51.100.1/32 dev wan0
		ip addr add 2001:db8:2::1/64 dev wan0 nodad
		ip link set wan0 up`)
	w.sniffer = w.server.sniff("wan0", 0, "192.0.2.0/24", "2001:db8:1::/64")
	w.client.script(`ip addr add 192.0.2.10/24 dev lan0
		ip addr add 2001:db8:1::10/64 dev lan0 nodad
		ip link set lan0 up
		ip route add default via 192.0.2.1 dev lan0
		ip route add default via 2001:db8:1::1 dev lan0`)
	return w
}

func homeFiles(t *testing.T) string {
	return machineFiles(t, map[string]string{"machine.yaml": homeYAML, "rules.v4": homeRules, "rules.v6": home6Rules})
}

// serve answers with what it was sent, and says who asked.
func (w *world) serve(addr string) {
	l := w.server.listen("tcp", addr)
	s := &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		rw.Header().Set("From", host)
		_, _ = io.Copy(rw, r.Body)
	})}
	go func() { _ = s.Serve(l) }()
	w.server.t.Cleanup(func() { s.Close() })
}

// echo sends a body of n bytes to a server and checks what comes back.
func (w *world) echo(t *testing.T, addr, from string, n int) {
	t.Helper()
	body := bytes.Repeat([]byte("0123456789abcde\n"), n/16)
	tr := &http.Transport{DialContext: w.client.dial}
	defer tr.CloseIdleConnections()
	c := &http.Client{Transport: tr, Timeout: 20 * time.Second}
	resp, err := c.Post("http://"+addr+"/", "text/plain", bytes.NewReader(body))
	if err != nil {
		t.Error(err)
		return
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil || sha256.Sum256(got) != sha256.Sum256(body) {
		t.Errorf("%s: %v, %d bytes of %d came back", addr, err, len(got), len(body))
	}
	if resp.Header.Get("From") != from {
		t.Errorf("%s saw %s, want %s", addr, resp.Header.Get("From"), from)
	}
}

func TestPrograms(t *testing.T) {
	w := newTUNWorld(t, homeFiles(t))
	eventually(t, "no way through", func() error { _, err := w.client.try("ping", "-c1", "-W1", "203.0.113.1"); return err })
	w.serve("203.0.113.1:80")
	w.serve("[2001:db8:2::1]:80")
	t.Run("HTTP over IPv4, segments whole and small packets", func(t *testing.T) {
		w.echo(t, "203.0.113.1:80", "203.0.113.2", 16)
		w.echo(t, "203.0.113.1:80", "203.0.113.2", 32<<20)
	})
	t.Run("HTTP over IPv6", func(t *testing.T) { w.echo(t, "[2001:db8:2::1]:80", "2001:db8:2::2", 8<<20) })
	t.Run("curl", func(t *testing.T) {
		if out := w.client.run("curl", "-s", "-d", "hello", "http://203.0.113.1/"); out != "hello" {
			t.Errorf("%q", out)
		}
	})
	t.Run("datagrams, also long ones that come as fragments", func(t *testing.T) {
		s := w.server.listenPacket("udp", "203.0.113.1:53")
		go func() {
			b := make([]byte, 65536)
			for {
				n, a, err := s.ReadFrom(b)
				if err != nil {
					return
				}
				_, _ = s.WriteTo(b[:n], a)
			}
		}()
		c, err := w.client.dial(t.Context(), "udp", "203.0.113.1:53")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for _, n := range []int{1, 1472, 1473, 9000} {
			ask := bytes.Repeat([]byte{byte(n)}, n)
			got := make([]byte, n+1)
			_ = c.SetDeadline(time.Now().Add(10 * time.Second))
			if _, err := c.Write(ask); err != nil {
				t.Fatal(err)
			}
			if k, err := c.Read(got); err != nil || !bytes.Equal(got[:k], ask) {
				t.Errorf("%d bytes: %v, %d came back", n, err, k)
			}
		}
	})
	t.Run("ping, also of weir itself", func(t *testing.T) {
		for _, a := range []string{"203.0.113.1", "192.0.2.1", "2001:db8:2::1", "2001:db8:1::1"} {
			w.client.run("ping", "-c2", "-i0.01", "-W5", a)
		}
	})
	t.Run("tracepath sees weir and the server", func(t *testing.T) {
		out := w.client.run("tracepath", "-n", "-m4", "203.0.113.1")
		if !strings.Contains(out, "192.0.2.1") || !strings.Contains(out, "reached") {
			t.Errorf("%s", out)
		}
	})
	w.sniffer.clean(t)
	t.Run("what was not asked for does not come in", func(t *testing.T) {
		w.server.script("ip route add 192.0.2.0/24 via 203.0.113.2")
		if out, err := w.server.try("ping", "-c1", "-W1", "192.0.2.10"); err == nil {
			t.Errorf("%s", out)
		}
		w.server.script("ip route del 192.0.2.0/24 via 203.0.113.2")
	})
	w.weir.stop()
}

func TestReloadBySignalKeepsConnections(t *testing.T) {
	dir := homeFiles(t)
	w := newTUNWorld(t, dir)
	l := w.server.listen("tcp", "203.0.113.1:7")
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c) }()
		}
	}()
	var c net.Conn
	eventually(t, "no connection", func() (err error) { c, err = w.client.dial(t.Context(), "tcp", "203.0.113.1:7"); return err })
	defer c.Close()
	ask := func() error {
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.WriteString(c, "hello"); err != nil {
			return err
		}
		_, err := io.ReadFull(c, make([]byte, 5))
		return err
	}
	for i := range 5 {
		writeFile(t, dir+"/rules.v4", strings.Replace(homeRules, "-A FORWARD -i lan0", fmt.Sprintf("-A FORWARD -p udp --dport %d -j DROP\n-A FORWARD -i lan0", 1000+i), 1))
		_ = w.weir.cmd.Process.Signal(unix.SIGHUP)
		w.weir.wait("msg=reloaded", i+1)
		if err := ask(); err != nil {
			t.Fatalf("after reload %d: %v", i+1, err)
		}
	}
	writeFile(t, dir+"/rules.v4", "*filter\n-A FORWARD -j NOSUCH\nCOMMIT\n")
	_ = w.weir.cmd.Process.Signal(unix.SIGHUP)
	w.weir.wait("not reloaded", 1)
	if err := ask(); err != nil {
		t.Fatalf("after a reload that failed: %v", err)
	}
	w.weir.stop()
	w.sniffer.clean(t)
}

func TestADeviceThatWasRemovedIsMadeAgain(t *testing.T) {
	w := newTUNWorld(t, homeFiles(t), "--sandbox=off")
	eventually(t, "no way through", func() error { _, err := w.client.try("ping", "-c1", "-W1", "203.0.113.1"); return err })
	w.client.script("ip link del lan0")
	w.weir.wait("device lost", 1)
	w.weir.wait("device is back", 1)
	w.router.run("ip", "link", "set", "lan0", "netns", w.client.path)
	w.client.script(`ip addr add 192.0.2.10/24 dev lan0
		ip link set lan0 up
		ip route add default via 192.0.2.1 dev lan0`)
	eventually(t, "no way through", func() error { _, err := w.client.try("ping", "-c1", "-W1", "203.0.113.1"); return err })
	w.weir.stop()
	w.sniffer.clean(t)
}
