package nat

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"testing"

	"weir/conntrack"
	"weir/hook"
	"weir/iface"
	"weir/internal/wire"
	"weir/packet"
	"weir/route"
)

// fixed answers every random choice with one number.
type fixed uint32

func (f fixed) Uint32() uint32                        { return uint32(f) }
func (f fixed) PortOffset(_, _ uint32, _ bool) uint32 { return uint32(f) }
func address(s string) packet.Addr                    { return packet.AddrOf(netip.MustParseAddr(s)) }
func pass(*hook.Traversal) hook.Verdict               { return hook.Accept }
func (r *rig) at(p hook.Point) *hook.Traversal        { r.t.Point = p; return &r.t }
func (r *rig) rule(p hook.Point, f func() bool)       { r.rules[p] = f }

// rig is connection tracking and NAT around one packet at a time, without
// routing: packets of direction Original leave by wan.
type rig struct {
	env      hook.Env
	t        hook.Traversal
	p        packet.Packet
	lan, wan *iface.Iface
	rules    map[hook.Point]func() bool
	now      int64
}

func newRig(addrs ...string) *rig {
	r := &rig{rules: map[hook.Point]func() bool{}, now: 1_700_000_000e9}
	r.lan, r.wan = &iface.Iface{Index: 2, Name: "lan0", MTU: 1500}, &iface.Iface{Index: 3, Name: "wan0", MTU: 1500}
	for _, a := range addrs {
		r.wan.Addrs = append(r.wan.Addrs, iface.Addr{Prefix: netip.MustParsePrefix(a)})
	}
	cfg := conntrack.DefaultConfig()
	cfg.Checksum = false
	ifs := iface.NewSet(route.Loopback(), r.lan, r.wan)
	r.env = hook.Env{CT: conntrack.New(cfg), Ifaces: ifs, Routes: route.New(ifs, nil, route.Options{}), Rand: fixed(0)}
	return r
}

// forward takes a packet through PREROUTING, POSTROUTING and confirmation.
// data is rewritten.
func (r *rig) forward(data []byte, in, out *iface.Iface) hook.Verdict {
	if err := packet.Parse(data, &r.p); err != nil {
		panic(err)
	}
	r.now += 1e6
	r.t = hook.Traversal{Pkt: &r.p, Env: &r.env, In: in, Now: r.now}
	defer func() {
		r.env.CT.Release(r.t.CT)
		r.env.CT.Reap()
	}()
	if out := r.env.CT.Track(&r.p, nil, &r.t.CT, 0, true, r.now); !out.OK {
		return r.t.Drop(hook.ReasonTableFull)
	}
	if v := Hook(r.at(hook.Prerouting), r.walk); v != hook.Accept {
		return v
	}
	r.t.In, r.t.Out = nil, out
	if v := Hook(r.at(hook.Postrouting), r.walk); v != hook.Accept {
		return v
	}
	if out := r.env.CT.Confirm(&r.t.CT, &r.p, r.now); !out.OK {
		return r.t.Drop(hook.ReasonClash)
	}
	return hook.Accept
}

func (r *rig) walk(t *hook.Traversal) hook.Verdict {
	if f := r.rules[t.Point]; f != nil && !f() {
		return hook.Drop
	}
	return hook.Accept
}

// segment is a packet with a right checksum.
func segment(proto uint8, src, dst string, sport, dport uint16, data []byte) []byte {
	s, d := netip.MustParseAddr(src), netip.MustParseAddr(dst)
	h := wire.IP{Src: s, Dst: d, Proto: proto, TTL: 64, ID: sport}
	switch proto {
	case wire.ProtoTCP:
		return h.Packet(wire.Segment{Sport: sport, Dport: dport, Seq: 1, Flags: wire.SYN, Win: 1000, Data: data}.Bytes(s, d))
	case wire.ProtoUDP, wire.ProtoUDPLite:
		return h.Packet(wire.Datagram(proto, s, d, sport, dport, data))
	case wire.ProtoICMP:
		return h.Packet(wire.ICMP(s, d, 8, 0, uint32(sport)<<16|1, data))
	case wire.ProtoICMP6:
		return h.Packet(wire.ICMP(s, d, 128, 0, uint32(sport)<<16|1, data))
	}
	return h.Packet(data)
}

// TestThereAndBack translates packets of all kinds and sends what left back
// with its sides exchanged: the answer arrives at the first sender as if no
// one had translated, and each checksum is as right or wrong as it was.
func TestThereAndBack(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 2))
	one := func(l ...string) string { return l[dice.IntN(len(l))] }
	for range 4000 {
		six := dice.IntN(2) == 1
		client, server, nat, real := one("192.0.2.10", "192.0.2.11"), one("198.51.100.1", "198.51.100.2"), one("203.0.113.1", "203.0.113.255"), "192.0.2.200"
		icmp := uint8(wire.ProtoICMP)
		if six {
			client, server, nat, real = one("2001:db8:1::10", "2001:db8:1:ffff::ffff"), "2001:db8:2::1", one("2001:db8:3::1", "2001:db8:ffff:ffff:ffff::"), "2001:db8:1::200"
			icmp = wire.ProtoICMP6
		}
		proto := []uint8{wire.ProtoTCP, wire.ProtoUDP, wire.ProtoUDPLite, icmp, 253}[dice.IntN(5)]
		sport, dport := uint16(dice.Uint32()), uint16(dice.Uint32())
		r := newRig()
		r.env.Rand = fixed(dice.Uint32N(65536))
		src, dst := dice.IntN(2) == 1, dice.IntN(2) == 1
		if src {
			r.rule(hook.Postrouting, func() bool {
				return Setup(&r.t, r.t.CT.Conn, &Range{Flags: MapIPs | ProtoRandom, MinAddr: address(nat), MaxAddr: address(nat)}, Source)
			})
		}
		if dst {
			r.rule(hook.Prerouting, func() bool {
				return Setup(&r.t, r.t.CT.Conn, &Range{Flags: MapIPs | ProtoSpecified, MinAddr: address(real), MaxAddr: address(real), MinPort: 80, MaxPort: 90}, Destination)
			})
		}
		body := make([]byte, dice.IntN(40))
		for i := range body {
			body[i] = byte(dice.Uint32())
		}
		data := segment(proto, client, server, sport, dport, body)
		if dice.IntN(3) == 0 { // wrong, in the header or behind it
			data[len(data)-1-dice.IntN(min(len(data), 8))] ^= byte(1 + dice.IntN(255))
			wire.FixIP(data)
			if six {
				data[0] = 6 << 4
			}
		}
		was := bytes.Clone(data)
		var before packet.Packet
		if packet.Parse(was, &before) != nil {
			continue
		}
		if v := r.forward(data, r.lan, r.wan); v != hook.Accept {
			continue // not to be tracked or too short
		}
		if r.t.CT.Conn == nil {
			if !bytes.Equal(data, was) {
				t.Fatalf("an untracked packet was changed: %x to %x", was, data)
			}
			continue
		}
		if before.L4ChecksumOK() != r.p.L4ChecksumOK() {
			t.Fatalf("the checksum was right: %v, is right: %v: %x to %x", before.L4ChecksumOK(), r.p.L4ChecksumOK(), was, data)
		}
		var sum packet.Packet
		if err := packet.Parse(bytes.Clone(data), &sum); err != nil {
			t.Fatalf("%v: %x to %x", err, was, data)
		}
		if src && r.p.Src() != address(nat) || dst && r.p.Dst() != address(real) {
			t.Fatalf("not translated: %x to %x", was, data)
		}
		seen, _ := conntrack.TupleOf(&r.p, 0)
		back := answer(&seen)
		var first packet.Packet
		first = before
		sent, _ := conntrack.TupleOf(&first, 0)
		want, ok := sent.Inverse()
		if !ok {
			continue
		}
		if v := r.forward(back, r.wan, r.lan); v != hook.Accept || r.t.CT.Conn == nil || r.t.CT.Info.Dir() != conntrack.Reply {
			t.Fatalf("the answer %x is %v, info %d", back, v, r.t.CT.Info)
		}
		got, _ := conntrack.TupleOf(&r.p, 0)
		if got != want {
			t.Fatalf("the answer arrives as %+v, want %+v", got, want)
		}
		if !r.p.L4ChecksumOK() {
			t.Fatalf("the answer's checksum is wrong: %x", back)
		}
	}
}

// answer is a packet that answers one with the tuple.
func answer(t *conntrack.Tuple) []byte {
	in, _ := t.Inverse()
	src, dst := in.Src.IP(in.L3), in.Dst.IP(in.L3)
	h := wire.IP{Src: src, Dst: dst, Proto: in.Proto, TTL: 60}
	switch in.Proto {
	case wire.ProtoTCP:
		return h.Packet(wire.Segment{Sport: in.SrcL4, Dport: in.DstL4, Seq: 7, Ack: 2, Flags: wire.SYN | wire.ACK, Win: 100}.Bytes(src, dst))
	case wire.ProtoICMP, wire.ProtoICMP6:
		return h.Packet(wire.ICMP(src, dst, in.ICMPType(), in.ICMPCode(), uint32(in.SrcL4)<<16, []byte("pong")))
	}
	return segment(in.Proto, src.String(), dst.String(), in.SrcL4, in.DstL4, []byte("answer"))
}

// TestTheWayOutOfMasqueradeChanges is a masqueraded connection whose packets
// suddenly leave by another interface.
func TestTheWayOutOfMasqueradeChanges(t *testing.T) {
	for _, c := range []struct{ src, dst, own, addr string }{
		{"192.0.2.10", "198.51.100.1", "203.0.113.2", "203.0.113.2/24"},
		{"2001:db8:1::10", "2001:db8:9::1", "2001:db8:2::2", "2001:db8:2::2/64"},
	} {
		r := newRig(c.addr)
		r.rule(hook.Postrouting, func() bool { return Masquerade(&r.t, &Range{}) })
		first := func() []byte { return segment(wire.ProtoUDP, c.src, c.dst, 5000, 53, nil) }
		if v := r.forward(first(), r.lan, r.wan); v != hook.Accept || r.p.Src() != address(c.own) || r.env.CT.MasqIf(r.t.CT.Conn) != 3 {
			t.Fatalf("%v, from %v, interface %d", v, r.p.Src(), r.env.CT.MasqIf(r.t.CT.Conn))
		}
		if v := r.forward(segment(wire.ProtoUDP, c.dst, c.own, 53, 5000, nil), r.wan, r.lan); v != hook.Accept || r.p.Dst() != address(c.src) {
			t.Fatalf("the answer: %v, to %v: only the original direction minds the interface", v, r.p.Dst())
		}
		dmz := &iface.Iface{Index: 4, Name: "dmz0", Addrs: r.wan.Addrs}
		if v := r.forward(first(), r.lan, dmz); v != hook.Drop || r.t.Why != hook.ReasonNATRouteChange {
			t.Fatalf("%v because of %v", v, r.t.Why)
		}
		if n := r.env.CT.Len(); n != 0 {
			t.Fatalf("%d connections left", n)
		}
		if v := r.forward(first(), r.lan, dmz); v != hook.Accept || r.env.CT.MasqIf(r.t.CT.Conn) != 4 {
			t.Fatalf("the next packet: %v, interface %d", v, r.env.CT.MasqIf(r.t.CT.Conn))
		}
	}
}

// TestInterfacesAndAddressesGo ends connections whose mapping is gone.
func TestInterfacesAndAddressesGo(t *testing.T) {
	fill := func() *rig {
		r := newRig("203.0.113.2/24", "2001:db8:2::2/64")
		r.rule(hook.Postrouting, func() bool { return Masquerade(&r.t, &Range{}) })
		r.forward(segment(wire.ProtoUDP, "192.0.2.10", "198.51.100.1", 1, 53, nil), r.lan, r.wan)
		r.forward(segment(wire.ProtoUDP, "2001:db8:1::1", "2001:db8:9::1", 1, 53, nil), r.lan, r.wan)
		r.rules = nil
		r.forward(segment(wire.ProtoUDP, "192.0.2.10", "198.51.100.1", 2, 53, nil), r.lan, r.wan)
		return r
	}
	r := fill()
	if n := InterfaceDown(&r.env, r.lan, r.now); n != 0 {
		t.Errorf("%d connections end with the interface that they came by", n)
	}
	if n := InterfaceDown(&r.env, r.wan, r.now); n != 2 || r.env.CT.Len() != 1 {
		t.Errorf("%d connections end with the interface, %d are left", n, r.env.CT.Len())
	}
	r = fill()
	if n := AddressRemoved(&r.env, r.wan, packet.IPv4, address("203.0.113.3"), r.now); n != 0 {
		t.Errorf("%d connections end with an address that they do not use", n)
	}
	if n := AddressRemoved(&r.env, r.wan, packet.IPv4, address("203.0.113.2"), r.now); n != 1 || r.env.CT.Len() != 2 {
		t.Errorf("%d connections end with the address, %d are left", n, r.env.CT.Len())
	}
}

// TestNoAddressToMasqueradeAs drops, with a reason.
func TestNoAddressToMasqueradeAs(t *testing.T) {
	r := newRig()
	r.rule(hook.Postrouting, func() bool { return Masquerade(&r.t, &Range{}) })
	if v := r.forward(segment(wire.ProtoUDP, "192.0.2.10", "198.51.100.1", 1, 53, nil), r.lan, r.wan); v != hook.Drop || r.t.Why != hook.ReasonNATFailed {
		t.Errorf("%v because of %v", v, r.t.Why)
	}
	r.rule(hook.Postrouting, nil)
	r.rule(hook.Prerouting, func() bool { return Redirect(&r.t, &Range{}) })
	if v := r.forward(segment(wire.ProtoUDP, "192.0.2.10", "198.51.100.1", 1, 53, nil), r.lan, r.wan); v != hook.Drop || r.t.Why != hook.ReasonNATFailed {
		t.Errorf("%v because of %v", v, r.t.Why)
	}
}

// TestNobodyIsNotMasqueraded is a packet without a source address, as DHCP
// sends it.
func TestNobodyIsNotMasqueraded(t *testing.T) {
	r := newRig("203.0.113.2/24")
	r.rule(hook.Postrouting, func() bool { return Masquerade(&r.t, &Range{}) })
	if v := r.forward(segment(wire.ProtoUDP, "0.0.0.0", "198.51.100.1", 68, 67, nil), r.lan, r.wan); v != hook.Accept || !r.p.Src().IsZero() {
		t.Errorf("%v, from %v", v, r.p.Src())
	}
}

// TestOneZeroIsStored is the id 65535 that becomes 0 under the checksum
// 0xffff, which no sender stores: of the two zeros Linux stores the other.
func TestOneZeroIsStored(t *testing.T) {
	r := newRig()
	r.rule(hook.Postrouting, func() bool {
		return Setup(&r.t, r.t.CT.Conn, &Range{Flags: ProtoRandom}, Source)
	})
	data := segment(wire.ProtoICMP, "192.0.2.10", "198.51.100.1", 65535, 0, nil)
	data[22], data[23] = 0xff, 0xff
	if v := r.forward(data, r.lan, r.wan); v != hook.Accept || data[24]|data[25] != 0 || data[22]|data[23] != 0 {
		t.Errorf("%v: %x", v, data)
	}
}

// TestRulesCameLate is a connection older than the rules: it is never
// translated.
func TestRulesCameLate(t *testing.T) {
	r := newRig("203.0.113.2/24")
	first := segment(wire.ProtoUDP, "192.0.2.10", "198.51.100.1", 1, 53, nil)
	if err := packet.Parse(bytes.Clone(first), &r.p); err != nil {
		t.Fatal(err)
	}
	var ref conntrack.Ref
	r.env.CT.Track(&r.p, nil, &ref, 0, true, r.now)
	r.env.CT.Confirm(&ref, &r.p, r.now)
	r.rule(hook.Postrouting, func() bool { return Masquerade(&r.t, &Range{}) })
	if v := r.forward(first, r.lan, r.wan); v != hook.Accept || r.p.Src() != address("192.0.2.10") || r.t.CT.Conn.Status&conntrack.NATDoneMask != 0 {
		t.Errorf("%v, from %v, status %#x", v, r.p.Src(), r.t.CT.Conn.Status)
	}
}

// TestEstablishedPacketsAllocateNothing is the path of nearly every packet.
func TestEstablishedPacketsAllocateNothing(t *testing.T) {
	for _, c := range []struct{ src, dst, nat string }{
		{"192.0.2.10", "198.51.100.1", "203.0.113.2"}, {"2001:db8:1::10", "2001:db8:9::1", "2001:db8:2::2"},
	} {
		r := newRig()
		r.rule(hook.Postrouting, func() bool {
			return Setup(&r.t, r.t.CT.Conn, &Range{Flags: MapIPs, MinAddr: address(c.nat), MaxAddr: address(c.nat)}, Source)
		})
		out := segment(wire.ProtoUDP, c.src, c.dst, 5000, 53, []byte("data"))
		in := segment(wire.ProtoUDP, c.dst, c.nat, 53, 5000, []byte("data"))
		buf := make([]byte, len(out))
		r.forward(bytes.Clone(out), r.lan, r.wan)
		r.forward(bytes.Clone(in), r.wan, r.lan)
		walk := pass
		for _, side := range []struct {
			name string
			data []byte
		}{{"there", out}, {"back", in}} {
			if n := testing.AllocsPerRun(200, func() {
				copy(buf, side.data)
				packet.Parse(buf, &r.p)
				r.t.Point = hook.Prerouting
				r.t.CT = conntrack.Ref{}
				r.env.CT.Track(&r.p, nil, &r.t.CT, 0, true, r.now)
				Hook(&r.t, walk)
				r.t.Point = hook.Postrouting
				Hook(&r.t, walk)
			}); n != 0 {
				t.Errorf("%s %s: %v allocations", c.src, side.name, n)
			}
			if bytes.Equal(buf, side.data) {
				t.Errorf("%s %s: not translated", c.src, side.name)
			}
		}
	}
}

// BenchmarkEstablished is the rewriting alone, both hooks.
func BenchmarkEstablished(b *testing.B) {
	for _, c := range []struct{ name, src, dst, nat string }{
		{"IPv4", "192.0.2.10", "198.51.100.1", "203.0.113.2"}, {"IPv6", "2001:db8:1::10", "2001:db8:9::1", "2001:db8:2::2"},
	} {
		b.Run(c.name, func(b *testing.B) {
			r := newRig()
			r.rule(hook.Postrouting, func() bool {
				return Setup(&r.t, r.t.CT.Conn, &Range{Flags: MapIPs, MinAddr: address(c.nat), MaxAddr: address(c.nat)}, Source)
			})
			out := segment(wire.ProtoUDP, c.src, c.dst, 5000, 53, []byte("data"))
			r.forward(out, r.lan, r.wan)
			b.ReportAllocs()
			for b.Loop() {
				r.t.Point = hook.Prerouting
				Hook(&r.t, pass)
				r.t.Point = hook.Postrouting
				Hook(&r.t, pass)
			}
		})
	}
}
