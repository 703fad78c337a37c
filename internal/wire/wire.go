package wire

import (
	"encoding/binary"
	"net/netip"
)

// Protocol numbers.
const (
	ProtoICMP, ProtoIPIP, ProtoTCP, ProtoUDP = 1, 4, 6, 17
	ProtoGRE, ProtoESP, ProtoICMP6           = 47, 50, 58
	ProtoUDPLite, ProtoSCTP, ProtoTest       = 136, 132, 253
)

// TCP flags.
const (
	FIN = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
	ECE
	CWR
)

// IP is what an IP header of either family says.
type IP struct {
	Src, Dst netip.Addr
	Proto    uint8
	TTL, TOS uint8
	ID       uint16 // IPv4
	DF       bool   // IPv4
	Flow     uint32 // IPv6
	// Options are IPv4 options, padded to 4; or whole IPv6 extension
	// headers, of which Ext is the number of the first. Their next-header
	// fields are filled in but for the last, which is Last bytes in.
	Options []byte
	Ext     uint8
	Last    int
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

// Packet puts an IP header before a payload. Lengths and the header checksum
// are right.
func (h IP) Packet(payload []byte) []byte {
	if h.Src.Is4() {
		n := 20 + len(h.Options)
		b := make([]byte, n, n+len(payload))
		b[0], b[1] = 4<<4|byte(n/4), h.TOS
		binary.BigEndian.PutUint16(b[2:], uint16(n+len(payload)))
		binary.BigEndian.PutUint16(b[4:], h.ID)
		if h.DF {
			b[6] = 0x40
		}
		b[8], b[9] = h.TTL, h.Proto
		copy(b[12:], h.Src.AsSlice())
		copy(b[16:], h.Dst.AsSlice())
		copy(b[20:], h.Options)
		FixIP(b)
		return append(b, payload...)
	}
	n := 40 + len(h.Options)
	b := make([]byte, n, n+len(payload))
	binary.BigEndian.PutUint32(b, 6<<28|uint32(h.TOS)<<20|h.Flow&0xfffff)
	binary.BigEndian.PutUint16(b[4:], uint16(len(h.Options)+len(payload)))
	b[6], b[7] = h.Proto, h.TTL
	copy(b[8:], h.Src.AsSlice())
	copy(b[24:], h.Dst.AsSlice())
	if len(h.Options) > 0 {
		b[6] = h.Ext
		copy(b[40:], h.Options)
		b[40+h.Last] = h.Proto
	}
	return append(b, payload...)
}

// FixIP writes the header checksum of an IPv4 packet.
func FixIP(b []byte) {
	n := int(b[0]&15) * 4
	if n < 20 || n > len(b) {
		return
	}
	b[10], b[11] = 0, 0
	binary.BigEndian.PutUint16(b[10:], fold(sum(0, b[:n])))
}

// SumL4 writes the checksum at offset at of an L4 Segment.
func SumL4(src, dst netip.Addr, proto uint8, seg []byte, at int) {
	seg[at], seg[at+1] = 0, 0
	s := uint32(0)
	if proto != ProtoICMP {
		s = pseudo(src, dst, proto, len(seg))
	}
	c := fold(sum(s, seg))
	if c == 0 && (proto == ProtoUDP || proto == ProtoUDPLite) {
		c = 0xffff
	}
	binary.BigEndian.PutUint16(seg[at:], c)
}

// Segment is a TCP Segment.
type Segment struct {
	Sport, Dport uint16
	Seq, Ack     uint32
	Flags        uint8
	Win, Urg     uint16
	Options      []byte // padded here
	Data         []byte
}

// Bytes is the segment with a right checksum.
func (s Segment) Bytes(src, dst netip.Addr) []byte {
	o := append([]byte(nil), s.Options...)
	for len(o)%4 != 0 {
		o = append(o, 0)
	}
	b := make([]byte, 20, 20+len(o)+len(s.Data))
	binary.BigEndian.PutUint16(b, s.Sport)
	binary.BigEndian.PutUint16(b[2:], s.Dport)
	binary.BigEndian.PutUint32(b[4:], s.Seq)
	binary.BigEndian.PutUint32(b[8:], s.Ack)
	b[12], b[13] = byte(5+len(o)/4)<<4, s.Flags
	binary.BigEndian.PutUint16(b[14:], s.Win)
	binary.BigEndian.PutUint16(b[18:], s.Urg)
	b = append(append(b, o...), s.Data...)
	SumL4(src, dst, ProtoTCP, b, 16)
	return b
}

// Datagram is a UDP or UDP-Lite Datagram with a right checksum.
func Datagram(proto uint8, src, dst netip.Addr, sport, dport uint16, data []byte) []byte {
	b := make([]byte, 8, 8+len(data))
	binary.BigEndian.PutUint16(b, sport)
	binary.BigEndian.PutUint16(b[2:], dport)
	binary.BigEndian.PutUint16(b[4:], uint16(8+len(data)))
	b = append(b, data...)
	SumL4(src, dst, proto, b, 6)
	return b
}

// ICMP is an ICMP or ICMPv6 message with a right checksum. rest is the second
// word of the header.
func ICMP(src, dst netip.Addr, typ, code uint8, rest uint32, data []byte) []byte {
	b := make([]byte, 8, 8+len(data))
	b[0], b[1] = typ, code
	binary.BigEndian.PutUint32(b[4:], rest)
	b = append(b, data...)
	SumL4(src, dst, ICMPOf(src), b, 2)
	return b
}

// ICMPOf is the ICMP protocol of an address's family.
func ICMPOf(a netip.Addr) uint8 {
	if a.Is4() {
		return ProtoICMP
	}
	return ProtoICMP6
}

// View is a packet taken apart, as far as it goes.
type View struct {
	Raw      []byte
	Src, Dst netip.Addr
	Proto    uint8
	TTL      uint8
	Fragment bool // not whole
	L4       []byte
}

// Parse reads a packet that left the machine. ok is false if it has no
// sensible header.
func Parse(b []byte) (v View, ok bool) {
	v.Raw = b
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		n := int(b[0]&15) * 4
		if n < 20 || n > len(b) {
			return v, false
		}
		v.Src, v.Dst = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
		v.Proto, v.TTL, v.L4 = b[9], b[8], b[n:]
		v.Fragment = binary.BigEndian.Uint16(b[6:])&0x3fff != 0
		return v, true
	case len(b) >= 40 && b[0]>>4 == 6:
		v.Src, v.Dst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
		v.Proto, v.TTL = b[6], b[7]
		at := 40
		for {
			switch v.Proto {
			case 0, 43, 60:
				if len(b) < at+8 {
					return v, false
				}
				v.Proto, at = b[at], at+8*(int(b[at+1])+1)
				if at > len(b) {
					return v, false
				}
				continue
			case 44:
				if len(b) < at+8 {
					return v, false
				}
				v.Fragment = true
				v.Proto, at = b[at], at+8
				continue
			}
			v.L4 = b[at:]
			return v, true
		}
	}
	return v, false
}

// Ports are the first two words of an L4 header, 0 if missing.
func (v View) Ports() (src, dst uint16) {
	if len(v.L4) < 4 {
		return 0, 0
	}
	return binary.BigEndian.Uint16(v.L4), binary.BigEndian.Uint16(v.L4[2:])
}
