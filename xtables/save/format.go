package save

import (
	"bytes"
	"sort"
	"strings"

	"weir/packet"
	"weir/xtables"
)

// Line is a line of a file and what it is in canonical form: one line, several
// where it names several addresses, none where it is an empty line too many.
type Line struct {
	Text      string
	Canonical []string
}

// Format is the file in its canonical form: each command as iptables-save
// writes it, in the order in which it stands; comments are kept. Loading the
// result gives the same rules, and formatting it the same text. A file that
// would not load gives its errors.
func Format(file string, src []byte, f packet.Family, list xtables.List) ([]Line, []error) {
	p := newParser(file, f, list)
	p.canon = &[]Line{}
	p.lines(string(src))
	if len(p.errs) > 0 {
		sort.SliceStable(p.errs, func(i, j int) bool { return before(p.errs[i], p.errs[j]) })
		return nil, p.errs
	}
	lines := *p.canon
	empty := true // one empty line in a row, none at the ends
	for i := range lines {
		if len(lines[i].Canonical) == 1 && lines[i].Canonical[0] == "" {
			if empty {
				lines[i].Canonical = nil
			}
			empty = true
		} else {
			empty = false
		}
	}
	for i := len(lines) - 1; i >= 0; i-- {
		if len(lines[i].Canonical) > 0 && lines[i].Canonical[0] != "" {
			break
		}
		lines[i].Canonical = nil
	}
	return lines, nil
}

// Text is the canonical form of lines as one text.
func Text(lines []Line) []byte {
	var b bytes.Buffer
	for _, l := range lines {
		for _, c := range l.Canonical {
			b.WriteString(c)
			b.WriteByte('\n')
		}
	}
	return b.Bytes()
}

// canonical notes what a line is in canonical form, after it was read.
func (p *parser) canonical(line string) {
	l := Line{Text: line}
	switch {
	case line == "" || line == "COMMIT":
		l.Canonical = []string{line}
	case line[0] == '#':
		l.Canonical = []string{strings.TrimRight(line, " \t")}
	case line[0] == '*':
		name, _, _ := field(line, 1)
		l.Canonical = []string{"*" + name}
	case line[0] == ':':
		name, _, to := field(line, 1)
		policy, _, to := field(line, to)
		counters, _, _ := field(line, to)
		n, _ := readCounters(counters)
		l.Canonical = []string{":" + name + " " + policy + " " + string(appendCounter(nil, n))}
	default:
		l.Canonical = p.rule.canonical(line)
	}
	*p.canon = append(*p.canon, l)
}

// canonical is the command that was read last.
func (r *ruleReader) canonical(line string) []string {
	if r.skip {
		return []string{strings.TrimRight(line, " \t")}
	}
	lead := ""
	if r.counted {
		lead = string(appendCounter(nil, r.counters)) + " "
	}
	if r.family != 0 {
		lead += "-" + string(r.family) + " "
	}
	b := append([]byte(lead), '-', r.cmd)
	word := func(s string) { b = xtables.AppendWord(append(b, ' '), s) }
	if r.chainPos.Col != 0 {
		word(r.chain)
	}
	if r.arg != "" {
		word(r.arg)
	}
	if strings.IndexByte("AIRDC", r.cmd) < 0 || r.cmd == 'D' && r.arg != "" {
		return []string{string(b)}
	}
	var out []string
	for _, m := range r.made {
		out = append(out, string(m.Append(b[:len(b):len(b)])))
	}
	return out
}
