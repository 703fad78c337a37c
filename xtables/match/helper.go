package match

import (
	"weir/hook"
	"weir/xtables"
	"weir/xtables/args"
)

// Helper is -m helper: the connection was expected by one that has a helper.
func Helper() xtables.MatchExt {
	return xtables.MatchExt{
		Name: "helper", Families: xtables.Both, NeedsConntrack: true,
		Options: []xtables.Option{{Name: "helper", Args: xtables.OneArg}},
		Parse: func(_ *xtables.Context, given []xtables.Given) (xtables.Match, error) {
			if err := args.Need(given, "helper"); err != nil {
				return nil, err
			}
			return &helperMatch{name: args.Cut(args.Text(&given[0]), 29), not: given[0].Invert}, nil
		},
		Doc: "partly: all options; there are no helpers, so that no connection was expected by one",
	}
}

type helperMatch struct {
	name string
	not  bool
}

// Match: no connection expects another in weir, so that none was expected by
// one with a helper.
func (m *helperMatch) Match(*hook.Traversal) bool { return m.not }

// Steady: it looks at nothing.
func (*helperMatch) Steady() bool { return true }

func (m *helperMatch) Explain(*hook.Traversal) string { return "no helper expected the connection" }

func (m *helperMatch) AppendArgs(b []byte) []byte {
	return args.Quoted(args.Name(b, m.not, "helper"), m.name)
}
