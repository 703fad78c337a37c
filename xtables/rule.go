package xtables

import (
	"strconv"
	"strings"

	"weir/packet"
	"weir/xtables/names"
)

// Rule is one rule as it was loaded. It is immutable; its counters live with
// the table.
type Rule struct {
	// Pos is where it stood in its file. Zero for rules made by hand.
	Pos     Pos
	Base    Base
	Matches []RuleMatch
	Target  RuleTarget
	// Start is what the counters begin with.
	Start Counter
}

// RuleMatch is one -m of a rule.
type RuleMatch struct {
	Ext   *MatchExt
	Match Match
	Pos   Pos

	steady  bool // see Steady
	assured bool // see StatusReader
}

// Kind is what a rule does when it matches.
type Kind uint8

// The kinds of targets. The zero value only counts.
const (
	KindNone     Kind = iota // no -j: counts, and the next rule follows
	KindAccept               // -j ACCEPT
	KindDrop                 // -j DROP
	KindQueue                // -j QUEUE
	KindReturn               // -j RETURN
	KindJump                 // -j to a chain of the user
	KindGoto                 // -g
	KindExt                  // -j to an extension
	kindPolicy               // end of a built-in chain; its own verdict follows
	kindImplicit             // end of a user chain
)

// VerdictKind is the kind of a target that is a plain verdict.
func VerdictKind(name string) (Kind, bool) {
	switch name {
	case "ACCEPT":
		return KindAccept, true
	case "DROP":
		return KindDrop, true
	case "QUEUE":
		return KindQueue, true
	case "RETURN":
		return KindReturn, true
	}
	return KindNone, false
}

// RuleTarget is the -j or -g of a rule.
type RuleTarget struct {
	Kind Kind
	// Name is what stands behind -j or -g; empty for KindNone.
	Name string
	// Ext and Target are set for KindExt.
	Ext    *TargetExt
	Target Target
	Pos    Pos
}

// Test is a set of tests of the IP header and the interfaces.
type Test uint8

// The tests of Base.
const (
	TestSrc Test = 1 << iota
	TestDst
	TestIn
	TestOut
	TestProto
	TestFragment
)

// Base is what a rule asks without -m.
type Base struct {
	Family packet.Family
	// Given are the tests that stand in the rule, Not those with "!" before.
	Given, Not   Test
	Src, SrcMask packet.Addr // Src is masked
	Dst, DstMask packet.Addr
	In, Out      string // a "+" at the end means any continuation
	Proto        uint8
}

// Unconditional reports a rule that asks nothing: every packet matches.
func (r *Rule) Unconditional() bool {
	// Linux looks at the structure, in which "-i +" leaves a trace.
	return len(r.Matches) == 0 && r.Base.Given&(TestIn|TestOut) == 0 && r.Base.Empty()
}

// Empty reports that no packet fails. A test that is written but asks nothing
// ("-s 0.0.0.0/0") counts as not there.
func (b *Base) Empty() bool {
	for t := TestSrc; t <= TestFragment; t <<= 1 {
		if b.asks(t) {
			return false
		}
	}
	return true
}

// asks reports a test that can fail.
func (b *Base) asks(t Test) bool {
	if b.Given&t == 0 {
		return false
	}
	switch t {
	case TestSrc:
		return !b.SrcMask.IsZero() || b.Not&t != 0
	case TestDst:
		return !b.DstMask.IsZero() || b.Not&t != 0
	case TestIn:
		return b.In != "+" && b.In != ""
	case TestOut:
		return b.Out != "+" && b.Out != ""
	case TestProto:
		// -p all asks for nothing, but for IPv6 it drops a packet whose
		// header chain is broken.
		return b.Proto != 0 || b.Family == packet.IPv6
	}
	return true
}

// Append appends the rule as iptables-save prints it behind "-A CHAIN", with a
// space before each word.
func (r *Rule) Append(b []byte) []byte {
	for t := TestSrc; t <= TestFragment; t <<= 1 {
		b = r.Base.appendTest(b, t)
	}
	for i := range r.Matches {
		m := &r.Matches[i]
		b = append(b, " -m "...)
		b = append(b, m.Ext.Name...)
		b = m.Match.AppendArgs(b)
	}
	return r.Target.Append(b)
}

// Append appends " -j NAME" with its options, or " -g NAME".
func (t *RuleTarget) Append(b []byte) []byte {
	switch t.Kind {
	case KindNone:
		return b
	case KindGoto:
		b = append(b, " -g "...)
	default:
		b = append(b, " -j "...)
	}
	b = AppendWord(b, t.Name)
	if t.Kind == KindExt {
		b = t.Target.AppendArgs(b)
	}
	return b
}

func (b *Base) appendTest(out []byte, t Test) []byte {
	if !b.asks(t) || t == TestProto && b.Proto == 0 {
		return out
	}
	if b.Not&t != 0 {
		out = append(out, " !"...)
	}
	switch t {
	case TestSrc:
		out = appendNet(append(out, " -s "...), b.Family, b.Src, b.SrcMask)
	case TestDst:
		out = appendNet(append(out, " -d "...), b.Family, b.Dst, b.DstMask)
	case TestIn:
		out = AppendWord(append(out, " -i "...), b.In)
	case TestOut:
		out = AppendWord(append(out, " -o "...), b.Out)
	case TestProto:
		out = appendProto(append(out, " -p "...), b.Proto)
	case TestFragment:
		out = append(out, " -f"...)
	}
	return out
}

// AppendWord appends a name, in quotes if iptables-restore would not read it as
// one word without. (iptables-save leaves the quotes out, and then cannot read
// what it wrote.)
func AppendWord(b []byte, s string) []byte {
	if s != "" && !strings.ContainsAny(s, " \t\"") {
		return append(b, s...)
	}
	b = append(b, '"')
	for i := 0; i < len(s); i++ {
		if s[i] == '"' || s[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return append(b, '"')
}

// appendProto appends a protocol's name, or its number.
func appendProto(b []byte, p uint8) []byte {
	if n, ok := names.ProtocolName(p); ok {
		return append(b, n...)
	}
	return strconv.AppendUint(b, uint64(p), 10)
}

// appendNet appends address/length, or address/mask for a mask with holes.
func appendNet(b []byte, f packet.Family, a, mask packet.Addr) []byte {
	b = a.Append(b, f)
	b = append(b, '/')
	n, ok := MaskBits(f, mask)
	if !ok {
		return mask.Append(b, f)
	}
	return strconv.AppendInt(b, int64(n), 10)
}

// MaskBits is the length of a mask; false if it has holes.
func MaskBits(f packet.Family, m packet.Addr) (int, bool) {
	n, end := 0, false
	for i := 0; i < f.Len()*8; i++ {
		if m[i/8]&(0x80>>(i%8)) == 0 {
			end = true
		} else if end {
			return 0, false
		} else {
			n++
		}
	}
	return n, true
}
