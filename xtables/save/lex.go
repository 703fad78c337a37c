package save

import (
	"strings"

	"weir/xtables"
)

// Limits of iptables-restore.
const (
	maxLine  = 10239 // bytes of a line
	maxWord  = 1023  // bytes of a word
	maxWords = 251   // words of a line
)

// split cuts a line into words as iptables-restore does: at spaces and tabs;
// double quotes keep them together, and inside them a backslash makes the next
// byte plain. A closing quote ends the word. Nothing else is special. line is
// what stands from column col on. The words are good until the next call.
func (p *parser) split(line string, no, col int) []xtables.Word {
	p.words = p.words[:0]
	for i := 0; i < len(line); {
		if line[i] == ' ' || line[i] == '\t' {
			i++
			continue
		}
		pos := xtables.Pos{File: p.file, Line: no, Col: col + i}
		end := i
		for end < len(line) && line[end] != ' ' && line[end] != '\t' && line[end] != '"' {
			end++
		}
		word := line[i:end]
		if end < len(line) && line[end] == '"' {
			rest, n, ok := quoted(line[end+1:])
			if !ok {
				q := pos
				q.Col = col + end
				p.errorf(q, "this quote is not closed")
				return nil
			}
			word += rest
			end += 1 + n
		}
		if len(word) > maxWord {
			p.errorf(pos, "this word is longer than the %d bytes that iptables-restore reads", maxWord)
			return nil
		}
		p.words = append(p.words, xtables.Word{Text: word, Pos: pos})
		i = end
	}
	if len(p.words) > maxWords {
		p.errorf(p.words[maxWords].Pos, "iptables-restore reads at most %d words in a line", maxWords)
		return nil
	}
	return p.words
}

// quoted reads up to the closing quote; n counts the bytes with it.
func quoted(s string) (word string, n int, ok bool) {
	if i := strings.IndexAny(s, `"\`); i >= 0 && s[i] == '"' {
		return s[:i], i + 1, true
	}
	var b []byte
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			return string(b), i + 1, true
		case '\\':
			if i++; i == len(s) {
				return "", 0, false
			}
		}
		b = append(b, s[i])
	}
	return "", 0, false
}
