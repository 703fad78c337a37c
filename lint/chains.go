package lint

import (
	"fmt"
	"slices"
	"strings"

	"weir/hook"
	"weir/xtables"
)

// unused finds chains that no packet can come to, because nobody calls them.
func (l *linter) unused() {
	callers := map[string]int{}
	for _, c := range l.tb.Chains {
		for _, r := range c.Rules {
			if r.Target.Kind == xtables.KindJump || r.Target.Kind == xtables.KindGoto {
				callers[r.Target.Name]++
			}
		}
	}
	for _, c := range l.tb.Chains {
		if l.byName[c.Name].called || c.Builtin {
			continue
		}
		f := Finding{ID: Unused, Place: Place{File: c.Pos.File, Line: c.Pos.Line, Col: c.Pos.Col, Chain: c.Name},
			Reason: "no rule leads to this chain"}
		if callers[c.Name] > 0 {
			f.Reason = "only chains that are not used lead to this chain"
		}
		switch n := len(c.Rules); {
		case n == 1:
			f.Reason += "; its rule does nothing"
		case n > 1:
			f.Reason += fmt.Sprintf("; its %d rules do nothing", n)
		}
		l.found = append(l.found, f)
	}
}

// returns finds jumps to chains in which nothing happens, once a chain.
func (l *linter) returns() {
	jumps := map[*chain][]Place{}
	for _, c := range l.chains {
		if c.idle && !c.c.Builtin || len(c.reach) == 0 {
			continue // the jump to this one is spoken of
		}
		for i := range c.rules {
			if r := &c.rules[i]; r.to != nil && r.to.idle && r.r.Target.Kind == xtables.KindJump && !r.dead() {
				jumps[r.to] = append(jumps[r.to], l.place[r.r])
			}
		}
	}
	for _, c := range l.chains {
		at := jumps[c]
		if len(at) == 0 {
			continue
		}
		why := "is empty"
		if len(c.rules) > 0 {
			why = "does nothing but return"
		}
		slices.SortFunc(at, func(a, b Place) int { return a.Line - b.Line })
		l.found = append(l.found, Finding{ID: Returns, Place: at[0], By: at[1:],
			Reason: fmt.Sprintf("the chain %s %s: every packet comes back as it was", c.c.Name, why)})
	}
}

// duplicates finds rules that say what an earlier rule of their chain said,
// though both are reached: what is not dead because of that.
func (l *linter) duplicates(c *chain) {
	seen := map[string]int{}
	for i := range c.rules {
		r := &c.rules[i]
		if r.dead() || !r.sure {
			continue
		}
		text := plain(r.r)
		k, ok := seen[text]
		seen[text] = i
		if !ok || l.changedBetween(c, k, i) {
			continue
		}
		f := Finding{ID: Duplicate, Place: l.place[r.r], By: []Place{l.place[c.rules[k].r]},
			Reason: fmt.Sprintf("line %d says the same", c.rules[k].r.Pos.Line)}
		switch {
		case r.to != nil && r.to.idle:
			continue
		case r.r.Target.Kind == xtables.KindNone:
			f.Reason += ": both count the same packets"
		case r.to != nil:
			f.Reason += fmt.Sprintf(": what comes back from %s goes there a second time", r.to.c.Name)
		default:
			f.Reason += ": it is done to the same packets twice"
		}
		l.found = append(l.found, f)
	}
}

// pairs finds two rules of which each makes an exception from the same, so
// that together they make none.
func (l *linter) pairs(c *chain) {
	tests := []struct {
		test  xtables.Test
		field xtables.Field
		opt   string
	}{
		{xtables.TestSrc, xtables.FieldSrc, "-s"}, {xtables.TestDst, xtables.FieldDst, "-d"}, {xtables.TestIn, xtables.FieldIn, "-i"},
		{xtables.TestOut, xtables.FieldOut, "-o"}, {xtables.TestProto, xtables.FieldProto, "-p"},
	}
	for _, t := range tests {
		seen := map[string][]int{} // the rules with this exception, by what else they say
		for i := range c.rules {
			r := &c.rules[i]
			if r.r.Base.Given&r.r.Base.Not&t.test == 0 || r.dead() || !r.sure || !r.ends || len(r.boxes) != 1 {
				continue
			}
			rest := *r.r
			rest.Base.Given &^= t.test
			rest.Base.Not &^= t.test
			text := plain(&rest)
			for _, k := range seen[text] {
				p := &c.rules[k]
				all := xtables.Domain(t.field, l.family)
				gap := spans{all}.less(r.boxes[0].f[t.field], all).less(p.boxes[0].f[t.field], all)
				if len(gap) > 0 || l.changedBetween(c, k, i) {
					continue
				}
				f := Finding{ID: NegatedPair, Place: l.place[r.r], By: []Place{l.place[p.r]},
					Reason: fmt.Sprintf("what \"! %s\" leaves out here, line %d takes: together the two rules make no exception", t.opt, p.r.Pos.Line)}
				l.show2(&f, c, r, p, t.field)
				l.found = append(l.found, f)
				break
			}
			seen[text] = append(seen[text], i)
		}
	}
}

// show2 adds a packet of each exception, which the other rule takes.
func (l *linter) show2(f *Finding, c *chain, r, p *rule, field xtables.Field) {
	ps := points(c.points)
	for _, x := range []*rule{r, p} {
		b := x.boxes[0]
		all := xtables.Domain(field, l.family)
		b.f[field] = spans{all}.less(b.f[field], all)
		for n := range tries {
			at := ps[n%len(ps)]
			in := l.entry(l.tb.Name, at)
			m, ok := b.meet(&in)
			if !ok {
				continue
			}
			s, ok := l.sample(&m, &l.likes, n/len(ps))
			if !ok {
				continue
			}
			w, steps, ok := l.witness(at, &s)
			other := l.place[r.r]
			if x == r {
				other = l.place[p.r]
			}
			if ok && matched(steps, &other) {
				f.Packets = append(f.Packets, w)
				break
			}
		}
	}
}

// negation finds a "!" that is always true.
func (l *linter) negation(c *chain, r *rule) {
	b := &r.r.Base
	not := b.Given & b.Not
	switch {
	case not&xtables.TestIn != 0 && c.points == hook.MaskOf(hook.Output):
		l.found = append(l.found, Finding{ID: NegatedAlways, Place: l.place[r.r],
			Reason: "\"! -i\" is true for every packet here: packets of this machine come in by no interface"})
	case not&xtables.TestOut != 0 && c.points != 0 && c.points&^hook.MaskOf(hook.Prerouting, hook.Input) == 0:
		l.found = append(l.found, Finding{ID: NegatedAlways, Place: l.place[r.r],
			Reason: "\"! -o\" is true for every packet here: it is not known yet by which interface they leave"})
	}
	for i := range r.r.Matches {
		m := &r.r.Matches[i]
		d, ok := m.Match.(xtables.Describer)
		if !ok || m.Ext.Name != "tcp" || !negatesFlags(m) {
			continue
		}
		boxes, _ := d.Describe()
		for _, f := range boxes[0].Fields {
			if f.Field == xtables.FieldTCPFlags && len(f.Spans) == 1 && f.Spans[0] == xtables.Num(0, 63) {
				l.found = append(l.found, Finding{ID: NegatedAlways, Place: l.place[r.r],
					Reason: "\"! --tcp-flags\" is true for every segment: a flag would have to be set that the mask leaves out"})
			}
		}
	}
}

func negatesFlags(m *xtables.RuleMatch) bool {
	return strings.Contains(string(m.Match.AppendArgs(nil)), "! --tcp-flags")
}
