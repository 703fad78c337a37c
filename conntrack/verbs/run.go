package verbs

import (
	"cmp"
	"slices"
	"strconv"

	"weir/conntrack"
	"weir/conntrack/show"
	"weir/hook"
)

// Machine is what commands work on.
type Machine struct {
	Table *conntrack.Table
	// Pages, if set, calls f with every connection in no order; it holds the
	// table for a few of them at a time. A command that Reads then needs no
	// Table, and nobody holds it for as long as a long list takes.
	Pages func(f func(tb *conntrack.Table, c *conntrack.Conn, now int64))
	// Rand chooses ports where -n and -g leave a choice.
	Rand hook.Rand
	// Helper finds a helper by name for a family and protocol; nil for none.
	Helper func(name string, t *conntrack.Tuple) (conntrack.HelperID, bool)
}

// Result is what a command did.
type Result struct {
	Stdout, Stderr []byte
	Status         int  // exit status
	Changed        bool // the table is another one now
}

// run is a command under way.
type run struct {
	*Command
	m     Machine
	now   int64
	res   Result
	shown int // entries that were shown, made, removed
	print show.Printer
	head  bool
}

// Run carries the command out at time now, ns since the Unix epoch. The caller
// has the table for itself meanwhile. Events (-E) cannot be run: see Listens.
func (c *Command) Run(m Machine, now int64) Result {
	r := &run{Command: c, m: m, now: now, print: *c.Printer()}
	r.res.Stderr = append(r.res.Stderr, c.warnings...)
	if bad := r.do(); bad != nil {
		r.res.Stderr = append(r.res.Stderr, bad.Output()...)
		r.res.Status = bad.Status
		return r.res
	}
	r.count()
	return r.res
}

// Reads reports a list of connections that changes nothing.
func (c *Command) Reads() bool {
	return c.Verb == List && c.Table == Connections && !c.opts.has(optZero)
}

// Listens reports -E: what it prints is for MatchEvent and Printer to tell.
func (c *Command) Listens() bool { return c.Verb == Events }

// Printer is how the command prints: with labels where an option named one.
func (c *Command) Printer() *show.Printer {
	p := &show.Printer{Options: c.output, Names: c.names}
	if c.opts.any(optLabel, optLabelAdd, optLabelDel) {
		p.Options |= show.Labels
	}
	return p
}

// Shown is the line that counts what was shown by -E.
func (c *Command) Shown(n int) []byte {
	word := " flow events"
	if c.Table == Expectations {
		word = " expectation events"
	}
	return append(strconv.AppendInt([]byte(banner), int64(n), 10), word+" have been shown.\n"...)
}

func failed(text string) *Failure {
	return &Failure{Status: statusFailed, Text: "Operation failed: " + text, Arg: -1}
}

func (r *run) do() *Failure {
	if r.Verb != Help && r.Verb != 0 && r.opts.any(optMaskSrc, optMaskDst) && r.Table == Connections {
		switch {
		case r.opts.has(optMaskSrc) && !r.opts.has(optSrc):
			return &Failure{Status: statusUsage, Text: "Can't use --mask-src without --src", Arg: -1}
		case r.opts.has(optMaskDst) && !r.opts.has(optDst):
			return &Failure{Status: statusUsage, Text: "Can't use --mask-dst without --dst", Arg: -1}
		}
	}
	switch r.Verb {
	case List:
		return r.list()
	case Create, Add:
		if r.Table == Expectations {
			return r.createExpect()
		}
		return r.create()
	case Update:
		return r.update()
	case Delete:
		if r.Table == Expectations {
			return r.deleteExpect()
		}
		r.remove()
	case Get:
		if r.Table == Expectations {
			return r.getExpect()
		}
		return r.get()
	case Flush:
		r.flush()
	case Events:
		return &Failure{Status: statusFailed, Text: "Can't open handler", Arg: -1}
	case Count:
		n := r.m.Table.Len()
		if r.Table == Expectations {
			n = r.m.Table.Expects()
		}
		r.res.Stdout = append(strconv.AppendInt(nil, int64(n), 10), '\n')
	case Stats:
		r.res.Stdout = append(show.AppendStats(nil, r.m.Table.Stats()), '\n')
		if r.Table == Expectations {
			r.res.Stdout = append(show.AppendExpectStats(nil, r.m.Table.Stats()), '\n')
		}
	case Version:
		r.res.Stdout = []byte("conntrack v1.4.7 (conntrack-tools)\n")
	default:
		r.res.Stdout = append(r.res.Stdout, usage...)
	}
	return nil
}

// count says how many entries there were, and ends with 1 where none is a
// failure.
func (r *run) count() {
	word := ""
	switch {
	case r.Table == Expectations && (r.Verb == List || r.Verb == Delete):
		word = " expectations have been shown.\n"
	case r.Table == Expectations:
	case r.Verb == List || r.Verb == Get:
		word = " flow entries have been shown.\n"
	case r.Verb == Create:
		word = " flow entries have been created.\n"
	case r.Verb == Add:
		word = " flow entries have been added.\n"
	case r.Verb == Update:
		word = " flow entries have been updated.\n"
	case r.Verb == Delete:
		word = " flow entries have been deleted.\n"
	}
	if word == "" {
		return
	}
	r.res.Stderr = append(strconv.AppendInt(append(r.res.Stderr, banner...), int64(r.shown), 10), word...)
	if r.shown == 0 && r.Verb != List && r.Verb != Add {
		r.res.Status = statusFailed
	}
}

// line adds a line, with what stands before the first.
func (r *run) line(word string, f func(b []byte) []byte) {
	if !r.head {
		r.head = true
		r.res.Stdout = append(r.res.Stdout, r.print.Head(word)...)
	}
	r.res.Stdout = append(f(r.res.Stdout), '\n')
	r.shown++
}

func (r *run) list() *Failure {
	tb := r.m.Table
	if r.Table == Expectations {
		tb.EachExpect(func(e *conntrack.Expect) bool {
			if r.family == 0 || e.Tuple.L3 == r.family {
				r.line("expect", func(b []byte) []byte { return r.print.Expect(b, tb, e, r.now) })
			}
			return true
		})
		if r.head {
			r.res.Stdout = append(r.res.Stdout, r.print.Tail("expect")...)
		}
		return nil
	}
	if r.Table != Connections {
		return nil // between packets there are none
	}
	if r.compares() && r.opts.has(optZero) {
		return &Failure{Status: statusUsage, Text: "Can't use -z with filtering parameters", Arg: -1}
	}
	mask := r.statusMask
	if mask == 0 {
		mask = r.ct.status
	}
	if r.opts.has(optStatus) && mask == 0 {
		return failed("invalid parameters")
	}
	if r.m.Pages != nil && r.Reads() {
		r.pages(mask)
		return nil
	}
	tb.Each(r.now, func(c *conntrack.Conn) bool {
		if c.Status&mask != r.ct.status || !r.Match(tb, c, r.now) {
			return true
		}
		r.line("conntrack", func(b []byte) []byte { return r.print.Entry(b, tb, c, r.now) })
		if r.opts.has(optZero) {
			tb.ZeroCounters(c)
			r.res.Changed = true
		}
		return true
	})
	if r.head {
		r.res.Stdout = append(r.res.Stdout, r.print.Tail("conntrack")...)
	}
	return nil
}

// pages is list without holding the table: what was read in any order is put
// into the order in which the connections were made.
func (r *run) pages(mask conntrack.Status) {
	type row struct {
		seq      uint64
		from, to int
	}
	var rows []row
	var text []byte
	r.m.Pages(func(tb *conntrack.Table, c *conntrack.Conn, now int64) {
		if c.Status&mask == r.ct.status && r.Match(tb, c, now) {
			from := len(text)
			text = r.print.Entry(text, tb, c, now)
			rows = append(rows, row{c.Seq, from, len(text)})
		}
	})
	slices.SortFunc(rows, func(a, b row) int { return cmp.Compare(a.seq, b.seq) })
	r.res.Stdout = slices.Grow(r.res.Stdout, len(text)+len(rows)+64)
	for _, x := range rows {
		r.line("conntrack", func(b []byte) []byte { return append(b, text[x.from:x.to]...) })
	}
	if r.head {
		r.res.Stdout = append(r.res.Stdout, r.print.Tail("conntrack")...)
	}
}

func (r *run) remove() {
	tb := r.m.Table
	n := tb.Delete(r.now, func(c *conntrack.Conn) bool {
		if c.Has(conntrack.NATClash) || !r.Match(tb, c, r.now) {
			return false
		}
		// The head of XML is not written here, as in the original.
		r.res.Stdout = append(r.print.Gone(r.res.Stdout, tb, c, r.now), '\n')
		return true
	})
	r.shown = n
	r.res.Changed = r.res.Changed || n > 0
}

func (r *run) get() *Failure {
	tb := r.m.Table
	o := r.tuples()[conntrack.Original]
	if !r.ct.has(fOrigSrc) || !r.ct.has(fOrigDst) || r.foreign() {
		return failed("invalid parameters")
	}
	c, _ := tb.Lookup(&o, r.now)
	if c == nil {
		return failed("such conntrack doesn't exist")
	}
	if x := listed(tb, c, r.now); r.matches(&x) {
		r.line("conntrack", func(b []byte) []byte { return r.print.Got(b, tb, c, r.now) })
	}
	return nil
}

func (r *run) flush() {
	tb := r.m.Table
	r.res.Changed = true
	if r.Table == Expectations {
		tb.FlushExpects(r.now)
		r.res.Stderr = append(r.res.Stderr, banner+"expectation table has been emptied.\n"...)
		return
	}
	// A family is accepted and does not count, as in Linux.
	tb.Flush(r.now)
	r.res.Stderr = append(r.res.Stderr, banner+"connection tracking table has been emptied.\n"...)
}
