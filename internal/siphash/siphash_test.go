package siphash

import (
	"encoding/binary"
	"testing"
)

// reference is SipHash-c-d written after the paper, over bytes.
func reference(c, d int, k Key, m []byte) uint64 {
	s := start(&k)
	n := len(m)
	for len(m) >= 8 {
		w := binary.LittleEndian.Uint64(m)
		s.v3 ^= w
		for range c {
			s = s.round()
		}
		s.v0 ^= w
		m = m[8:]
	}
	w := uint64(n) << 56
	for i, b := range m {
		w |= uint64(b) << (8 * i)
	}
	s.v3 ^= w
	for range c {
		s = s.round()
	}
	s.v0 ^= w
	s.v2 ^= 0xff
	for range d {
		s = s.round()
	}
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3
}

// The round function is right when SipHash-2-4 gives the paper's vector
// (appendix A: key 00..0f, message 00..0e).
func TestThePapersVector(t *testing.T) {
	k := Key{0x0706050403020100, 0x0f0e0d0c0b0a0908}
	m := []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14}
	if got := reference(2, 4, k, m); got != 0xa129ca6149be45e5 {
		t.Fatalf("got %x", got)
	}
}

func TestSumsAgreeWithTheReference(t *testing.T) {
	k := Key{1, 2}
	var b [40]byte
	w := [5]uint64{3, 1 << 63, 5, 0xffff, 7}
	for i, x := range w {
		binary.LittleEndian.PutUint64(b[8*i:], x)
	}
	if got, want := Sum2(&k, w[0], w[1]), reference(1, 3, k, b[:16]); got != want {
		t.Errorf("Sum2: got %x, want %x", got, want)
	}
	if got, want := Sum5(&k, w[0], w[1], w[2], w[3], w[4]), reference(1, 3, k, b[:]); got != want {
		t.Errorf("Sum5: got %x, want %x", got, want)
	}
}

func BenchmarkSum2(b *testing.B) {
	k := Key{1, 2}
	var acc uint64
	for i := range b.N {
		acc ^= Sum2(&k, uint64(i), acc)
	}
	_ = acc
}
