package nat

import (
	"encoding/binary"
	"math/bits"

	"weir/conntrack"
	"weir/packet"
)

// Rewrite translates a forwarded packet of a known connection and lowers its
// TTL: what Packet at PREROUTING, the router and Packet at POSTROUTING do to
// the bytes, in one go. The TTL is above 0.
//
// The direction of a packet cannot be foretold, so that no jump hangs on it: a
// side that stays is written as it was. Of the two forms of zero no checksum
// that changes becomes 0xffff, so that the sum decides the result, not how it
// came about.
func Rewrite(q *conntrack.Probe, translate bool) {
	d, le := q.Data, binary.LittleEndian
	to := &q.Conn.Tuple[(1-q.Dir)&1] // whose sides are swapped
	sides := uint64(q.Conn.Status&conntrack.NATMask) / uint64(conntrack.SrcNAT)
	if !translate {
		sides = 0
	}
	sides = (sides | sides<<2) >> (q.Dir & 1) // swapped for replies
	src, dst := -(sides & 1), -(sides >> 1 & 1)
	l4 := d[q.L4:]
	old := le.Uint32(l4)
	ports := exchange(uint64(old), uint64(bits.ReverseBytes32(uint32(to.DstL4)<<16|uint32(to.SrcL4))), src>>48|dst>>48<<16)
	le.PutUint32(l4, uint32(ports))
	diff, carry := uint64(^old)+ports, uint64(0)
	if q.Family == packet.IPv4 {
		d = d[:20]
		old := le.Uint64(d[12:])
		addrs := exchange(old, uint64(le.Uint32(to.Dst[:]))|uint64(le.Uint32(to.Src[:]))<<32, src>>32|dst<<32)
		le.PutUint64(d[12:], addrs)
		n, c := bits.Add64(^old, addrs, 0)
		n += c
		// The word of TTL and protocol is lowered by one: in the sum by the
		// complement of one.
		head := le.Uint32(d[8:])
		s, c := bits.Add64(n, uint64(^head>>16)+0xfffe, 0)
		le.PutUint32(d[8:], (head-1)&0xffff|uint32(^packet.FoldWords(s, c))<<16)
		diff, carry = bits.Add64(diff, n, 0)
	} else {
		d = d[:40]
		d[7]--
		for i := 0; i < 16; i += 8 {
			a, b := le.Uint64(d[8+i:]), le.Uint64(d[24+i:])
			s, t := exchange(a, le.Uint64(to.Dst[i:]), src), exchange(b, le.Uint64(to.Src[i:]), dst)
			le.PutUint64(d[8+i:], s)
			le.PutUint64(d[24+i:], t)
			diff, carry = bits.Add64(diff, ^a, carry)
			diff, carry = bits.Add64(diff, s, carry)
			diff, carry = bits.Add64(diff, ^b, carry)
			diff, carry = bits.Add64(diff, t, carry)
		}
	}
	if sides == 0 {
		return
	}
	at, none := 6, uint16(0xffff)
	if q.Proto == packet.TCP {
		at, none = 16, 0
	}
	check := le.Uint16(l4[at:])
	if check|^none == 0 {
		return // UDP without a checksum
	}
	diff, carry = bits.Add64(diff, uint64(^check), carry)
	check = ^packet.FoldWords(diff, carry)
	if check == 0 {
		check = none
	}
	le.PutUint16(l4[at:], check)
}

// exchange is a word with the bits of mask taken from another.
func exchange(old, to, mask uint64) uint64 { return old ^ (old^to)&mask }
