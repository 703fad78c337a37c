package args

import (
	"strconv"
	"strings"
)

// MAC reads six bytes in hexadecimal with colons between, one or two digits
// each.
func MAC(s string) (a [6]byte, ok bool) {
	parts := strings.Split(s, ":")
	if len(parts) != 6 {
		return a, false
	}
	for i, p := range parts {
		if len(p) > 2 {
			return a, false
		}
		v, err := strconv.ParseUint(p, 16, 8)
		if err != nil {
			return a, false
		}
		a[i] = byte(v)
	}
	return a, true
}

// AppendMAC appends a space and the address in lower case.
func AppendMAC(b []byte, a [6]byte) []byte {
	for i, v := range a {
		sep := byte(':')
		if i == 0 {
			sep = ' '
		}
		b = append(b, sep, "0123456789abcdef"[v>>4], "0123456789abcdef"[v&15])
	}
	return b
}
