package match

import (
	"strings"

	"weir/conntrack"
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
		Doc: "yes",
	}
}

type helperMatch struct {
	name string
	not  bool
}

// Match compares the beginning of the name of the helper that the master of the
// packet's connection has. No name stands for any. Linux: xt_helper.c.
func (m *helperMatch) Match(t *hook.Traversal) bool {
	name := masterHelper(t)
	if name == "" {
		return m.not
	}
	return strings.HasPrefix(name, m.name) != m.not
}

// masterHelper is the name of that helper, empty if there is none.
func masterHelper(t *hook.Traversal) string {
	c := t.CT.Conn
	if c == nil || c.Has(conntrack.IsTemplate) || t.Env.CT.Master(c) == 0 {
		return ""
	}
	master := t.Env.CT.ByID(t.Env.CT.Master(c))
	if master == nil {
		return ""
	}
	return t.Env.CT.HelperName(t.Env.CT.Helper(master))
}

// Steady: what expected a connection does not change.
func (*helperMatch) Steady() bool { return true }

func (m *helperMatch) Explain(t *hook.Traversal) string {
	if name := masterHelper(t); name != "" {
		return "the helper " + name + " expected the connection"
	}
	return "no helper expected the connection"
}

func (m *helperMatch) AppendArgs(b []byte) []byte {
	return args.Quoted(args.Name(b, m.not, "helper"), m.name)
}
