package xtables

import (
	"encoding/binary"
	"fmt"

	"weir/packet"
)

// op is one rule, or the end of a chain, in the flat form that Walk runs. What
// most rules need lies in one cache line; addresses are compared as two 64-bit
// halves, of which IPv4 fills half of the first.
type op struct {
	src, srcMask, dst, dstMask uint64 // upper halves

	tests Test // tests that can fail
	not   Test
	flags opFlag
	kind  Kind
	proto uint8
	nm    uint16 // number of matches
	match uint32 // first match
	jump  int32  // op to jump to
	wide  uint32 // lower halves, if flagWide
	in    uint32 // devices, if tested
	out   uint32
}

type opFlag uint8

const (
	flagWide    opFlag = 1 << iota // masks reach into the lower half
	flagUncond                     // no test at all
	flagDrop                       // a policy that drops
	flagGrouped                    // a jump that belongs to a group of a classifier
	flagPlain                      // addresses without "!": a difference in the upper halves is a miss
)

type wide struct{ src, srcMask, dst, dstMask uint64 }

// device is a name to compare, as two words with masks, so that the test needs
// no string comparison (Linux: ifname_compare_aligned).
type device struct{ name, mask [2]uint64 }

// NewTable compiles chains. The built-in chains must be those of Builtins, in
// that order, and come first. Everything is checked that Linux checks when it
// loads a table; all errors are returned, as *Error.
func NewTable(name string, f packet.Family, chains []*Chain) (*Table, []error) {
	tb := &Table{Name: name, Family: f, Chains: chains}
	byName := make(map[string]*Chain, len(chains))
	n := 0
	for i, c := range chains {
		c.index, c.start = i, n
		n += len(c.Rules) + 1
		byName[c.Name] = c
	}
	if errs := tb.check(byName); len(errs) > 0 {
		return nil, errs
	}
	tb.ops = make([]op, 0, n)
	tb.rules = make([]*Rule, 0, n)
	tb.of = make([]*Chain, 0, n)
	devs := make(map[string]uint32)
	for i := range tb.entry {
		tb.entry[i] = -1
	}
	for _, c := range chains {
		if c.Builtin {
			tb.entry[c.Point] = int32(c.start)
		}
		for _, r := range c.Rules {
			o := tb.compile(r, devs)
			if r.Target.Kind == KindJump || r.Target.Kind == KindGoto {
				o.jump = int32(byName[r.Target.Name].start)
			}
			tb.ops, tb.rules, tb.of = append(tb.ops, o), append(tb.rules, r), append(tb.of, c)
		}
		end := op{kind: kindImplicit}
		if c.Builtin {
			end.kind = kindPolicy
			if c.Policy == 0 {
				end.flags |= flagDrop
			}
		}
		tb.ops, tb.rules, tb.of = append(tb.ops, end), append(tb.rules, nil), append(tb.of, c)
	}
	tb.counters = tb.startCounters()
	tb.stack = make([]level, tb.depth)
	return tb, nil
}

func (tb *Table) compile(r *Rule, devs map[string]uint32) op {
	b := &r.Base
	o := op{kind: r.Target.Kind, not: b.Not, proto: b.Proto}
	for t := TestSrc; t <= TestFragment; t <<= 1 {
		// "! -i +" is never true, though iptables-save does not print it.
		never := b.Not&b.Given&t != 0 && (t == TestIn && b.In == "+" || t == TestOut && b.Out == "+")
		if never || b.asks(t) {
			o.tests |= t
		}
	}
	if r.Unconditional() {
		o.flags |= flagUncond
	}
	w := wide{}
	if o.tests&TestSrc != 0 {
		o.src, w.src = halves(&b.Src)
		o.srcMask, w.srcMask = halves(&b.SrcMask)
	}
	if o.tests&TestDst != 0 {
		o.dst, w.dst = halves(&b.Dst)
		o.dstMask, w.dstMask = halves(&b.DstMask)
	}
	if (o.srcMask|o.dstMask) != 0 && o.not&(TestSrc|TestDst) == 0 {
		o.flags |= flagPlain
	}
	if w.srcMask|w.dstMask != 0 {
		o.flags |= flagWide
		o.wide = uint32(len(tb.wides))
		tb.wides = append(tb.wides, w)
	}
	if o.tests&TestIn != 0 {
		o.in = tb.device(b.In, devs)
	}
	if o.tests&TestOut != 0 {
		o.out = tb.device(b.Out, devs)
	}
	o.match, o.nm = uint32(len(tb.matches)), uint16(len(r.Matches))
	for _, m := range r.Matches {
		if s, ok := m.Match.(Steady); ok {
			m.steady = s.Steady()
		}
		if s, ok := m.Match.(StatusReader); ok {
			m.assured = s.ReadsStatus()
		}
		tb.matches = append(tb.matches, m)
	}
	return o
}

// device finds or adds a name. A name compares with the zero behind it, unless
// it ends in "+".
func (tb *Table) device(name string, devs map[string]uint32) uint32 {
	tb.named = true
	if i, ok := devs[name]; ok {
		return i
	}
	var b, m [16]byte
	n := copy(b[:], name)
	if n > 0 && name[n-1] == '+' {
		n--
		b[n] = 0
	} else {
		n++
	}
	for i := 0; i < n && i < len(m); i++ {
		m[i] = 0xff
	}
	i := uint32(len(tb.devs))
	devs[name] = i
	tb.devs = append(tb.devs, device{words(&b), words(&m)})
	return i
}

func words(b *[16]byte) [2]uint64 {
	return [2]uint64{binary.LittleEndian.Uint64(b[:8]), binary.LittleEndian.Uint64(b[8:])}
}

func halves(a *packet.Addr) (hi, lo uint64) {
	return binary.BigEndian.Uint64(a[:8]), binary.BigEndian.Uint64(a[8:])
}

// errAt makes a placed error.
func errAt(p Pos, format string, a ...any) *Error {
	return &Error{Pos: p, Msg: fmt.Sprintf(format, a...)}
}
