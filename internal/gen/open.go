package gen

import (
	"encoding/binary"
	"hash/crc32"
	"net/netip"

	"weir/internal/wire"
)

// family rolls IPv4 or IPv6.
func (g *Generator) family() int { return g.d.weighted(60, 40) }

// target is where a new flow goes.
func (g *Generator) target(f int, from string) netip.Addr {
	switch g.d.weighted(62, 13, 12, 5, 4, 4) {
	case 1:
		return g.w.own(g.d, f)
	case 2:
		return g.w.free(g.d, f)
	case 3: // nobody, no route, or a route that refuses
		return []netip.Addr{oneOf(g.d, addr("198.51.100.200"), addr("198.51.100.130"), addr("192.0.2.77")), oneOf(g.d, addr("2001:db8:dead::1"), addr("2001:db8:4::1"), addr("2001:db8:1::77"))}[f]
	case 4: // many, or all
		if f == 0 {
			return oneOf(g.d, addr("255.255.255.255"), addr("192.0.2.127"), addr("203.0.113.255"), addr("224.0.0.1"), addr("239.1.2.3"), addr("192.0.2.0"))
		}
		return oneOf(g.d, addr("ff02::1"), addr("ff05::2"), addr("ff0e::101"), addr("2001:db8:1::"))
	case 5: // addresses that have no business on a wire
		if f == 0 {
			return oneOf(g.d, addr("127.0.0.1"), addr("0.0.0.0"), addr("240.0.0.1"), addr("169.254.1.1"))
		}
		return oneOf(g.d, addr("::1"), addr("::"), addr("fe80::1"), addr("::ffff:192.0.2.10"))
	}
	for range 8 {
		a, dev := g.w.host(g.d, f)
		if dev != from || g.d.percent(10) {
			return a
		}
	}
	return g.w.own(g.d, f)
}

func (g *Generator) port() uint16 { return uint16(oneOf(g.d, ports...)) }

// open starts a flow from any host.
func (g *Generator) open() (Packet, bool) {
	f := g.family()
	src, dev := g.w.host(g.d, f)
	dst := g.target(f, dev)
	if g.d.percent(2) { // a source that cannot be
		src = g.target(f, dev)
	}
	if g.d.percent(2) { // from behind the wrong interface
		dev = oneOf(g.d, lan, wan, dmz)
	}
	return Packet{In: dev, Data: g.start(src, dst)}, true
}

// start is the first packet of a flow of any protocol.
func (g *Generator) start(src, dst netip.Addr) []byte {
	switch g.d.weighted(48, 26, 12, 4, 10) {
	case 0:
		return g.tcp(src, dst, wire.Segment{
			Sport: g.port(), Dport: g.port(), Seq: g.isn(), Flags: g.opening(), Win: g.window(),
			Options: g.synOptions(), Data: g.data(20 * g.d.weighted(95, 5)),
		})
	case 1:
		return g.udp(src, dst, g.port(), g.port(), g.data(1460))
	case 2:
		typ := uint8(8)
		if src.Is6() {
			typ = 128
		}
		return g.header(src, dst, wire.ICMPOf(src)).Packet(wire.ICMP(src, dst, typ, 0, uint32(g.d.IntN(4))<<16|uint32(g.d.IntN(8)), g.data(1400)))
	case 3:
		return g.query(src, dst)
	}
	return g.unknown(src, dst)
}

// query is an ICMP message that is no error, rarely one that exists.
func (g *Generator) query(src, dst netip.Addr) []byte {
	types := []uint8{0, 8, 9, 10, 13, 14, 15, 16, 17, 18, 19, 40, 1, 2, 6}
	if src.Is6() {
		types = []uint8{128, 129, 130, 131, 139, 140, 143, 151, 200, 100, 127}
	}
	code := uint8(g.d.weighted(90, 5, 5))
	return g.header(src, dst, wire.ICMPOf(src)).Packet(wire.ICMP(src, dst, oneOf(g.d, types...), code, uint32(g.d.IntN(4))<<16|1, g.data(100)))
}

// udp is a datagram; checksum 0 is allowed for IPv4.
func (g *Generator) udp(src, dst netip.Addr, sport, dport uint16, data []byte) []byte {
	b := wire.Datagram(wire.ProtoUDP, src, dst, sport, dport, data)
	if g.d.percent(4) {
		b[6], b[7] = 0, 0
	}
	return g.header(src, dst, wire.ProtoUDP).Packet(b)
}

// unknown is a packet of a protocol with no or little tracking.
func (g *Generator) unknown(src, dst netip.Addr) []byte {
	data := g.data(600)
	switch g.d.weighted(3, 2, 2, 2, 2, 2, 3, 1) {
	case 0:
		return g.header(src, dst, wire.ProtoESP).Packet(append([]byte{0, 0, 0x10, 0, 0, 0, 0, 1}, data...))
	case 1: // GRE version 0
		return g.header(src, dst, wire.ProtoGRE).Packet(append([]byte{0, 0, 8, 0}, data...))
	case 2: // GRE version 1, a call of PPTP
		b := []byte{0x30, 1, 0x88, 0x0b, 0, 0, 0, byte(g.d.between(1, 3)), 0, 0, 0, 1}
		if g.d.percent(10) {
			b[2] = 0x08
		}
		return g.header(src, dst, wire.ProtoGRE).Packet(append(b, data...))
	case 3:
		return g.header(src, dst, wire.ProtoIPIP).Packet(g.header(addr("192.0.2.77"), addr("192.0.2.78"), wire.ProtoTest).Packet(data))
	case 4:
		return g.header(src, dst, wire.ProtoTest).Packet(data)
	case 5:
		return g.header(src, dst, oneOf[uint8](g.d, 2, 33, 51, 89, 103, 253, 254)).Packet(data)
	case 6:
		return g.sctp(src, dst, g.port(), g.port(), oneOf[uint32](g.d, 0, 0, 0, 77), g.chunk())
	}
	// ICMP of the other family
	return g.header(src, dst, wire.ICMPOf(src)^(wire.ProtoICMP^wire.ProtoICMP6)).Packet(append([]byte{8, 0, 0, 0, 0, 1, 0, 1}, data...))
}

// sctp is a packet with the checksum of RFC 9260.
func (g *Generator) sctp(src, dst netip.Addr, sport, dport uint16, tag uint32, chunks []byte) []byte {
	b := make([]byte, 12, 12+len(chunks))
	binary.BigEndian.PutUint16(b, sport)
	binary.BigEndian.PutUint16(b[2:], dport)
	binary.BigEndian.PutUint32(b[4:], tag)
	b = append(b, chunks...)
	binary.LittleEndian.PutUint32(b[8:], crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
	return g.header(src, dst, wire.ProtoSCTP).Packet(b)
}

// chunk is one or two SCTP chunks, mostly INIT.
func (g *Generator) chunk() []byte {
	one := func() []byte {
		typ := oneOf[uint8](g.d, 1, 1, 1, 1, 0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 14, 99)
		n := 4
		switch typ {
		case 0:
			n = 20
		case 1, 2:
			n = 20
		case 4, 5, 10:
			n = 12
		}
		b := make([]byte, n)
		b[0], b[3] = typ, byte(n)
		if typ == 1 || typ == 2 {
			b[7], b[11], b[13], b[15] = 77, 1, 1, 1 // tag 77
		}
		if typ == 6 || typ == 14 {
			b[1] = byte(g.d.IntN(2))
		}
		return b
	}
	b := one()
	if g.d.percent(10) {
		b = append(b, one()...)
	}
	return b
}

// stranger sends to where somebody else's flow comes from.
func (g *Generator) stranger() (Packet, bool) {
	s, ok := g.recent(g.seen)
	if !ok {
		return Packet{}, false
	}
	f := family(s.Src)
	src := oneOf(g.d, g.w.place(f, s.dev).hosts...)
	sport, dport := s.Ports()
	if g.d.percent(50) {
		dport = g.port()
	}
	switch s.Proto {
	case wire.ProtoTCP:
		return Packet{In: s.dev, Data: g.tcp(src, s.Src, wire.Segment{Sport: dport, Dport: sport, Seq: g.isn(), Ack: g.d.Uint32(), Flags: oneOf[uint8](g.d, wire.SYN, wire.ACK, wire.RST, wire.SYN|wire.ACK), Win: g.window()})}, true
	case wire.ProtoUDP:
		return Packet{In: s.dev, Data: g.udp(src, s.Src, dport, sport, g.data(200))}, true
	}
	return Packet{In: s.dev, Data: g.start(src, s.Src)}, true
}

// local lets the machine itself send: a flow of its own, or an answer to
// what it was sent.
func (g *Generator) local() (Packet, bool) {
	var p []byte
	if g.d.percent(40) {
		for range 6 {
			s, ok := g.recent(g.sent)
			if ok && s.dev != Local && g.isOwn(s.Dst) {
				if r, ok := g.answer(s); ok {
					p = r
					break
				}
			}
		}
	}
	if p == nil {
		f := g.family()
		src := g.w.own(g.d, f)
		if g.d.percent(5) {
			src, _ = g.w.host(g.d, f)
		}
		p = g.start(src, g.target(f, Local))
	}
	v, ok := wire.Parse(p)
	// A socket that takes whole headers sends no packet larger than its
	// device, and IPv6's unspecified address is no destination for it.
	return Packet{In: Local, Data: p}, ok && len(p) <= 1280 && !v.Dst.IsUnspecified()
}

// isOwn says whether the machine has an address.
func (g *Generator) isOwn(a netip.Addr) bool {
	for _, p := range g.w.places[family(a)] {
		for _, s := range p.self {
			if s == a {
				return true
			}
		}
	}
	return false
}
