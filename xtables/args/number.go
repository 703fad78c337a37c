package args

import (
	"math"
	"strconv"
	"strings"

	"weir/xtables"
)

// prefix reads a number at the start of s as strtoul(3) does with base 0:
// leading space, a plus sign, 0x for hexadecimal, 0 for octal. A minus sign
// is refused. rest is what follows.
func prefix(s string) (v uint64, rest string, ok bool) {
	s = strings.TrimLeft(s, " \t\n\v\f\r")
	s = strings.TrimPrefix(s, "+")
	base, digits := 10, s
	switch {
	case len(s) > 2 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X') && isDigit(s[2], 16):
		base, digits = 16, s[2:]
	case len(s) > 0 && s[0] == '0':
		base = 8 // of "08" only the 0 is read
	}
	n := 0
	for n < len(digits) && isDigit(digits[n], base) {
		n++
	}
	if n == 0 {
		return 0, s, false
	}
	v, err := strconv.ParseUint(digits[:n], base, 64)
	return v, digits[n:], err == nil
}

func isDigit(c byte, base int) bool {
	switch {
	case base == 16 && (c|0x20 >= 'a' && c|0x20 <= 'f'):
		return true
	case base == 8:
		return c >= '0' && c <= '7'
	}
	return c >= '0' && c <= '9'
}

// Number reads all of s as a number between lo and hi.
func Number(s string, lo, hi uint64) (uint64, bool) {
	v, rest, ok := prefix(s)
	return v, ok && rest == "" && v >= lo && v <= hi
}

// NumberPrefix reads a number between lo and hi at the start of s; rest is
// what follows it.
func NumberPrefix(s string, lo, hi uint64) (v uint64, rest string, ok bool) {
	v, rest, ok = prefix(s)
	return v, rest, ok && v >= lo && v <= hi
}

// Uint is the argument of g as a number between lo and hi.
func Uint(g *xtables.Given, lo, hi uint64) (uint64, error) {
	v, ok := Number(Text(g), lo, hi)
	if !ok {
		return 0, Errorf(g, "--%s: %q is not a number from %d to %d", g.Name, Text(g), lo, hi)
	}
	return v, nil
}

// Span is the argument of g as one number or a range "lo:hi", of which either
// side may be missing and then is 0 or max. The order is not checked: iptables
// leaves that to each extension.
func Span(g *xtables.Given, max uint64) (lo, hi uint64, err error) {
	vals, err := Series(g, max, 2)
	if err != nil {
		return 0, 0, err
	}
	if len(vals) == 1 {
		return vals[0], vals[0], nil
	}
	return vals[0], vals[1], nil
}

// Series is one to n numbers with colons between; a missing second one is max,
// any other missing one 0.
func Series(g *xtables.Given, max uint64, n int) ([]uint64, error) {
	parts := strings.Split(Text(g), ":")
	if len(parts) > n {
		return nil, Errorf(g, "--%s: %q has more than %d parts", g.Name, Text(g), n)
	}
	vals := make([]uint64, len(parts))
	for i, p := range parts {
		v, ok := Number(p, 0, max)
		switch {
		case p == "" && i == 1:
			v = max
		case p == "":
			v = 0
		case !ok:
			return nil, Errorf(g, "--%s: %q is not a number from 0 to %d", g.Name, p, max)
		}
		vals[i] = v
	}
	return vals, nil
}

// MarkMask is the argument of g as value[/mask] of 32 bits; without a mask all
// bits count.
func MarkMask(g *xtables.Given) (value, mask uint32, err error) {
	v, m, has := strings.Cut(Text(g), "/")
	n, ok := Number(v, 0, math.MaxUint32)
	k := uint64(math.MaxUint32)
	if ok && has {
		k, ok = Number(m, 0, math.MaxUint32)
	}
	if !ok {
		return 0, 0, Bad(g, "a 32-bit number with an optional /mask")
	}
	return uint32(n), uint32(k), nil
}

// Enum finds word in a list of names and is its index; -1 if it is in none.
// It compares as same says.
func Enum(word string, names []string, same func(name, word string) bool) int {
	for i, n := range names {
		if same(n, word) {
			return i
		}
	}
	return -1
}

// Exact, NoCase, Prefix and Loose are the ways in which extensions compare
// words: byte for byte; without case; word is the beginning of name, without
// case; word begins with name, without case.
func Exact(name, word string) bool { return name == word }

// NoCase compares without case.
func NoCase(name, word string) bool { return strings.EqualFold(name, word) }

// Prefix accepts any beginning of a name, the empty one too.
func Prefix(name, word string) bool {
	return len(word) <= len(name) && strings.EqualFold(name[:len(word)], word)
}

// Loose accepts anything that begins with a name.
func Loose(name, word string) bool {
	return len(word) >= len(name) && strings.EqualFold(word[:len(name)], name)
}
