package match

import (
	"bytes"
	"strings"

	"weir/hook"
	"weir/packet"
	"weir/xtables"
	"weir/xtables/args"
)

// Iprange is -m iprange: source and destination between two addresses.
func Iprange() xtables.MatchExt {
	return xtables.MatchExt{
		Name: "iprange", Families: xtables.Both,
		Options: []xtables.Option{
			{Name: "src-range", Args: xtables.OneArg},
			{Name: "dst-range", Args: xtables.OneArg},
		},
		Parse: parseIprange,
		Doc:   "all options",
	}
}

type addrRange struct {
	on, not bool
	lo, hi  packet.Addr
}

type iprangeMatch struct {
	family   packet.Family
	src, dst addrRange
}

func parseIprange(c *xtables.Context, given []xtables.Given) (xtables.Match, error) {
	if err := args.Need(given, "src-range", "dst-range"); err != nil {
		return nil, err
	}
	m := &iprangeMatch{family: c.Family}
	for i := range given {
		g := &given[i]
		r := addrRange{on: true, not: g.Invert}
		lo, hi, has := strings.Cut(args.Text(g), "-")
		if !has {
			hi = lo
		}
		var ok1, ok2 bool
		r.lo, ok1 = args.Dotted(c.Family, lo)
		r.hi, ok2 = args.Dotted(c.Family, hi)
		if !ok1 || !ok2 {
			return nil, args.Bad(g, "address-address (host names are not looked up)")
		}
		if g.Name == "src-range" {
			m.src = r
		} else {
			m.dst = r
		}
	}
	return m, nil
}

func (r *addrRange) has(a packet.Addr) bool {
	return !r.on || (bytes.Compare(a[:], r.lo[:]) >= 0 && bytes.Compare(a[:], r.hi[:]) <= 0) != r.not
}

func (m *iprangeMatch) Match(t *hook.Traversal) bool {
	return m.src.has(t.Pkt.Src()) && m.dst.has(t.Pkt.Dst())
}

func (m *iprangeMatch) Explain(t *hook.Traversal) string {
	if s := t.Pkt.Src(); !m.src.has(s) {
		return "source is " + s.IP(m.family).String()
	}
	return "destination is " + t.Pkt.Dst().IP(m.family).String()
}

func (m *iprangeMatch) AppendArgs(b []byte) []byte {
	b = m.src.append(b, "src-range", m.family)
	return m.dst.append(b, "dst-range", m.family)
}

func (r *addrRange) append(b []byte, name string, f packet.Family) []byte {
	if !r.on {
		return b
	}
	b = append(args.Name(b, r.not, name), ' ')
	b = append(args.Addr(b, f, r.lo), '-')
	return args.Addr(b, f, r.hi)
}
