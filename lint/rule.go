package lint

import (
	"weir/hook"
	"weir/packet"
	"weir/xtables"
)

// ways is the most boxes that one rule is taken apart into.
const ways = 32

// cond is what a rule asks for.
type cond struct {
	// boxes hold every packet that can match; none: no packet can.
	boxes []box
	// sure: every packet in boxes does match, whenever it is asked.
	sure bool
}

// describe takes a rule apart.
func (s *space) describe(r *xtables.Rule) cond {
	c := cond{sure: true}
	var b box
	if !s.base(&b, &r.Base) {
		return cond{sure: true}
	}
	c.boxes = []box{b}
	for i := range r.Matches {
		m := &r.Matches[i]
		d, ok := m.Match.(xtables.Describer)
		if !ok {
			c.sure = false
			continue
		}
		alts, extent := d.Describe()
		if extent == xtables.Open {
			c.sure = false
			continue
		}
		var own []box
		for _, a := range alts {
			if x, ok := s.box(&a); ok {
				own = append(own, x)
			}
		}
		if extent == xtables.Part {
			t := s.term(xtables.Term{Text: m.Ext.Name + string(m.Match.AppendArgs(nil))})
			for k := range own {
				own[k].ask(t)
			}
		}
		boxes, ok := meetAll(c.boxes, own, ways)
		if !ok {
			c.sure = false
			continue
		}
		c.boxes = boxes
	}
	for i := range c.boxes {
		// A segment that has ports has flags, unless it is cut off: then it
		// is dropped by whoever asks for them.
		b := &c.boxes[i]
		none, _ := xtables.FieldNone(xtables.FieldSrcPort)
		if p := b.f[xtables.FieldProto]; len(p) == 1 && p[0] == xtables.Num(packet.TCP, packet.TCP) &&
			!b.f[xtables.FieldSrcPort].has(none) {
			b.limit(xtables.FieldTCPFlags, spans{xtables.Num(0, 63)})
		}
	}
	return c
}

// box turns a description into a box; false if no packet is in it.
func (s *space) box(x *xtables.Box) (b box, ok bool) {
	for _, f := range x.Fields {
		set := spans(f.Spans)
		if set == nil {
			set = spans{}
		}
		if !b.limit(f.Field, set) {
			return b, false
		}
	}
	for _, t := range x.Terms {
		if !b.ask(s.term(t)) {
			return b, false
		}
	}
	return b, true
}

// base adds what stands in a rule without -m; false if no packet has it.
func (s *space) base(b *box, r *xtables.Base) bool {
	not := func(t xtables.Test) bool { return r.Not&t != 0 }
	set := func(t xtables.Test, f xtables.Field, x xtables.Span) bool {
		if !not(t) {
			return b.limit(f, spans{x})
		}
		return b.limit(f, spans(nil).less(spans{x}, xtables.Domain(f, s.family)))
	}
	addr := func(t xtables.Test, f xtables.Field, a, mask packet.Addr) bool {
		if r.Given&t == 0 || mask.IsZero() && !not(t) {
			return true
		}
		if x, ok := network(s.family, a, mask); ok {
			return set(t, f, x)
		}
		text := string(mask.Append(append(a.Append([]byte{'s', ' ', byte('0' + f)}, s.family), '/'), s.family))
		return b.ask(s.term(xtables.Term{Text: text, Not: not(t)}))
	}
	if !addr(xtables.TestSrc, xtables.FieldSrc, r.Src, r.SrcMask) || !addr(xtables.TestDst, xtables.FieldDst, r.Dst, r.DstMask) {
		return false
	}
	if r.Given&xtables.TestIn != 0 && r.In != "" && !set(xtables.TestIn, xtables.FieldIn, xtables.NameSpan(r.In)) ||
		r.Given&xtables.TestOut != 0 && r.Out != "" && !set(xtables.TestOut, xtables.FieldOut, xtables.NameSpan(r.Out)) {
		return false
	}
	if r.Given&xtables.TestProto != 0 {
		p := uint64(r.Proto)
		if s.family == packet.IPv6 && !b.limit(xtables.FieldProto, spans{xtables.Num(0, 255)}) ||
			p != 0 && !set(xtables.TestProto, xtables.FieldProto, xtables.Num(p, p)) {
			return false
		}
	}
	return r.Given&xtables.TestFragment == 0 || set(xtables.TestFragment, xtables.FieldFragment, xtables.Num(1, 1))
}

// network is the addresses of a mask without holes.
func network(f packet.Family, a, mask packet.Addr) (x xtables.Span, ok bool) {
	end, hi := false, a
	for i := range f.Len() * 8 {
		bit := byte(0x80 >> (i % 8))
		switch {
		case mask[i/8]&bit == 0:
			end = true
			hi[i/8] |= bit
		case end:
			return x, false
		}
	}
	return xtables.Span{Lo: xtables.AddrValue(f, a), Hi: xtables.AddrValue(f, hi)}, true
}

// effect is what becomes of a packet that matched.
type effect struct {
	// ends: it is sure not to come to another rule of the table.
	ends bool
	// mayEnd: it possibly does not.
	mayEnd bool
	// changes are the fields that may be others behind the rule.
	changes fieldMask
	// accepts: what ends there passes the table.
	accepts bool
	// acts: the rule does more than to count.
	acts bool
}

// effectOf knows the targets by their names; of those that it does not know it
// takes everything to be possible.
func effectOf(t *xtables.RuleTarget) effect {
	switch t.Kind {
	case xtables.KindAccept:
		return effect{ends: true, mayEnd: true, accepts: true, acts: true}
	case xtables.KindDrop, xtables.KindQueue:
		return effect{ends: true, mayEnd: true, acts: true}
	case xtables.KindExt:
	default:
		return effect{}
	}
	terms := anyTerm
	switch t.Name {
	case "REJECT", "NFQUEUE", "TPROXY":
		return effect{ends: true, mayEnd: true, acts: true}
	case "DNAT", "SNAT", "MASQUERADE", "REDIRECT", "NETMAP":
		return effect{ends: true, mayEnd: true, accepts: true, acts: true}
	case "LOG", "NFLOG", "TRACE", "AUDIT", "TEE", "CHECKSUM", "CLASSIFY", "IDLETIMER", "SECMARK", "CONNSECMARK":
		return effect{acts: true}
	case "MARK", "HMARK":
		return effect{acts: true, changes: maskOf(xtables.FieldMark) | terms}
	case "CONNMARK":
		return effect{acts: true, changes: maskOf(xtables.FieldMark) | terms}
	case "TOS", "DSCP":
		return effect{acts: true, changes: maskOf(xtables.FieldTOS) | terms}
	case "ECN":
		return effect{acts: true, changes: maskOf(xtables.FieldTOS) | terms}
	case "TTL", "HL":
		return effect{acts: true, mayEnd: true, changes: maskOf(xtables.FieldTTL) | terms}
	case "TCPMSS":
		return effect{acts: true, mayEnd: true, changes: maskOf(xtables.FieldLength) | terms}
	case "TCPOPTSTRIP":
		return effect{acts: true, mayEnd: true, changes: terms}
	case "CT", "NOTRACK":
		return effect{acts: true, changes: maskOf(xtables.FieldState) | terms}
	case "DNPT":
		return effect{acts: true, mayEnd: true, changes: maskOf(xtables.FieldDst) | terms}
	case "SNPT":
		return effect{acts: true, mayEnd: true, changes: maskOf(xtables.FieldSrc) | terms}
	}
	return effect{acts: true, mayEnd: true, changes: allFields}
}

// entry is the packets that come to a built-in chain.
func (s *space) entry(table string, p hook.Point) box {
	var b box
	none := spans{xtables.Num(0, 0)}
	some := spans(nil).less(none, xtables.Domain(xtables.FieldIn, s.family))
	switch p {
	case hook.Prerouting, hook.Input:
		b.limit(xtables.FieldIn, some)
		b.limit(xtables.FieldOut, none)
	case hook.Forward:
		b.limit(xtables.FieldIn, some)
		b.limit(xtables.FieldOut, some)
	case hook.Output:
		b.limit(xtables.FieldIn, none)
		b.limit(xtables.FieldOut, some)
	default:
		b.limit(xtables.FieldOut, some)
	}
	if table == "nat" {
		b.limit(xtables.FieldState, newStates())
	}
	if s.family == packet.IPv6 {
		b.limit(xtables.FieldFragment, spans{xtables.Num(0, 0)})
	}
	return b
}
