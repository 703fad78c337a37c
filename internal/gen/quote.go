package gen

import (
	"bytes"
	"encoding/binary"
	"net/netip"

	"weir/internal/wire"
)

// quote is an ICMP error about a packet that left the machine.
func (g *Generator) quote() (Packet, bool) {
	s, ok := g.recent(g.seen)
	if !ok {
		return Packet{}, false
	}
	f := family(s.Src)
	src, dst := s.Dst, s.Src
	if g.d.percent(45) { // a router on the way says it
		src = oneOf(g.d, g.w.place(f, s.dev).hosts...)
	}
	if g.d.percent(4) { // about somebody else's packet
		dst = g.target(f, s.dev)
	}
	inner := g.cut(s)
	typ, code, rest := g.errorType(f)
	if (typ == 5 && f == 0 || typ == 137) && g.d.percent(60) {
		return Packet{In: s.dev, Data: g.redirect(s, src, inner)}, true
	}
	h := g.header(src, dst, wire.ICMPOf(src))
	h.TOS = 0xc0
	return Packet{In: s.dev, Data: h.Packet(wire.ICMP(src, dst, typ, code, rest, inner))}, true
}

// errorType is the type, code and second word of an error.
func (g *Generator) errorType(f int) (typ, code uint8, rest uint32) {
	mtu := oneOf[uint32](g.d, 1400, 1280, 576, 68, 0)
	if f == 0 {
		switch g.d.weighted(10, 5, 4, 1, 1, 2) {
		case 0:
			return 3, oneOf[uint8](g.d, 0, 1, 2, 3, 3, 3, 9, 10, 13, 15, 16), 0
		case 1:
			return 3, 4, mtu
		case 2:
			return 11, uint8(g.d.IntN(3)), 0
		case 3:
			return 12, 0, 0x14000000
		case 4:
			return 4, 0, 0
		}
		return 5, uint8(g.d.IntN(4)), 0xc6336401
	}
	switch g.d.weighted(10, 5, 4, 2, 2) {
	case 0:
		return 1, uint8(g.d.IntN(8)), 0
	case 1:
		return 2, 0, mtu
	case 2:
		return 3, uint8(g.d.IntN(2)), 0
	case 3:
		return 4, uint8(g.d.IntN(3)), 6
	}
	return 137, 0, 0
}

// cut is the part of a packet that an error quotes.
func (g *Generator) cut(s sighting) []byte {
	b := bytes.Clone(s.Raw)
	head := len(s.Raw) - len(s.L4)
	switch g.d.weighted(30, 30, 10, 10, 5) {
	case 0:
		b = b[:min(len(b), 548)]
	case 1:
		b = b[:min(len(b), head+8)]
	case 2:
		b = b[:min(len(b), head+20)]
	case 3:
		b = b[:min(len(b), head+oneOf(g.d, 0, 2, 4, 7, 9, 12, 19))]
	case 4:
		b = b[:min(len(b), g.d.IntN(head+1))]
	}
	if g.d.percent(6) && len(b) > 0 { // not what was sent
		b[g.d.IntN(len(b))] ^= byte(1 << g.d.IntN(8))
	}
	return b
}

// redirect is the message of RFC 792 or RFC 4861.
func (g *Generator) redirect(s sighting, src netip.Addr, inner []byte) []byte {
	if src.Is4() {
		gw := oneOf(g.d, g.w.place(0, s.dev).hosts...).As4()
		return g.header(src, s.Src, wire.ProtoICMP).Packet(wire.ICMP(src, s.Src, 5, 1, binary.BigEndian.Uint32(gw[:]), inner))
	}
	body := append(append([]byte{}, oneOf(g.d, g.w.place(1, s.dev).hosts...).AsSlice()...), s.Dst.AsSlice()...)
	if g.d.percent(90) {
		for len(inner)%8 != 0 {
			inner = append(inner, 0)
		}
		body = append(append(body, 4, byte(1+len(inner)/8), 0, 0, 0, 0, 0, 0), inner...)
	}
	if g.d.percent(60) {
		src = addr("fe80::1")
	}
	h := wire.IP{Src: src, Dst: s.Src, Proto: wire.ProtoICMP6, TTL: oneOf[uint8](g.d, 255, 255, 64)}
	return h.Packet(wire.ICMP(src, s.Src, 137, uint8(g.d.weighted(90, 10)), 0, body))
}
