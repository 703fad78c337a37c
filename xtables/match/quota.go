package match

import (
	"math"

	"weir/hook"
	"weir/xtables"
	"weir/xtables/args"
)

// Quota is -m quota: true until so many bytes have passed.
func Quota() xtables.MatchExt {
	return xtables.MatchExt{
		Name: "quota", Families: xtables.Both,
		Options: []xtables.Option{{Name: "quota", Args: xtables.OneArg}},
		Parse:   parseQuota,
		Doc:     "all options",
	}
}

type quotaMatch struct {
	quota, left uint64
	not         bool
}

func parseQuota(_ *xtables.Context, given []xtables.Given) (xtables.Match, error) {
	if err := args.Need(given, "quota"); err != nil {
		return nil, err
	}
	g := args.Find(given, "quota")
	n, err := args.Uint(g, 0, math.MaxUint64)
	return &quotaMatch{n, n, g.Invert}, err
}

// Match ends the quota with the first packet that does not fit.
func (m *quotaMatch) Match(t *hook.Traversal) bool {
	if n := uint64(t.Pkt.Len()); m.left >= n {
		m.left -= n
		return !m.not
	}
	m.left = 0
	return m.not
}

func (m *quotaMatch) Explain(*hook.Traversal) string { return dec(m.left) + " bytes are left" }

func (m *quotaMatch) AppendArgs(b []byte) []byte {
	return args.Dec(args.Name(b, m.not, "quota"), m.quota)
}

// Keep goes on with the bytes that are left.
func (m *quotaMatch) Keep(before xtables.Match) {
	if o, ok := before.(*quotaMatch); ok {
		m.left = o.left
	}
}
