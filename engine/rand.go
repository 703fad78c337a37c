package engine

import "math/bits"

// Rand is the machine's source of random choices: PCG-XSL-RR 128/64 with a
// fixed stream (M. O'Neill, "PCG", 2014), so that a seed gives the same
// choices on every system and in every version of Go.
type Rand struct{ hi, lo uint64 }

// NewRand seeds a source.
func NewRand(seed uint64) *Rand {
	r := &Rand{hi: seed, lo: 0x9e3779b97f4a7c15 ^ seed<<1}
	r.Uint32()
	r.Uint32()
	return r
}

// Uint32 is 32 random bits.
func (r *Rand) Uint32() uint32 {
	const (
		mulHi, mulLo = 2549297995355413924, 4865540595714422341
		incHi, incLo = 6364136223846793005, 1442695040888963407
	)
	hi, lo := bits.Mul64(r.lo, mulLo)
	hi += r.hi*mulLo + r.lo*mulHi
	lo, c := bits.Add64(lo, incLo, 0)
	hi, _ = bits.Add64(hi, incHi, c)
	r.hi, r.lo = hi, lo
	return uint32(bits.RotateLeft64(hi^lo, -int(hi>>58)) >> 32)
}

// PortOffset is 16 random bits, as Linux takes them; what they are for does not
// matter to it.
func (r *Rand) PortOffset(_, _ uint32, _ bool) uint32 { return r.Uint32() & 0xffff }
