package match

import (
	"math"
	"strings"

	"weir/hook"
	"weir/packet"
	"weir/xtables"
	"weir/xtables/args"
)

// HBH is -m hbh: the IPv6 hop-by-hop options header.
func HBH() xtables.MatchExt { return optsExt("hbh", packet.HopByHop) }

// Dst is -m dst: the IPv6 destination options header.
func Dst() xtables.MatchExt { return optsExt("dst", packet.DestOpts) }

func optsExt(name string, kind uint8) xtables.MatchExt {
	return xtables.MatchExt{
		Name: name, Families: xtables.V6,
		Options: []xtables.Option{
			{Name: name + "-len", Args: xtables.OneArg},
			{Name: name + "-opts", Args: xtables.OneArg, NoInvert: true},
		},
		Parse: func(_ *xtables.Context, given []xtables.Given) (xtables.Match, error) {
			return parseOpts(name, kind, given)
		},
		Doc: "all options",
	}
}

// wantedOpt is a type with a length; length 255 is any.
type wantedOpt struct{ typ, length uint8 }

type optsMatch struct {
	name           string
	kind           uint8
	length         uint32 // bytes of the whole header
	hasLen, notLen bool
	opts           []wantedOpt
}

func parseOpts(name string, kind uint8, given []xtables.Given) (xtables.Match, error) {
	m := &optsMatch{name: name, kind: kind}
	for i := range given {
		g := &given[i]
		if g.Name == name+"-len" {
			n, err := args.Uint(g, 0, math.MaxUint32)
			if err != nil {
				return nil, err
			}
			m.length, m.hasLen, m.notLen = uint32(n), true, g.Invert
			continue
		}
		for _, w := range strings.Split(args.Text(g), ",") {
			typ, length, has := strings.Cut(w, ":")
			// Larger numbers lose their high bits, as in iptables.
			a, ok1 := args.Number(typ, 0, math.MaxUint32)
			b, ok2 := uint64(255), true
			if has {
				b, ok2 = args.Number(length, 0, math.MaxUint32)
			}
			if !ok1 || !ok2 {
				return nil, args.Errorf(g, "--%s: %q is not type[:length]", g.Name, w)
			}
			m.opts = append(m.opts, wantedOpt{uint8(a), uint8(b)})
		}
		if len(m.opts) > 16 {
			return nil, args.Errorf(g, "--%s: more than 16 options", g.Name)
		}
	}
	return m, nil
}

// Match follows Linux net/ipv6/netfilter/ip6t_hbh.c: the options of the rule
// must be the first of the header, in order.
func (m *optsMatch) Match(t *hook.Traversal) bool {
	h, ok := extHeader(t, m.kind, 2)
	if !ok {
		return false
	}
	n := (int(h[1]) + 1) * 8
	if len(h) < n {
		t.Hotdrop = true
		return false
	}
	if m.hasLen && (uint32(n) == m.length) == m.notLen {
		return false
	}
	o := h[2:n]
	for i, w := range m.opts {
		if len(o) < 1 {
			return false
		}
		if o[0] != w.typ {
			return false
		}
		size := 1
		if o[0] != 0 {
			if len(o) < 2 {
				return false
			}
			if w.length != 255 && w.length != o[1] {
				return false
			}
			size = int(o[1]) + 2
		}
		if size > len(o) {
			return i == len(m.opts)-1
		}
		o = o[size:]
	}
	return true
}

func (m *optsMatch) Explain(t *hook.Traversal) string {
	h, ok := extHeader(t, m.kind, 2)
	if !ok {
		return "no such header"
	}
	return "length is " + dec((uint64(h[1])+1)*8)
}

func (m *optsMatch) AppendArgs(b []byte) []byte {
	if m.hasLen {
		b = args.Dec(args.Name(b, m.notLen, m.name+"-len"), uint64(m.length))
	}
	if m.opts == nil {
		return b
	}
	b = append(args.Name(b, false, m.name+"-opts"), ' ')
	for i, o := range m.opts {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, dec(uint64(o.typ))...)
		if o.length != 255 {
			b = append(append(b, ':'), dec(uint64(o.length))...)
		}
	}
	return b
}
