package verbs

import (
	"fmt"
	"strconv"

	"weir/hook"
	"weir/packet"
	"weir/xtables"
	"weir/xtables/names"
	"weir/xtables/save"
)

// lister prints rules as -L does.
type lister struct {
	family  packet.Family
	numeric bool // -n
	counts  bool // -v
	via     bool // -v: the interfaces
	exact   bool // -x
	lines   bool // --line-numbers
	plain   bool // no columns: what -v says of -A
}

// list is -L.
func (w *run) list(c save.Command, chains []*xtables.Chain) {
	l := lister{family: w.Program.Family, numeric: c.Numeric, counts: c.Verbose > 0, via: c.Verbose > 0,
		exact: c.Exact, lines: c.Lines}
	b := w.res.Stdout
	first := true
	for _, ch := range chains {
		if c.Named && ch.Name != c.Chain {
			continue
		}
		if !first {
			b = append(b, '\n')
		}
		first = false
		if c.Number == 0 {
			b = l.header(b, ch, references(chains, ch.Name))
		}
		for i, r := range ch.Rules {
			if c.Number == 0 || c.Number == i+1 {
				b = l.rule(b, r, i+1)
			}
		}
	}
	w.res.Stdout = b
}

func references(chains []*xtables.Chain, name string) (n int) {
	for _, c := range chains {
		for _, r := range c.Rules {
			if (r.Target.Kind == xtables.KindJump || r.Target.Kind == xtables.KindGoto) && r.Target.Name == name {
				n++
			}
		}
	}
	return n
}

func (l *lister) header(b []byte, c *xtables.Chain, refs int) []byte {
	b = append(append(b, "Chain "...), c.Name...)
	switch {
	case !c.Builtin:
		b = fmt.Appendf(b, " (%d references)\n", refs)
	default:
		policy := "ACCEPT"
		if c.Policy == hook.Drop {
			policy = "DROP"
		}
		b = append(append(b, " (policy "...), policy...)
		if l.counts {
			b = l.number(append(b, ' '), c.Start.Packets, false)
			b = l.number(append(b, " packets, "...), c.Start.Bytes, false)
			b = append(b, " bytes"...)
		}
		b = append(b, ")\n"...)
	}
	if l.lines {
		b = append(b, "num  "...)
	}
	switch {
	case l.counts && l.exact:
		b = append(b, "    pkts      bytes "...)
	case l.counts:
		b = append(b, " pkts bytes "...)
	}
	b = append(b, "target     prot opt "...)
	if l.via {
		b = append(b, "in     out    "...)
	}
	if l.via {
		b = append(b, " source               destination         \n"...)
	} else {
		b = append(b, "source               destination         \n"...)
	}
	return b
}

// number prints a counter: short with a unit, or whole with -x.
func (l *lister) number(b []byte, n uint64, column bool) []byte {
	width := func(short, long int) int {
		switch {
		case !column:
			return 0
		case l.exact:
			return long
		}
		return short
	}
	unit := ""
	if !l.exact && n > 99999 {
		for _, u := range []string{"K", "M", "G", "T"} {
			n = (n + 500) / 1000
			if unit = u; n <= 9999 {
				break
			}
		}
	}
	if unit == "" {
		b = fmt.Appendf(b, "%*d", width(5, 8), n)
	} else {
		b = fmt.Appendf(b, "%*d%s", width(4, 8), n, unit)
	}
	if column {
		b = append(b, ' ')
	}
	return b
}

// pad appends s, left-justified in a column unless the listing is plain.
func (l *lister) pad(b []byte, s string, width int) []byte {
	if l.plain {
		width = 0
	}
	return append(fmt.Appendf(b, "%-*s", width, s), ' ')
}

// rule prints a rule with its newline; number is its place in the chain.
func (l *lister) rule(b []byte, r *xtables.Rule, number int) []byte {
	base := &r.Base
	not := func(t xtables.Test) byte {
		if base.Given&base.Not&t != 0 {
			return '!'
		}
		return ' '
	}
	if l.lines {
		b = fmt.Appendf(b, "%-4d ", number)
	}
	if l.counts {
		b = l.number(b, r.Start.Packets, true)
		b = l.number(b, r.Start.Bytes, true)
	}
	name := r.Target.Name
	if r.Target.Kind == xtables.KindExt && name == "NOTRACK" {
		name = "CT" // which it is to the kernel
	}
	b = l.pad(b, name, 9)
	b = append(b, not(xtables.TestProto))
	b = l.pad(b, l.protocol(base.Proto), 4)
	if l.plain {
		b = append(b, "opt "...)
	}
	frag := []byte("--")
	if base.Given&xtables.TestFragment != 0 {
		if frag[1] = 'f'; base.Not&xtables.TestFragment != 0 {
			frag[0] = '!'
		}
	}
	b = append(append(b, frag...), ' ')
	if l.via {
		in, out := l.device(base.In, not(xtables.TestIn)), l.device(base.Out, not(xtables.TestOut))
		if l.plain {
			b = append(b, "in "+in+" out "+out+" "...)
		} else {
			b = fmt.Appendf(b, " %-6s %-6s ", in, out)
		}
	}
	b = append(b, not(xtables.TestSrc))
	b = l.pad(b, l.network(base.Src, base.SrcMask, base.Given&xtables.TestSrc != 0), 19)
	b = append(b, not(xtables.TestDst))
	dst := l.network(base.Dst, base.DstMask, base.Given&xtables.TestDst != 0)
	if l.plain {
		b = append(b, "-> "+dst+"  "...)
	} else {
		b = l.pad(b, dst, 19)
	}
	if r.Target.Kind == xtables.KindGoto {
		b = append(b, "[goto] "...)
	}
	for i := range r.Matches {
		m := &r.Matches[i]
		b = l.match(b, r, m.Ext.Name, m.Match.AppendArgs(nil))
	}
	if r.Target.Kind == xtables.KindExt {
		b = l.target(b, r, r.Target.Name, r.Target.Target.AppendArgs(nil))
	}
	return append(b, '\n')
}

func (l *lister) protocol(p uint8) string {
	if l.numeric && !l.plain {
		return strconv.Itoa(int(p))
	}
	if p == 0 {
		return "all"
	}
	if n, ok := names.ProtocolName(p); ok {
		return n
	}
	return strconv.Itoa(int(p))
}

func (l *lister) device(name string, not byte) string {
	switch {
	case name == "" && l.numeric:
		name = "*"
	case name == "":
		name = "any"
	}
	if not == '!' {
		return "!" + name
	}
	return name
}

// network prints an address with its mask; names are not looked up.
func (l *lister) network(a, mask packet.Addr, given bool) string {
	bits, ok := 0, true
	if given {
		bits, ok = xtables.MaskBits(l.family, mask)
	}
	switch {
	case ok && bits == 0 && l.numeric && l.family == packet.IPv6:
		return "::/0"
	case ok && bits == 0 && l.numeric:
		return "0.0.0.0/0"
	case ok && bits == 0:
		return "anywhere"
	case ok && bits == l.family.Len()*8:
		return string(a.Append(nil, l.family))
	case ok:
		return string(a.Append(nil, l.family)) + "/" + strconv.Itoa(bits)
	}
	return string(a.Append(nil, l.family)) + "/" + string(mask.Append(nil, l.family))
}
