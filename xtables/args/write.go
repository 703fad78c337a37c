package args

import (
	"strconv"
	"strings"
)

// Name appends " --name", with " !" before it when not is set.
func Name(b []byte, not bool, name string) []byte {
	if not {
		b = append(b, " !"...)
	}
	b = append(b, " --"...)
	return append(b, name...)
}

// Word appends a space and s.
func Word(b []byte, s string) []byte {
	b = append(b, ' ')
	return append(b, s...)
}

// Dec appends a space and v.
func Dec(b []byte, v uint64) []byte { return appendDec(append(b, ' '), v) }

func appendDec(b []byte, v uint64) []byte { return strconv.AppendUint(b, v, 10) }

// Hex appends " 0x" and v in at least width digits.
func Hex(b []byte, v uint64, width int) []byte {
	b = append(b, " 0x"...)
	return appendHex(b, v, width)
}

func appendHex(b []byte, v uint64, width int) []byte {
	for n := 1; n < width; n++ {
		if v>>(4*n) == 0 {
			b = append(b, '0')
		}
	}
	return strconv.AppendUint(b, v, 16)
}

// Hex16 appends v in four hexadecimal digits.
func Hex16(b []byte, v uint16) []byte { return appendHex(b, uint64(v), 4) }

// HexMask appends " 0xV/0xM" in at least width digits each.
func HexMask(b []byte, v, m uint64, width int) []byte {
	b = Hex(b, v, width)
	b = append(b, "/0x"...)
	return appendHex(b, m, width)
}

// Range appends a space and "lo:hi", or one number if they are equal.
func Range(b []byte, lo, hi uint64) []byte {
	b = Dec(b, lo)
	if lo != hi {
		b = append(b, ':')
		b = appendDec(b, hi)
	}
	return b
}

// Quoted appends a space and s with quotes if it has anything but letters,
// digits, "_" and "-", as iptables-save quotes free text.
func Quoted(b []byte, s string) []byte {
	b = append(b, ' ')
	plain := s != ""
	for i := 0; i < len(s) && plain; i++ {
		c := s[i]
		plain = c == '_' || c == '-' || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
	}
	if plain {
		return append(b, s...)
	}
	b = append(b, '"')
	for i := 0; i < len(s); i++ {
		if strings.IndexByte(`"\'`, s[i]) >= 0 {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return append(b, '"')
}

// Cut is s shortened to n bytes, as iptables shortens what does not fit.
func Cut(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}
