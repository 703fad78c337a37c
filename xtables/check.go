package xtables

import (
	"strings"

	"weir/hook"
)

// check is what Linux asks of a table when it is loaded
// (net/netfilter/x_tables.c xt_check_match, xt_check_target;
// net/ipv4/netfilter/ip_tables.c mark_source_chains).
func (tb *Table) check(byName map[string]*Chain) (errs []error) {
	if TablePoints(tb.Name) == 0 {
		return []error{errAt(Pos{}, "no table %q", tb.Name)}
	}
	for _, c := range tb.Chains {
		for _, r := range c.Rules {
			if r.Target.Kind != KindJump && r.Target.Kind != KindGoto {
				continue
			}
			to := byName[r.Target.Name]
			switch {
			case to == nil:
				errs = append(errs, errAt(r.Target.Pos, "no chain %q in table %s", r.Target.Name, tb.Name))
			case to.Builtin:
				errs = append(errs, errAt(r.Target.Pos, "%s is a built-in chain: no rule can jump there", to.Name))
			}
		}
	}
	if len(errs) > 0 {
		return errs
	}
	live := tb.reach(byName)
	g := &graph{tb: tb, byName: byName, depth: make([]int, len(tb.Chains)), state: make([]uint8, len(tb.Chains)), live: live}
	for _, c := range tb.Chains {
		if c.Builtin {
			tb.depth = max(tb.depth, g.visit(c))
		}
	}
	errs = append(errs, g.errs...)
	for _, c := range tb.Chains {
		for i, r := range c.Rules {
			points := c.points
			if i >= live[c.index] {
				points = 0 // behind a rule that lets nothing pass
			}
			errs = tb.checkRule(errs, c, r, points)
		}
	}
	return errs
}

// reach finds the points from which each chain can be entered, and how many of
// its rules a packet can come to: an unconditional verdict hides the rest.
func (tb *Table) reach(byName map[string]*Chain) (live []int) {
	live = make([]int, len(tb.Chains))
	var todo []*Chain
	for i, c := range tb.Chains {
		live[i] = len(c.Rules)
		for k, r := range c.Rules {
			switch r.Target.Kind {
			case KindAccept, KindDrop, KindQueue, KindReturn:
				if r.Unconditional() {
					live[i] = k + 1
				}
			}
			if live[i] == k+1 {
				break
			}
		}
		c.points = 0
		if c.Builtin {
			c.points = hook.MaskOf(c.Point)
			todo = append(todo, c)
		}
	}
	for len(todo) > 0 {
		c := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, r := range c.Rules[:live[c.index]] {
			if r.Target.Kind != KindJump && r.Target.Kind != KindGoto {
				continue
			}
			if to := byName[r.Target.Name]; c.points&^to.points != 0 {
				to.points |= c.points
				todo = append(todo, to)
			}
		}
	}
	return live
}

// graph looks for loops and the deepest nesting. Chains that no packet reaches
// may loop, as in Linux.
type graph struct {
	tb     *Table
	byName map[string]*Chain
	live   []int
	depth  []int   // jumps below the chain, once done
	state  []uint8 // 0 new, 1 on the way, 2 done
	errs   []error
}

// frame is a chain on the way of visit.
type frame struct {
	c    *Chain
	rule int
}

// visit returns how many jumps deep the chain leads. It keeps its own stack:
// rule sets nest chains thousands deep.
func (g *graph) visit(root *Chain) int {
	if g.state[root.index] == 2 {
		return g.depth[root.index]
	}
	g.state[root.index] = 1
	path := []frame{{c: root}}
	for len(path) > 0 {
		f := &path[len(path)-1]
		i := f.c.index
		if f.rule == g.live[i] {
			g.state[i] = 2
			path = path[:len(path)-1]
			continue
		}
		r := f.c.Rules[f.rule]
		if r.Target.Kind != KindJump && r.Target.Kind != KindGoto {
			f.rule++
			continue
		}
		to := g.byName[r.Target.Name]
		switch g.state[to.index] {
		case 0:
			g.state[to.index] = 1
			path = append(path, frame{c: to})
			continue
		case 1:
			g.errs = append(g.errs, errAt(r.Target.Pos, "loop of chains: %s", loopText(path, to)))
		default:
			d := g.depth[to.index]
			if r.Target.Kind == KindJump {
				d++
			}
			g.depth[i] = max(g.depth[i], d)
		}
		f.rule++
	}
	return g.depth[root.index]
}

func loopText(path []frame, to *Chain) string {
	var s []string
	for i := range path {
		if path[i].c == to || len(s) > 0 {
			s = append(s, path[i].c.Name)
		}
	}
	return strings.Join(append(s, to.Name), " -> ")
}

// checkRule checks the restrictions of a rule's extensions.
func (tb *Table) checkRule(errs []error, c *Chain, r *Rule, points hook.Mask) []error {
	if len(r.Matches) == 0 && r.Target.Kind != KindExt {
		return errs
	}
	ctx := Context{Family: tb.Family, Table: tb.Name, Chain: c.Name, Proto: r.Base.Proto,
		ProtoInvert: r.Base.Not&TestProto != 0, Points: points, Rule: r}
	for i := range r.Matches {
		m := &r.Matches[i]
		if err := allowed(&ctx, "-m "+m.Ext.Name, m.Ext.Protos, m.Ext.Tables, m.Ext.Points); err != nil {
			errs = append(errs, At(m.Pos, err))
		} else if m.Ext.Check != nil {
			if err := m.Ext.Check(&ctx, m.Match); err != nil {
				errs = append(errs, At(m.Pos, err))
			}
		}
	}
	if e := r.Target.Ext; e != nil {
		if err := allowed(&ctx, "-j "+e.Name, e.Protos, e.Tables, e.Points); err != nil {
			errs = append(errs, At(r.Target.Pos, err))
		} else if e.Check != nil {
			if err := e.Check(&ctx, r.Target.Target); err != nil {
				errs = append(errs, At(r.Target.Pos, err))
			}
		}
	}
	return errs
}

// allowed says whether an extension may stand where it stands.
func allowed(c *Context, what string, protos []uint8, tables []string, points hook.Mask) error {
	if len(tables) > 0 && !contains(tables, c.Table) {
		return errAt(Pos{}, "%s works in table %s only, not in %s", what, strings.Join(tables, " or "), c.Table)
	}
	if points != 0 && c.Points&^points != 0 {
		return errAt(Pos{}, "%s works in %s only; this rule is reached from %s", what, pointList(points), pointList(c.Points&^points))
	}
	if len(protos) == 0 {
		return nil
	}
	for _, p := range protos {
		if p == c.Proto && !c.ProtoInvert {
			return nil
		}
	}
	return errAt(Pos{}, "%s needs -p %s", what, protoList(protos))
}

func contains(l []string, s string) bool {
	for _, x := range l {
		if x == s {
			return true
		}
	}
	return false
}

func pointList(m hook.Mask) string {
	var s []string
	for p := hook.Point(0); p < hook.NumPoints; p++ {
		if m.Has(p) {
			s = append(s, p.String())
		}
	}
	return strings.Join(s, ", ")
}

func protoList(protos []uint8) string {
	var s []string
	for _, p := range protos {
		s = append(s, string(appendProto(nil, p)))
	}
	return strings.Join(s, " or ")
}
