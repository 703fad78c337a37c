package match

import (
	"weir/hook"
	"weir/xtables"
	"weir/xtables/args"
)

// TOS is -m tos: the IPv4 TOS byte or the IPv6 traffic class under a mask.
func TOS() xtables.MatchExt {
	return xtables.MatchExt{
		Name: "tos", Families: xtables.Both,
		Options: []xtables.Option{{Name: "tos", Args: xtables.OneArg}},
		Parse:   parseTOS,
		Doc:     "numbers and the names of RFC 1349",
	}
}

type tosMatch struct {
	value, mask uint8
	not         bool
}

func parseTOS(_ *xtables.Context, given []xtables.Given) (xtables.Match, error) {
	if err := args.Need(given, "tos"); err != nil {
		return nil, err
	}
	g := args.Find(given, "tos")
	v, m, err := args.TOSMask(g)
	return &tosMatch{v, m, g.Invert}, err
}

func (m *tosMatch) Match(t *hook.Traversal) bool {
	return (t.Pkt.TOS()&m.mask == m.value) != m.not
}

func (m *tosMatch) Explain(t *hook.Traversal) string {
	return "tos is " + string(args.Hex(nil, uint64(t.Pkt.TOS()), 2)[1:])
}

func (m *tosMatch) AppendArgs(b []byte) []byte {
	return args.HexMask(args.Name(b, m.not, "tos"), uint64(m.value), uint64(m.mask), 2)
}
