package packet

import "encoding/binary"

// TCP flag bits as they stand in byte 13 of the header.
const (
	TCPFin = 1 << iota
	TCPSyn
	TCPRst
	TCPPsh
	TCPAck
	TCPUrg
	TCPEce
	TCPCwr
)

// put16 writes a 16-bit word of an IPv4 header and keeps the header checksum
// as right or as wrong as it was.
func (p *Packet) put16(off int, v uint16) {
	d := p.Data
	old := binary.BigEndian.Uint16(d[off:])
	if old == v {
		return
	}
	check := binary.BigEndian.Uint16(d[10:])
	binary.BigEndian.PutUint16(d[off:], v)
	binary.BigEndian.PutUint16(d[10:], Replace16(check, old, v))
}

// SetTTL writes the time to live or hop limit.
func (p *Packet) SetTTL(v uint8) {
	if p.Family == IPv4 {
		p.put16(8, uint16(v)<<8|uint16(p.Data[9]))
		return
	}
	p.Data[7] = v
}

// SetTOS writes the IPv4 TOS byte or the IPv6 traffic class.
func (p *Packet) SetTOS(v uint8) {
	if p.Family == IPv4 {
		p.put16(0, uint16(p.Data[0])<<8|uint16(v))
		return
	}
	p.Data[0] = p.Data[0]&0xf0 | v>>4
	p.Data[1] = p.Data[1]&0x0f | v<<4
}

// SetSrc writes the source address. Layer-4 checksums are the caller's.
func (p *Packet) SetSrc(a Addr) { p.setAddr(12, 8, a) }

// SetDst writes the destination address. Layer-4 checksums are the caller's.
func (p *Packet) SetDst(a Addr) { p.setAddr(16, 24, a) }

func (p *Packet) setAddr(off4, off6 int, a Addr) {
	if p.Family == IPv4 {
		p.put16(off4, binary.BigEndian.Uint16(a[0:]))
		p.put16(off4+2, binary.BigEndian.Uint16(a[2:]))
		return
	}
	copy(p.Data[off6:off6+16], a[:])
}

// SetFrag4 writes the IPv4 fragment word: flags in the top three bits, offset
// in units of eight bytes below.
//
// Precondition: Family is IPv4.
func (p *Packet) SetFrag4(w uint16) { p.put16(6, w) }

// Grow makes Data n bytes longer (shorter for a negative n) and writes the
// length field. New bytes at the end are zero. It allocates when the buffer
// has no room.
func (p *Packet) Grow(n int) {
	if n <= 0 {
		p.Data = p.Data[:len(p.Data)+n]
	} else if cap(p.Data)-len(p.Data) >= n {
		old := len(p.Data)
		p.Data = p.Data[:old+n]
		clear(p.Data[old:])
	} else {
		d := make([]byte, len(p.Data)+n, len(p.Data)+n+64)
		copy(d, p.Data)
		p.Data = d
	}
	p.SetTotalLen()
}

// SetTotalLen writes the IPv4 total length or the IPv6 payload length from
// len(Data).
func (p *Packet) SetTotalLen() {
	if p.Family == IPv4 {
		p.put16(2, uint16(len(p.Data)))
		return
	}
	binary.BigEndian.PutUint16(p.Data[4:], uint16(len(p.Data)-40))
}
