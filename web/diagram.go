package web

import (
	"fmt"
	"html"
	"html/template"
	"strings"

	"weir/control"
)

// diagram is the hooks with their counters. It is laid out by hand, once for
// wide screens and once for narrow ones.
type diagram struct {
	conns, rx, tx string
	drops         map[string]uint64
	tables        map[string]load // by table and chain
}

// load is what a table does at a hook.
type load struct {
	rules int
	hits  uint64 // packets that rules of its own and its policy decided
	// policy and rule are those among them that were dropped.
	policy, rule uint64
}

func newDiagram(st *control.Status, chains []control.Chain) *diagram {
	d := &diagram{conns: num(uint64(st.Connections)), drops: map[string]uint64{}, tables: map[string]load{}}
	var rx, tx uint64
	for _, x := range st.Devices {
		rx += x.RxPackets
		tx += x.TxPackets
	}
	d.rx, d.tx = num(rx), num(tx)
	for _, c := range st.Drops {
		d.drops[c.Name] = c.Count
	}
	for _, c := range chains {
		if c.Policy == "" {
			continue
		}
		l := d.tables[c.Table+" "+c.Name]
		l.rules += len(c.Rules)
		l.hits += c.Packets
		if c.Policy == "DROP" {
			l.policy += c.Packets
		}
		for _, r := range c.Rules {
			switch r.Target {
			case "DROP", "REJECT":
				l.rule += r.Packets
				l.hits += r.Packets
			case "ACCEPT", "DNAT", "SNAT", "MASQUERADE", "REDIRECT", "NETMAP", "QUEUE", "NFQUEUE", "TPROXY":
				l.hits += r.Packets
			}
		}
		d.tables[c.Table+" "+c.Name] = l
	}
	return d
}

// box is a node of the drawing.
type box struct {
	title, class string
	x, y, w      int
	rows         []boxRow
}

// boxRow is a function of a hook, or a drop.
type boxRow struct{ name, value, class, tip string }

const rowHeight, headHeight = 22, 30

func (b *box) h() int { return headHeight + len(b.rows)*rowHeight + 8 }

// midX, midY and so on are where lines meet the box.
func (b *box) midX() int  { return b.x + b.w/2 }
func (b *box) midY() int  { return b.y + b.h()/2 }
func (b *box) right() int { return b.x + b.w }
func (b *box) foot() int  { return b.y + b.h() }

// hook makes the box of a hook: names are its functions in order, tables among
// them with a counter.
func (d *diagram) hook(title, class string, names ...string) *box {
	b := &box{title: title, class: class, w: 196}
	for _, n := range names {
		table := strings.Fields(n)[0]
		switch table {
		case "defrag":
			b.rows = append(b.rows, boxRow{n, "", "own", ""})
			d.lost(b, "frag-overlap", "frag-bad", "frag-timeout", "frag-memory")
		case "conntrack":
			b.rows = append(b.rows, boxRow{n, d.conns, "own", d.conns + " connections"})
			if title == "PREROUTING" {
				d.lost(b, "table-full", "tracker", "clash", "dying", "helper")
			}
		case "confirm":
			b.rows = append(b.rows, boxRow{n, "", "own", ""})
		default:
			l, ok := d.tables[table+" "+title]
			r := boxRow{n, "–", "table", "not loaded"}
			if ok {
				r.value = num(l.hits)
				r.tip = fmt.Sprintf("%d rules; %s packets decided in this chain, its policy included", l.rules, digits(l.hits))
			}
			b.rows = append(b.rows, r)
			if l.policy > 0 {
				b.rows = append(b.rows, boxRow{"✕ policy", num(l.policy), "drop", digits(l.policy) + " packets dropped by the policy"})
			}
			if l.rule > 0 {
				b.rows = append(b.rows, boxRow{"✕ rules", num(l.rule), "drop", digits(l.rule) + " packets dropped or rejected by rules of this chain"})
			}
		}
	}
	return b
}

// place makes the box of something that is no hook.
func place(title string, rows ...boxRow) *box {
	return &box{title: title, class: "place", w: 150, rows: rows}
}

// lost adds the drops of some reasons to a box.
func (d *diagram) lost(b *box, reasons ...string) {
	for _, r := range reasons {
		if n := d.drops[r]; n > 0 {
			b.rows = append(b.rows, boxRow{"✕ " + r, num(n), "drop", digits(n) + " packets dropped: " + r})
			delete(d.drops, r)
		}
	}
}

// boxes makes the boxes; they have no place yet.
func (d *diagram) boxes() (in, pre, route, fwd, post, out, input, local, output *box) {
	c := *d // drops are taken out as they are placed
	c.drops = map[string]uint64{}
	for k, v := range d.drops {
		c.drops[k] = v
	}
	in = place("received", boxRow{"packets", c.rx, "own", ""})
	c.lost(in, "malformed", "martian", "rp-filter", "not-local", "source-route", "broadcast")
	pre = c.hook("PREROUTING", "pre", "defrag", "raw", "conntrack", "mangle", "nat dst")
	c.lost(pre, "nat-filtered")
	route = place("routing")
	c.lost(route, "no-route", "prohibited", "forwarding-off")
	fwd = c.hook("FORWARD", "fwd", "mangle", "filter", "security")
	c.lost(fwd, "assigned", "ttl", "too-big")
	post = c.hook("POSTROUTING", "post", "mangle", "nat src", "confirm")
	c.lost(post, "nat-failed", "nat-exhausted", "nat-route-change")
	out = place("sent", boxRow{"packets", c.tx, "own", ""})
	input = c.hook("INPUT", "in", "mangle", "filter", "security", "nat src", "confirm")
	local = place("this machine")
	c.lost(local, "no-socket", "queue", "queue-full", "queue-shared", "listener")
	output = c.hook("OUTPUT", "out", "defrag", "raw", "conntrack", "mangle", "nat dst", "filter", "security")
	return
}

// wide is the drawing for wide screens.
func (d *diagram) wide() template.HTML {
	in, pre, route, fwd, post, out, input, local, output := d.boxes()
	axis, x := 0, 10
	for _, b := range []*box{pre, route, fwd, post} {
		axis = max(axis, b.h()/2+10)
	}
	for _, b := range []*box{in, pre, route, fwd, post, out} {
		b.x, b.y = x, max(8, axis-b.h()/2)
		x += b.w + 34
	}
	low := 40
	for _, b := range []*box{pre, route, fwd, post} {
		low = max(low, b.foot()+44)
	}
	input.x, input.y = route.midX()-input.w/2, low
	output.x, output.y = post.midX()-output.w/2, low
	local.x = (input.right()+output.x)/2 - local.w/2
	local.y = low + max(input.h(), output.h())/2 - local.h()/2
	var s drawing
	for _, p := range [][2]*box{{in, pre}, {pre, route}, {route, fwd}, {fwd, post}, {post, out}} {
		s.line(p[0].right(), axis, p[1].x, axis)
	}
	s.line(route.midX(), route.foot(), input.midX(), input.y)
	s.line(input.right(), local.midY(), local.x, local.midY())
	s.line(local.right(), local.midY(), output.x, local.midY())
	s.line(output.midX(), output.y, post.midX(), post.foot())
	for _, b := range []*box{in, pre, route, fwd, post, out, input, local, output} {
		s.box(b)
	}
	return s.svg("wide", out.right()+10, max(input.foot(), output.foot(), local.foot())+10)
}

// tall is the drawing for narrow screens.
func (d *diagram) tall() template.HTML {
	in, pre, route, fwd, post, out, input, local, output := d.boxes()
	const left, right, gap = 6, 218, 26
	const axis = 210
	y := 6
	for _, b := range []*box{in, pre, route} {
		b.x, b.y = axis-b.w/2, y
		y = b.foot() + gap
	}
	y += 6
	fwd.x, fwd.y = left, y
	input.x, input.y = right, y
	local.x, local.y = right+23, input.foot()+gap
	output.x, output.y = right, local.foot()+gap
	post.x, post.y = axis-post.w/2, max(output.foot(), fwd.foot())+gap+6
	out.x, out.y = axis-out.w/2, post.foot()+gap
	var s drawing
	s.line(axis, in.foot(), axis, pre.y)
	s.line(axis, pre.foot(), axis, route.y)
	s.path(route.midX()-30, route.foot(), fwd.midX(), fwd.y)
	s.path(route.midX()+30, route.foot(), input.midX(), input.y)
	s.line(input.midX(), input.foot(), input.midX(), local.y)
	s.line(output.midX(), local.foot(), output.midX(), output.y)
	s.path(output.midX(), output.foot(), post.midX()+30, post.y)
	s.path(fwd.midX(), fwd.foot(), post.midX()-30, post.y)
	s.line(axis, post.foot(), axis, out.y)
	for _, b := range []*box{in, pre, route, fwd, post, out, input, local, output} {
		s.box(b)
	}
	return s.svg("tall", 420, out.foot()+8)
}

// drawing collects SVG.
type drawing struct{ b strings.Builder }

func (s *drawing) line(x1, y1, x2, y2 int) {
	fmt.Fprintf(&s.b, `<path class="way" d="M%d %dL%d %d"/>`, x1, y1, x2, y2)
}

// path is a line with a bend.
func (s *drawing) path(x1, y1, x2, y2 int) {
	mid := y2 - 14
	if y2-y1 < 40 {
		mid = (y1 + y2) / 2
	}
	fmt.Fprintf(&s.b, `<path class="way" d="M%d %dV%dH%dV%d"/>`, x1, y1, mid, x2, y2)
}

func (s *drawing) box(b *box) {
	e := html.EscapeString
	fmt.Fprintf(&s.b, `<g class="node %s"><rect class="frame" x="%d" y="%d" width="%d" height="%d" rx="9"/>`, b.class, b.x, b.y, b.w, b.h())
	fmt.Fprintf(&s.b, `<text class="title" x="%d" y="%d">%s</text>`, b.midX(), b.y+21, e(b.title))
	for i, r := range b.rows {
		y := b.y + headHeight + i*rowHeight
		fmt.Fprintf(&s.b, `<g class="%s">`, r.class)
		if r.tip != "" {
			fmt.Fprintf(&s.b, `<title>%s</title>`, e(r.tip))
		}
		fmt.Fprintf(&s.b, `<rect class="row" x="%d" y="%d" width="%d" height="%d" rx="4"/>`, b.x+8, y, b.w-16, rowHeight-3)
		fmt.Fprintf(&s.b, `<text x="%d" y="%d">%s</text>`, b.x+16, y+14, e(r.name))
		fmt.Fprintf(&s.b, `<text class="value" x="%d" y="%d">%s</text></g>`, b.right()-16, y+14, e(r.value))
	}
	s.b.WriteString(`</g>`)
}

func (s *drawing) svg(class string, w, h int) template.HTML {
	return template.HTML(fmt.Sprintf(`<svg class="hooks %s" viewBox="0 0 %d %d" role="img" aria-label="The way of a packet through the hooks, with counters">`+
		`<defs><marker id="%s-tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto"><path class="tip" d="M0 0L10 5L0 10z"/></marker></defs>%s</svg>`,
		class, w, h, class, s.b.String()))
}
