package lint

import (
	"fmt"
	"slices"
	"strings"

	"weir/hook"
	"weir/trace"
	"weir/xtables"
)

// tries is how many packets are made until one shows a finding.
const tries = 48

// rulesOf finds the rules of a chain that no packet matches.
func (l *linter) rulesOf(c *chain) {
	for i := range c.rules {
		r := &c.rules[i]
		l.negation(c, r)
		if !r.dead() {
			continue
		}
		f := Finding{Place: l.place[r.r], Dead: true}
		switch {
		case len(r.boxes) == 0:
			l.impossible(&f, r)
		case len(r.start) == 0:
			l.unreached(&f, c, r)
		default:
			l.shadowed(&f, c, i)
		}
		l.found = append(l.found, f)
	}
}

// impossible says why no packet at all is what a rule asks for.
func (l *linter) impossible(f *Finding, r *rule) {
	f.ID, f.Reason = Impossible, "its conditions exclude each other: no packet has all that it asks for"
	for _, t := range []struct {
		test xtables.Test
		opt  string
	}{{xtables.TestSrc, "-s"}, {xtables.TestDst, "-d"}, {xtables.TestIn, "-i"}, {xtables.TestOut, "-o"}} {
		b := r.r.Base
		if b.Given &= t.test; b.Given&b.Not == 0 {
			continue
		}
		if x := (&box{}); !l.base(x, &b) {
			what := "every interface"
			if t.test <= xtables.TestDst {
				what = "every address"
			}
			f.ID, f.Reason = NegatedNever, fmt.Sprintf("\"! %s\" names %s, and nothing is left: the rule never matches", t.opt, what)
			return
		}
	}
	for i := range r.r.Matches {
		m := &r.r.Matches[i]
		one := l.describe(&xtables.Rule{Base: xtables.Base{Family: l.family}, Matches: []xtables.RuleMatch{*m}})
		if len(one.boxes) > 0 {
			continue
		}
		args := string(m.Match.AppendArgs(nil))
		f.Reason = fmt.Sprintf("no packet is what \"-m %s%s\" asks for", m.Ext.Name, args)
		if m.Ext.Name == "tcp" && strings.Contains(args, "--tcp-flags") {
			f.Reason += ": a flag has to be set that the mask leaves out"
		}
		return
	}
}

// unreached says why no packet of a rule's kind comes to its chain.
func (l *linter) unreached(f *Finding, c *chain, r *rule) {
	f.ID = Unreached
	if l.tb.Name == "nat" {
		n := &box{}
		n.limit(xtables.FieldState, newStates())
		if none(r.boxes, []box{*n}) {
			f.ID, f.Reason = NotNew, "the table nat is asked for the first packet of a connection only (NEW, RELATED), and this rule asks for another"
			return
		}
	}
	if c.c.Builtin {
		f.Reason = "no packet in " + c.c.Name + " is what it asks for"
		switch p := c.c.Point; {
		case r.r.Base.Given&xtables.TestIn != 0 && p == hook.Output:
			f.Reason += ": packets of this machine come in by no interface"
		case r.r.Base.Given&xtables.TestOut != 0 && (p == hook.Prerouting || p == hook.Input):
			f.Reason += ": it is not known yet by which interface they leave"
		}
		return
	}
	f.Reason = "no rule hands such a packet to the chain " + c.c.Name
	for _, k := range l.chains {
		for i := range k.rules {
			if k.rules[i].to == c && len(f.By) < 3 {
				f.By = append(f.By, l.place[k.rules[i].r])
			}
		}
	}
	l.show(f, c, r, r.boxes, nil)
}

// none reports that no packet is in both unions.
func none(a, b []box) bool {
	for i := range a {
		for j := range b {
			if !a[i].disjoint(&b[j]) {
				return false
			}
		}
	}
	return true
}

// shadowed says which rules take the packets of rule i.
func (l *linter) shadowed(f *Finding, c *chain, i int) {
	r := &c.rules[i]
	f.ID = Shadowed
	var takers []int
	for k := range i {
		p := &c.rules[k]
		if len(p.takes) == 0 || none(p.takes, r.start) {
			continue
		}
		if left, ok := l.lessAll(r.start, p.takes, maxBoxes); ok && len(left) == 0 && !l.changedBetween(c, k, i) {
			takers = []int{k}
			break
		}
		takers = append(takers, k)
	}
	takers = l.needed(c, r, takers)
	for _, k := range takers[:min(len(takers), 8)] {
		f.By = append(f.By, l.place[c.rules[k].r])
	}
	switch len(takers) {
	case 0:
		f.Reason = "no packet comes so far: rules before it take them all"
	case 1:
		p := &c.rules[takers[0]]
		f.Reason = fmt.Sprintf("line %d takes every packet that it could match", p.r.Pos.Line)
		if p.to != nil {
			f.Reason = fmt.Sprintf("the chain %s, called in line %d, decides about every packet that it could match", p.to.c.Name, p.r.Pos.Line)
		}
		if plain(p.r) == plain(r.r) {
			f.ID, f.Reason = Duplicate, fmt.Sprintf("line %d says the same", p.r.Pos.Line)
		}
	default:
		f.Reason = fmt.Sprintf("lines %s together take every packet that it could match", lines(f.By, len(takers)))
	}
	l.show(f, c, r, r.start, f.By)
}

// needed leaves out rules without which the others take all packets too.
func (l *linter) needed(c *chain, r *rule, takers []int) []int {
	if len(takers) > 64 {
		return takers
	}
	for n := 0; n < len(takers) && len(takers) > 1; {
		left, ok := r.start, true
		for m, k := range takers {
			if m != n && ok {
				left, ok = l.lessAll(left, c.rules[k].takes, maxBoxes)
			}
		}
		if ok && len(left) == 0 {
			takers = slices.Delete(takers, n, n+1)
		} else {
			n++
		}
	}
	return takers
}

// changedBetween reports a target in rules k to i-1 that changes packets.
func (l *linter) changedBetween(c *chain, k, i int) bool {
	for ; k < i; k++ {
		if c.rules[k].changes != 0 {
			return true
		}
	}
	return false
}

// plain is a rule without comments.
func plain(r *xtables.Rule) string {
	c := *r
	c.Matches = slices.DeleteFunc(slices.Clone(r.Matches), func(m xtables.RuleMatch) bool { return m.Ext.Name == "comment" })
	return string(c.Append(nil))
}

// lines is "3, 4 and 9".
func lines(ps []Place, all int) string {
	var b strings.Builder
	for i, p := range ps {
		switch {
		case i == 0:
		case i == len(ps)-1 && all == len(ps):
			b.WriteString(" and ")
		default:
			b.WriteString(", ")
		}
		fmt.Fprint(&b, p.Line)
	}
	if all > len(ps) {
		fmt.Fprintf(&b, " and %d more", all-len(ps))
	}
	return b.String()
}

// show looks for a packet that meets a rule's own conditions and yet is taken
// elsewhere, and adds it.
func (l *linter) show(f *Finding, c *chain, r *rule, from []box, by []Place) {
	alone := l.probe.alone(l.tb, r.r)
	ps := points(c.points)
	if alone == nil || len(ps) == 0 || len(from) == 0 {
		return
	}
	for n := range tries {
		at := ps[n%len(ps)]
		in := l.entry(l.tb.Name, at)
		b, ok := from[n/len(ps)%len(from)].meet(&in)
		if !ok {
			continue
		}
		s, ok := l.sample(&b, &l.likes, n/len(ps))
		if !ok {
			continue
		}
		if v, _, ok := l.probe.run(alone, at, &s, false); !ok || v != hook.Accept {
			continue
		}
		w, steps, ok := l.witness(at, &s)
		if !ok || matched(steps, &f.Place) {
			continue
		}
		direct := len(by) == 0
		for k := range steps {
			if p := placeOf(&steps[k]); steps[k].Match && slices.ContainsFunc(by, func(q Place) bool { return p.Chain == q.Chain && p.Rule == q.Rule }) &&
				steps[k].Verdict != "JUMP" {
				w.By, direct = &p, true
			}
		}
		if f.Packets = append(f.Packets[:0], w); direct {
			return // else another may show it better
		}
	}
}

// matched reports that a walk came to a rule and the rule took the packet.
func matched(steps []trace.Step, p *Place) bool {
	return slices.ContainsFunc(steps, func(s trace.Step) bool {
		return s.Match && s.Kind == trace.KindRule && s.Chain == p.Chain && s.Rule == p.Rule
	})
}
