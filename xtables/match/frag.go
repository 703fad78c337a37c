package match

import (
	"encoding/binary"
	"math"

	"weir/hook"
	"weir/packet"
	"weir/xtables"
	"weir/xtables/args"
)

// Frag is -m frag: the IPv6 fragment header.
func Frag() xtables.MatchExt {
	return xtables.MatchExt{
		Name: "frag", Families: xtables.V6,
		Options: []xtables.Option{
			{Name: "fragid", Args: xtables.OneArg}, {Name: "fraglen", Args: xtables.OneArg},
			{Name: "fragres", NoInvert: true}, {Name: "fragfirst", NoInvert: true},
			{Name: "fragmore", NoInvert: true}, {Name: "fraglast", NoInvert: true},
		},
		Parse: parseFrag,
		Doc:   "all options; --fraglen is kept and not compared, as in the kernel",
	}
}

type fragMatch struct {
	id                     span32
	length                 uint32
	hasLen, notLen         bool
	res, first, more, last bool
}

func parseFrag(_ *xtables.Context, given []xtables.Given) (xtables.Match, error) {
	if err := args.Apart(given, "fragmore", "fraglast"); err != nil {
		return nil, err
	}
	m := &fragMatch{id: anySpan()}
	for i := range given {
		g := &given[i]
		var err error
		switch g.Name {
		case "fragid":
			m.id, err = readSpan(g)
		case "fraglen":
			var n uint64
			n, err = args.Uint(g, 0, math.MaxUint32)
			m.length, m.hasLen, m.notLen = uint32(n), true, g.Invert
		case "fragres":
			m.res = true
		case "fragfirst":
			m.first = true
		case "fragmore":
			m.more = true
		case "fraglast":
			m.last = true
		}
		if err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *fragMatch) Match(t *hook.Traversal) bool {
	h, ok := extHeader(t, packet.Fragment, 8)
	if !ok {
		return false
	}
	more := h[3]&1 != 0
	return m.id.has(binary.BigEndian.Uint32(h[4:])) &&
		!(m.res && (h[1] != 0 || h[3]&6 != 0)) &&
		!(m.first && (h[2] != 0 || h[3]&0xf8 != 0)) &&
		!(m.more && !more) && !(m.last && more)
}

func (m *fragMatch) Explain(t *hook.Traversal) string {
	h, ok := extHeader(t, packet.Fragment, 8)
	if !ok {
		return "no fragment header"
	}
	s := "id is " + dec(uint64(binary.BigEndian.Uint32(h[4:]))) + ", offset is " +
		dec(uint64(binary.BigEndian.Uint16(h[2:])&^7))
	if h[3]&1 != 0 {
		s += ", more follow"
	}
	return s
}

func (m *fragMatch) AppendArgs(b []byte) []byte {
	b = m.id.append(b, "fragid")
	if m.hasLen {
		b = args.Dec(args.Name(b, m.notLen, "fraglen"), uint64(m.length))
	}
	for _, f := range [...]struct {
		on   bool
		name string
	}{{m.res, "fragres"}, {m.first, "fragfirst"}, {m.more, "fragmore"}, {m.last, "fraglast"}} {
		if f.on {
			b = args.Name(b, false, f.name)
		}
	}
	return b
}
