package machine

import (
	"bytes"
	"strconv"
)

// word is a word of a line with its column, from 1 in bytes.
type word struct {
	text string
	col  int
}

func fields(s string) (ws []word) {
	for i := 0; i < len(s); {
		if s[i] == ' ' || s[i] == '\t' {
			i++
			continue
		}
		j := i
		for j < len(s) && s[j] != ' ' && s[j] != '\t' {
			j++
		}
		ws = append(ws, word{s[i:j], i + 1})
		i = j
	}
	return ws
}

// eachLine calls f with each line, numbered from 1, without its end.
func eachLine(b []byte, f func(n int, line string)) {
	for n := 1; len(b) > 0; n++ {
		line, rest, _ := bytes.Cut(b, []byte{'\n'})
		f(n, string(bytes.TrimSuffix(line, []byte{'\r'})))
		b = rest
	}
}

func lastByte(s string, c byte) int {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] == c {
			return i
		}
	}
	return -1
}

func quote(s string) string { return strconv.Quote(s) }

// place turns a byte offset into a line and column, both from 1.
func place(b []byte, off int) (line, col int) {
	off = min(max(off, 0), len(b))
	line = 1 + bytes.Count(b[:off], []byte{'\n'})
	return line, off - bytes.LastIndexByte(b[:off], '\n')
}
