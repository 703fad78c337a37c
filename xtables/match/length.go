package match

import (
	"encoding/binary"

	"weir/hook"
	"weir/packet"
	"weir/xtables"
	"weir/xtables/args"
)

// Length is -m length: the packet's length from the IP header on.
func Length() xtables.MatchExt {
	return xtables.MatchExt{
		Name: "length", Families: xtables.Both,
		Options: []xtables.Option{{Name: "length", Args: xtables.OneArg}},
		Parse:   parseLength,
		Doc:     "all options",
	}
}

type lengthMatch struct {
	min, max int
	not      bool
}

func parseLength(_ *xtables.Context, given []xtables.Given) (xtables.Match, error) {
	if err := args.Need(given, "length"); err != nil {
		return nil, err
	}
	g := args.Find(given, "length")
	lo, hi, err := args.Span(g, 65535)
	return &lengthMatch{int(lo), int(hi), g.Invert}, err
}

func (m *lengthMatch) Match(t *hook.Traversal) bool {
	n := stated(t.Pkt)
	return (n >= m.min && n <= m.max) != m.not
}

func (m *lengthMatch) Explain(t *hook.Traversal) string {
	return "length is " + dec(uint64(stated(t.Pkt)))
}

// stated is the length that the IP header gives, which may be 0 for a payload
// behind IPv6 hop-by-hop options.
func stated(p *packet.Packet) int {
	if p.Family == packet.IPv6 {
		return 40 + int(binary.BigEndian.Uint16(p.Data[4:]))
	}
	return p.Len()
}

func (m *lengthMatch) AppendArgs(b []byte) []byte {
	return args.Range(args.Name(b, m.not, "length"), uint64(m.min), uint64(m.max))
}
