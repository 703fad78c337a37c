package match

import (
	"weir/hook"
	"weir/xtables"
	"weir/xtables/args"
)

// Mark is -m mark: the packet's mark under a mask.
func Mark() xtables.MatchExt {
	return xtables.MatchExt{
		Name: "mark", Families: xtables.Both, Options: markOptions(),
		Parse: func(_ *xtables.Context, given []xtables.Given) (xtables.Match, error) {
			m, err := parseMark(given)
			return &markMatch{m}, err
		},
		Doc: "all options",
	}
}

func markOptions() []xtables.Option {
	return []xtables.Option{{Name: "mark", Args: xtables.OneArg}}
}

// maskedMark is what mark and connmark have in common.
type maskedMark struct {
	value, mask uint32
	not         bool
}

func parseMark(given []xtables.Given) (m maskedMark, err error) {
	if err = args.Need(given, "mark"); err != nil {
		return m, err
	}
	g := args.Find(given, "mark")
	m.not = g.Invert
	m.value, m.mask, err = args.MarkMask(g)
	return m, err
}

func (m *maskedMark) has(v uint32) bool { return (v&m.mask == m.value) != m.not }

func (m *maskedMark) AppendArgs(b []byte) []byte {
	b = args.Name(b, m.not, "mark")
	if m.mask == ^uint32(0) {
		return args.Hex(b, uint64(m.value), 1)
	}
	return args.HexMask(b, uint64(m.value), uint64(m.mask), 1)
}

type markMatch struct{ maskedMark }

func (m *markMatch) Match(t *hook.Traversal) bool { return m.has(t.Mark) }

func (m *markMatch) Explain(t *hook.Traversal) string { return "mark is " + hex(uint64(t.Mark)) }
