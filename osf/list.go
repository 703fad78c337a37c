package osf

import (
	"bytes"
	"strconv"
	"strings"
)

// Windows of a fingerprint: how its number is meant.
const (
	plain   = iota // the window itself; 0 is any
	ofMSS          // a multiple of the segment size
	ofMTU          // a multiple of the segment size and 40
	divides        // a divisor of the window
)

// maxOptions is how many options a fingerprint may have (MAX_IPOPTLEN).
const maxOptions = 40

// Finger is one fingerprint: what a first segment of a system looks like.
type Finger struct {
	// Genre, Version and Subtype name the system; 31 bytes each at most.
	Genre, Version, Subtype string

	kind   uint8
	window uint32
	ttl    uint8
	df     bool
	size   uint16 // of the packet, in bytes
	kinds  string // of the options, a byte each
	length int    // of the options, in bytes
}

// List is fingerprints in the order in which they are tried. A nil one is
// empty.
type List struct{ fingers []Finger }

// optionLetters are the options of pf.os, and their kinds and lengths.
var optionLetters = map[byte][2]byte{'E': {0, 1}, 'N': {1, 1}, 'M': {2, 4}, 'W': {3, 3}, 'S': {4, 2}, 'T': {8, 10}}

// Parse reads pf.os as nfnl_osf does. An error has its line, from 1.
func Parse(text []byte) (list *List, line int, msg string) {
	list = &List{}
	seen := map[Finger]bool{}
	for n, l := range bytes.Split(text, []byte{'\n'}) {
		s := strings.TrimSuffix(string(l), "\r")
		if s == "" || s[0] == '#' {
			continue
		}
		f, msg := parse(s)
		if msg != "" {
			return nil, n + 1, msg
		}
		if !seen[f] {
			seen[f] = true
			list.fingers = append(list.fingers, f)
		}
	}
	return list, 0, ""
}

func parse(s string) (f Finger, msg string) {
	w := strings.Split(s, ":")
	if len(w) != 9 {
		return f, "a fingerprint has nine fields with \":\" between: window, TTL, DF, size, options, genre, version, subtype, details"
	}
	for i := range w[1:] {
		w[i+1] = strings.TrimLeft(w[i+1], " \t\v\f\r")
	}
	win := w[0]
	if win != "" {
		switch win[0] {
		case 'S', 'T':
			f.kind = ofMSS
			if win[0] == 'T' {
				f.kind = ofMTU
			}
			f.window = uint32(number(strings.TrimPrefix(win[1:], "%")))
		case '%':
			f.kind, f.window = divides, uint32(number(win[1:]))
		default:
			f.window = uint32(number(win))
		}
	}
	f.ttl, f.df, f.size = uint8(number(w[1])), uint8(number(w[2])) != 0, uint16(number(w[3]))
	var kinds []byte
	for _, o := range strings.Split(w[4], ",") {
		o = strings.TrimLeft(o, " \t\v\f\r")
		if o == "" {
			continue
		}
		if k, ok := optionLetters[o[0]]; ok {
			kinds = append(kinds, k[0])
			f.length += int(k[1])
		}
	}
	if len(kinds) > maxOptions {
		return f, "a fingerprint has at most 40 options"
	}
	f.kinds = string(kinds)
	genre := w[5]
	if genre != "" && (genre[0] == '@' || genre[0] == '*') {
		genre = genre[1:]
	}
	f.Genre, f.Version, f.Subtype = cut(genre), cut(w[6]), cut(w[7])
	return f, ""
}

// number is the digits at the beginning, 0 if there are none (strtoul).
func number(s string) uint64 {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	v, _ := strconv.ParseUint(s[:n], 10, 64)
	return v
}

// cut keeps what the kernel has room for.
func cut(s string) string { return s[:min(len(s), MaxName)] }

// MaxName is the length of a name, in bytes.
const MaxName = 31

// optionSize is the length of an option of a kind.
func optionSize(kind byte) int {
	switch kind {
	case 2:
		return 4
	case 3:
		return 3
	case 4:
		return 2
	case 8:
		return 10
	}
	return 1
}
