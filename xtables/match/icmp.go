package match

import (
	"strings"

	"weir/hook"
	"weir/packet"
	"weir/xtables"
	"weir/xtables/args"
	"weir/xtables/names"
)

// ICMP is -m icmp: type and code of an ICMP message.
func ICMP() xtables.MatchExt {
	return icmpExt("icmp", "icmp-type", packet.ICMP, packet.IPv4, xtables.V4)
}

// ICMP6 is -m icmp6: type and code of an ICMPv6 message.
func ICMP6() xtables.MatchExt {
	return icmpExt("icmp6", "icmpv6-type", packet.ICMPv6, packet.IPv6, xtables.V6)
}

func icmpExt(name, option string, proto uint8, f packet.Family, fs xtables.Families) xtables.MatchExt {
	return xtables.MatchExt{
		Name: name, Families: fs, Protos: []uint8{proto},
		Options: []xtables.Option{{Name: option, Args: xtables.OneArg}},
		Parse: func(_ *xtables.Context, given []xtables.Given) (xtables.Match, error) {
			return parseICMP(f, option, given)
		},
		Doc: "numbers and all names of iptables",
	}
}

type icmpMatch struct {
	option   string
	any      bool // type 255 of ICMP: every type and code
	typ      uint8
	min, max uint8
	not      bool
}

func parseICMP(f packet.Family, option string, given []xtables.Given) (xtables.Match, error) {
	if err := args.Need(given, option); err != nil {
		return nil, err
	}
	g := args.Find(given, option)
	word := args.Text(g)
	m := &icmpMatch{option: option, not: g.Invert, max: 255}
	n, other, ok := names.FindICMP(f, word)
	switch {
	case ok:
		m.typ, m.min, m.max = n.Type, n.Code, n.Last
	case other != "":
		return nil, args.Errorf(g, "--%s: %q could be %s or %s", option, word, n.Name, other)
	default:
		typ, code, has := strings.Cut(word, "/")
		v, ok := args.Number(typ, 0, 255)
		if !ok {
			return nil, args.Errorf(g, "--%s: no type %q", option, word)
		}
		m.typ = uint8(v)
		if has {
			if v, ok = args.Number(code, 0, 255); !ok {
				return nil, args.Errorf(g, "--%s: no code %q", option, code)
			}
			m.min, m.max = uint8(v), uint8(v)
		}
	}
	m.any = f == packet.IPv4 && m.typ == 255
	return m, nil
}

func (m *icmpMatch) Match(t *hook.Traversal) bool {
	h := l4(t, 8)
	if h == nil {
		return false
	}
	return (m.any || h[0] == m.typ && h[1] >= m.min && h[1] <= m.max) != m.not
}

func (m *icmpMatch) Explain(t *hook.Traversal) string {
	p := t.Pkt
	if p.FragOff != 0 || p.L4 < 0 || len(p.Data)-p.L4 < 8 {
		return noHeader(p)
	}
	return "is type " + dec(uint64(p.Data[p.L4])) + " code " + dec(uint64(p.Data[p.L4+1]))
}

func (m *icmpMatch) AppendArgs(b []byte) []byte {
	b = args.Name(b, m.not, m.option)
	if m.any {
		return append(b, " any"...)
	}
	b = args.Dec(b, uint64(m.typ))
	if m.min != 0 || m.max != 255 {
		b = append(b, '/')
		b = append(b, dec(uint64(m.min))...)
	}
	return b
}
