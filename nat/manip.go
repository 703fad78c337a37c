package nat

import (
	"encoding/binary"

	"weir/conntrack"
	"weir/packet"
)

// header is one IP packet inside a buffer: the packet itself, or the one that
// an ICMP error quotes and that may be cut off anywhere behind its IP header.
type header struct {
	d   []byte // from the IP header to the end of the buffer
	fam packet.Family
}

// manip rewrites one side of a packet to what target says: layer 4 first,
// since its checksum covers the addresses, then the address. False: the packet
// is too short for what must be changed.
// Linux: nf_nat_ipv4_manip_pkt, nf_nat_ipv6_manip_pkt.
func (h header) manip(target *conntrack.Tuple, m Manip) bool {
	l4 := 0
	if h.fam == packet.IPv4 {
		l4 = int(h.d[0]&15) * 4
	} else {
		_, off, fr := packet.SkipExtHdr(h.d)
		if l4 = off; off < 0 || fr.Off != 0 {
			// No layer 4 to be seen: the address alone.
			l4 = -1
		}
	}
	if l4 >= 0 && !h.manipL4(l4, target, m) {
		return false
	}
	h.setAddr(target, m)
	return true
}

// addr is where the address of a side stands.
func (h header) addr(m Manip) []byte {
	at, n := 8, 16
	if h.fam == packet.IPv4 {
		at, n = 12, 4
	}
	if m == Destination {
		at += n
	}
	return h.d[at : at+n]
}

// side is what the target has for a side.
func side(t *conntrack.Tuple, m Manip) (*packet.Addr, uint16) {
	if m == Source {
		return &t.Src, t.SrcL4
	}
	return &t.Dst, t.DstL4
}

func (h header) setAddr(target *conntrack.Tuple, m Manip) {
	old := h.addr(m)
	to, _ := side(target, m)
	if h.fam == packet.IPv4 {
		be := binary.BigEndian
		check := be.Uint16(h.d[10:])
		check = packet.Replace16(check, be.Uint16(old), be.Uint16(to[:]))
		check = packet.Replace16(check, be.Uint16(old[2:]), be.Uint16(to[2:]))
		be.PutUint16(h.d[10:], check)
	}
	copy(old, to[:len(old)])
}

// manipL4 rewrites the port, id or key and the checksum that covers it.
// Linux: l4proto_manip_pkt.
func (h header) manipL4(off int, target *conntrack.Tuple, m Manip) bool {
	if off > len(h.d) {
		return false
	}
	b := h.d[off:]
	_, word := side(target, m)
	port := 0
	if m == Destination {
		port = 2
	}
	switch target.Proto {
	case packet.TCP:
		if len(b) < 8 {
			return false
		}
		check := -1
		if len(b) >= 20 {
			check = 16
		}
		h.replace(b, port, word, check, target, m)
	case packet.UDP, packet.UDPLite:
		if len(b) < 8 {
			return false
		}
		check := 6
		if target.Proto == packet.UDP && b[6] == 0 && b[7] == 0 {
			check = -1
		}
		h.replace(b, port, word, check, target, m)
		if check > 0 && b[6] == 0 && b[7] == 0 {
			b[6], b[7] = 0xff, 0xff
		}
	case packet.SCTP:
		if len(b) < 8 {
			return false
		}
		binary.BigEndian.PutUint16(b[port:], word)
		if len(b) >= 12 {
			binary.BigEndian.PutUint32(b[8:], packet.SCTPChecksum(b))
		}
	case packet.ICMP:
		if len(b) < 8 {
			return false
		}
		switch b[0] {
		case 0, 8, 13, 14, 15, 16, 17, 18:
			change(b, 4, target.SrcL4, 2)
		}
	case packet.ICMPv6:
		if len(b) < 8 {
			return false
		}
		h.cover(b, 2, target, m)
		if b[0] == 128 || b[0] == 129 {
			change(b, 4, target.SrcL4, 2)
		}
	case packet.GRE:
		if len(b) < 8 {
			return false
		}
		if m == Destination {
			switch b[1] & 7 {
			case 0:
			case 1:
				binary.BigEndian.PutUint16(b[6:], target.DstL4)
			default:
				return false
			}
		}
	}
	return true
}

// replace writes a port and adjusts the checksum at check, unless that is -1.
func (h header) replace(b []byte, port int, word uint16, check int, target *conntrack.Tuple, m Manip) {
	if check < 0 {
		binary.BigEndian.PutUint16(b[port:], word)
		return
	}
	h.cover(b, check, target, m)
	change(b, port, word, check)
}

// cover adjusts a checksum whose pseudo header has the address that is about
// to change. Linux: nf_csum_update.
func (h header) cover(b []byte, check int, target *conntrack.Tuple, m Manip) {
	old := h.addr(m)
	to, _ := side(target, m)
	acc := packet.Sum(to[:len(old)], uint32(^packet.Fold(packet.Sum(old, 0))))
	adjust(b, check, acc)
}

// change writes a 16-bit word and adjusts the checksum over it.
func change(b []byte, at int, v uint16, check int) {
	old := binary.BigEndian.Uint16(b[at:])
	binary.BigEndian.PutUint16(b[at:], v)
	adjust(b, check, uint32(^old)+uint32(v))
}

// adjust adds a difference to a stored checksum. Of the two forms of zero it
// never stores 0xffff, as Linux's 32-bit arithmetic does not
// (inet_proto_csum_replace4).
func adjust(b []byte, check int, diff uint32) {
	acc := packet.Fold(uint32(^binary.BigEndian.Uint16(b[check:])) + uint32(packet.Fold(diff)))
	if acc == 0 {
		acc = 0xffff
	}
	binary.BigEndian.PutUint16(b[check:], ^acc)
}
