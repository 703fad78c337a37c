package match

import (
	"weir/hook"
	"weir/xtables"
	"weir/xtables/args"
)

// DSCP is -m dscp: the six bits of differentiated services (RFC 2474).
func DSCP() xtables.MatchExt {
	return xtables.MatchExt{
		Name: "dscp", Families: xtables.Both,
		Options: []xtables.Option{
			{Name: "dscp", Args: xtables.OneArg},
			{Name: "dscp-class", Args: xtables.OneArg},
		},
		Parse: parseDSCP,
		Doc:   "numbers and class names",
	}
}

type dscpMatch struct {
	value uint8
	not   bool
}

func parseDSCP(_ *xtables.Context, given []xtables.Given) (xtables.Match, error) {
	if err := args.Need(given, "dscp", "dscp-class"); err != nil {
		return nil, err
	}
	if err := args.Apart(given, "dscp", "dscp-class"); err != nil {
		return nil, err
	}
	g := &given[0]
	if g.Name == "dscp-class" {
		v, err := args.DSCPClass(g)
		return &dscpMatch{v, g.Invert}, err
	}
	v, err := args.Uint(g, 0, 63)
	return &dscpMatch{uint8(v), g.Invert}, err
}

func (m *dscpMatch) Match(t *hook.Traversal) bool { return (t.Pkt.TOS()>>2 == m.value) != m.not }

func (m *dscpMatch) Explain(t *hook.Traversal) string {
	return "dscp is " + string(args.Hex(nil, uint64(t.Pkt.TOS()>>2), 2)[1:])
}

func (m *dscpMatch) AppendArgs(b []byte) []byte {
	return args.Hex(args.Name(b, m.not, "dscp"), uint64(m.value), 2)
}
