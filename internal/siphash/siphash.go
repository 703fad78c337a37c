package siphash

import "math/bits"

// Key is the secret of one table.
type Key [2]uint64

// state is SipHash's four words (Aumasson and Bernstein, "SipHash: a fast
// short-input PRF", section 2).
type state struct{ v0, v1, v2, v3 uint64 }

func start(k *Key) state {
	return state{
		v0: k[0] ^ 0x736f6d6570736575,
		v1: k[1] ^ 0x646f72616e646f6d,
		v2: k[0] ^ 0x6c7967656e657261,
		v3: k[1] ^ 0x7465646279746573,
	}
}

func (s state) round() state {
	s.v0 += s.v1
	s.v2 += s.v3
	s.v1 = bits.RotateLeft64(s.v1, 13) ^ s.v0
	s.v3 = bits.RotateLeft64(s.v3, 16) ^ s.v2
	s.v0 = bits.RotateLeft64(s.v0, 32) + s.v3
	s.v2 += s.v1
	s.v1 = bits.RotateLeft64(s.v1, 17) ^ s.v2
	s.v3 = bits.RotateLeft64(s.v3, 21) ^ s.v0
	s.v2 = bits.RotateLeft64(s.v2, 32)
	return s
}

func (s state) word(w uint64) state {
	s.v3 ^= w
	s = s.round()
	s.v0 ^= w
	return s
}

// end takes the number of bytes that were hashed.
func (s state) end(n uint64) uint64 {
	s = s.word(n << 56)
	s.v2 ^= 0xff
	s = s.round()
	s = s.round()
	s = s.round()
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3
}

// Sum2 hashes two words.
func Sum2(k *Key, a, b uint64) uint64 {
	return start(k).word(a).word(b).end(16)
}

// Sum5 hashes five words.
func Sum5(k *Key, a, b, c, d, e uint64) uint64 {
	return start(k).word(a).word(b).word(c).word(d).word(e).end(40)
}
