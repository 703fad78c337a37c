package rfc

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"weir/conntrack"
	"weir/engine"
	"weir/hook"
	"weir/iface"
	"weir/internal/wire"
	"weir/packet"
	"weir/route"
)

// flow is what a connection from the inside is, on both sides.
type flow struct {
	proto          uint8
	inside, outer  netip.AddrPort
	remote         netip.Addr
	remotePort     uint16
	inward, turned bool // begun from outside; from inside to inside
}

// flows reads the connections: this knows nothing of mappings.
func (k *bed) flows() (list []flow) {
	k.m.Do(func() {
		k.m.Conntrack().Each(k.now, func(c *conntrack.Conn) bool {
			o, r := &c.Tuple[0], &c.Tuple[1]
			of := func(a packet.Addr, p uint16) netip.AddrPort { return netip.AddrPortFrom(a.IP(o.L3), p) }
			icmp := o.Proto == wire.ProtoICMP || o.Proto == wire.ProtoICMP6
			if c.Has(conntrack.SrcNAT) {
				f := flow{proto: o.Proto, inside: of(o.Src, o.SrcL4), outer: of(r.Dst, r.DstL4), remote: o.Dst.IP(o.L3), remotePort: o.DstL4, turned: c.Has(conntrack.DstNAT)}
				if icmp {
					f.outer = of(r.Dst, r.SrcL4)
				}
				list = append(list, f)
			}
			if c.Has(conntrack.DstNAT) {
				list = append(list, flow{proto: o.Proto, inside: of(r.Src, r.SrcL4), outer: of(o.Dst, o.DstL4), remote: r.Dst.IP(o.L3), remotePort: r.DstL4, inward: true})
			}
			return true
		})
	})
	return list
}

// consistent verifies that a source has one outer endpoint and an endpoint one
// source.
func consistent(list []flow) error {
	out, in := map[string]netip.AddrPort{}, map[string]netip.AddrPort{}
	for _, f := range list {
		a, b := fmt.Sprint(f.proto, f.inside), fmt.Sprint(f.proto, f.outer)
		if was, ok := out[a]; ok && was != f.outer {
			return fmt.Errorf("%s is %v and %v", a, was, f.outer)
		}
		if was, ok := in[b]; ok && was != f.inside {
			return fmt.Errorf("%s is of %v and %v", b, was, f.inside)
		}
		out[a], in[b] = f.outer, f.inside
	}
	return nil
}

// TestRandomTrafficKeepsThePromises sends at random from both sides. What the
// connections say at each moment decides who has to be let in.
func TestRandomTrafficKeepsThePromises(t *testing.T) {
	for _, filtering := range []string{"", "endpoint-independent", "address-dependent"} {
		t.Run("filtering "+filtering, func(t *testing.T) {
			k := newBed(t, setting{target: "MASQUERADE --to-ports 5000-5040", match: "-p udp", filtering: filtering}, true)
			r := rand.New(rand.NewPCG(4, uint64(len(filtering))))
			inside, remotes := []netip.Addr{a, b, b.Next()}, []netip.Addr{r1, r2, r2.Next()}
			let, refused := 0, 0
			for range 3000 {
				port := 5000 + uint16(r.IntN(30))
				switch r.IntN(10) {
				case 0, 1, 2, 3:
					k.open(wire.ProtoUDP, at(inside[r.IntN(3)], port), at(remotes[r.IntN(3)], 80+uint16(r.IntN(3))))
				case 4:
					k.wait(int64(r.IntN(100)))
				case 5:
					k.send(udp(at(inside[r.IntN(3)], port), at(ext, 5000+uint16(r.IntN(41))), "hairpin"))
				default:
					list := k.flows()
					if err := consistent(list); err != nil {
						t.Fatal(err)
					}
					if len(list) == 0 {
						continue
					}
					f := list[r.IntN(len(list))]
					from := at(remotes[r.IntN(3)], 80+uint16(r.IntN(6)))
					want := filtering == "endpoint-independent"
					for _, g := range list {
						if g.inside == f.inside && g.remote == from.addr && (filtering == "address-dependent" || g.remotePort == from.port) {
							want = true
						}
					}
					if f.remote == ext {
						continue // from inside to inside: its remote is an outer endpoint
					}
					got := k.in(wire.ProtoUDP, from, end{f.outer.Addr(), f.outer.Port()}, end{f.inside.Addr(), f.inside.Port()})
					if got != want {
						t.Fatalf("%v to %v, which is %v: let in %v, want %v", from, f.outer, f.inside, got, want)
					}
					if got {
						let++
					} else {
						refused++
					}
				}
			}
			if let < 50 || filtering != "endpoint-independent" && refused < 100 {
				t.Errorf("%d were let in and %d were not: that shows nothing", let, refused)
			}
		})
	}
}

// TestMappingsAreBounded lets hosts take more than there is room for: connections,
// and endpoints.
func TestMappingsAreBounded(t *testing.T) {
	k := newBed(t, setting{filtering: "address-dependent"}, true)
	k.m.Conntrack().Config().Max = 50
	r := rand.New(rand.NewPCG(1, 2))
	most := 0
	for i := range 3000 {
		h := a
		for range r.IntN(5) {
			h = h.Next()
		}
		proto := []uint8{wire.ProtoUDP, wire.ProtoTCP, wire.ProtoICMP}[r.IntN(3)]
		k.open(proto, at(h, uint16(r.IntN(65536))), at(r1, 80))
		if i%50 == 0 {
			k.wait(10)
		}
		all, _ := k.m.Conntrack().Mappings()
		most = max(most, all)
	}
	if most != 50 || k.m.Drops()[hook.ReasonNATExhausted] == 0 {
		t.Errorf("at most %d mappings, %d packets without one", most, k.m.Drops()[hook.ReasonNATExhausted])
	}
	k.now += 6 * 24 * 3600 * second
	k.wait(400)
	k.open(wire.ProtoUDP, at(a, 1000), at(r1, 80))
	for i := range uint16(20) { // each clears a few
		k.open(wire.ProtoUDP, at(a, 1000), at(r1, 81+i))
	}
	if all, held := k.m.Conntrack().Mappings(); all != 1 || held != 0 {
		t.Errorf("at the end %d mappings, %d held down", all, held)
	}
}

// TestMappingsOfIPv6 is the same code for the other family.
func TestMappingsOfIPv6(t *testing.T) {
	lan := &iface.Iface{Index: 2, Name: "lan", MTU: 1500, Addrs: []iface.Addr{{Prefix: netip.MustParsePrefix("2001:db8:1::1/64")}}}
	wan := &iface.Iface{Index: 3, Name: "wan", MTU: 1500, Addrs: []iface.Addr{{Prefix: netip.MustParsePrefix("2001:db8:2::2/64")}}}
	m, errs := engine.New(engine.Config{
		Ifaces: []*iface.Iface{lan, wan},
		Routes: []route.Route{{To: netip.MustParsePrefix("::/0"), Via: netip.MustParseAddr("2001:db8:2::1"), Dev: wan, Type: route.Unicast}},
		Rules6: engine.Text{Name: "rules.v6", Text: []byte("*nat\n-A POSTROUTING -o wan -j MASQUERADE --mapping endpoint-independent --filtering endpoint-independent\nCOMMIT\n")},
		Sysctl: map[string]string{"net.ipv6.conf.all.forwarding": "1"},
		Seed:   1,
	})
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	k := &bed{t: t, m: m, now: 1e18, rfc: true, lan: lan, wan: wan}
	host, other := netip.MustParseAddr("2001:db8:1::10"), netip.MustParseAddr("2001:db8:1::20")
	server, stranger := netip.MustParseAddr("2001:db8:3::1"), netip.MustParseAddr("2001:db8:3::2")
	for _, proto := range []uint8{wire.ProtoUDP, wire.ProtoTCP} {
		outer := k.open(proto, at(host, 5000), at(server, 80))
		if outer != at(wan.Addrs[0].Prefix.Addr(), 5000) || k.open(proto, at(host, 5000), at(stranger, 80)) != outer {
			t.Fatalf("protocol %d: the outer endpoint is %v", proto, outer)
		}
		if k.open(proto, at(other, 5000), at(stranger, 81)) == outer {
			t.Errorf("protocol %d: two hosts have one endpoint", proto)
		}
		if !k.in(proto, at(stranger, 9), outer, at(host, 5000)) {
			t.Errorf("protocol %d: a stranger is not let in", proto)
		}
		if out := k.send(first(proto, at(other, 6000), outer)); len(out) != 1 || out[0].dst() != at(host, 5000) || out[0].Src != outer.addr {
			t.Errorf("protocol %d: no hairpin: %v", proto, out)
		}
	}
}

// TestWorkersUseMappings lets several workers carry packets of mappings, which
// begin and end beside them.
func TestWorkersUseMappings(t *testing.T) {
	k := newBed(t, setting{filtering: "address-dependent"}, true)
	done := make(chan error)
	const workers = 3
	for i := range workers {
		w := k.m.Worker()
		go func() {
			r := rand.New(rand.NewPCG(uint64(i), 3))
			now, results := k.now, []engine.Result(nil)
			for range 300 {
				var in []engine.Arrival
				for range 20 {
					from, to := at(a, 5000+uint16(r.IntN(50))), at(r1, 80+uint16(r.IntN(2)))
					dev := k.lan
					switch r.IntN(4) {
					case 0:
						from, to, dev = at(r1, 80+uint16(r.IntN(4))), at(ext, from.port), k.wan
					case 1:
						to = at(ext, 5000+uint16(r.IntN(50)))
					}
					in = append(in, engine.Arrival{In: dev, Data: udp(from, to, "x")})
				}
				now += 5 * second
				results = w.ReceiveBatch(in, now, results)
			}
			done <- nil
		}()
	}
	for range workers {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	k.now += 300 * 5 * second
	k.m.Do(func() {
		if err := k.m.Conntrack().Check(); err != nil {
			t.Error(err)
		}
	})
	if err := consistent(k.flows()); err != nil {
		t.Error(err)
	}
	if all, _ := k.m.Conntrack().Mappings(); all == 0 {
		t.Error("there are no mappings")
	}
}
