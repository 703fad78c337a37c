package match

import (
	"weir/hook"
	"weir/xtables"
	"weir/xtables/args"
)

// TTL is -m ttl: the time to live of an IPv4 packet.
func TTL() xtables.MatchExt { return ttlExt("ttl", xtables.V4) }

// HL is -m hl: the hop limit of an IPv6 packet.
func HL() xtables.MatchExt { return ttlExt("hl", xtables.V6) }

func ttlExt(name string, fs xtables.Families) xtables.MatchExt {
	return xtables.MatchExt{
		Name: name, Families: fs,
		Options: []xtables.Option{
			{Name: name + "-eq", Args: xtables.OneArg},
			{Name: name, Args: xtables.OneArg, Alias: name + "-eq"},
			{Name: name + "-lt", Args: xtables.OneArg, NoInvert: true},
			{Name: name + "-gt", Args: xtables.OneArg, NoInvert: true},
		},
		Parse: func(_ *xtables.Context, given []xtables.Given) (xtables.Match, error) {
			return parseTTL(name, given)
		},
		Doc: "all options",
	}
}

type ttlMatch struct {
	option string
	op     byte // '=', '!', '<' or '>'
	value  uint8
}

func parseTTL(name string, given []xtables.Given) (xtables.Match, error) {
	options := []string{name + "-eq", name + "-lt", name + "-gt"}
	if err := args.Need(given, options...); err != nil {
		return nil, err
	}
	if err := args.Apart(given, options...); err != nil {
		return nil, err
	}
	g := &given[0]
	v, err := args.Uint(g, 0, 255)
	m := &ttlMatch{option: g.Name, value: uint8(v)}
	switch {
	case g.Name == options[1]:
		m.op = '<'
	case g.Name == options[2]:
		m.op = '>'
	case g.Invert:
		m.op = '!'
	default:
		m.op = '='
	}
	return m, err
}

func (m *ttlMatch) Match(t *hook.Traversal) bool {
	v := t.Pkt.TTL()
	switch m.op {
	case '=':
		return v == m.value
	case '!':
		return v != m.value
	case '<':
		return v < m.value
	default:
		return v > m.value
	}
}

func (m *ttlMatch) Explain(t *hook.Traversal) string {
	return m.option[:len(m.option)-len("-eq")] + " is " + dec(uint64(t.Pkt.TTL()))
}

func (m *ttlMatch) AppendArgs(b []byte) []byte {
	return args.Dec(args.Name(b, m.op == '!', m.option), uint64(m.value))
}
