package xtables

import (
	"cmp"
	"math"
	"slices"
)

// Keeper is a Match with state of its own that it takes over from the same
// rule of the rule set before, so that a swap does not open what a limit had
// closed. (iptables-legacy starts every rule of a table anew whenever one of
// them changes.) State that has a name is found by it instead; see Binder.
type Keeper interface {
	// Keep takes over the state of a match that was written the same way. The
	// one before is not asked any more.
	Keep(before Match)
}

// spot names a rule: its table, its chain, its text, and how many rules of the
// same text stand before it in the chain.
type spot struct {
	table, chain, text string
	n                  int
}

// prepare notes what a swap has to know, so that the swap itself does not have
// to look at every rule.
func (rs *Ruleset) prepare() {
	if rs.prepared {
		return
	}
	rs.prepared = true
	rs.keepers = make(map[spot]*Rule)
	same := make(map[spot]int)
	// The order in which Linux looks at the rules of a file: table by table as
	// they stand in it, and in a table the built-in chains, then the user's by
	// name.
	tables := slices.SortedStableFunc(slices.Values(rs.Tables), func(a, b *Table) int { return cmp.Compare(a.line(), b.line()) })
	for _, t := range tables {
		chains := slices.Clone(t.Chains)
		if user := slices.IndexFunc(chains, func(c *Chain) bool { return !c.Builtin }); user >= 0 {
			slices.SortStableFunc(chains[user:], func(a, b *Chain) int { return cmp.Compare(a.Name, b.Name) })
		}
		for _, c := range chains {
			for _, r := range c.Rules {
				rs.prepareRule(t, c, r, same)
			}
		}
	}
}

// line is where a table begins in its file.
func (tb *Table) line() int {
	first := math.MaxInt
	for _, c := range tb.Chains {
		if c.Pos.Line > 0 {
			first = min(first, c.Pos.Line)
		}
		if len(c.Rules) > 0 {
			first = min(first, c.Rules[0].Pos.Line)
		}
	}
	return first
}

func (rs *Ruleset) prepareRule(t *Table, c *Chain, r *Rule, same map[spot]int) {
	keeps := false
	for i := range r.Matches {
		m := &r.Matches[i]
		if _, ok := m.Match.(Keeper); ok {
			keeps = true
		}
		if b, ok := m.Match.(Binder); ok {
			rs.binders = append(rs.binders, placed{b, m.Pos})
		}
		rs.tracks = rs.tracks || m.Ext.NeedsConntrack
		rs.defrags = rs.defrags || m.Ext.NeedsDefrag
	}
	if b, ok := r.Target.Target.(Binder); ok {
		rs.binders = append(rs.binders, placed{b, r.Target.Pos})
	}
	rs.tracks = rs.tracks || r.Target.needsConntrack()
	rs.defrags = rs.defrags || r.Target.Ext != nil && r.Target.Ext.NeedsDefrag
	if !keeps {
		return
	}
	p := spot{table: t.Name, chain: c.Name, text: string(r.Append(nil))}
	first := p
	p.n = same[first]
	same[first]++
	rs.keepers[p] = r
}

// placed is a Binder with the place to blame.
type placed struct {
	b   Binder
	pos Pos
}

// Keep takes over the state of the rules that stood in the same chain of the
// rule set before, written the same way. before must not be walked any more; nil
// is nothing.
func (rs *Ruleset) Keep(before *Ruleset) {
	if rs == nil || before == nil || rs == before {
		return
	}
	rs.prepare()
	before.prepare()
	for p, r := range rs.keepers {
		old := before.keepers[p]
		if old == nil {
			continue
		}
		for i := range r.Matches {
			if k, ok := r.Matches[i].Match.(Keeper); ok {
				k.Keep(old.Matches[i].Match)
			}
		}
	}
}
