package text

import (
	"slices"
	"strings"
)

// sortLines orders members as ipset -sorted does. The first bytes of each line
// are alike and do not count.
func sortLines(lines [][]byte, prefix int) {
	slices.SortStableFunc(lines, func(a, b []byte) int {
		return compare(string(a[prefix:]), string(b[prefix:]))
	})
}

// strtol reads a hexadecimal number at the start, as the C function with base
// 16; rest is what follows it.
func strtol(s string) (n int64, rest string, ok bool) {
	t := strings.TrimLeft(s, " \t\n\v\f\r")
	neg := strings.HasPrefix(t, "-")
	if neg || strings.HasPrefix(t, "+") {
		t = t[1:]
	}
	if len(t) > 2 && (t[:2] == "0x" || t[:2] == "0X") && hexDigit(t[2]) >= 0 {
		t = t[2:]
	}
	i := 0
	for i < len(t) && hexDigit(t[i]) >= 0 {
		if n < 1<<58 {
			n = n<<4 | int64(hexDigit(t[i]))
		}
		i++
	}
	if i == 0 {
		return 0, s, false
	}
	if neg {
		n = -n
	}
	return n, t[i:], true
}

func hexDigit(c byte) int {
	return strings.IndexByte("0123456789abcdef", c|0x20)
}

// compare orders two members: numbers by value, read as hexadecimal, the
// shorter network last.
func compare(x, y string) int {
	neg := 1
	for x != "" && y != "" {
		n1, r1, ok1 := strtol(x)
		n2, r2, ok2 := strtol(y)
		if !ok1 || !ok2 {
			i, j := strings.IndexAny(x, ":,"), strings.IndexAny(y, ":,")
			if i < 0 {
				i = len(x)
			}
			if j < 0 {
				j = len(y)
			}
			if i == 0 && j == 0 {
				return strings.Compare(x, y)
			}
			if i != j {
				if i < j {
					return -1
				}
				return 1
			}
			if c := strings.Compare(x[:i], y[:j]); c != 0 {
				return c
			}
			if i == len(x) || j == len(y) {
				return 0
			}
			x, y, neg = x[i+1:], y[j+1:], 1
			continue
		}
		if n1 != n2 {
			if (n1 < n2) == (neg > 0) {
				return -1
			}
			return 1
		}
		s1, s2 := first(r1), first(r2)
		if s1 == '/' || s2 == '/' {
			switch {
			case s1 == s2:
				neg = -1
			case s1 == '/':
				return 1
			default:
				return -1
			}
		}
		x, y = tail(r1), tail(r2)
		if first(x) == ':' || first(y) == ':' {
			switch {
			case first(x) == first(y):
				x, y = tail(x), tail(y)
			case first(x) == ':':
				return -1
			default:
				return 1
			}
		}
	}
	switch {
	case x != "":
		return 1
	case y != "":
		return -1
	}
	return 0
}

func first(s string) byte {
	if s == "" {
		return 0
	}
	return s[0]
}

func tail(s string) string {
	if s == "" {
		return ""
	}
	return s[1:]
}
