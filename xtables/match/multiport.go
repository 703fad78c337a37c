package match

import (
	"fmt"
	"strings"

	"weir/hook"
	"weir/packet"
	"weir/xtables"
	"weir/xtables/args"
)

// Multiport is -m multiport: up to 15 ports and port ranges.
func Multiport() xtables.MatchExt {
	return xtables.MatchExt{
		Name: "multiport", Families: xtables.Both,
		Protos: []uint8{packet.TCP, packet.UDP, packet.UDPLite, packet.SCTP, packet.DCCP},
		Options: []xtables.Option{
			{Name: "source-ports", Args: xtables.OneArg, Alias: "sports"},
			{Name: "sports", Args: xtables.OneArg},
			{Name: "destination-ports", Args: xtables.OneArg, Alias: "dports"},
			{Name: "dports", Args: xtables.OneArg},
			{Name: "ports", Args: xtables.OneArg},
		},
		Parse: parseMultiport,
		Doc:   "all options",
	}
}

type multiportMatch struct {
	option string
	ranges []args.PortRange
	not    bool
}

func parseMultiport(c *xtables.Context, given []xtables.Given) (xtables.Match, error) {
	proto := ""
	switch c.Proto {
	case packet.TCP:
		proto = "tcp"
	case packet.UDP:
		proto = "udp"
	case packet.UDPLite:
		proto = "udplite"
	case packet.SCTP:
		proto = "sctp"
	case packet.DCCP:
		proto = "dccp"
	}
	if proto == "" || c.ProtoInvert {
		return nil, fmt.Errorf("multiport needs -p tcp, udp, udplite, sctp or dccp, without \"!\"")
	}
	if err := args.Need(given, "sports", "dports", "ports"); err != nil {
		return nil, err
	}
	if err := args.Apart(given, "sports", "dports", "ports"); err != nil {
		return nil, err
	}
	g := &given[0]
	m := &multiportMatch{option: g.Name, not: g.Invert}
	slots := 0 // a range takes two of the fifteen
	for _, w := range strings.Split(args.Text(g), ",") {
		lo, hi, has := strings.Cut(w, ":")
		if slots++; has {
			slots++
		} else {
			hi = lo
		}
		if slots > 15 {
			return nil, args.Errorf(g, "--%s: more than 15 ports (a range counts as two)", g.Name)
		}
		a, ok1 := args.PortNumber(lo, proto)
		b, ok2 := args.PortNumber(hi, proto)
		if !ok1 || !ok2 {
			if ok1 {
				lo = hi
			}
			return nil, args.NoPort(g, lo)
		}
		if has && a >= b {
			return nil, args.Errorf(g, "--%s: the range %q does not run upwards", g.Name, w)
		}
		m.ranges = append(m.ranges, args.PortRange{Lo: a, Hi: b})
	}
	return m, nil
}

func (m *multiportMatch) Match(t *hook.Traversal) bool {
	h := l4(t, 4)
	if h == nil {
		return false
	}
	s, d := ports(h)
	for i := range m.ranges {
		r := &m.ranges[i]
		if m.option != "dports" && r.Has(s) || m.option != "sports" && r.Has(d) {
			return !m.not
		}
	}
	return m.not
}

func (m *multiportMatch) Explain(t *hook.Traversal) string { return explainPorts(t.Pkt) }

func (m *multiportMatch) AppendArgs(b []byte) []byte {
	b = append(args.Name(b, m.not, m.option), ' ')
	for i, r := range m.ranges {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, args.Range(nil, uint64(r.Lo), uint64(r.Hi))[1:]...)
	}
	return b
}
