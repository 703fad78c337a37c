package helper

import "weir/packet"

// anything as the delimiter of an address: it ends before the first byte that
// cannot belong to it.
const anything = -1

// lex is what a byte means in an address.
type lex uint8

const (
	lexOther lex = iota
	lexDigit
	lexHex // a to f
	lexColon
	lexDot
	lexEnd
)

// lexAt is what stands at b[i]. The end of b, a zero and the delimiter end an
// address; with anything as the delimiter all that means nothing does too.
func lexAt(b []byte, i, delim int) lex {
	switch {
	case i >= len(b) || b[i] == 0 || int(b[i]) == delim:
		return lexEnd
	case b[i] == ':':
		return lexColon
	case b[i] == '.':
		return lexDot
	case isDigit(b[i]):
		return lexDigit
	case b[i]|0x20 >= 'a' && b[i]|0x20 <= 'f':
		return lexHex
	case delim == anything:
		return lexEnd
	}
	return lexOther
}

// address4 reads four numbers up to 255 with dots between them, and returns
// where they end. A colon ends them too. Linux: in4_pton.
func address4(b []byte, delim int) (a packet.Addr, n int, ok bool) {
	for word := 0; ; word++ {
		v, digits := 0, 0
		for ; lexAt(b, n, delim) == lexDigit; n++ {
			if v = v*10 + int(b[n]-'0'); v > 255 {
				return a, n, false
			}
			digits++
		}
		if digits == 0 {
			return a, n, false
		}
		a[word] = byte(v)
		switch lexAt(b, n, delim) {
		case lexDot:
			if word == 3 {
				return a, n, false
			}
			n++
		case lexEnd, lexColon:
			return a, n, word == 3
		default:
			return a, n, false
		}
	}
}

// address6 reads an IPv6 address (RFC 4291 section 2.2) and returns where it
// ends. Leading zeros of a group do not count. Linux: in6_pton.
func address6(b []byte, delim int) (a packet.Addr, n int, ok bool) {
	var raw [16]byte
	at, gap := 0, -1 // bytes so far; where "::" stands
	done := func() (packet.Addr, int, bool) {
		if gap < 0 {
			return raw, n, true
		}
		a = packet.Addr{}
		copy(a[:gap], raw[:gap])
		copy(a[16-(at-gap):], raw[gap:at])
		return a, n, true
	}
	if lexAt(b, 0, delim) == lexColon {
		if lexAt(b, 1, delim) != lexColon {
			return a, 1, false
		}
		gap, n = 0, 2
		if lexAt(b, n, delim) == lexEnd {
			return done()
		}
	}
	for {
		begin, v := n, 0
		for ; ; n++ {
			l := lexAt(b, n, delim)
			if l != lexDigit && l != lexHex {
				break
			}
			if v&0xf000 != 0 {
				return a, n, false
			}
			v = v<<4 | hexValue(b[n])
		}
		if n == begin {
			return a, n, false
		}
		last := at+2 >= 16
		switch lexAt(b, n, delim) {
		case lexDot:
			if at != 12 && (gap < 0 || at >= 12) {
				return a, n, false
			}
			low, end, good := address4(b[begin:], delim)
			n = begin + end
			if !good {
				return a, n, false
			}
			at += copy(raw[at:], low[:4])
			return done()
		case lexEnd:
			if gap < 0 && !last {
				return a, n, false
			}
			raw[at], raw[at+1] = byte(v>>8), byte(v)
			at += 2
			return done()
		case lexColon:
			if last {
				return a, n, false
			}
			raw[at], raw[at+1] = byte(v>>8), byte(v)
			at += 2
			n++
			if gap < 0 && lexAt(b, n, delim) == lexColon {
				gap = at
				n++
				if lexAt(b, n, delim) == lexEnd {
					return done()
				}
			}
		default:
			return a, n, false
		}
	}
}

func hexValue(c byte) int {
	if isDigit(c) {
		return int(c - '0')
	}
	return int(c|0x20-'a') + 10
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// isAlpha counts the letters of Latin-1, as Linux does.
func isAlpha(c byte) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || c >= 0xc0 && c != 0xd7 && c != 0xf7
}

// fold makes ASCII letters small.
func fold(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// hasFold reports that b begins with the word, in letters of any case. The word
// is small.
func hasFold(b []byte, word string) bool {
	if len(b) < len(word) {
		return false
	}
	for i := range len(word) {
		if fold(b[i]) != word[i] {
			return false
		}
	}
	return true
}

// number reads a decimal number and returns how many digits it has. What does
// not fit is cut off, as Linux's simple_strtoul does.
func number(b []byte) (v uint64, n int) {
	for n < len(b) && isDigit(b[n]) {
		v = v*10 + uint64(b[n]-'0')
		n++
	}
	return v, n
}
