package gen

import (
	"bytes"
	"encoding/binary"

	"weir/internal/wire"
)

// options4or6 adds IPv4 options or IPv6 extension headers.
func (g *Generator) options4or6(h *wire.IP) {
	if h.Src.Is4() {
		o := bytes.Clone(oneOf(g.d,
			[]byte{1, 1, 1, 0},
			[]byte{7, 7, 4, 0, 0, 0, 0},                   // record route
			[]byte{7, 7, 8, 192, 0, 2, 9},                 // full
			[]byte{68, 8, 9, 0, 0, 0, 0, 1},               // timestamps, full: a free place would get the time of day
			[]byte{148, 4, 0, 0},                          // router alert
			[]byte{131, 7, 4, 192, 0, 2, 140},             // loose source route
			[]byte{137, 7, 4, 203, 0, 113, 1},             // strict source route
			[]byte{130, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0},    // security
			[]byte{7, 2},                                  // too short
			[]byte{7, 40, 4},                              // too long
			[]byte{99, 4, 1, 2},                           // nobody knows it
			[]byte{134, 6, 0, 0, 0, 1},                    // CIPSO
			[]byte{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0}, // long
		))
		for len(o)%4 != 0 {
			o = append(o, 0)
		}
		h.Options = o
		return
	}
	type ext struct {
		first uint8
		b     []byte
		last  int
	}
	e := oneOf(g.d,
		ext{0, []byte{0, 0, 1, 4, 0, 0, 0, 0}, 0},                                               // hop-by-hop, padding
		ext{60, []byte{0, 0, 1, 4, 0, 0, 0, 0}, 0},                                              // destination options
		ext{0, []byte{60, 0, 1, 4, 0, 0, 0, 0, 0, 0, 1, 4, 0, 0, 0, 0}, 8},                      // both
		ext{43, append([]byte{0, 2, 0, 0, 0, 0, 0, 0}, addr("2001:db8:1::10").AsSlice()...), 0}, // routing, done
		ext{43, append([]byte{0, 2, 0, 1, 0, 0, 0, 0}, addr("2001:db8:1::10").AsSlice()...), 0}, // routing, one left
		ext{60, []byte{0, 5, 1, 4, 0, 0, 0, 0}, 0},                                              // longer than it is
		ext{0, []byte{0, 0, 0xc2, 4, 0, 1, 0, 0}, 0},                                            // jumbo, wrong
		ext{0, []byte{0, 0, 5, 2, 0, 0, 0, 0}, 0},                                               // router alert
		ext{60, []byte{0, 0, 0x80 | 30, 4, 0, 0, 0, 0}, 0},                                      // nobody knows it
	)
	h.Ext, h.Options, h.Last = e.first, bytes.Clone(e.b), e.last
}

// odd is a packet that no host should send.
func (g *Generator) odd() (Packet, bool) {
	f := g.family()
	src, dev := g.w.host(g.d, f)
	dst := g.target(f, dev)
	switch g.d.weighted(3, 2, 2, 2, 2) {
	case 0: // options or extension headers
		h := g.header(src, dst, wire.ProtoUDP)
		g.options4or6(&h)
		return Packet{In: dev, Data: h.Packet(wire.Datagram(wire.ProtoUDP, src, dst, g.port(), g.port(), g.data(200)))}, true
	case 1: // source = destination
		return Packet{In: dev, Data: g.start(dst, dst)}, true
	case 2: // as if from the machine itself
		return Packet{In: dev, Data: g.start(g.w.own(g.d, f), dst)}, true
	case 3: // a header and nothing in it
		return Packet{In: dev, Data: g.header(src, dst, oneOf[uint8](g.d, wire.ProtoTCP, wire.ProtoUDP, wire.ICMPOf(src), wire.ProtoGRE, 59, 44, 0)).Packet(g.data(12))}, true
	}
	// an answer to nothing
	typ := uint8(0)
	if f == 1 {
		typ = 129
	}
	return Packet{In: dev, Data: g.header(src, dst, wire.ICMPOf(src)).Packet(wire.ICMP(src, dst, typ, 0, g.d.Uint32(), g.data(60)))}, true
}

// spoil breaks a packet in one way.
func (g *Generator) spoil(data []byte) []byte {
	b := bytes.Clone(data)
	v, ok := wire.Parse(b)
	if !ok {
		return b
	}
	v4 := b[0]>>4 == 4
	head := len(b) - len(v.L4)
	switch g.d.weighted(4, 5, 3, 3, 2, 2, 2) {
	case 0: // the checksum of the header, or the flow label
		if v4 {
			b[10] ^= 1
		} else {
			b[2] ^= 1
		}
	case 1: // the checksum of what follows
		if at, ok := map[uint8]int{wire.ProtoTCP: 16, wire.ProtoUDP: 6, wire.ProtoICMP: 2, wire.ProtoICMP6: 2, wire.ProtoSCTP: 8}[v.Proto]; ok && len(v.L4) > at+1 {
			b[head+at+1] ^= 0x5a
		}
	case 2: // cut short
		return b[:g.d.between(1, len(b))]
	case 3: // the length says more or less
		n := len(b) + oneOf(g.d, -len(v.L4)/2, -1, 1, 8, 1000, -len(b), -head)
		if v4 {
			binary.BigEndian.PutUint16(b[2:], uint16(max(n, 0)))
			wire.FixIP(b)
		} else {
			binary.BigEndian.PutUint16(b[4:], uint16(max(n-40, 0)))
		}
	case 4: // more behind the end
		return append(b, make([]byte, g.d.between(1, 40))...)
	case 5: // the length inside
		switch {
		case v.Proto == wire.ProtoUDP && len(v.L4) >= 8:
			binary.BigEndian.PutUint16(b[head+4:], oneOf(g.d, 0, 7, 8, uint16(len(v.L4)-1), uint16(len(v.L4)+1), 65535))
		case v.Proto == wire.ProtoTCP && len(v.L4) >= 20:
			b[head+12] = oneOf[byte](g.d, 0x00, 0x40, 0xf0, 0x60)
		}
	case 6:
		if v4 { // header length, reserved bit, flags of fragments
			switch g.d.IntN(4) {
			case 0:
				b[0] = 4<<4 | byte(g.d.IntN(16))
			case 1:
				b[6] |= 0x80
			case 2:
				b[6] |= 0x60
			case 3:
				b[7] = byte(g.d.Uint32())
			}
			wire.FixIP(b)
		} else {
			b[6] = oneOf[byte](g.d, 0, 43, 44, 59, 60, 51, 135, 253)
		}
	}
	return b
}
