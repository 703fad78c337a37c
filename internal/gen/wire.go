package gen

import (
	"encoding/binary"
	"net/netip"
)

// Protocol numbers.
const (
	protoICMP, protoIPIP, protoTCP, protoUDP = 1, 4, 6, 17
	protoGRE, protoESP, protoICMP6           = 47, 50, 58
	protoUDPLite, protoSCTP, protoTest       = 136, 132, 253
)

// TCP flags.
const (
	fFIN = 1 << iota
	fSYN
	fRST
	fPSH
	fACK
	fURG
	fECE
	fCWR
)

// ipHeader is what an IP header of either family says.
type ipHeader struct {
	src, dst netip.Addr
	proto    uint8
	ttl, tos uint8
	id       uint16 // IPv4
	df       bool   // IPv4
	flow     uint32 // IPv6
	// options are IPv4 options, padded to 4; or whole IPv6 extension
	// headers, of which ext is the number of the first. Their next-header
	// fields are filled in but for the last, which is lastNext bytes in.
	options []byte
	ext     uint8
	last    int
}

// sum is the ones' complement sum of b on top of s.
func sum(s uint32, b []byte) uint32 {
	for ; len(b) >= 2; b = b[2:] {
		s += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		s += uint32(b[0]) << 8
	}
	return s
}

// fold finishes a sum into a checksum.
func fold(s uint32) uint16 {
	for s>>16 != 0 {
		s = s&0xffff + s>>16
	}
	return ^uint16(s)
}

// pseudo is the sum of the pseudo-header.
func pseudo(src, dst netip.Addr, proto uint8, n int) uint32 {
	return sum(sum(uint32(proto)+uint32(n)&0xffff+uint32(n)>>16, src.AsSlice()), dst.AsSlice())
}

// packet puts an IP header before a payload. Lengths and the header checksum
// are right.
func (h ipHeader) packet(payload []byte) []byte {
	if h.src.Is4() {
		n := 20 + len(h.options)
		b := make([]byte, n, n+len(payload))
		b[0], b[1] = 4<<4|byte(n/4), h.tos
		binary.BigEndian.PutUint16(b[2:], uint16(n+len(payload)))
		binary.BigEndian.PutUint16(b[4:], h.id)
		if h.df {
			b[6] = 0x40
		}
		b[8], b[9] = h.ttl, h.proto
		copy(b[12:], h.src.AsSlice())
		copy(b[16:], h.dst.AsSlice())
		copy(b[20:], h.options)
		fixIP(b)
		return append(b, payload...)
	}
	n := 40 + len(h.options)
	b := make([]byte, n, n+len(payload))
	binary.BigEndian.PutUint32(b, 6<<28|uint32(h.tos)<<20|h.flow&0xfffff)
	binary.BigEndian.PutUint16(b[4:], uint16(len(h.options)+len(payload)))
	b[6], b[7] = h.proto, h.ttl
	copy(b[8:], h.src.AsSlice())
	copy(b[24:], h.dst.AsSlice())
	if len(h.options) > 0 {
		b[6] = h.ext
		copy(b[40:], h.options)
		b[40+h.last] = h.proto
	}
	return append(b, payload...)
}

// fixIP writes the header checksum of an IPv4 packet.
func fixIP(b []byte) {
	n := int(b[0]&15) * 4
	if n < 20 || n > len(b) {
		return
	}
	b[10], b[11] = 0, 0
	binary.BigEndian.PutUint16(b[10:], fold(sum(0, b[:n])))
}

// l4Sum writes the checksum at offset at of an L4 segment.
func l4Sum(src, dst netip.Addr, proto uint8, seg []byte, at int) {
	seg[at], seg[at+1] = 0, 0
	s := uint32(0)
	if proto != protoICMP {
		s = pseudo(src, dst, proto, len(seg))
	}
	c := fold(sum(s, seg))
	if c == 0 && (proto == protoUDP || proto == protoUDPLite) {
		c = 0xffff
	}
	binary.BigEndian.PutUint16(seg[at:], c)
}

// segment is a TCP segment.
type segment struct {
	sport, dport uint16
	seq, ack     uint32
	flags        uint8
	win, urg     uint16
	options      []byte // padded here
	data         []byte
}

func (s segment) bytes(src, dst netip.Addr) []byte {
	o := append([]byte(nil), s.options...)
	for len(o)%4 != 0 {
		o = append(o, 0)
	}
	b := make([]byte, 20, 20+len(o)+len(s.data))
	binary.BigEndian.PutUint16(b, s.sport)
	binary.BigEndian.PutUint16(b[2:], s.dport)
	binary.BigEndian.PutUint32(b[4:], s.seq)
	binary.BigEndian.PutUint32(b[8:], s.ack)
	b[12], b[13] = byte(5+len(o)/4)<<4, s.flags
	binary.BigEndian.PutUint16(b[14:], s.win)
	binary.BigEndian.PutUint16(b[18:], s.urg)
	b = append(append(b, o...), s.data...)
	l4Sum(src, dst, protoTCP, b, 16)
	return b
}

// datagram is a UDP or UDP-Lite datagram with a right checksum.
func datagram(proto uint8, src, dst netip.Addr, sport, dport uint16, data []byte) []byte {
	b := make([]byte, 8, 8+len(data))
	binary.BigEndian.PutUint16(b, sport)
	binary.BigEndian.PutUint16(b[2:], dport)
	binary.BigEndian.PutUint16(b[4:], uint16(8+len(data)))
	b = append(b, data...)
	l4Sum(src, dst, proto, b, 6)
	return b
}

// icmp is an ICMP or ICMPv6 message with a right checksum. rest is the second
// word of the header.
func icmp(src, dst netip.Addr, typ, code uint8, rest uint32, data []byte) []byte {
	b := make([]byte, 8, 8+len(data))
	b[0], b[1] = typ, code
	binary.BigEndian.PutUint32(b[4:], rest)
	b = append(b, data...)
	l4Sum(src, dst, icmpOf(src), b, 2)
	return b
}

// icmpOf is the ICMP protocol of an address's family.
func icmpOf(a netip.Addr) uint8 {
	if a.Is4() {
		return protoICMP
	}
	return protoICMP6
}

// view is a packet taken apart, as far as it goes.
type view struct {
	raw      []byte
	src, dst netip.Addr
	proto    uint8
	ttl      uint8
	fragment bool // not whole
	l4       []byte
}

// parse reads a packet that left the machine. ok is false if it has no
// sensible header.
func parse(b []byte) (v view, ok bool) {
	v.raw = b
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		n := int(b[0]&15) * 4
		if n < 20 || n > len(b) {
			return v, false
		}
		v.src, v.dst = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
		v.proto, v.ttl, v.l4 = b[9], b[8], b[n:]
		v.fragment = binary.BigEndian.Uint16(b[6:])&0x3fff != 0
		return v, true
	case len(b) >= 40 && b[0]>>4 == 6:
		v.src, v.dst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
		v.proto, v.ttl = b[6], b[7]
		at := 40
		for {
			switch v.proto {
			case 0, 43, 60:
				if len(b) < at+8 {
					return v, false
				}
				v.proto, at = b[at], at+8*(int(b[at+1])+1)
				if at > len(b) {
					return v, false
				}
				continue
			case 44:
				if len(b) < at+8 {
					return v, false
				}
				v.fragment = true
				v.proto, at = b[at], at+8
				continue
			}
			v.l4 = b[at:]
			return v, true
		}
	}
	return v, false
}

// ports are the first two words of an L4 header, 0 if missing.
func (v view) ports() (src, dst uint16) {
	if len(v.l4) < 4 {
		return 0, 0
	}
	return binary.BigEndian.Uint16(v.l4), binary.BigEndian.Uint16(v.l4[2:])
}
