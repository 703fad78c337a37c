package logline

import "weir/packet"

// ip4 writes an IPv4 packet; inner is one that an ICMP error quotes. Lengths
// of what is missing are counted to the end of the whole packet.
func (l *line) ip4(d []byte, inner bool) {
	if len(d) < 20 {
		l.str("TRUNCATED")
		return
	}
	l.str("SRC=")
	l.b = ipv4(l.b, d[12:16])
	l.str(" DST=")
	l.b = append(ipv4(l.b, d[16:20]), ' ')
	l.num("LEN=", be16(d[2:]))
	l.upper("TOS=0x", d[1]&0x1e)
	l.upper("PREC=0x", d[1]&0xe0)
	l.num("TTL=", uint32(d[8]))
	l.num("ID=", be16(d[4:]))
	frag := be16(d[6:])
	if frag&0x8000 != 0 {
		l.str("CE ")
	}
	if frag&0x4000 != 0 {
		l.str("DF ")
	}
	if frag&0x2000 != 0 {
		l.str("MF ")
	}
	later := frag&0x1fff != 0
	if later {
		l.num("FRAG:", frag&0x1fff)
	}
	hl := int(d[0]&15) * 4
	if l.flags&IPOptions != 0 && hl > 20 {
		if len(d) < hl {
			l.str("TRUNCATED")
			return
		}
		l.options(d[20:hl])
	}
	// A quoted header may state a length that reaches behind the packet.
	rest := d[min(hl, len(d)):]
	short := len(d) - hl
	if !l.proto4(d[9], rest, short, later, inner) {
		return
	}
	l.tail(inner)
}

// proto4 writes what stands behind an IPv4 header; false ends the line.
func (l *line) proto4(proto byte, h []byte, short int, later, inner bool) bool {
	switch proto {
	case packet.TCP:
		return l.tcp(h, short, later)
	case packet.UDP, packet.UDPLite:
		return l.udp(proto, h, short, later)
	case packet.ICMP:
		l.str("PROTO=ICMP ")
		if !later {
			l.icmp(h, short, inner)
		}
	case packet.AH:
		if later {
			break
		}
		l.str("PROTO=AH ")
		if len(h) < 12 {
			l.incomplete(short)
			break
		}
		l.hex("SPI=0x", be32(h[4:]), 1)
	case packet.ESP:
		l.str("PROTO=ESP ")
		if later {
			break
		}
		if len(h) < 8 {
			l.incomplete(short)
			break
		}
		l.hex("SPI=0x", be32(h), 1)
	default:
		l.num("PROTO=", uint32(proto))
	}
	return true
}

// icmpNeeds is how long a message of a type must be for its fields to be shown.
func icmpNeeds(typ byte) int {
	switch typ {
	case 0, 8:
		return 4
	case 3, 4, 5, 11, 12:
		return 8 + 20
	case 13, 14:
		return 20
	case 17, 18:
		return 12
	}
	return 0
}

func (l *line) icmp(h []byte, short int, inner bool) {
	if len(h) < 8 {
		l.incomplete(short)
		return
	}
	l.num("TYPE=", uint32(h[0]))
	l.num("CODE=", uint32(h[1]))
	if len(h) < icmpNeeds(h[0]) {
		l.incomplete(short)
		return
	}
	switch h[0] {
	case 0, 8:
		l.num("ID=", be16(h[4:]))
		l.num("SEQ=", be16(h[6:]))
	case 12:
		l.num("PARAMETER=", uint32(h[4]))
	case 5, 3, 4, 11:
		if h[0] == 5 {
			l.str("GATEWAY=")
			l.b = append(ipv4(l.b, h[4:8]), ' ')
		}
		if !inner {
			l.str("[")
			l.ip4(h[8:], true)
			l.str("] ")
		}
		if h[0] == 3 && h[1] == 4 {
			l.num("MTU=", be16(h[6:]))
		}
	}
}

// upper writes a byte as two upper-case digits.
func (l *line) upper(name string, c byte) {
	l.str(name)
	l.b = append(l.b, "0123456789ABCDEF"[c>>4], "0123456789ABCDEF"[c&15], ' ')
}

func ipv4(b, a []byte) []byte { return packet.Addr{a[0], a[1], a[2], a[3]}.IP(packet.IPv4).AppendTo(b) }
