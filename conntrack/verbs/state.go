package verbs

import (
	"strings"

	"weir/conntrack"
	"weir/conntrack/show"
)

// StateError is what is wrong with a line of a saved state.
type StateError struct {
	Line, Col int // from 1
	Msg       string
}

// Error is the message without its place.
func (e *StateError) Error() string { return e.Msg }

// LoadState enters the connections of a saved state at time now: lines as
// conntrack -L -o save and AppendState write them, -A or -I each. Lines that are
// empty or begin with # are passed over. Every error is reported; what could be
// read is entered.
//
// Of TCP the windows are not known: they begin with the next segment of each
// direction and are not enforced, since their scale is not known either, as
// conntrack(8) asks of Linux.
func LoadState(m Machine, text []byte, names *show.LabelNames, now int64) (errs []*StateError) {
	for n, line := range strings.Split(string(text), "\n") {
		fail := func(col int, msg string) { errs = append(errs, &StateError{n + 1, col, msg}) }
		args, cols, bad := splitLine(line)
		if bad > 0 {
			fail(bad, "a quotation mark is not closed")
			continue
		}
		if len(args) == 0 {
			continue
		}
		c, why := parse(args, names, true)
		if why != nil {
			col := 1
			if why.Arg >= 0 && why.Arg < len(cols) {
				col = cols[why.Arg]
			}
			fail(col, why.Text)
			continue
		}
		if c.Verb != Add && c.Verb != Create || c.Table != Connections {
			fail(cols[0], "only -A and -I make up a saved state")
			continue
		}
		e, err := c.entry(m, now)
		if err == nil {
			e.Restored = true
			_, err = m.Table.Insert(e, now)
		}
		if err != nil {
			fail(cols[0], c.why(err))
		}
	}
	m.Table.Reap()
	return errs
}

// splitLine splits a line into words, with the columns where they begin. Words
// in quotation marks may have spaces; a backslash there takes the next letter
// as it is. bad is the column of a mark that is not closed.
func splitLine(line string) (words []string, cols []int, bad int) {
	line = strings.TrimSuffix(line, "\r")
	if t := strings.TrimLeft(line, " \t"); t == "" || t[0] == '#' {
		return nil, nil, 0
	}
	var w []byte
	in, quoted := false, 0
	for i := 0; i < len(line); i++ {
		ch := line[i]
		switch {
		case quoted > 0 && ch == '\\' && i+1 < len(line):
			i++
			w = append(w, line[i])
		case quoted > 0 && ch == '"':
			quoted = 0
		case quoted > 0:
			w = append(w, ch)
		case ch == ' ' || ch == '\t':
			if in {
				words, w, in = append(words, string(w)), w[:0], false
			}
		default:
			if !in {
				cols, in = append(cols, i+1), true
			}
			if ch == '"' {
				quoted = i + 1
			} else {
				w = append(w, ch)
			}
		}
	}
	if in {
		words = append(words, string(w))
	}
	return words, cols, quoted
}

// AppendState writes the connections of a table as lines that LoadState reads:
// those of conntrack -o save, with the mark, the labels, the helper and what NAT
// did beside. conntrack -R reads them too, but for --helper and labels that have
// no name. Not in them: expectations and who is whose master, TCP's windows,
// moved sequence numbers, counters, times of beginning, timeout policies, ids of
// ICMP that NAT changed, and all but seconds of the timeouts. What lasts less
// than a second more is left out.
func AppendState(b []byte, tb *conntrack.Table, names *show.LabelNames, now int64) []byte {
	p := &show.Printer{Names: names}
	tb.Each(now, func(c *conntrack.Conn) bool {
		if c.Expires(now) >= second {
			b = append(p.State(b, tb, c, now), '\n')
		}
		return true
	})
	return b
}

// ParseFile reads the command lines of a file as conntrack -R does: those that
// change the table.
func ParseFile(text []byte, names *show.LabelNames) (list []*Command, bad *Failure) {
	for _, line := range strings.Split(string(text), "\n") {
		args, _, _ := splitLine(line)
		if len(args) == 0 {
			continue
		}
		c, bad := Parse(args, names)
		if bad != nil {
			return nil, bad
		}
		switch c.Verb {
		case Add, Create, Update, Delete:
		default:
			return nil, &Failure{Status: statusUsage, Text: "Cannot use command `" + args[0] + "' with --load-file", Arg: -1}
		}
		list = append(list, c)
	}
	return list, nil
}

// RunFile carries commands out one after the other until one fails; what they
// count is not told, as conntrack -R does not.
func RunFile(list []*Command, m Machine, now int64) (all Result) {
	for _, c := range list {
		r := &run{Command: c, m: m, now: now, print: *c.Printer()}
		bad := r.do()
		m.Table.Reap()
		all.Stdout = append(all.Stdout, r.res.Stdout...)
		all.Stderr = append(append(all.Stderr, c.warnings...), r.res.Stderr...)
		all.Changed = all.Changed || r.res.Changed
		if bad != nil {
			all.Stderr, all.Status = append(all.Stderr, bad.Output()...), bad.Status
			return all
		}
	}
	return all
}
