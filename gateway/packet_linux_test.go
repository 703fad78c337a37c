package gateway

import (
	"bytes"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"
)

const etherYAML = `interfaces:
  - {name: lan0, addresses: [192.0.2.1/24, "2001:db8:1::1/64"], link: "packet:eth0"}
  - {name: wan0, addresses: [203.0.113.2/24, "2001:db8:2::2/64"], link: "packet:eth1"}
routes:
  - {to: 198.51.100.0/24, via: 203.0.113.1}
  - {to: "2001:db8:9::/64", via: "2001:db8:2::1"}
`

// newEtherWorld connects the hosts with weir by veth.
func newEtherWorld(t *testing.T, dir string, args ...string) *world {
	t.Helper()
	w := newEtherCables(t)
	w.weir = w.router.weir(append(append([]string{"run"}, args...), dir)...)
	return w
}

// newEtherCables is such a world without weir.
func newEtherCables(t *testing.T) *world {
	t.Helper()
	w := &world{client: newHost(t), router: newHost(t), server: newHost(t)}
	w.cable("eth0", w.client)
	w.server.script(`ip addr add 198.51.100.1/32 dev lo
		ip addr add 2001:db8:9::1/128 dev lo`)
	w.outside()
	w.client.script(`ip addr add 192.0.2.10/24 dev wire0
		ip addr add 2001:db8:1::10/64 dev wire0 nodad
		ip route add default via 192.0.2.1
		ip route add default via 2001:db8:1::1`)
	return w
}

// cable leads from a device of weir to a host.
func (w *world) cable(dev string, to *host) {
	// The address is the same when the device is laid again.
	w.router.run("ip", "link", "add", dev, "address", "02:00:00:00:01:0"+dev[len(dev)-1:], "type", "veth", "peer", "name", "wire0", "netns", to.path)
	to.script("ip link set wire0 up")
	// The devices belong to weir: the kernel has no addresses on them.
	w.router.run("sysctl", "-qw", "net.ipv6.conf."+dev+".disable_ipv6=1")
}

// outside lays the cable to the server, and watches it.
func (w *world) outside() {
	w.cable("eth1", w.server)
	w.server.script(`ip addr add 203.0.113.1/24 dev wire0
		ip addr add 2001:db8:2::1/64 dev wire0 nodad`)
	w.sniffer = w.server.sniff("wire0", headLen, "192.0.2.0/24", "2001:db8:1::/64")
}

func TestProgramsOverEthernet(t *testing.T) {
	for _, link := range []string{"packet", "xdp"} {
		t.Run(link, func(t *testing.T) { programsOverEthernet(t, link) })
	}
}

// etherOf is etherYAML with another kind of links.
func etherOf(link string) string { return strings.ReplaceAll(etherYAML, "packet:", link+":") }

func programsOverEthernet(t *testing.T, link string) {
	dir := machineFiles(t, map[string]string{"machine.yaml": etherOf(link), "rules.v4": homeRules, "rules.v6": home6Rules})
	w := newEtherWorld(t, dir, "--queues=2")
	w.serve("203.0.113.1:80")
	w.serve("198.51.100.1:80")
	w.serve("[2001:db8:9::1]:80")
	t.Run("ping finds the neighbours", func(t *testing.T) {
		for _, a := range []string{"203.0.113.1", "198.51.100.1", "192.0.2.1", "2001:db8:2::1", "2001:db8:9::1", "2001:db8:1::1"} {
			w.client.run("ping", "-c1", "-W5", a)
		}
	})
	t.Run("HTTP by a neighbour and by a gateway", func(t *testing.T) {
		w.echo(t, "203.0.113.1:80", "203.0.113.2", 8<<20)
		w.echo(t, "198.51.100.1:80", "203.0.113.2", 8<<20)
	})
	t.Run("HTTP over IPv6", func(t *testing.T) { w.echo(t, "[2001:db8:9::1]:80", "2001:db8:2::2", 8<<20) })
	t.Run("the neighbours know weir by the device's address", func(t *testing.T) {
		w.server.run("ping", "-c1", "-W5", "203.0.113.2")
		out := w.server.run("ip", "neigh", "show", "203.0.113.2")
		mac := regexp.MustCompile(`link/ether (\S+)`).FindStringSubmatch(w.router.run("ip", "link", "show", "eth1"))[1]
		if !strings.Contains(out, mac) {
			t.Errorf("%s, want %s", out, mac)
		}
	})
	t.Run("a device that was switched off is used again when it is on", func(t *testing.T) {
		w.router.script("ip link set eth1 down")
		if out, err := w.client.try("ping", "-c1", "-W1", "203.0.113.1"); err == nil {
			t.Errorf("%s", out)
		}
		w.router.script("ip link set eth1 up")
		eventually(t, "no way through", func() error { _, err := w.client.try("ping", "-c1", "-W1", "203.0.113.1"); return err })
	})
	w.weir.stop()
	w.sniffer.clean(t)
}

func TestDatagramsOverEthernet(t *testing.T) {
	for _, link := range []string{"packet", "xdp"} {
		t.Run(link, func(t *testing.T) { datagramsOverEthernet(t, link) })
	}
}

func datagramsOverEthernet(t *testing.T, link string) {
	w := newEtherWorld(t, machineFiles(t, map[string]string{"machine.yaml": etherOf(link), "rules.v4": homeRules}))
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
	for _, n := range []int{1, 1472, 1473, 20000} {
		ask, got := bytes.Repeat([]byte{byte(n)}, n), make([]byte, n)
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := c.Write(ask); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, ask) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	w.weir.stop()
}
