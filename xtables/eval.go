package xtables

import (
	"encoding/binary"

	"weir/hook"
	"weir/iface"
	"weir/packet"
)

// view is what the tests of a walk look at, taken out of the packet once.
type view struct {
	srcHi, srcLo, dstHi, dstLo uint64
	in, out                    [2]uint64
	proto                      uint8
	frag                       bool
	lastHdr                    int8 // IPv6: 0 not looked for, 1 found, -1 a later fragment hides it, -2 broken

	// For classifiers: gen is not 0 once scratch.key is the packet's, and moves
	// on when that changes. odd is a packet that they cannot judge.
	odd bool
	gen uint32
}

// load takes the fields of the packet. Targets may have changed them.
func (v *view) load(p *packet.Packet) {
	if p.Family == packet.IPv6 {
		d := p.Data[8:40]
		v.srcHi, v.srcLo = binary.BigEndian.Uint64(d), binary.BigEndian.Uint64(d[8:])
		v.dstHi, v.dstLo = binary.BigEndian.Uint64(d[16:]), binary.BigEndian.Uint64(d[24:])
		v.lastHdr = 0
		return
	}
	d := p.Data[:20]
	v.srcHi = uint64(binary.BigEndian.Uint32(d[12:])) << 32
	v.dstHi = uint64(binary.BigEndian.Uint32(d[16:])) << 32
	v.proto = d[9]
	v.lastHdr = 1
	v.frag = p.FragOff != 0
}

// devices takes the names of the interfaces; none is the empty name.
func (tb *Table) devices(v *view, t *hook.Traversal) {
	if t.In != nil {
		v.in = tb.scratch.name(t.In)
	}
	if t.Out != nil {
		v.out = tb.scratch.name(t.Out)
	}
}

// name is the name of an interface as words, of which a few are kept.
func (s *scratch) name(dev *iface.Iface) [2]uint64 {
	n := &s.names[uint(dev.Index)%uint(len(s.names))]
	if n.dev != dev {
		n.dev, n.words = dev, nameWords(dev.Name)
	}
	return n.words
}

func nameWords(s string) [2]uint64 {
	var b [16]byte
	copy(b[:15], s)
	return words(&b)
}

// findLast looks for the header that ip6tables -p compares.
//
// Linux: net/ipv6/netfilter/ip6_tables.c ip6_packet_match.
func (v *view) findLast(p *packet.Packet) {
	proto, _, frag, ok := packet.FindLastHdr(p.Data)
	switch {
	case ok:
		v.proto, v.lastHdr = proto, 1
	case frag != 0:
		v.lastHdr = -1
	default:
		v.lastHdr = -2
	}
}

// base is the first test of the op that fails; 0 if none does.
func (tb *Table) base(o *op, v *view, t *hook.Traversal) Test {
	if o.tests&(TestSrc|TestDst) != 0 {
		s := (v.srcHi ^ o.src) & o.srcMask
		d := (v.dstHi ^ o.dst) & o.dstMask
		if o.flags&flagWide != 0 {
			w := &tb.wides[o.wide]
			s |= (v.srcLo ^ w.src) & w.srcMask
			d |= (v.dstLo ^ w.dst) & w.dstMask
		}
		if (s != 0) != (o.not&TestSrc != 0) && o.tests&TestSrc != 0 {
			return TestSrc
		}
		if (d != 0) != (o.not&TestDst != 0) && o.tests&TestDst != 0 {
			return TestDst
		}
	}
	if o.tests&TestIn != 0 && tb.devs[o.in].has(&v.in) == (o.not&TestIn != 0) {
		return TestIn
	}
	if o.tests&TestOut != 0 && tb.devs[o.out].has(&v.out) == (o.not&TestOut != 0) {
		return TestOut
	}
	if o.tests&TestProto != 0 {
		if v.lastHdr == 0 {
			v.findLast(t.Pkt)
		}
		if v.lastHdr < 0 {
			if v.lastHdr == -2 {
				t.Hotdrop = true
			}
			return TestProto
		}
		if o.proto != 0 && (v.proto == o.proto) == (o.not&TestProto != 0) {
			return TestProto
		}
	}
	if o.tests&TestFragment != 0 && v.frag == (o.not&TestFragment != 0) {
		return TestFragment
	}
	return 0
}

func (d *device) has(name *[2]uint64) bool {
	return (name[0]^d.name[0])&d.mask[0]|(name[1]^d.name[1])&d.mask[1] == 0
}

// Walk evaluates the built-in chain of t.Point: Accept, Drop, Queue or Stolen.
// A table without such a chain accepts. A drop leaves its reason in t.Why.
//
// Linux: net/ipv4/netfilter/ip_tables.c ipt_do_table.
func (tb *Table) Walk(t *hook.Traversal) hook.Verdict {
	pc := int32(-1)
	if int(t.Point) < len(tb.entry) {
		pc = tb.entry[t.Point]
	}
	if pc < 0 {
		return hook.Accept
	}
	t.Hotdrop = false
	if o := &tb.ops[pc]; o.kind == kindPolicy && !t.NFTrace && !t.Trace.On() {
		return tb.policy(t, pc, o) // an empty chain
	}
	var v view
	v.load(t.Pkt)
	if tb.named {
		tb.devices(&v, t)
	}
	bottom, below := tb.sp, len(tb.scratch.searches)
	verdict := tb.run(t, &v, pc)
	tb.sp = bottom
	for n := len(tb.scratch.searches); n > below; n-- {
		tb.leave(int32(n-1), t)
	}
	return verdict
}

// policy is the end of a built-in chain.
func (tb *Table) policy(t *hook.Traversal, pc int32, o *op) hook.Verdict {
	tb.tally(t, pc)
	if o.flags&flagDrop != 0 {
		return t.Drop(hook.ReasonPolicy)
	}
	return hook.Accept
}

// tally counts the packet at an op.
func (tb *Table) tally(t *hook.Traversal, pc int32) {
	c := &tb.counters[pc]
	c.Packets++
	c.Bytes += uint64(t.Pkt.Len())
	if t.Memo != nil {
		t.Memo.Steps = append(t.Memo.Steps, hook.MemoStep{Table: tb, Op: pc})
	}
}

// run walks from an op on. Its caller resets tb.sp and leaves the chains.
func (tb *Table) run(t *hook.Traversal, v *view, pc int32) hook.Verdict {
	bottom := tb.sp
	if bottom+tb.depth > len(tb.stack) {
		// A target walks this table from within.
		tb.stack = append(tb.stack, make([]level, tb.depth)...)
	}
	tracing := t.Trace.On()
	ops := tb.ops
	search := int32(-1) // of the chain, if it is classified
	if len(tb.classes) > 0 {
		search = tb.enter(tb.of[pc].index, v, t)
	}
rules:
	for {
		if search >= 0 {
			pc = tb.seek(search, pc, v, t)
		}
		o := &ops[pc]
		if !tracing && (o.flags&flagPlain != 0 && (v.srcHi^o.src)&o.srcMask|(v.dstHi^o.dst)&o.dstMask != 0 ||
			o.tests&TestIn != 0 && tb.devs[o.in].has(&v.in) == (o.not&TestIn != 0) ||
			o.tests&TestProto != 0 && v.lastHdr == 1 && o.proto != 0 && (v.proto == o.proto) == (o.not&TestProto != 0)) {
			pc++ // what most rules fail on, without a call
			continue
		}
		if o.tests != 0 {
			if fail := tb.base(o, v, t); fail != 0 {
				if tracing {
					tb.traceBase(t, v, pc, fail, tb.sp-bottom)
				}
				if t.Hotdrop {
					return t.Drop(hook.ReasonHotdrop)
				}
				pc++
				continue
			}
		}
		if o.nm != 0 {
			ms := tb.matches[o.match : o.match+uint32(o.nm)]
			for i := range ms {
				if t.Memo != nil {
					t.Memo.Varying = t.Memo.Varying || !ms[i].steady
					t.Memo.Assured = t.Memo.Assured || ms[i].assured
				}
				if ms[i].Match.Match(t) {
					continue
				}
				if tracing {
					tb.traceMatch(t, pc, i, tb.sp-bottom)
				}
				if t.Hotdrop {
					return t.Drop(hook.ReasonHotdrop)
				}
				pc++
				continue rules
			}
			if t.Hotdrop {
				return tb.lastRule(t, pc, tracing, bottom)
			}
		}
		if o.kind != kindImplicit {
			tb.tally(t, pc)
			if o.flags&flagGrouped != 0 && search >= 0 {
				tb.apart(search, pc, t)
			}
		}
		if t.NFTrace {
			tb.logTrace(t, pc)
		}
		if tracing && o.kind != KindExt {
			tb.traceRule(t, pc, plainVerdict(o), tb.sp-bottom)
		}
		switch o.kind {
		case KindNone:
			pc++
		case KindAccept:
			return hook.Accept
		case KindDrop:
			return t.Drop(hook.ReasonRule)
		case KindQueue:
			t.QueueNum, t.QueueBypass = 0, false
			return hook.Queue
		case KindJump:
			tb.stack[tb.sp] = level{pc, search}
			tb.sp++
			pc, search = o.jump, -1
			if len(tb.classes) > 0 {
				search = tb.enter(tb.of[pc].index, v, t)
			}
		case KindGoto:
			if search >= 0 {
				tb.leave(search, t)
			}
			pc, search = o.jump, -1
			if len(tb.classes) > 0 {
				search = tb.enter(tb.of[pc].index, v, t)
			}
		case KindReturn, kindImplicit:
			pc, search = tb.back(t, bottom, search)
		case kindPolicy:
			if o.flags&flagDrop != 0 {
				return t.Drop(hook.ReasonPolicy)
			}
			return hook.Accept
		case KindExt:
			if t.Memo != nil {
				t.Memo.Varying = true
			}
			t.Why = hook.NoReason
			t.Place, t.Op = tb, pc
			code := tb.rules[pc].Target.Target.Do(t)
			if tracing {
				tb.traceRule(t, pc, code.String(), tb.sp-bottom)
			}
			switch code {
			case Accept:
				return hook.Accept
			case Continue:
				tb.changed(v, t)
				pc++
			case Stolen:
				return hook.Stolen
			case Queue:
				return hook.Queue
			case Return:
				tb.changed(v, t)
				pc, search = tb.back(t, bottom, search)
			default:
				if t.Why == hook.NoReason {
					t.Why = hook.ReasonRule
				}
				return hook.Drop
			}
		}
	}
}

// lastRule ends the walk at a rule of which a match could not read the packet
// and yet said yes, because it is inverted: Linux counts the packet and runs
// the target, and then drops.
func (tb *Table) lastRule(t *hook.Traversal, pc int32, tracing bool, bottom int) hook.Verdict {
	c := &tb.counters[pc]
	c.Packets++
	c.Bytes += uint64(t.Pkt.Len())
	if t.Memo != nil {
		t.Memo.Varying = true
	}
	if t.NFTrace {
		tb.logTrace(t, pc)
	}
	if tb.ops[pc].kind == KindExt {
		t.Place, t.Op = tb, pc
		tb.rules[pc].Target.Target.Do(t)
	}
	if tracing {
		tb.traceRule(t, pc, hook.Drop.String(), tb.sp-bottom)
	}
	return t.Drop(hook.ReasonHotdrop)
}

// back is where a RETURN leads: behind the calling rule, or to the end of the
// built-in chain.
func (tb *Table) back(t *hook.Traversal, bottom int, search int32) (pc, outer int32) {
	if search >= 0 {
		tb.leave(search, t)
	}
	if tb.sp == bottom {
		c := tb.of[tb.entry[t.Point]]
		return int32(c.start + len(c.Rules)), -1
	}
	tb.sp--
	l := tb.stack[tb.sp]
	return l.pc + 1, l.search
}

// String is the code as traces show it.
func (c Code) String() string {
	switch c {
	case Accept:
		return "ACCEPT"
	case Continue:
		return "CONTINUE"
	case Stolen:
		return "STOLEN"
	case Queue:
		return "QUEUE"
	case Return:
		return "RETURN"
	default:
		return "DROP"
	}
}
