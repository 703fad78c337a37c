package conntrack

import (
	"encoding/binary"
	"math/bits"

	"weir/internal/siphash"
	"weir/packet"
)

// hashKey is the secrets of the hash of tuples: words are mixed by multiplying
// to 128 bits after a secret was laid over each (the construction of wyhash,
// Wang Yi). Who does not know the secrets cannot make tuples meet, and it
// costs a third of what SipHash does.
type hashKey [6]uint64

// newHashKey stretches the configured key.
func newHashKey(k siphash.Key) (h hashKey) {
	for i := range h {
		h[i] = siphash.Sum2(&k, uint64(i), 0x7475706c65)
	}
	return h
}

// mix multiplies and folds.
func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

// four hashes a tuple of IPv4: its addresses in one word, and the rest.
func (k *hashKey) four(addrs, last uint64) uint64 {
	hi, lo := bits.Mul64(addrs^k[0], last^k[1])
	return mix(lo^k[2], hi^k[3])
}

// six hashes a tuple of IPv6.
func (k *hashKey) six(s0, s1, d0, d1, last uint64) uint64 {
	a, b := mix(s0^k[0], s1^k[1]), mix(d0^k[4], d1^k[5])
	hi, lo := bits.Mul64(a^last^k[2], b^k[3])
	return mix(lo^k[2]^last, hi^k[3])
}

// lastWord is what a tuple has beside addresses. The family keeps IPv4 and
// IPv6 apart.
func (t *Tuple) lastWord() uint64 {
	return uint64(t.SrcL4) | uint64(t.DstL4)<<16 | uint64(t.Zone)<<32 | uint64(t.Proto)<<48 | uint64(t.L3)<<56
}

// hash is the keyed hash of a tuple.
func (tb *Table) hash(t *Tuple) uint64 {
	le := binary.LittleEndian
	if t.L3 == packet.IPv4 {
		return tb.hashKey.four(le.Uint64(t.Src[:])|le.Uint64(t.Dst[:])<<32, t.lastWord())
	}
	return tb.hashKey.six(le.Uint64(t.Src[:]), le.Uint64(t.Src[8:]), le.Uint64(t.Dst[:]), le.Uint64(t.Dst[8:]), t.lastWord())
}
