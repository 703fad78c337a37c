package line

import (
	"fmt"
	"strconv"
	"strings"
)

// Error is a complaint about a line with the column, from 1 in bytes.
type Error struct {
	Col int
	Msg string
}

// Error is "column N: message".
func (e *Error) Error() string { return fmt.Sprintf("column %d: %s", e.Col, e.Msg) }

func errorf(col int, format string, args ...any) error {
	return &Error{col, fmt.Sprintf(format, args...)}
}

// word is a word of the line. A bracketed group is one word.
type word struct {
	text string
	col  int
}

// split cuts a line into words at blanks. "..." and [...] keep blanks
// together; # begins a comment at the start of a word.
func split(s string, col int) ([]word, error) {
	var ws []word
	for i := 0; i < len(s); {
		c := s[i]
		if c == ' ' || c == '\t' || c == '\r' {
			i++
			continue
		}
		if c == '#' {
			break
		}
		start, depth, quoted := i, 0, false
		for ; i < len(s); i++ {
			c = s[i]
			switch {
			case quoted:
				if c == '\\' && i+1 < len(s) {
					i++
				} else if c == '"' {
					quoted = false
				}
				continue
			case c == '"':
				quoted = true
			case c == '[':
				depth++
			case c == ']':
				depth--
			}
			if depth < 0 {
				return nil, errorf(col+i, "a ] without a [")
			}
			if (c == ' ' || c == '\t' || c == '\r') && depth == 0 {
				break
			}
		}
		if quoted {
			return nil, errorf(col+start, "a quotation without an end")
		}
		if depth > 0 {
			return nil, errorf(col+start, "a [ without a ]")
		}
		ws = append(ws, word{s[start:i], col + start})
	}
	return ws, nil
}

// keyed cuts key=value; ok is false for a plain word.
func (w word) keyed() (key string, value word, ok bool) {
	k, v, ok := strings.Cut(w.text, "=")
	if !ok || k == "" {
		return "", word{}, false
	}
	return k, word{v, w.col + len(k) + 1}, true
}

// number reads a number of any base that fits in bits.
func (w word) number(bits int) (uint64, error) {
	n, err := strconv.ParseUint(w.text, 0, bits)
	if err != nil {
		return 0, errorf(w.col, "%q is not a number of %d bits", w.text, bits)
	}
	return n, nil
}
