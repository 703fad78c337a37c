package logline

import "weir/packet"

// tcp writes a TCP header; false ends the line.
func (l *line) tcp(h []byte, short int, later bool) bool {
	l.str("PROTO=TCP ")
	if later {
		return true
	}
	if len(h) < 20 {
		l.incomplete(short)
		return false
	}
	l.num("SPT=", be16(h))
	l.num("DPT=", be16(h[2:]))
	if l.flags&TCPSequence != 0 {
		l.num("SEQ=", be32(h[4:]))
		l.num("ACK=", be32(h[8:]))
	}
	l.num("WINDOW=", be16(h[14:]))
	l.hex("RES=0x", uint32(h[12]&0x0e)<<2, 2)
	if h[12]&1 != 0 {
		l.str("AE ")
	}
	for i, n := range [8]string{"CWR ", "ECE ", "URG ", "ACK ", "PSH ", "RST ", "SYN ", "FIN "} {
		if h[13]&(0x80>>i) != 0 {
			l.str(n)
		}
	}
	l.num("URGP=", be16(h[18:]))
	if n := int(h[12]>>4) * 4; l.flags&TCPOptions != 0 && n > 20 {
		if len(h) < n {
			l.str("OPT (TRUNCATED)")
			return false
		}
		l.options(h[20:n])
	}
	return true
}

// udp writes a UDP or UDP-Lite header; false ends the line.
func (l *line) udp(proto byte, h []byte, short int, later bool) bool {
	if proto == packet.UDP {
		l.str("PROTO=UDP ")
	} else {
		l.str("PROTO=UDPLITE ")
	}
	if later {
		return true
	}
	if len(h) < 8 {
		l.incomplete(short)
		return false
	}
	l.num("SPT=", be16(h))
	l.num("DPT=", be16(h[2:]))
	l.num("LEN=", be16(h[4:]))
	return true
}
