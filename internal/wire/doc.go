// Package wire builds packets byte by byte and takes them apart, for tests.
//
// It shares nothing with package packet, which it helps to test: a mistake in
// one is not repeated in the other.
//
// A test aid: only tests and the campaign import it.
package wire
