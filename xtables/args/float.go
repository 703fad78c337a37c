package args

import (
	"strconv"
	"strings"
)

// Float reads a number at the start of s as strtod(3) does: leading space, a
// sign, decimal or hexadecimal with an exponent, "inf", "nan". rest is what
// follows; ok is false when there is no number.
func Float(s string) (v float64, rest string, ok bool) {
	s = strings.TrimLeft(s, " \t\n\v\f\r")
	n := floatLen(s)
	if n == 0 {
		return 0, s, false
	}
	text := s[:n]
	if i := strings.IndexAny(text, "xX"); i >= 0 && !strings.ContainsAny(text, "pP") {
		text += "p0"
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil && v == 0 {
		return 0, s, false
	}
	return v, s[n:], true
}

// floatLen is how many bytes of s are a number.
func floatLen(s string) int {
	i := 0
	if i < len(s) && (s[i] == '+' || s[i] == '-') {
		i++
	}
	for _, word := range []string{"infinity", "inf", "nan"} {
		if len(s)-i >= len(word) && strings.EqualFold(s[i:i+len(word)], word) {
			return i + len(word)
		}
	}
	base, exp := 10, byte('e')
	if len(s) > i+2 && s[i] == '0' && s[i+1]|0x20 == 'x' && (isDigit(s[i+2], 16) || s[i+2] == '.' && len(s) > i+3 && isDigit(s[i+3], 16)) {
		base, exp = 16, 'p'
		i += 2
	}
	digits := 0
	for point := false; i < len(s) && (isDigit(s[i], base) || s[i] == '.' && !point); i++ {
		if s[i] == '.' {
			point = true
		} else {
			digits++
		}
	}
	if digits == 0 {
		return 0
	}
	if i < len(s) && s[i]|0x20 == exp {
		j := i + 1
		if j < len(s) && (s[j] == '+' || s[j] == '-') {
			j++
		}
		if k := j; k < len(s) && isDigit(s[k], 10) {
			for k < len(s) && isDigit(s[k], 10) {
				k++
			}
			return k
		}
	}
	return i
}

// Low32 is the low half of v as a whole number, which is what a conversion to
// an unsigned int of 32 bits leaves of it; 0 where 64 bits do not hold it.
func Low32(v float64) uint32 {
	if !(v > -1<<63 && v < 1<<63) {
		return 0
	}
	return uint32(int64(v))
}
