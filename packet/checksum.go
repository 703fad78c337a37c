package packet

import (
	"encoding/binary"
	"hash/crc32"
	"math/bits"
)

// Sum adds b as big-endian 16-bit words to acc, an odd last byte as the high
// half of a word (RFC 1071). Only the last piece of a packet may be odd. The
// result is not folded to 16 bits; hand it to Fold or to another Sum.
func Sum(b []byte, acc uint32) uint32 {
	s := uint64(acc)
	var c uint64
	for len(b) >= 32 {
		s, c = bits.Add64(s, binary.BigEndian.Uint64(b), c)
		s, c = bits.Add64(s, binary.BigEndian.Uint64(b[8:]), c)
		s, c = bits.Add64(s, binary.BigEndian.Uint64(b[16:]), c)
		s, c = bits.Add64(s, binary.BigEndian.Uint64(b[24:]), c)
		b = b[32:]
	}
	for len(b) >= 8 {
		s, c = bits.Add64(s, binary.BigEndian.Uint64(b), c)
		b = b[8:]
	}
	if len(b) >= 4 {
		s, c = bits.Add64(s, uint64(binary.BigEndian.Uint32(b)), c)
		b = b[4:]
	}
	if len(b) >= 2 {
		s, c = bits.Add64(s, uint64(binary.BigEndian.Uint16(b)), c)
		b = b[2:]
	}
	if len(b) == 1 {
		s, c = bits.Add64(s, uint64(b[0])<<8, c)
	}
	s, c = bits.Add64(s, 0, c)
	s += c
	s = s>>32 + s&0xffffffff
	s = s>>32 + s&0xffffffff
	return uint32(s)
}

// Fold reduces a sum to 16 bits. It does not complement it.
func Fold(acc uint32) uint16 {
	acc = acc>>16 + acc&0xffff
	acc = acc>>16 + acc&0xffff
	return uint16(acc)
}

// FoldWords reduces a sum of 64-bit words and the carry of its last addition
// to 16 bits, of which it is 0 for nothing but zeros. A sum of words read in
// the other byte order has its two bytes exchanged (RFC 1071 section 2).
func FoldWords(s, carry uint64) uint16 {
	s, carry = bits.Add64(s, carry, 0)
	s += carry
	// What runs over the lower half of the doubled sum is the carry that has to
	// come round.
	h := uint32((s + bits.RotateLeft64(s, 32)) >> 32)
	return uint16((h + bits.RotateLeft32(h, 16)) >> 16)
}

// Checksum is the Internet checksum of b as it stands in headers.
func Checksum(b []byte) uint16 { return ^Fold(Sum(b, 0)) }

// IPv4HeaderChecksum computes the checksum of an IPv4 header as if its
// checksum field were zero.
func IPv4HeaderChecksum(h []byte) uint16 {
	acc := Sum(h[:10], 0)
	return ^Fold(Sum(h[12:], acc))
}

// PseudoSum is the sum of the pseudo header of TCP, UDP and ICMPv6 (RFC 793,
// RFC 8200 section 8.1). length is that of the layer-4 header and all behind.
func PseudoSum(f Family, src, dst Addr, proto uint8, length int) uint32 {
	n := f.Len()
	acc := Sum(src[:n], uint32(proto))
	acc = Sum(dst[:n], acc)
	var l [4]byte
	binary.BigEndian.PutUint32(l[:], uint32(length))
	return Sum(l[:], acc)
}

// Replace16 is the stored checksum check after a 16-bit word under it changed
// (RFC 1624, equation 3). A wrong checksum stays wrong by as much.
func Replace16(check, old, new uint16) uint16 {
	acc := uint32(^check) + uint32(^old) + uint32(new)
	return ^Fold(acc)
}

// Replace32 is Replace16 for a 32-bit word. Of the two forms of zero it never
// gives 0xffff, as Linux's 32-bit arithmetic does not
// (inet_proto_csum_replace4).
func Replace32(check uint16, old, new uint32) uint16 {
	acc := uint32(^check) + uint32(^uint16(old>>16)) + uint32(^uint16(old)) + new>>16 + new&0xffff
	f := Fold(acc)
	if f == 0 {
		f = 0xffff
	}
	return ^f
}

// ReplaceBytes is Replace16 for a run of bytes of even length at an even
// offset.
func ReplaceBytes(check uint16, old, new []byte) uint16 {
	acc := uint32(^check) + uint32(^Fold(Sum(old, 0))) + uint32(Fold(Sum(new, 0)))
	return ^Fold(acc)
}

// castagnoli is the table of SCTP's CRC32c (RFC 9260 appendix A). It is never
// written.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// SCTPChecksum is the CRC32c of an SCTP packet with its checksum field taken
// as zero, in the byte order in which it is stored.
//
// Precondition: len(b) >= 12.
func SCTPChecksum(b []byte) uint32 {
	c := crc32.Update(0, castagnoli, b[:8])
	c = crc32.Update(c, castagnoli, []byte{0, 0, 0, 0})
	c = crc32.Update(c, castagnoli, b[12:])
	return bits.ReverseBytes32(c)
}

// checksumOffset is where a protocol keeps its checksum; -1 if it has none.
func checksumOffset(proto uint8) int {
	switch proto {
	case TCP:
		return 16
	case UDP, UDPLite:
		return 6
	case ICMP, ICMPv6:
		return 2
	case SCTP:
		return 8
	}
	return -1
}

// L4ChecksumOK verifies the checksum of layer 4. A UDP checksum of zero is
// good. Protocols without a checksum, and headers too short to have one, are
// good; lengths are for others to judge. Fragments cannot be verified and are
// good too, and so are those of which a device answers for it. A UDP datagram is verified over all that the IP packet holds, also
// behind the length that UDP states (Linux: net/netfilter/utils.c nf_checksum).
func (p *Packet) L4ChecksumOK() bool {
	if p.L4 < 0 || p.Offload.Good() {
		return true
	}
	b := p.Data[p.L4:]
	off := checksumOffset(p.Proto)
	if off < 0 || len(b) < off+2 {
		return true
	}
	switch p.Proto {
	case SCTP:
		return len(b) < 12 || binary.BigEndian.Uint32(b[8:]) == SCTPChecksum(b)
	case UDP:
		if b[6] == 0 && b[7] == 0 {
			return true
		}
	case UDPLite:
		n := len(b)
		if cov := int(binary.BigEndian.Uint16(b[4:])); cov != 0 && cov < n {
			b = b[:cov]
		}
		return Fold(Sum(b, PseudoSum(p.Family, p.Src(), p.Dst(), p.Proto, n))) == 0xffff
	}
	if (p.Proto == TCP || p.Proto == UDP) && (p.Family == IPv4 && p.L4 == 20 || p.Family == IPv6 && p.L4 == 40) && len(b) >= 8 && len(b) <= 0xffff {
		return PlainSumOK(p.Data, p.L4, p.Proto)
	}
	// An ICMP message of nothing but zeros adds up to zero, and is good: Linux's
	// sum of a buffer begins with all ones (csum_partial).
	sum := Fold(Sum(b, p.pseudo(len(b))))
	return sum == 0xffff || sum == 0
}

// PlainSumOK verifies the checksum of TCP or UDP right behind an IP header
// without options, which is l4 bytes long and has the addresses of the pseudo
// header at its end. d ends with the datagram.
//
// Precondition: 8 <= len(d)-l4 <= 65535.
func PlainSumOK(d []byte, l4 int, proto uint8) bool {
	le := binary.LittleEndian
	b := d[12:]
	if l4 == 40 {
		b = d[8:]
	}
	s, c := uint64(bits.ReverseBytes16(uint16(len(d)-l4)))+uint64(proto)<<8, uint64(0)
	for len(b) >= 32 {
		s, c = bits.Add64(s, le.Uint64(b), c)
		s, c = bits.Add64(s, le.Uint64(b[8:]), c)
		s, c = bits.Add64(s, le.Uint64(b[16:]), c)
		s, c = bits.Add64(s, le.Uint64(b[24:]), c)
		b = b[32:]
	}
	if len(b) >= 16 {
		s, c = bits.Add64(s, le.Uint64(b), c)
		s, c = bits.Add64(s, le.Uint64(b[8:]), c)
		b = b[16:]
	}
	if len(b) >= 8 {
		s, c = bits.Add64(s, le.Uint64(b), c)
		b = b[8:]
	}
	// The last bytes are the upper ones of the packet's last eight.
	s, c = bits.Add64(s, le.Uint64(d[len(d)-8:])>>(64-8*uint(len(b))), c)
	return FoldWords(s, c) == 0xffff
}

// pseudo is the pseudo header's sum, or zero for ICMP over IPv4.
func (p *Packet) pseudo(n int) uint32 {
	if p.Proto == ICMP {
		return 0
	}
	return PseudoSum(p.Family, p.Src(), p.Dst(), p.Proto, n)
}

// FixL4Checksum computes the checksum of layer 4 from scratch; a UDP checksum
// that comes out as zero is stored as 0xffff. It does nothing where there is
// no such header.
func (p *Packet) FixL4Checksum() {
	if p.L4 < 0 {
		return
	}
	b := p.Data[p.L4:]
	off := checksumOffset(p.Proto)
	if off < 0 || len(b) < off+2 {
		return
	}
	if p.Proto == SCTP {
		if len(b) >= 12 {
			binary.BigEndian.PutUint32(b[8:], SCTPChecksum(b))
		}
		return
	}
	b[off], b[off+1] = 0, 0
	span := b
	if p.Proto == UDPLite {
		if cov := int(binary.BigEndian.Uint16(b[4:])); cov >= 8 && cov < len(b) {
			span = b[:cov]
		}
	}
	s := ^Fold(Sum(span, p.pseudo(len(b))))
	if s == 0 && (p.Proto == UDP || p.Proto == UDPLite) {
		s = 0xffff
	}
	binary.BigEndian.PutUint16(b[off:], s)
}

// FillSum is the last step of a packet whose checksum was still to be filled
// in: a sum of zero is written as 0xffff, whatever the protocol. Linux:
// skb_checksum_help.
func (p *Packet) FillSum() {
	if !p.Unsummed || p.Offload.Partial || p.L4 < 0 {
		return
	}
	b := p.Data[p.L4:]
	if off := checksumOffset(p.Proto); off >= 0 && off+2 <= len(b) && b[off]|b[off+1] == 0 {
		b[off], b[off+1] = 0xff, 0xff
	}
}
