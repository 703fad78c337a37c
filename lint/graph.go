package lint

import (
	"slices"

	"weir/conntrack"
	"weir/hook"
	"weir/xtables"
)

// Bounds of the search. Beyond them nothing is claimed.
const (
	maxBoxes = 256       // boxes that a set of packets is taken apart into
	maxEnds  = 512       // boxes that a chain is sure to keep
	maxWork  = 200 << 20 // pairs of boxes that are compared in a table
)

// table is a table with what is known of its chains.
type table struct {
	space
	tb     *xtables.Table
	chains []*chain // those that packets can come to, callers first
	byName map[string]*chain
	work   int
}

// chain is what is known of a chain.
type chain struct {
	c     *xtables.Chain
	rules []rule
	gists []gist // of rules
	// reach holds every packet that comes to the chain; none: no packet does.
	reach []box
	// ends are packets that, having come to the chain, are sure not to come
	// back to the caller.
	ends []box
	// changes are the fields that the chain may change.
	changes fieldMask
	// idle: nothing in the chain does anything but return.
	idle bool
	// called: a built-in chain leads here.
	called bool
	state  uint8
	points hook.Mask // from where packets come
}

// rule is what is known of a rule.
type rule struct {
	r *xtables.Rule
	cond
	effect
	to *chain // of a jump
	// takes are packets that are sure not to come to the next rule of the
	// chain when they come to this one.
	takes []box
	// start are the packets that could match, come what may before; left those
	// of them that no earlier rule is sure to take. given up: not known.
	start, left []box
	gaveUp      bool
}

// dead reports a rule that no packet matches.
func (r *rule) dead() bool { return len(r.left) == 0 && !r.gaveUp }

// newStates are the states of packets that are shown to the table nat.
func newStates() spans {
	n, r := uint64(conntrack.StateNew), uint64(conntrack.StateRelated)
	return spans{xtables.Num(n, n), xtables.Num(r, r)}
}

// analyze learns all there is to know of a table. ids numbers the terms.
func analyze(tb *xtables.Table, ids map[string]int) *table {
	t := &table{space: space{family: tb.Family, ids: ids}, tb: tb, byName: map[string]*chain{}}
	for _, c := range tb.Chains {
		ch := &chain{c: c}
		for _, r := range c.Rules {
			ch.rules = append(ch.rules, rule{r: r, effect: effectOf(&r.Target)})
		}
		t.byName[c.Name] = ch
	}
	var order []*chain // callees first
	for _, c := range tb.Chains {
		if c.Builtin {
			order = t.visit(order, t.byName[c.Name])
		}
	}
	for i := len(order) - 1; i >= 0; i-- {
		t.chains = append(t.chains, order[i])
	}
	for _, c := range t.chains {
		if c.c.Builtin {
			c.reach, c.points = []box{t.entry(tb.Name, c.c.Point)}, hook.MaskOf(c.c.Point)
		}
		t.enter(c)
	}
	return t
}

// frame is a chain on the way of visit.
type frame struct {
	c    *chain
	rule int
}

// visit appends the chains below c and c, callees first.
func (t *table) visit(order []*chain, c *chain) []*chain {
	if c.state != 0 {
		return order
	}
	c.state = 1
	path := []frame{{c: c}}
	for len(path) > 0 {
		f := &path[len(path)-1]
		if f.rule == len(f.c.rules) {
			f.c.state, f.c.called = 2, true
			t.sum(f.c)
			order = append(order, f.c)
			path = path[:len(path)-1]
			continue
		}
		r := &f.c.rules[f.rule]
		f.rule++
		if r.r.Target.Kind != xtables.KindJump && r.r.Target.Kind != xtables.KindGoto {
			continue
		}
		r.to = t.byName[r.r.Target.Name]
		if r.to.state == 0 {
			r.to.state = 1
			path = append(path, frame{c: r.to})
		}
	}
	return order
}

// sum finds what the chain is sure to do. All that it calls was seen before,
// but for chains on the way, which can only be behind a rule that lets nothing
// pass: of those everything is possible.
func (t *table) sum(c *chain) {
	c.idle = true
	var away []box // may have left the chain without an end
	closed := false
	for i := range c.rules {
		r := &c.rules[i]
		r.cond = t.describe(r.r)
		var ending []box
		switch kind := r.r.Target.Kind; kind {
		case xtables.KindJump, xtables.KindGoto:
			if r.to.state != 2 {
				r.changes, c.idle = allFields, false
				break
			}
			r.changes = r.to.changes
			c.idle = c.idle && r.to.idle && r.silent()
			if r.sure {
				ending, _ = meetAll(r.boxes, r.to.ends, maxBoxes)
			}
			r.takes = ending
			if kind == xtables.KindGoto {
				r.takes = nil
				if r.sure {
					r.takes = r.boxes
				}
			}
		case xtables.KindReturn:
			if r.sure {
				r.takes = r.boxes
			}
			c.idle = c.idle && r.silent()
		default:
			c.idle = false // a rule without a target counts on purpose
			if r.sure && r.ends {
				r.takes, ending = r.boxes, r.boxes
			}
		}
		if !c.c.Builtin && !closed {
			closed = t.addEnds(c, ending, away)
		}
		if k := r.r.Target.Kind; k == xtables.KindReturn || k == xtables.KindGoto {
			away = append(away, r.boxes...)
		}
		c.changes |= r.changes
	}
}

// silent reports matches of which nobody notices that they are asked.
func (r *rule) silent() bool {
	for i := range r.r.Matches {
		if _, ok := r.r.Matches[i].Match.(xtables.Describer); !ok {
			return false
		}
	}
	return true
}

// addEnds adds packets that end in a chain, less those that may have left it
// before. It reports that no others are left or that it has enough.
func (t *table) addEnds(c *chain, ending, away []box) (closed bool) {
	for i := range ending {
		if ending[i].used&c.changes != 0 {
			continue // something else may stand there by now
		}
		list, ok := t.lessAll([]box{ending[i]}, away, maxBoxes)
		if !ok || len(c.ends)+len(list) > maxEnds {
			continue
		}
		c.ends = append(c.ends, list...)
		if ending[i].used == 0 && len(away) == 0 {
			c.ends = []box{{}}
			return true
		}
	}
	return false
}

// gist is the field of a rule's takes that leaves out most, for a quick look.
type gist struct {
	field  xtables.Field
	ok     bool
	lo, hi xtables.Value
}

// gistOf looks at rules that take one box.
func gistOf(r *rule) (g gist) {
	if len(r.takes) != 1 {
		return g
	}
	for _, f := range []xtables.Field{xtables.FieldDst, xtables.FieldSrc, xtables.FieldDstPort, xtables.FieldSrcPort, xtables.FieldState, xtables.FieldIn, xtables.FieldOut} {
		s := r.takes[0].f[f]
		if len(s) == 0 {
			continue
		}
		n := gist{f, true, s[0].Lo, s[len(s)-1].Hi}
		if n.lo == n.hi {
			return n
		}
		if !g.ok {
			g = n
		}
	}
	return g
}

// misses reports that a box is not concerned.
func (g *gist) misses(b *box) bool {
	if !g.ok {
		return false
	}
	s := b.f[g.field]
	return len(s) > 0 && (s[0].Lo.Cmp(g.hi) > 0 || s[len(s)-1].Hi.Cmp(g.lo) < 0)
}

func (g *gist) missesAll(list []box) bool {
	if !g.ok {
		return false
	}
	for i := range list {
		if !g.misses(&list[i]) {
			return false
		}
	}
	return true
}

// enter finds what comes to the rules of a chain of which reach is known, and
// to the chains that they call.
func (t *table) enter(c *chain) {
	changed := fieldMask(0)
	for i := range c.rules {
		c.gists = append(c.gists, gistOf(&c.rules[i]))
	}
	for i := range c.rules {
		r := &c.rules[i]
		for k := range c.reach {
			b := c.reach[k].free(changed)
			for j := range r.boxes {
				if x, ok := b.meet(&r.boxes[j]); ok {
					r.start = append(r.start, x)
				}
			}
		}
		if len(r.start) > maxBoxes {
			r.gaveUp = true
		} else if r.to == nil && t.alive(c, i, r.start) {
			r.left = r.start
		} else {
			r.left, r.gaveUp = t.residue(c, i, r.start)
		}
		changed |= r.changes
		if r.to != nil {
			r.to.come(c, r)
		}
	}
}

// come adds the packets of a jump to those that come to the chain.
func (c *chain) come(caller *chain, r *rule) {
	from := r.left
	if !r.dead() {
		c.points |= caller.points
	}
	if r.gaveUp {
		from = r.boxes
	}
	c.reach = append(c.reach, from...)
	if len(c.reach) > maxBoxes {
		c.reach = []box{{}}
	}
}

// residue is what is left of packets at rule i after those that the rules
// before it are sure to take.
func (t *table) residue(c *chain, i int, start []box) (left []box, gaveUp bool) {
	left = start
	changed := fieldMask(0)
	for k := i - 1; k >= 0 && len(left) > 0; k-- {
		p := &c.rules[k]
		if p.changes == 0 && (len(p.takes) == 0 || c.gists[k].missesAll(left)) {
			continue
		}
		if p.changes != 0 && meetsAny(p.boxes, start, changed|p.changes) {
			changed |= p.changes // it may concern these packets
		}
		takes := p.takes
		if changed != 0 {
			takes = nil
			for n := range p.takes {
				if p.takes[n].used&changed == 0 {
					takes = append(takes, p.takes[n])
				}
			}
		}
		if t.work += len(takes) * len(left); t.work > maxWork {
			return nil, true
		}
		var ok bool
		if left, ok = t.lessAll(left, takes, maxBoxes); !ok {
			return nil, true
		}
	}
	return left, false
}

// alive looks for a packet at rule i that no earlier rule is sure to take: most
// rules have one that is found at once.
func (t *table) alive(c *chain, i int, start []box) bool {
	for n := range start {
		for _, low := range []bool{true, false} {
			p := t.corner(&start[n], low)
			k := 0
			for ; k < i; k++ {
				if c.gists[k].misses(&p) {
					continue
				}
				if t.work += len(c.rules[k].takes); inAny(c.rules[k].takes, &p) {
					break
				}
			}
			if k == i {
				return true
			}
		}
	}
	return false
}

// corner is one packet of b, with the least or the greatest value of each
// field.
func (t *table) corner(b *box, low bool) box {
	p := *b
	for f := range p.f {
		s := p.f[f]
		if s == nil {
			s = spans{xtables.Domain(xtables.Field(f), t.family)}
		}
		v := s[len(s)-1].Hi
		if low {
			v = s[0].Lo
		}
		p.f[f] = spans{{Lo: v, Hi: v}}
	}
	p.used = allFields
	return p
}

// inAny reports that one of the boxes has the packet p. Of terms that p does
// not have it is told "no".
func inAny(list []box, p *box) bool {
	for i := range list {
		b := &list[i]
		in := !b.disjoint(p)
		for _, t := range b.terms {
			in = in && (t.not || slices.Contains(p.terms, t))
		}
		if in {
			return true
		}
	}
	return false
}

// meetsAny reports a packet of both unions, whatever it has in the fields of
// the mask.
func meetsAny(a, b []box, m fieldMask) bool {
	for i := range a {
		x := a[i].free(m)
		for j := range b {
			if y := b[j].free(m); !x.disjoint(&y) {
				return true
			}
		}
	}
	return false
}
