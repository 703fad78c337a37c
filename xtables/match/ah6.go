package match

import (
	"encoding/binary"
	"math"

	"weir/hook"
	"weir/packet"
	"weir/xtables"
	"weir/xtables/args"
)

// AH6 is -m ah of ip6tables: the authentication header wherever it stands in
// the chain.
func AH6() xtables.MatchExt {
	return xtables.MatchExt{
		Name: "ah", Families: xtables.V6,
		Options: []xtables.Option{
			{Name: "ahspi", Args: xtables.OneArg}, {Name: "ahlen", Args: xtables.OneArg},
			{Name: "ahres", NoInvert: true},
		},
		Parse: parseAH6,
		Doc:   "all options",
	}
}

type ah6Match struct {
	spi    span32
	length uint32 // 0: any
	notLen bool
	res    bool
}

func parseAH6(_ *xtables.Context, given []xtables.Given) (xtables.Match, error) {
	m := &ah6Match{spi: anySpan()}
	for i := range given {
		g := &given[i]
		var err error
		switch g.Name {
		case "ahspi":
			m.spi, err = readSpan(g)
		case "ahlen":
			var n uint64
			n, err = args.Uint(g, 0, math.MaxUint32)
			m.length, m.notLen = uint32(n), g.Invert
		default:
			m.res = true
		}
		if err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *ah6Match) Match(t *hook.Traversal) bool {
	h, ok := extHeader(t, packet.AH, 12)
	if !ok {
		return false
	}
	n := (uint32(h[1]) + 2) * 4
	if uint32(len(h)) < n {
		t.Hotdrop = true
		return false
	}
	return m.spi.has(binary.BigEndian.Uint32(h[4:])) &&
		(m.length == 0 || (n == m.length) != m.notLen) &&
		!(m.res && h[2]|h[3] != 0)
}

func (m *ah6Match) Explain(t *hook.Traversal) string {
	h, ok := extHeader(t, packet.AH, 12)
	if !ok {
		return "no AH header"
	}
	return "spi is " + dec(uint64(binary.BigEndian.Uint32(h[4:]))) + ", length is " + dec((uint64(h[1])+2)*4)
}

func (m *ah6Match) AppendArgs(b []byte) []byte {
	b = m.spi.append(b, "ahspi")
	if m.length != 0 {
		b = args.Dec(args.Name(b, m.notLen, "ahlen"), uint64(m.length))
	}
	if m.res {
		b = args.Name(b, false, "ahres")
	}
	return b
}
