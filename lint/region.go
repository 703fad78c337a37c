package lint

import (
	"strings"

	"weir/engine"
	"weir/hook"
	"weir/packet"
	"weir/xtables"
)

// Region is packets that come to one rule, or to the policy of a chain, and
// match. It may hold a few more than really come there, and no fewer as long as
// the rule is not a RETURN of a built-in chain.
type Region struct {
	Table, Chain string
	// Rule is nil for the policy.
	Rule *xtables.Rule
	// Decision is the target as iptables-save prints it; empty for a rule
	// behind which the packet goes on.
	Decision string
	// Sure: every packet in it that comes to the rule does match.
	Sure bool

	points hook.Mask
	boxes  []box
}

// Map is the regions of a rule set.
type Map struct {
	Family  packet.Family
	Regions []Region
	ids     map[string]int
}

// Regions takes a rule set apart. with, if not nil, is the map of another rule
// set of the same family whose regions are to be compared with these.
func Regions(rs *xtables.Ruleset, with *Map) *Map {
	m := &Map{Family: rs.Family, ids: map[string]int{}}
	if with != nil {
		m.ids = with.ids
	}
	for _, tb := range rs.Tables {
		t := analyze(tb, m.ids)
		for _, c := range t.chains {
			changed := fieldMask(0)
			rest, known := append([]box(nil), c.reach...), true
			for i := range c.rules {
				r := &c.rules[i]
				boxes := r.left
				if r.gaveUp {
					boxes = r.start
				}
				g := Region{Table: tb.Name, Chain: c.c.Name, Rule: r.r, Sure: r.sure, points: c.points, boxes: boxes}
				if r.mayEnd {
					g.Decision = strings.TrimPrefix(string(r.r.Target.Append(nil)), " ")
				}
				m.Regions = append(m.Regions, g)
				changed |= r.changes
				if k := r.r.Target.Kind; c.c.Builtin && known && k != xtables.KindReturn && k != xtables.KindGoto {
					var takes []box
					for n := range r.takes {
						if r.takes[n].used&changed == 0 {
							takes = append(takes, r.takes[n])
						}
					}
					var left []box
					if left, known = t.lessAll(rest, takes, maxBoxes); known {
						rest = left
					}
				}
			}
			if c.c.Builtin {
				for i := range rest {
					rest[i] = rest[i].free(changed)
				}
				d := "-j ACCEPT"
				if c.c.Policy == hook.Drop {
					d = "-j DROP"
				}
				m.Regions = append(m.Regions, Region{Table: tb.Name, Chain: c.c.Name, Decision: d, Sure: true, points: c.points, boxes: rest})
			}
		}
	}
	return m
}

// Points are the places from which packets come to the region.
func (g *Region) Points() []hook.Point { return points(g.points) }

// Meets reports that some packet may be in both.
func (g *Region) Meets(o *Region) bool { return g.points&o.points != 0 && !none(g.boxes, o.boxes) }

// Marks reports a rule that gives packets a mark, AsksMark a region whose
// packets have to have one.
func (g *Region) Marks() bool {
	return g.Rule != nil && effectOf(&g.Rule.Target).changes&maskOf(xtables.FieldMark) != 0
}

// AsksMark is explained at Marks.
func (g *Region) AsksMark() bool {
	for i := range g.boxes {
		if g.boxes[i].used&(maskOf(xtables.FieldMark)|anyTerm) != 0 {
			return true
		}
	}
	return false
}

// Elsewhere is the region's packets as they may look at the points of another
// region: with any mark, state and interfaces.
func (g *Region) Elsewhere(o *Region) *Region {
	n := *g
	n.points, n.boxes = o.points, nil
	out := maskOf(xtables.FieldMark, xtables.FieldState, xtables.FieldNAT, xtables.FieldOut) | anyTerm
	if g.points&^hook.MaskOf(hook.Prerouting) != 0 {
		out |= maskOf(xtables.FieldIn)
	}
	for i := range g.boxes {
		n.boxes = append(n.boxes, g.boxes[i].free(out))
	}
	return &n
}

// Unmarked is the region without what it asks of marks.
func (g *Region) Unmarked() *Region {
	n := *g
	n.boxes = nil
	for i := range g.boxes {
		n.boxes = append(n.boxes, g.boxes[i].free(maskOf(xtables.FieldMark)|anyTerm))
	}
	return &n
}

// Palette is values from which packets are made, best first.
type Palette struct{ likes likes }

// NewPalette knows the addresses and interfaces of a machine.
func NewPalette(m *engine.Machine, f packet.Family) *Palette { return &Palette{likesOf(m, f)} }

// Draw makes a packet of both regions, the nth of many, or of one if the other
// is nil. in and out, if given, name its interfaces, and dst are destinations
// that it should have. False if there is none.
func (m *Map) Draw(p *Palette, g, o *Region, at hook.Point, in, out string, dst []packet.Addr, n int) (Sample, bool) {
	s := &space{family: m.Family, ids: m.ids}
	table := g.Table
	b := s.entry(table, at)
	if in != "" && !b.limit(xtables.FieldIn, spans{xtables.NameSpan(in)}) || out != "" && !b.limit(xtables.FieldOut, spans{xtables.NameSpan(out)}) {
		return Sample{}, false
	}
	var fit []box
	for i := range g.boxes {
		x, ok := b.meet(&g.boxes[i])
		if !ok {
			continue
		}
		if o == nil {
			fit = append(fit, x)
			continue
		}
		for k := range o.boxes {
			if y, ok := x.meet(&o.boxes[k]); ok {
				fit = append(fit, y)
			}
		}
		if len(fit) > maxBoxes {
			break
		}
	}
	if len(fit) == 0 {
		return Sample{}, false
	}
	l := p.likes
	if len(dst) > 0 {
		l[xtables.FieldDst] = nil
		for _, a := range dst {
			l[xtables.FieldDst] = append(l[xtables.FieldDst], xtables.AddrValue(m.Family, a))
		}
	}
	return s.sample(&fit[n%len(fit)], &l, n/min(len(fit), 4))
}

// Dest is the destination of a sample.
func (s *Sample) Dest() string {
	w := strings.Fields(s.Packet)
	for i := range w {
		if w[i] == ">" && i+1 < len(w) {
			return host(w[i+1])
		}
	}
	return ""
}

// host is an address without its port.
func host(w string) string {
	if strings.HasPrefix(w, "[") {
		a, _, _ := strings.Cut(w[1:], "]")
		return a
	}
	if i := strings.LastIndexByte(w, ':'); i >= 0 && strings.Count(w, ":") == 1 {
		return w[:i]
	}
	return w
}
