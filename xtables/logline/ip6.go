package logline

import "weir/packet"

// ip6 writes an IPv6 packet; inner is one that an ICMPv6 error quotes.
func (l *line) ip6(d []byte, inner bool) {
	if len(d) < 40 {
		l.str("TRUNCATED")
		return
	}
	l.str("SRC=")
	l.ipv6(d[8:24])
	l.str("DST=")
	l.ipv6(d[24:40])
	l.num("LEN=", be16(d[4:])+40)
	l.num("TC=", be32(d)>>20&0xff)
	l.num("HOPLIMIT=", uint32(d[7]))
	l.num("FLOWLBL=", be32(d)&0xfffff)
	proto, off, later, ok := l.extensions(d)
	if !ok {
		return
	}
	h, short := d[min(off, len(d)):], len(d)-off
	switch proto {
	case packet.TCP:
		if !l.tcp(h, short, later) {
			return
		}
	case packet.UDP, packet.UDPLite:
		if !l.udp(proto, h, short, later) {
			return
		}
	case packet.ICMPv6:
		l.str("PROTO=ICMPv6 ")
		if !later && !l.icmp6(h, short, inner) {
			return
		}
	default:
		l.num("PROTO=", uint32(proto))
	}
	l.tail(inner)
}

// extensions writes the extension headers and finds what follows them; ok is
// false when the line ends there.
func (l *line) extensions(d []byte) (proto byte, off int, later, ok bool) {
	proto, off = d[6], 40
	opt := l.flags&IPOptions != 0
	for {
		switch proto {
		case packet.HopByHop, packet.Routing, packet.Fragment, packet.AH, packet.ESP, packet.DestOpts:
		default:
			return proto, off, later, true
		}
		if off > len(d)-2 {
			l.str("TRUNCATED")
			return proto, off, later, false
		}
		h := d[off:]
		if opt {
			l.str("OPT ( ")
		}
		var n int
		switch proto {
		case packet.Fragment:
			l.str("FRAG:")
			if len(h) < 8 {
				l.str("TRUNCATED ")
				return proto, off, later, false
			}
			l.num("", be16(h[2:])&0xfff8)
			if h[3]&1 != 0 {
				l.str("INCOMPLETE ")
			}
			l.hex("ID:", be32(h[4:]), 8)
			later = later || be16(h[2:])&0xfff8 != 0
			n = 8
		case packet.AH:
			if opt && !l.secured("AH ", h, 12, 4, later) {
				return proto, off, later, false
			}
			n = (int(h[1]) + 2) * 4
		case packet.ESP:
			if opt && l.secured("ESP ", h, 8, 0, later) {
				l.str(")")
			}
			return proto, off, later, false
		default:
			if later {
				if opt {
					l.str(")")
				}
				return proto, off, later, false
			}
			n = (int(h[1]) + 1) * 8
		}
		if opt {
			l.str(") ")
		}
		proto, off = h[0], off+n
	}
}

// secured writes an AH or ESP header of size bytes with its SPI at an offset;
// false ends the line.
func (l *line) secured(name string, h []byte, size, spi int, later bool) bool {
	l.str(name)
	if later {
		l.str(")")
		return false
	}
	if len(h) < size {
		l.incomplete(len(h))
		l.str(")")
		return false
	}
	l.hex("SPI=0x", be32(h[spi:]), 1)
	return true
}

// icmp6 writes an ICMPv6 message; false ends the line.
func (l *line) icmp6(h []byte, short int, inner bool) bool {
	if len(h) < 8 {
		l.incomplete(short)
		return false
	}
	l.num("TYPE=", uint32(h[0]))
	l.num("CODE=", uint32(h[1]))
	switch h[0] {
	case 128, 129:
		l.num("ID=", be16(h[4:]))
		l.num("SEQ=", be16(h[6:]))
	case 1, 2, 3, 4:
		if h[0] == 4 {
			l.hex("POINTER=", be32(h[4:]), 8)
		}
		if !inner {
			l.str("[")
			l.ip6(h[8:], true)
			l.str("] ")
		}
		if h[0] == 2 {
			l.num("MTU=", be32(h[4:]))
		}
	}
	return true
}

// ipv6 writes an address in eight full groups and a space.
func (l *line) ipv6(a []byte) {
	for i := 0; i < 16; i += 2 {
		if i > 0 {
			l.b = append(l.b, ':')
		}
		l.b = appendByte(appendByte(l.b, a[i]), a[i+1])
	}
	l.b = append(l.b, ' ')
}
