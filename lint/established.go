package lint

import (
	"fmt"

	"weir/conntrack"
	"weir/hook"
	"weir/packet"
	"weir/trace"
	"weir/xtables"
)

// farFrom is the number of rules before the one for ESTABLISHED from which it
// is said to stand far behind.
const farFrom = 10

// segments is TCP with a state and any of the flags.
func segments(state conntrack.State, flags ...uint64) *box {
	b := &box{}
	b.limit(xtables.FieldProto, spans{xtables.Num(packet.TCP, packet.TCP)})
	b.limit(xtables.FieldState, spans{xtables.Num(uint64(state), uint64(state))})
	b.limit(xtables.FieldFragment, spans{xtables.Num(0, 0)})
	var set spans
	for _, f := range flags {
		set = append(set, xtables.Num(f, f))
	}
	b.limit(xtables.FieldTCPFlags, set)
	return b
}

func opening() *box   { return segments(conntrack.StateNew, packet.TCPSyn) }
func following() *box { return segments(conntrack.StateEstablished, packet.TCPAck) }
func answer() *box {
	b := segments(conntrack.StateEstablished, packet.TCPSyn|packet.TCPAck)
	b.limit(xtables.FieldDstPort, spans{xtables.Num(32768, 60999)}) // Linux: ip_local_port_range
	lo := spans{xtables.NameSpan("lo")}
	b.limit(xtables.FieldIn, spans(nil).less(lo, xtables.Domain(xtables.FieldIn, packet.IPv4)))
	return b
}

// established looks at what the filter makes of later packets of connections.
func (l *linter) established() {
	for _, p := range []hook.Point{hook.Input, hook.Forward, hook.Output} {
		c := l.byName[p.String()]
		if l.missing(p) || p == hook.Input && l.deaf() || c == nil {
			continue
		}
		for i := range c.rules {
			if l.letsEstablishedPass(&c.rules[i]) {
				l.cut(p, c, i)
				l.far(p, c, i)
				break
			}
		}
	}
}

// letsEstablishedPass reports a rule that accepts by the state alone.
func (l *linter) letsEstablishedPass(r *rule) bool {
	if r.r.Target.Kind != xtables.KindAccept || !r.sure || len(r.boxes) != 1 || r.dead() {
		return false
	}
	b := &r.boxes[0]
	return b.used == maskOf(xtables.FieldState) && b.f[xtables.FieldState].has(xtables.Value{Lo: uint64(conntrack.StateEstablished)})
}

// passing are the rules by which packets of a kind may pass at a point; other
// reports that there may be another way.
func (l *linter) passing(p hook.Point, kind *box) (rules []*rule, other bool) {
	entry := l.entry("filter", p)
	in, ok := entry.meet(kind)
	if !ok {
		return nil, false
	}
	for _, c := range l.chains {
		if !c.points.Has(p) {
			continue
		}
		for i := range c.rules {
			r := &c.rules[i]
			if drops := r.r.Target.Kind == xtables.KindDrop || r.r.Target.Name == "REJECT"; !r.mayEnd || drops || r.dead() {
				continue
			}
			switch {
			case none(r.start, []box{in}) && !r.gaveUp:
			case r.accepts:
				rules = append(rules, r)
			default:
				other = true // QUEUE and its like
			}
		}
	}
	c := l.byName[p.String()].c
	if c.Policy != hook.Accept {
		return rules, other
	}
	for i := range l.byName[p.String()].rules {
		r := &l.byName[p.String()].rules[i]
		if r.sure && r.ends && len(r.boxes) > 0 && r.boxes[0].used == 0 {
			return rules, other // the policy is not reached
		}
		if k := r.r.Target.Kind; k == xtables.KindReturn || k == xtables.KindGoto {
			break
		}
	}
	return rules, true
}

// missing finds chains that let connections in and none of their later packets.
func (l *linter) missing(p hook.Point) bool {
	if l.byName[p.String()] == nil {
		return false
	}
	if later, other := l.passing(p, following()); len(later) > 0 || other {
		return false
	}
	first, _ := l.passing(p, opening())
	for _, r := range first {
		open, close, ok := l.both(p, r.start)
		if !ok {
			continue
		}
		f := Finding{ID: NoEstablished, Place: l.place[r.r], Packets: []Witness{open, close},
			Reason: fmt.Sprintf("%s lets connections begin here and drops all that follows: no rule lets ESTABLISHED packets pass", p)}
		l.found = append(l.found, f)
		return true
	}
	return false
}

// both looks for a connection of which the first packet passes and a later one
// does not.
func (l *linter) both(p hook.Point, from []box) (open, close Witness, ok bool) {
	entry := l.entry("filter", p)
	in, _ := entry.meet(opening())
	for n := range tries {
		if len(from) == 0 {
			break
		}
		free := from[n%len(from)].free(maskOf(xtables.FieldState, xtables.FieldTCPFlags))
		b, ok := free.meet(&in)
		if !ok {
			continue
		}
		s, ok := l.sample(&b, &l.likes, n/len(from))
		if !ok || l.mayVary(p, &s) {
			continue
		}
		open, _, ok = l.witness(p, &s)
		if !ok || open.Verdict != "ACCEPT" {
			continue
		}
		later := follow(s)
		if close, _, ok = l.witness(p, &later); ok && close.Verdict == "DROP" {
			return open, close, true
		}
	}
	return open, close, false
}

// follow is a later packet of the connection that a packet begins.
func follow(s Sample) Sample {
	s.State = conntrack.StateEstablished
	s.Packet = replaceWord(s.Packet, "S", "A")
	return s
}

// mayVary reports that what becomes of a packet hangs on a rule that counts or
// draws.
func (l *linter) mayVary(p hook.Point, s *Sample) bool {
	_, steps, ok := l.witness(p, s)
	if !ok {
		return true
	}
	for i := range steps {
		st := &steps[i]
		if st.Kind != trace.KindRule || l.byName[st.Chain] == nil {
			continue
		}
		if r := &l.byName[st.Chain].rules[st.Rule-1]; st.Match && r.ends && !r.sure {
			return true
		}
	}
	return false
}

// deaf finds machines that open connections and drop every answer.
func (l *linter) deaf() bool {
	if l.byName["OUTPUT"] == nil {
		return false
	}
	if rules, other := l.passing(hook.Input, answer()); len(rules) > 0 || other {
		return false
	}
	entry := l.entry("filter", hook.Output)
	b, _ := entry.meet(opening())
	b.limit(xtables.FieldOut, answer().f[xtables.FieldIn])
	b.limit(xtables.FieldSrcPort, spans{xtables.Num(32768, 60999)})
	for n := range tries {
		s, ok := l.sample(&b, &l.likes, n)
		if !ok {
			continue
		}
		open, _, ok := l.witness(hook.Output, &s)
		if !ok || open.Verdict != "ACCEPT" {
			continue
		}
		back, ok := reply(s)
		if !ok {
			return false
		}
		lost, _, ok := l.witness(hook.Input, &back)
		if !ok || lost.Verdict != "DROP" {
			continue
		}
		c := l.byName["INPUT"].c
		l.found = append(l.found, Finding{ID: NoEstablished, Packets: []Witness{open, lost},
			Place:  Place{File: c.Pos.File, Line: c.Pos.Line, Col: c.Pos.Col, Chain: c.Name},
			Reason: "this machine may open connections, and INPUT drops every answer: no rule lets ESTABLISHED packets pass"})
		return true
	}
	return false
}

// cut finds rules before the one for ESTABLISHED, rule i, that drop later
// packets of connections that the chain lets in.
func (l *linter) cut(p hook.Point, c *chain, i int) {
	entry := l.entry("filter", p)
	in, _ := entry.meet(following())
	budget := 2000
	for k := range i {
		for _, r := range l.under(&c.rules[k]) {
			drops := r.r.Target.Kind == xtables.KindDrop || r.r.Target.Name == "REJECT"
			if budget--; !drops || !r.sure || r.dead() || none(r.start, []box{in}) || budget < 0 {
				continue
			}
			var from []box
			for n := range r.start {
				if b, ok := r.start[n].meet(&in); ok {
					from = append(from, b)
				}
			}
			open, close, ok := l.both(p, from)
			if !ok || close.By == nil || close.By.Line != r.r.Pos.Line {
				continue
			}
			l.found = append(l.found, Finding{ID: Cut, Place: l.place[c.rules[i].r], By: []Place{l.place[r.r]}, Packets: []Witness{open, close},
				Reason: fmt.Sprintf("this rule comes too late for some: line %d drops later packets of connections that %s lets in", r.r.Pos.Line, p)})
			return
		}
	}
}

// under is a rule and all rules to which it leads.
func (l *linter) under(r *rule) (list []*rule) {
	list = append(list, r)
	seen := map[*chain]bool{}
	for k := 0; k < len(list); k++ {
		if to := list[k].to; to != nil && !seen[to] {
			seen[to] = true
			for i := range to.rules {
				list = append(list, &to.rules[i])
			}
		}
	}
	return list
}

// far finds a rule for ESTABLISHED, rule i, that stands behind many others
// without need.
func (l *linter) far(p hook.Point, c *chain, i int) {
	if i < farFrom {
		return
	}
	entry := l.entry("filter", p)
	all := &box{}
	all.f[xtables.FieldState] = c.rules[i].boxes[0].f[xtables.FieldState]
	all.used = maskOf(xtables.FieldState)
	in, _ := entry.meet(all)
	for k := range i {
		for n, r := range l.under(&c.rules[k]) {
			if none(r.start, []box{in}) && !r.gaveUp {
				continue
			}
			kind := r.r.Target.Kind
			if !r.silent() || kind != xtables.KindAccept && kind != xtables.KindJump && (kind != xtables.KindReturn || n == 0) {
				return
			}
		}
	}
	b, _ := entry.meet(following())
	for n := range tries {
		s, ok := l.sample(&b, &l.likes, n)
		if !ok {
			continue
		}
		w, steps, ok := l.witness(p, &s)
		if !ok || w.By == nil || w.By.Line != c.rules[i].r.Pos.Line || len(steps)-1 < farFrom {
			continue
		}
		l.found = append(l.found, Finding{ID: Far, Place: l.place[c.rules[i].r], Packets: []Witness{w},
			Reason: fmt.Sprintf("packets of established connections pass %d rules before they come here; at the top of %s this rule decides the same", len(steps)-1, p)})
		return
	}
}
