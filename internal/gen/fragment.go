package gen

import (
	"bytes"
	"encoding/binary"

	"weir/internal/wire"
)

// fragments cuts a packet and sends the pieces, in order or not.
func (g *Generator) fragments() (Packet, bool) {
	var whole []byte
	dev := ""
	if s, ok := g.recent(g.seen); ok && g.d.percent(50) && s.Proto == wire.ProtoUDP && len(s.L4) >= 8 {
		sport, dport := s.Ports()
		dev, whole = s.dev, g.udp(s.Dst, s.Src, dport, sport, g.long())
	} else {
		f := g.family()
		src, d := g.w.host(g.d, f)
		dst := g.target(f, d)
		dev = d
		switch g.d.weighted(60, 25, 15) {
		case 0:
			whole = g.udp(src, dst, g.port(), g.port(), g.long())
		case 1:
			typ := uint8(8)
			if f == 1 {
				typ = 128
			}
			whole = g.header(src, dst, wire.ICMPOf(src)).Packet(wire.ICMP(src, dst, typ, 0, 1<<16|uint32(g.d.IntN(9)), g.long()))
		case 2:
			whole = g.tcp(src, dst, wire.Segment{Sport: g.port(), Dport: g.port(), Seq: g.isn(), Flags: g.opening(), Win: 1000, Options: g.synOptions(), Data: g.long()})
		}
	}
	v, ok := wire.Parse(whole)
	if !ok || v.Fragment {
		return Packet{}, false
	}
	parts := g.shuffle(g.split(v))
	if len(parts) == 0 {
		return Packet{}, false
	}
	for _, p := range parts[1:] {
		g.queue = append(g.queue, Packet{In: dev, Data: p})
	}
	return Packet{In: dev, Data: parts[0]}, true
}

// long is a payload worth cutting.
func (g *Generator) long() []byte {
	n := oneOf(g.d, 16, 40, 100, 600, 1400, 2048, 2048, 2900, 4000)
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(g.d.Uint32())
	}
	return b
}

// piece is a range of what follows the part of a packet that every fragment
// repeats.
type piece struct {
	at, n int
	more  bool
}

// split rolls where the packet is cut, and what is wrong about it.
func (g *Generator) split(v wire.View) (out [][]byte) {
	var cuts []piece
	body := v.L4
	size := oneOf(g.d, 8, 16, 24, 400, 600, 800, 1200, 1232, 1480)
	if len(body)/size > 12 {
		size = 800
	}
	for at := 0; at < len(body); {
		n := min(size, len(body)-at)
		cuts = append(cuts, piece{at, n, at+n < len(body)})
		at += n
		if g.d.percent(20) {
			size = oneOf(g.d, 8, 400, 1000, 1200)
		}
	}
	if g.d.percent(15) && len(cuts) > 1 {
		i := g.d.IntN(len(cuts))
		switch g.d.IntN(5) {
		case 0: // overlaps its neighbour
			cuts[i].at = max(0, cuts[i].at-8)
		case 1: // no multiple of 8
			cuts[i].n = max(1, cuts[i].n-3)
		case 2: // the last one is missing
			cuts = cuts[:len(cuts)-1]
		case 3: // two ends
			cuts[i].more = !cuts[i].more
		case 4: // empty
			cuts[i].n = 0
		}
	}
	id := g.d.Uint32()
	tos := -1
	if g.d.percent(10) {
		tos = g.d.IntN(len(cuts) + 1) // one of them has other ECN bits
	}
	for i, c := range cuts {
		p := cutOut(v, c, id)
		if i == tos {
			p[1] ^= oneOf[byte](g.d, 0x01, 0x02, 0x03)
		}
		if p[0]>>4 == 4 {
			wire.FixIP(p)
		}
		out = append(out, p)
	}
	return out
}

// cutOut makes one fragment.
func cutOut(v wire.View, c piece, id uint32) []byte {
	head := v.Raw[:len(v.Raw)-len(v.L4)]
	body := v.L4[min(c.at, len(v.L4)):min(c.at+c.n, len(v.L4))]
	more := uint16(0)
	if c.more {
		more = 1
	}
	if head[0]>>4 == 4 {
		p := append(bytes.Clone(head), body...)
		binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
		flags := binary.BigEndian.Uint16(p[6:]) & 0x4000
		binary.BigEndian.PutUint16(p[6:], flags|more<<13|uint16(c.at/8))
		return p
	}
	// The fragment header goes behind the extension headers that are there.
	p := bytes.Clone(head)
	next := &p[6]
	for at := 40; at < len(head); at += 8 * (int(head[at+1]) + 1) {
		next = &p[at]
	}
	fh := []byte{*next, 0, 0, 0, 0, 0, 0, 0}
	*next = 44
	binary.BigEndian.PutUint16(fh[2:], uint16(c.at)&^7|more)
	binary.BigEndian.PutUint32(fh[4:], id)
	p = append(append(p, fh...), body...)
	binary.BigEndian.PutUint16(p[4:], uint16(len(p)-40))
	return p
}

// shuffle changes the order, repeats or loses pieces, now and then.
func (g *Generator) shuffle(p [][]byte) [][]byte {
	if g.d.percent(35) {
		g.d.Shuffle(len(p), func(i, j int) { p[i], p[j] = p[j], p[i] })
	}
	if g.d.percent(12) && len(p) > 0 {
		p = append(p, oneOf(g.d, p...))
	}
	if g.d.percent(6) && len(p) > 1 {
		p = p[1:]
	}
	return p
}
