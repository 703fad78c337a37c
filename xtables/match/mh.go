package match

import (
	"strings"

	"weir/hook"
	"weir/packet"
	"weir/xtables"
	"weir/xtables/args"
)

// MH is -m mh: the type of a mobility header (RFC 6275).
func MH() xtables.MatchExt {
	return xtables.MatchExt{
		Name: "mh", Families: xtables.V6, Protos: []uint8{packet.MobilityH},
		Options: []xtables.Option{{Name: "mh-type", Args: xtables.OneArg}},
		Parse:   parseMH,
		Doc:     "numbers and names",
	}
}

type mhMatch struct {
	min, max uint8
	not      bool
}

// mhNames are the types from 0 on, and their aliases.
func mhNames() [8][2]string {
	return [8][2]string{
		{"binding-refresh-request", "brr"}, {"home-test-init", "hoti"}, {"careof-test-init", "coti"},
		{"home-test", "hot"}, {"careof-test", "cot"}, {"binding-update", "bu"},
		{"binding-acknowledgement", "ba"}, {"binding-error", "be"},
	}
}

// mhType is a type by name, of which the first that begins so is taken unless
// one is the whole word, or by number.
func mhType(w string) (uint8, bool) {
	found := -1
	for i, names := range mhNames() {
		for _, n := range names {
			if w != "" && args.Prefix(n, w) && (found < 0 || len(n) == len(w)) {
				found = i
			}
		}
	}
	if found >= 0 {
		return uint8(found), true
	}
	v, ok := args.Number(w, 0, 255)
	return uint8(v), ok
}

func parseMH(_ *xtables.Context, given []xtables.Given) (xtables.Match, error) {
	m := &mhMatch{max: 255}
	if len(given) == 0 {
		return m, nil
	}
	g := &given[0]
	m.not = g.Invert
	lo, hi, has := strings.Cut(args.Text(g), ":")
	ok := true
	if lo != "" || !has {
		m.min, ok = mhType(lo)
	}
	if !has {
		m.max = m.min
	} else if hi != "" && ok {
		m.max, ok = mhType(hi)
	}
	if !ok {
		return nil, args.Bad(g, "a mobility header type or a range of them")
	}
	if m.min > m.max {
		return nil, args.Errorf(g, "--mh-type: the range runs backwards")
	}
	return m, nil
}

func (m *mhMatch) Match(t *hook.Traversal) bool {
	h := l4(t, 6)
	if h == nil {
		return false
	}
	if h[0] != packet.NoNext {
		t.Hotdrop = true
		return false
	}
	return (h[2] >= m.min && h[2] <= m.max) != m.not
}

func (m *mhMatch) Explain(t *hook.Traversal) string {
	h := t.Pkt.Payload()
	if len(h) < 6 {
		return noHeader(t.Pkt)
	}
	return "type is " + dec(uint64(h[2]))
}

func (m *mhMatch) AppendArgs(b []byte) []byte {
	if m.min == 0 && m.max == 255 {
		return b
	}
	return args.Range(args.Name(b, m.not, "mh-type"), uint64(m.min), uint64(m.max))
}
