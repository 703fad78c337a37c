package match

import (
	"weir/hook"
	"weir/packet"
	"weir/xtables"
	"weir/xtables/args"
)

// UDP is -m udp: the ports of a UDP datagram.
func UDP() xtables.MatchExt {
	return xtables.MatchExt{
		Name: "udp", Families: xtables.Both, Protos: []uint8{packet.UDP},
		Options: []xtables.Option{
			{Name: "source-port", Args: xtables.OneArg, Alias: "sport"},
			{Name: "sport", Args: xtables.OneArg},
			{Name: "destination-port", Args: xtables.OneArg, Alias: "dport"},
			{Name: "dport", Args: xtables.OneArg},
		},
		Parse: parseUDP,
		Doc:   "all options",
	}
}

type udpMatch struct{ src, dst args.PortRange }

func parseUDP(_ *xtables.Context, given []xtables.Given) (_ xtables.Match, err error) {
	m := &udpMatch{src: args.AnyPort(), dst: args.AnyPort()}
	for i := range given {
		if given[i].Name == "sport" {
			m.src, err = readPorts(&given[i])
		} else {
			m.dst, err = readPorts(&given[i])
		}
		if err != nil {
			return nil, err
		}
	}
	return m, nil
}

// readPorts is ports as udp and dccp take them: a range that runs backwards has
// none.
func readPorts(g *xtables.Given) (r args.PortRange, err error) {
	r.Lo, r.Hi, err = args.Ports(g)
	r.Not = g.Invert
	return r, err
}

func (m *udpMatch) Match(t *hook.Traversal) bool {
	h := l4(t, 8)
	if h == nil {
		return false
	}
	s, d := ports(h)
	return m.src.Has(s) && m.dst.Has(d)
}

func (m *udpMatch) Explain(t *hook.Traversal) string { return explainPorts(t.Pkt) }

func (m *udpMatch) AppendArgs(b []byte) []byte {
	return m.dst.Append(m.src.Append(b, "sport"), "dport")
}
