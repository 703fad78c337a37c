package linuxdiff

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"weir/engine"
	"weir/iface"
	"weir/internal/kernel"
	"weir/internal/wire"
	"weir/packet"
	"weir/route"
)

// TestTheWayOutGoes lets an interface go down, and an address go, under
// masqueraded connections: those end, the others go on by the way that is left.
func TestTheWayOutGoes(t *testing.T) {
	needKernel(t)
	const rules = "*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -p udp -o wan+ -j MASQUERADE\nCOMMIT\n"
	type nic struct {
		name  string
		addrs []string
	}
	nics := []nic{
		{"lan0", []string{"192.0.2.1/24", "2001:db8:1::1/64"}},
		{"wan0", []string{"203.0.113.2/25", "2001:db8:2::2/64"}},
		{"wan1", []string{"203.0.113.130/25", "2001:db8:3::2/64"}},
	}
	ways := []struct {
		to, via, dev string
		metric       int
	}{
		{"198.51.100.0/24", "203.0.113.1", "wan0", 0}, {"198.51.100.0/24", "203.0.113.131", "wan1", 50},
		{"2001:db8:9::/48", "2001:db8:2::1", "wan0", 10}, {"2001:db8:9::/48", "2001:db8:3::1", "wan1", 50},
	}
	// lines of IPv4 and IPv6: from, to, protocol.
	udp := func(from, to string, sport, dport uint16) []byte {
		src, dst := netip.MustParseAddr(from), netip.MustParseAddr(to)
		return wire.IP{Src: src, Dst: dst, Proto: 17, TTL: 64, ID: 7}.Packet(wire.Datagram(17, src, dst, sport, dport, []byte("x")))
	}
	raw := func(from, to string, proto uint8) []byte {
		return wire.IP{Src: netip.MustParseAddr(from), Dst: netip.MustParseAddr(to), Proto: proto, TTL: 64, ID: 7}.Packet([]byte("12345678"))
	}
	type in struct {
		dev  string
		data []byte
	}
	out := []in{
		{"lan0", udp("192.0.2.10", "198.51.100.1", 4000, 53)}, {"lan0", udp("192.0.2.11", "198.51.100.1", 4000, 54)},
		{"lan0", raw("192.0.2.10", "198.51.100.1", 253)}, {"lan0", udp("2001:db8:1::10", "2001:db8:9::1", 4000, 53)}, {"lan0", raw("2001:db8:1::10", "2001:db8:9::1", 253)},
		{"wan1", udp("198.51.100.9", "192.0.2.10", 53, 4000)},
	}
	later := append(slices.Clone(out), in{"wan1", udp("198.51.100.1", "203.0.113.130", 53, 4000)}, in{"lan0", udp("192.0.2.10", "203.0.113.2", 1, 1)},
		in{"lan0", udp("192.0.2.10", "203.0.113.1", 1, 1)}, in{"lan0", udp("2001:db8:1::10", "2001:db8:2::2", 1, 1)}, in{"lan0", udp("192.0.2.10", "203.0.113.127", 1, 1)})
	for _, c := range []struct {
		name string
		does func(k *kernel.Kernel) error
		// ends is how many connections end.
		ends  int
		after func(i *iface.Iface)
		// fewer is how many routes are gone, from the first.
		fewer int
	}{
		{"only its route goes: a masqueraded connection ends with its next packet", func(k *kernel.Kernel) error {
			return k.RemoveRoute(kernel.Route{To: netip.MustParsePrefix("198.51.100.0/24"), Dev: "wan0"})
		}, 0, func(*iface.Iface) {}, 1},
		{"the interface goes down", func(k *kernel.Kernel) error { return k.Down("wan0") }, 3, func(i *iface.Iface) {
			i.Down = true
			i.Addrs = slices.DeleteFunc(i.Addrs, func(a iface.Addr) bool { return a.Prefix.Addr().Is6() }) // as Linux does
		}, 0},
		{"its address goes", func(k *kernel.Kernel) error { return k.RemoveAddress("wan0", netip.MustParsePrefix("203.0.113.2/25")) }, 2, func(i *iface.Iface) {
			i.Addrs = slices.DeleteFunc(i.Addrs, func(a iface.Addr) bool { return a.Prefix.Addr().Is4() })
		}, 0},
		{"its IPv6 address goes", func(k *kernel.Kernel) error {
			return k.RemoveAddress("wan0", netip.MustParsePrefix("2001:db8:2::2/64"))
		}, 1, func(i *iface.Iface) {
			i.Addrs = slices.DeleteFunc(i.Addrs, func(a iface.Addr) bool { return a.Prefix.Addr().Is6() })
		}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			kc := kernel.Config{Rules4: rules, Rules6: rules, Trace: true}
			network := func() (ifs []*iface.Iface, routes []route.Route) {
				for n, d := range nics {
					i := &iface.Iface{Index: n + 2, Name: d.name, MTU: 1500}
					for _, a := range d.addrs {
						p := netip.MustParsePrefix(a)
						i.Addrs = append(i.Addrs, iface.Addr{Prefix: p, Broadcast: broadcast(p)})
					}
					ifs = append(ifs, i)
				}
				for _, w := range ways {
					for _, i := range ifs {
						if i.Name == w.dev {
							routes = append(routes, route.Route{To: netip.MustParsePrefix(w.to), Via: netip.MustParseAddr(w.via), Dev: i, Type: route.Unicast, Metric: w.metric})
						}
					}
				}
				return ifs, routes
			}
			for _, d := range nics {
				i := kernel.Iface{Name: d.name}
				for _, a := range d.addrs {
					i.Addrs = append(i.Addrs, netip.MustParsePrefix(a))
				}
				kc.Ifaces = append(kc.Ifaces, i)
			}
			for _, w := range ways {
				kc.Routes = append(kc.Routes, kernel.Route{To: netip.MustParsePrefix(w.to), Via: netip.MustParseAddr(w.via), Dev: w.dev, Metric: w.metric})
			}
			k, err := kernel.New(kc)
			if err != nil {
				t.Fatal(err)
			}
			defer k.Close()
			w := &subject{steer: &steer{spare: newSpare()}, slack: 1}
			ifs, routes := network()
			text := engine.Text{Text: []byte(rules)}
			if err := w.open(engine.Config{Ifaces: ifs, Routes: routes, Rules4: text, Rules6: text, Rand: w.steer, Sysctl: map[string]string{
				"net.ipv4.ip_forward": "1", "net.ipv6.conf.all.forwarding": "1", "net.netfilter.nf_conntrack_acct": "1",
			}}); err != nil {
				t.Fatal(err)
			}
			send := func(list []in) {
				t.Helper()
				for n, p := range list {
					res, err := k.Inject(p.dev, p.data)
					if err != nil {
						t.Fatal(err)
					}
					w.follow(p.data, &res)
					w.events, w.now = w.events[:0], time.Now().UnixNano()
					got := w.m.Receive(w.m.Ifaces().Name(p.dev), packet.Link{}, slices.Clone(p.data), w.now)
					if d := packetDifference(p.data, &res, &got, w, false); d != nil {
						d.Packet = n
						t.Fatal(d)
					}
				}
			}
			send(out)
			if err := c.does(k); err != nil {
				t.Fatal(err)
			}
			ifs, routes = network()
			c.after(ifs[1])
			if n := w.m.SetNetwork(ifs, routes[c.fewer:], time.Now().UnixNano()); n != c.ends {
				t.Errorf("%d connections end, want %d", n, c.ends)
			}
			// Linux ends those of an address a while later.
			var entries []kernel.Entry
			for end := time.Now().Add(5 * time.Second); time.Now().Before(end) && len(entries) != len(out)-c.ends; time.Sleep(5 * time.Millisecond) {
				if entries, err = k.Dump(); err != nil {
					t.Fatal(err)
				}
			}
			if d := sameTable(entries, w.dump(), 2); d != nil {
				t.Fatal(d)
			}
			send(later)
			send(out)
			if entries, err = k.Dump(); err != nil {
				t.Fatal(err)
			}
			if d := sameTable(entries, w.dump(), 2); d != nil {
				t.Fatal(d)
			}
		})
	}
}
