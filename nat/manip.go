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
	pkt *packet.Packet
	at  int // where d begins in pkt
}

// outer is the packet itself.
func outer(p *packet.Packet) header { return header{p.Data, p.Family, p, 0} }

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
	old := h.addr(m)
	to, _ := side(target, m)
	diff := difference(old, to[:len(old)])
	if l4 >= 0 && !h.manipL4(l4, target, m, diff) {
		return false
	}
	if h.fam == packet.IPv4 {
		if l4 < 20 {
			// A quoted header of impossible length: layer 4 lies in it
			// and the port may have changed the address.
			diff = difference(old, to[:])
		}
		adjust(h.d, 10, diff)
	}
	copy(old, to[:])
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

// manipL4 rewrites the port, id or key and the checksum that covers it and the
// address, of which addr is the difference. Linux: l4proto_manip_pkt.
func (h header) manipL4(off int, target *conntrack.Tuple, m Manip, addr uint32) bool {
	if off > len(h.d) {
		return false
	}
	b := h.d[off:]
	h.pkt.Pull(h.at + off + rewritten(target.Proto, len(b)))
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
		diff := addr + swap(b, port, word)
		if len(b) >= 20 {
			adjust(b, 16, diff)
		}
	case packet.UDP, packet.UDPLite:
		if len(b) < 8 {
			return false
		}
		without := target.Proto == packet.UDP && b[6]|b[7] == 0
		diff := addr + swap(b, port, word)
		if without {
			break
		}
		adjust(b, 6, diff)
		if b[6]|b[7] == 0 {
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
			adjust(b, 2, swap(b, 4, target.SrcL4))
		}
	case packet.ICMPv6:
		if len(b) < 8 {
			return false
		}
		diff := addr
		if b[0] == 128 || b[0] == 129 {
			diff += swap(b, 4, target.SrcL4)
		}
		adjust(b, 2, diff)
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

// rewritten is how many bytes of a protocol's header are made ready for writing.
func rewritten(proto uint8, have int) int {
	switch {
	case proto == packet.TCP && have >= 20:
		return 20
	case proto == packet.SCTP && have >= 12:
		return 12
	}
	return 8
}

// swap writes a 16-bit word and returns the difference to a checksum over it.
func swap(b []byte, at int, v uint16) uint32 {
	old := binary.BigEndian.Uint16(b[at:])
	binary.BigEndian.PutUint16(b[at:], v)
	return uint32(^old) + uint32(v)
}

// difference is what a checksum over an address gains when it changes. Like
// what swap returns it is below 1<<18, so that a few can be added.
func difference(old, to []byte) uint32 {
	be := binary.BigEndian
	if len(old) == 4 {
		return uint32(^be.Uint16(old)) + uint32(^be.Uint16(old[2:])) + uint32(be.Uint16(to)) + uint32(be.Uint16(to[2:]))
	}
	return uint32(^packet.Fold(packet.Sum(old, 0))) + uint32(packet.Fold(packet.Sum(to, 0)))
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
