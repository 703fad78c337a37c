package gen

import (
	"bytes"
	"encoding/binary"
	"net/netip"

	"weir/internal/wire"
)

// reply lets a host answer what reached it.
func (g *Generator) reply() (Packet, bool) {
	s, ok := g.recent(g.seen)
	if !ok {
		return Packet{}, false
	}
	p, ok := g.answer(s)
	return Packet{In: s.dev, Data: p}, ok
}

// answer is what the destination of a packet sends back.
func (g *Generator) answer(s sighting) ([]byte, bool) {
	src, dst := s.Dst, s.Src
	sport, dport := s.Ports()
	switch {
	case s.Proto == wire.ProtoTCP && len(s.L4) >= 20:
		return g.tcpAnswer(s.View), true
	case s.Proto == wire.ProtoUDP && len(s.L4) >= 8:
		return g.udp(src, dst, dport, sport, g.data(1460)), true
	case s.Proto == wire.ICMPOf(src) && len(s.L4) >= 8:
		typ, ok := map[uint8]uint8{8: 0, 13: 14, 15: 16, 17: 18, 128: 129, 139: 140}[s.L4[0]]
		if !ok {
			return nil, false
		}
		rest := binary.BigEndian.Uint32(s.L4[4:])
		if g.d.percent(5) {
			rest ^= 1 << 16 // another id
		}
		return g.header(src, dst, s.Proto).Packet(wire.ICMP(src, dst, typ, s.L4[1], rest, s.L4[8:])), true
	case s.Proto == wire.ProtoSCTP && len(s.L4) >= 16:
		return g.sctp(src, dst, dport, sport, oneOf[uint32](g.d, 77, 77, 77, 0), g.sctpAnswer(s.L4[12])), true
	case s.Proto == wire.ProtoTCP || s.Proto == wire.ProtoUDP:
		return nil, false
	}
	return g.header(src, dst, s.Proto).Packet(bytes.Clone(s.L4[:min(len(s.L4), 1200)])), true
}

// sctpAnswer is the chunk that follows another, most of the time.
func (g *Generator) sctpAnswer(typ uint8) []byte {
	next := map[uint8]uint8{1: 2, 2: 10, 10: 11, 11: 0, 0: 3, 3: 7, 7: 8, 8: 14, 4: 5}
	n, ok := next[typ]
	if !ok || g.d.percent(20) {
		return g.chunk()
	}
	size := map[uint8]int{0: 20, 2: 20, 10: 12, 3: 16, 7: 8, 4: 12, 5: 12}[n]
	b := make([]byte, max(size, 4))
	b[0], b[3] = n, byte(len(b))
	if n == 2 {
		b[7], b[11], b[13], b[15] = 77, 1, 1, 1
	}
	return b
}

// isn is an initial sequence number, at times just before it wraps.
func (g *Generator) isn() uint32 {
	if g.d.percent(15) {
		return 0xffffffff - uint32(g.d.IntN(2000))
	}
	return g.d.Uint32()
}

func (g *Generator) window() uint16 {
	return oneOf[uint16](g.d, 0, 1, 500, 1000, 1000, 8192, 29200, 65535, 65535)
}

// opening are the flags of a first segment: nearly always SYN.
func (g *Generator) opening() uint8 {
	switch g.d.weighted(80, 12, 8) {
	case 1:
		return oneOf[uint8](g.d, wire.ACK, wire.ACK|wire.PSH, wire.FIN|wire.ACK, wire.SYN|wire.ACK, wire.RST, wire.RST|wire.ACK)
	case 2:
		return g.flags()
	}
	return wire.SYN
}

// flags is any combination.
func (g *Generator) flags() uint8 {
	return oneOf[uint8](g.d, 0, wire.PSH, wire.SYN|wire.URG, wire.SYN|wire.PSH, wire.SYN|wire.FIN, wire.SYN|wire.RST, wire.FIN,
		wire.SYN|wire.ECE|wire.CWR, wire.ACK|wire.URG, wire.ACK|wire.URG|wire.PSH, 0xff, wire.FIN|wire.ACK|wire.PSH, uint8(g.d.Uint32()))
}

// synOptions are the options of a SYN.
func (g *Generator) synOptions() (o []byte) {
	if g.d.percent(70) {
		mss := oneOf[uint16](g.d, 1460, 1460, 1440, 1400, 1220, 1000, 536, 0, 65535)
		o = append(o, 2, 4, byte(mss>>8), byte(mss))
	}
	if g.d.percent(45) {
		o = append(o, 1, 3, 3, oneOf[byte](g.d, 0, 1, 2, 7, 14, 15))
	}
	if g.d.percent(45) {
		o = append(o, 4, 2)
	}
	if g.d.percent(25) {
		o = append(o, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0)
	}
	if g.d.percent(4) {
		o = append(o, oneOf(g.d, []byte{2, 3, 1}, []byte{5, 0}, []byte{254, 1}, []byte{3}, []byte{2, 40, 1, 1}, []byte{0, 9, 9})...)
	}
	return o[:min(len(o), 40)]
}

// tcp is a segment in a packet.
func (g *Generator) tcp(src, dst netip.Addr, s wire.Segment) []byte {
	return g.header(src, dst, wire.ProtoTCP).Packet(s.Bytes(src, dst))
}

// edge is a distance from where a window ends, to either side.
func (g *Generator) edge(win uint32) uint32 {
	n := oneOf(g.d, 1, 100, win-1, win, win+1, 2*win, 65999, 66000, 66001, 200000, g.d.Uint32())
	if g.d.percent(40) {
		return -n
	}
	return n
}

// tcpAnswer is the next segment of the receiver of a segment.
func (g *Generator) tcpAnswer(v wire.View) []byte {
	seq, ack := binary.BigEndian.Uint32(v.L4[4:]), binary.BigEndian.Uint32(v.L4[8:])
	flags, win := v.L4[13], uint32(binary.BigEndian.Uint16(v.L4[14:]))
	sport, dport := v.Ports()
	n := len(v.L4) - int(v.L4[12]>>4)*4
	next := seq + uint32(max(n, 0))
	if flags&wire.SYN != 0 {
		next++
	}
	if flags&wire.FIN != 0 {
		next++
	}
	r := wire.Segment{Sport: dport, Dport: sport, Ack: next, Flags: wire.ACK, Win: g.window(), Seq: ack}
	if flags&wire.ACK == 0 {
		r.Seq = g.isn()
	}
	switch {
	case g.polite > 0 && flags&(wire.SYN|wire.ACK|wire.RST) == wire.SYN:
		r.Flags, r.Options, r.Win = wire.SYN|wire.ACK, g.synOptions(), max(r.Win, 1000)
	case flags&(wire.SYN|wire.ACK|wire.RST) == wire.SYN:
		switch g.d.weighted(76, 8, 5, 5, 6) {
		case 0:
			r.Flags, r.Options = wire.SYN|wire.ACK, g.synOptions()
		case 1:
			r.Flags, r.Seq, r.Win = wire.RST|wire.ACK, 0, 0
		case 2: // both open at once
			r.Flags, r.Ack, r.Options = wire.SYN, 0, g.synOptions()
		case 3: // a challenge: an old connection is still there
			r.Ack = g.d.Uint32()
		case 4:
			r.Flags = g.flags()
		}
	case flags&wire.RST != 0 && g.d.percent(60):
		r.Flags, r.Seq, r.Ack, r.Options = wire.SYN, g.isn(), 0, g.synOptions()
		if flags&wire.ACK != 0 {
			r.Seq = ack + oneOf[uint32](g.d, 1, 100000, 0)
		}
	case flags&wire.SYN != 0 && g.d.percent(75):
		// the handshake's third part
	default:
		g.middle(&r, win)
	}
	if r.Flags&wire.SYN == 0 && g.d.percent(6) {
		r.Options = g.sack(r.Ack)
	}
	return g.tcp(v.Dst, v.Src, r)
}

// middle makes a segment of an open connection.
func (g *Generator) middle(r *wire.Segment, win uint32) {
	kind := g.d.weighted(22, 30, 10, 6, 5, 6, 6, 4, 4, 3, 2, 2)
	if g.polite > 0 && kind > 2 {
		kind = g.d.IntN(2)
	}
	switch kind {
	case 1:
		r.Flags |= wire.PSH
		r.Data = g.data(1400)
	case 2:
		r.Flags |= wire.FIN
	case 3:
		r.Flags = oneOf[uint8](g.d, wire.RST, wire.RST|wire.ACK)
	case 4:
		r.Flags = oneOf[uint8](g.d, wire.RST, wire.RST|wire.ACK)
		r.Seq += g.edge(win)
	case 5:
		r.Seq += g.edge(win)
		r.Data = g.data(200)
	case 6:
		r.Ack += g.edge(uint32(r.Win))
	case 7:
		r.Flags, r.Options = wire.SYN, g.synOptions()
		r.Seq = g.isn()
	case 8:
		r.Flags = wire.SYN | wire.ACK
		r.Options = g.synOptions()
	case 9:
		r.Flags = g.flags()
	case 10:
		r.Win = 0
	case 11:
		r.Flags |= wire.URG
		r.Urg, r.Data = 1, g.data(20)
	}
}

// sack is a SACK option for blocks above an acknowledgement, and timestamps.
func (g *Generator) sack(ack uint32) []byte {
	o := []byte{1, 1, 5, 10}
	o = binary.BigEndian.AppendUint32(o, ack+uint32(g.d.IntN(3000)))
	o = binary.BigEndian.AppendUint32(o, ack+uint32(g.d.IntN(6000)))
	if g.d.percent(30) {
		o = append(o, 1, 1, 8, 10, 0, 0, 0, 2, 0, 0, 0, 1)
	}
	if g.d.percent(10) {
		o[3] = oneOf[byte](g.d, 0, 1, 9, 11, 40)
	}
	return o
}

// goOn lets the sender of a packet send the next one of the same flow.
func (g *Generator) goOn() (Packet, bool) {
	s, ok := g.recent(g.sent)
	if !ok || s.dev == Local || s.Fragment {
		return Packet{}, false
	}
	sport, dport := s.Ports()
	switch {
	case s.Proto == wire.ProtoTCP && len(s.L4) >= 20:
		r := wire.Segment{
			Sport: sport, Dport: dport, Win: g.window(), Flags: wire.ACK,
			Seq: binary.BigEndian.Uint32(s.L4[4:]), Ack: binary.BigEndian.Uint32(s.L4[8:]),
		}
		r.Seq += uint32(max(len(s.L4)-int(s.L4[12]>>4)*4, 0))
		if s.L4[13]&(wire.SYN|wire.FIN) != 0 {
			r.Seq++
		}
		if s.L4[13]&wire.ACK == 0 && g.d.percent(50) {
			r.Flags, r.Ack = s.L4[13], 0
			r.Seq--
			r.Options = g.synOptions()
		} else {
			g.middle(&r, uint32(r.Win))
		}
		return Packet{In: s.dev, Data: g.tcp(s.Src, s.Dst, r)}, true
	case s.Proto == wire.ProtoUDP && len(s.L4) >= 8:
		if g.d.percent(30) { // the same socket to another place
			return Packet{In: s.dev, Data: g.udp(s.Src, g.target(family(s.Src), s.dev), sport, g.port(), g.data(200))}, true
		}
		return Packet{In: s.dev, Data: g.udp(s.Src, s.Dst, sport, dport, g.data(1460))}, true
	case s.Proto == wire.ICMPOf(s.Src) && len(s.L4) >= 8:
		rest := binary.BigEndian.Uint32(s.L4[4:]) + 1
		return Packet{In: s.dev, Data: g.header(s.Src, s.Dst, s.Proto).Packet(wire.ICMP(s.Src, s.Dst, s.L4[0], s.L4[1], rest, s.L4[8:]))}, true
	}
	return Packet{}, false
}
