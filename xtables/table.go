package xtables

import (
	"weir/hook"
	"weir/packet"
)

// Chain is a list of rules. It is immutable once its table is compiled.
type Chain struct {
	Name string
	Pos  Pos
	// Builtin marks a chain that packets enter at Point; Policy, Accept or
	// Drop, is what becomes of those that no rule decided.
	Builtin bool
	Point   hook.Point
	Policy  hook.Verdict
	Rules   []*Rule
	// Start is what the policy's counter begins with.
	Start Counter

	index int // in Table.Chains
	start int // first op
	// points from which a packet can come here
	points hook.Mask
}

// Table is the compiled chains of one table of one family. Only its counters
// change.
//
// One goroutine walks a table at a time; a target may walk it again from
// within (a REJECT whose answer passes OUTPUT). Fork makes a table for another
// goroutine.
type Table struct {
	Name   string
	Family packet.Family
	// Chains is the built-in chains in the order of their points, then the
	// user's in order of creation.
	Chains []*Chain

	entry   [hook.NumPoints]int32 // first op, -1 if the table has no such chain
	ops     []op
	wides   []wide
	devs    []device
	matches []RuleMatch
	rules   []*Rule  // by op; nil at the end of a chain
	of      []*Chain // by op
	named   bool     // some rule asks for an interface

	// What Compile makes; nothing of it changes later.
	compiled bool
	classes  []*classifier
	classOf  []int32 // by chain: index in classes, -1 for none

	counters []Counter
	// hits are what the groups of classes counted and the counters do not
	// have yet, if unsettled.
	hits      []Counter
	unsettled bool
	stack     []level
	sp        int
	depth     int // deepest nesting of jumps
	scratch   scratch
}

// TablePoints is the points at which a table has built-in chains; 0 for a name
// that is no table.
func TablePoints(name string) hook.Mask {
	switch name {
	case "raw":
		return hook.MaskOf(hook.Prerouting, hook.Output)
	case "mangle":
		return hook.MaskOf(hook.Prerouting, hook.Input, hook.Forward, hook.Output, hook.Postrouting)
	case "nat":
		return hook.MaskOf(hook.Prerouting, hook.Input, hook.Output, hook.Postrouting)
	case "filter", "security":
		return hook.MaskOf(hook.Input, hook.Forward, hook.Output)
	}
	return 0
}

// TableNames is every table in the order in which a packet meets them.
func TableNames() []string { return []string{"raw", "mangle", "nat", "filter", "security"} }

// Builtins makes the empty built-in chains of a table.
func Builtins(table string) []*Chain {
	var cs []*Chain
	for p := hook.Point(0); p < hook.NumPoints; p++ {
		if TablePoints(table).Has(p) {
			cs = append(cs, &Chain{Name: p.String(), Builtin: true, Point: p, Policy: hook.Accept})
		}
	}
	return cs
}

// Chain finds a chain by name, or nil.
func (tb *Table) Chain(name string) *Chain {
	for _, c := range tb.Chains {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// Fork is the same table with counters of its own that begin at zero, for
// another goroutine. The state of matches is shared.
func (tb *Table) Fork() *Table {
	f := *tb
	f.counters = make([]Counter, len(tb.ops))
	f.hits, f.unsettled = make([]Counter, len(tb.hits)), false
	f.stack, f.sp, f.scratch = make([]level, tb.depth), 0, scratch{}
	return &f
}

// Ruleset is the tables of one family. A table that no one loaded is absent:
// its packets pass.
type Ruleset struct {
	Family packet.Family
	// Tables is in the order of TableNames.
	Tables []*Table

	// What prepare finds.
	prepared bool
	tracks   bool
	defrags  bool
	binders  []placed
	keepers  map[spot]*Rule
}

// Table finds a table by name; nil if it was not loaded. A nil Ruleset has none.
func (rs *Ruleset) Table(name string) *Table {
	if rs == nil {
		return nil
	}
	for _, t := range rs.Tables {
		if t.Name == name {
			return t
		}
	}
	return nil
}

// Compile makes the tables fast to walk, see Table.Compile, and the rule set
// ready to be put to use at once.
func (rs *Ruleset) Compile(all bool) {
	rs.prepare()
	for _, t := range rs.Tables {
		t.Compile(all)
	}
}

// Interpret takes that back; see Table.Interpret.
func (rs *Ruleset) Interpret() {
	for _, t := range rs.Tables {
		t.Interpret()
	}
}

// NeedsConntrack reports whether loading the rules switches tracking on, as in
// Linux: a match or target asks for it. A nat table
// without such a rule does not.
func (rs *Ruleset) NeedsConntrack() bool {
	if rs == nil {
		return false
	}
	rs.prepare()
	return rs.tracks
}

// NeedsDefrag reports whether loading the rules switches defragmentation on
// without tracking.
func (rs *Ruleset) NeedsDefrag() bool {
	if rs == nil {
		return false
	}
	rs.prepare()
	return rs.defrags
}

func (t *RuleTarget) needsConntrack() bool {
	if u, ok := t.Target.(ConntrackUser); ok {
		return u.NeedsConntrack()
	}
	return t.Ext != nil && t.Ext.NeedsConntrack
}

// Bind gives the extensions the state that outlives a rule set. Call it once,
// before the first walk. Errors carry the place of the extension; nothing is
// held then.
func (rs *Ruleset) Bind(s *Shared) (errs []error) {
	if rs == nil {
		return nil
	}
	rs.prepare()
	for _, x := range rs.binders {
		if err := x.b.Bind(s); err != nil {
			errs = append(errs, At(x.pos, err))
		}
	}
	if len(errs) > 0 {
		rs.Unbind()
	}
	return errs
}

// Unbind lets go what the extensions hold. The rule set is not walked again.
func (rs *Ruleset) Unbind() {
	if rs == nil {
		return
	}
	for _, x := range rs.binders {
		if u, ok := x.b.(Unbinder); ok {
			u.Unbind()
		}
	}
}

// Fork is the rule set for another goroutine; see Table.Fork.
func (rs *Ruleset) Fork() *Ruleset {
	if rs == nil {
		return nil
	}
	f := &Ruleset{Family: rs.Family, Tables: make([]*Table, len(rs.Tables))}
	for i, t := range rs.Tables {
		f.Tables[i] = t.Fork()
	}
	return f
}

// At gives an error a place unless it has one.
func At(pos Pos, err error) *Error {
	if e, ok := err.(*Error); ok {
		if e.Pos.Line == 0 {
			return &Error{Pos: pos, Msg: e.Msg, Said: e.Said, Status: e.Status}
		}
		return e
	}
	return &Error{Pos: pos, Msg: err.Error()}
}
