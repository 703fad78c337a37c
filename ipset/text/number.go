package text

import (
	"math"
	"strconv"
	"strings"
)

func itoa(n uint64) string { return strconv.FormatUint(n, 10) }

// strtoull reads a number as the C function does with base 0: space, a sign,
// hexadecimal and octal. Minus counts down from 2^64.
func strtoull(s string) (n uint64, tooBig, ok bool) {
	t := strings.TrimLeft(s, " \t\n\v\f\r")
	neg := strings.HasPrefix(t, "-")
	if neg || strings.HasPrefix(t, "+") {
		t = t[1:]
	}
	base := 10
	switch {
	case len(t) > 2 && (t[:2] == "0x" || t[:2] == "0X"):
		base, t = 16, t[2:]
	case len(t) > 1 && t[0] == '0':
		base, t = 8, t[1:]
	}
	if strings.ContainsAny(t, "+-_") {
		return 0, false, false
	}
	n, err := strconv.ParseUint(t, base, 64)
	if err != nil {
		e, _ := err.(*strconv.NumError)
		return math.MaxUint64, e != nil && e.Err == strconv.ErrRange, false
	}
	if neg {
		n = -n
	}
	return n, false, true
}

// number reads a number from 0 to hi.
func (r *runner) number(s string, hi uint64, l level) (uint64, bool) {
	n, big, ok := strtoull(s)
	switch {
	case ok && n <= hi:
		return n, true
	case ok || big:
		return 0, r.say(l, "Syntax error: '"+s+"' is out of range 0-"+itoa(hi))
	}
	return 0, r.say(l, "Syntax error: '"+s+"' is invalid as number")
}

func (r *runner) cidr(s string, lo, hi uint64) (uint8, bool) {
	n, ok := r.number(s, math.MaxUint8, failure)
	if ok && (n < lo || n > hi) {
		return 0, r.syntax("'" + s + "' is out of range " + itoa(lo) + "-" + itoa(hi))
	}
	return uint8(n), ok
}
