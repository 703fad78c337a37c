// Package siphash is SipHash-1-3 over a few 64-bit words: a keyed hash for
// tables whose keys an attacker chooses. The variant with one round per word
// and three at the end is what Linux uses for hash tables (hsiphash) and is
// enough there; it is no authenticator.
//
// The words are hashed as the little-endian bytes that they stand for, so
// that results agree with any other implementation.
//
// Layer 0. Nothing allocates; no locks.
package siphash
