package match

import (
	"weir/hook"
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
	n := t.Pkt.Len()
	return (n >= m.min && n <= m.max) != m.not
}

func (m *lengthMatch) Explain(t *hook.Traversal) string {
	return "length is " + dec(uint64(t.Pkt.Len()))
}

func (m *lengthMatch) AppendArgs(b []byte) []byte {
	return args.Range(args.Name(b, m.not, "length"), uint64(m.min), uint64(m.max))
}
