package conntrack

import (
	"encoding/binary"

	"weir/packet"
)

// TupleOf reads the tuple that a packet has on the wire. ok is false when the
// packet has no layer 4 or too little of it, and for GRE version 1 that does
// not carry PPP. Linux: nf_ct_get_tuple.
func TupleOf(p *packet.Packet, zone uint16) (t Tuple, ok bool) {
	if p.L4 < 0 {
		return t, false
	}
	ok = t.read(p, zone)
	return t, ok
}

// read is TupleOf in place. Addresses are written in the words in which
// hashing and comparing read them, which the processor forwards faster.
//
// Precondition: p.L4 >= 0.
func (t *Tuple) read(p *packet.Packet, zone uint16) bool {
	d, le := p.Data, binary.LittleEndian
	if p.Family == packet.IPv4 {
		le.PutUint64(t.Src[:8], uint64(le.Uint32(d[12:])))
		le.PutUint64(t.Src[8:], 0)
		le.PutUint64(t.Dst[:8], uint64(le.Uint32(d[16:])))
		le.PutUint64(t.Dst[8:], 0)
	} else {
		t.Src, t.Dst = packet.Addr(d[8:24]), packet.Addr(d[24:40])
	}
	t.SrcL4, t.DstL4 = 0, 0
	t.Zone, t.Proto, t.L3 = zone, p.Proto, p.Family
	return t.readL4(d[p.L4:])
}

// tupleInside reads the tuple of the packet that an ICMP error quotes, which
// may be cut off behind the first bytes of layer 4. Linux: nf_ct_get_tuplepr.
func (tb *Table) tupleInside(f packet.Family, d []byte, zone uint16) (t Tuple, ok bool) {
	off := 0
	if f == packet.IPv4 {
		if len(d) < 20 || binary.BigEndian.Uint16(d[6:])&0x1fff != 0 {
			return t, false
		}
		off, t.Proto = int(d[0]&15)*4, d[9]
		copy(t.Src[:4], d[12:16])
		copy(t.Dst[:4], d[16:20])
	} else {
		if len(d) < 40 {
			return t, false
		}
		var fr packet.FragInfo
		t.Proto, off, fr = packet.SkipExtHdr(d)
		if fr.Off != 0 {
			return t, false
		}
		copy(t.Src[:], d[8:24])
		copy(t.Dst[:], d[24:40])
	}
	if off < 0 || off > len(d) {
		return t, false
	}
	t.Zone, t.L3 = zone, f
	ok = t.readL4(d[off:])
	tb.greSource(&t, d[off:])
	return t, ok
}

// readL4 fills in what the protocol has beside addresses.
func (t *Tuple) readL4(b []byte) bool {
	switch t.Proto {
	case packet.TCP, packet.UDP, packet.UDPLite, packet.SCTP:
		if len(b) < 4 {
			return false
		}
		t.SrcL4, t.DstL4 = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	case packet.ICMP, packet.ICMPv6:
		if len(b) < 8 {
			return false
		}
		t.SrcL4, t.DstL4 = binary.BigEndian.Uint16(b[4:]), binary.BigEndian.Uint16(b)
	case packet.GRE:
		// Version 1 is PPTP's and carries a call id; all else has no key,
		// nor has a header that ends before the call id.
		if len(b) < 8 || b[1]&7 != 1 {
			return true
		}
		if binary.BigEndian.Uint16(b[2:]) != grePPP {
			return false
		}
		t.DstL4 = binary.BigEndian.Uint16(b[6:])
	}
	return true
}

// grePPP is the protocol that GRE version 1 must carry (RFC 2637).
const grePPP = 0x880b

// Inverse is the tuple of the answer. ok is false for ICMP types that have
// none. The zone stays. Linux: nf_ct_invert_tuple.
func (t *Tuple) Inverse() (r Tuple, ok bool) {
	r = Tuple{Src: t.Dst, Dst: t.Src, SrcL4: t.DstL4, DstL4: t.SrcL4, Zone: t.Zone, Proto: t.Proto, L3: t.L3}
	if t.Proto != packet.ICMP && t.Proto != packet.ICMPv6 {
		return r, true
	}
	answer, ok := icmpAnswer(t.Proto, t.ICMPType())
	r.SrcL4, r.DstL4 = t.SrcL4, uint16(answer)<<8|uint16(t.ICMPCode())
	return r, ok
}

// icmpAnswer is the type of the other direction.
func icmpAnswer(proto, typ uint8) (uint8, bool) {
	if proto == packet.ICMPv6 {
		switch typ {
		case 128, 139: // echo request, node information query (RFC 4620)
			return typ + 1, true
		case 129, 140:
			return typ - 1, true
		}
		return 0, false
	}
	switch typ {
	case 8: // echo
		return 0, true
	case 0:
		return 8, true
	case 13, 15, 17: // time stamp, information, address mask
		return typ + 1, true
	case 14, 16, 18:
		return typ - 1, true
	}
	return 0, false
}
