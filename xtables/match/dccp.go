package match

import (
	"strings"

	"weir/hook"
	"weir/packet"
	"weir/xtables"
	"weir/xtables/args"
)

// DCCP is -m dccp: ports, packet type and options of a DCCP packet.
func DCCP() xtables.MatchExt {
	return xtables.MatchExt{
		Name: "dccp", Families: xtables.Both, Protos: []uint8{packet.DCCP},
		Options: []xtables.Option{
			{Name: "source-port", Args: xtables.OneArg, Alias: "sport"}, {Name: "sport", Args: xtables.OneArg},
			{Name: "destination-port", Args: xtables.OneArg, Alias: "dport"}, {Name: "dport", Args: xtables.OneArg},
			{Name: "dccp-types", Args: xtables.OneArg}, {Name: "dccp-option", Args: xtables.OneArg},
		},
		Parse: parseDCCP,
		Doc:   "all options",
	}
}

type dccpMatch struct {
	src, dst                            args.PortRange
	hasSrc, hasDst, hasTypes, hasOption bool
	types                               uint16
	option                              uint8
	notTypes, notOption                 bool
}

func dccpTypes() []string {
	return []string{"REQUEST", "RESPONSE", "DATA", "ACK", "DATAACK", "CLOSEREQ", "CLOSE", "RESET", "SYNC",
		"SYNCACK", "INVALID"}
}

func parseDCCP(_ *xtables.Context, given []xtables.Given) (xtables.Match, error) {
	m := &dccpMatch{src: args.AnyPort(), dst: args.AnyPort()}
	for i := range given {
		g := &given[i]
		var err error
		switch g.Name {
		case "sport":
			m.hasSrc = true
			m.src, err = readPorts(g)
		case "dport":
			m.hasDst = true
			m.dst, err = readPorts(g)
		case "dccp-types":
			m.hasTypes, m.notTypes = true, g.Invert
			for _, w := range strings.Split(args.Text(g), ",") {
				n := args.Enum(w, dccpTypes(), args.NoCase)
				if n < 0 && args.Text(g) != "" {
					return nil, args.Errorf(g, "--dccp-types: no type %q", w)
				}
				if n >= 0 {
					m.types |= 1 << n
				}
			}
		default:
			var n uint64
			n, err = args.Uint(g, 1, 255)
			m.hasOption, m.option, m.notOption = true, uint8(n), g.Invert
		}
		if err != nil {
			return nil, err
		}
	}
	return m, nil
}

// dccpInvalid stands for all types from here on.
const dccpInvalid = 10

// dccpFixed is the length of a packet type's own part of the header (RFC 4340
// section 5).
func dccpFixed(typ uint8) int {
	switch typ {
	case 0:
		return 4
	case 2:
		return 0
	case 3, 4, 5, 6, 8, 9:
		return 8
	}
	return 12 // of what is not known too, as in Linux
}

func (m *dccpMatch) Match(t *hook.Traversal) bool {
	h := l4(t, 12)
	if h == nil {
		return false
	}
	s, d := ports(h)
	typ := min(h[8]>>1&15, dccpInvalid)
	if !m.src.Has(s) || !m.dst.Has(d) || m.hasTypes && (m.types&(1<<typ) != 0) == m.notTypes {
		return false
	}
	if !m.hasOption {
		return true
	}
	start, end := 12+dccpFixed(typ), int(h[4])*4
	if h[8]&1 != 0 {
		start += 4
	}
	if end == start {
		return m.notOption // nothing is read of the rest of the header
	}
	if end < start || end > len(h) {
		t.Hotdrop = true // and with "!" the rule still counts the packet
		return m.notOption
	}
	return hasTCPOption(h[start:end], m.option) != m.notOption
}

func (m *dccpMatch) Explain(t *hook.Traversal) string {
	h := t.Pkt.Payload()
	if len(h) < 12 {
		return noHeader(t.Pkt)
	}
	return explainPorts(t.Pkt) + ", type is " + dec(uint64(h[8]>>1&15))
}

func (m *dccpMatch) AppendArgs(b []byte) []byte {
	if m.hasSrc {
		b = args.Range(args.Name(b, m.src.Not, "sport"), uint64(m.src.Lo), uint64(m.src.Hi))
	}
	if m.hasDst {
		b = args.Range(args.Name(b, m.dst.Not, "dport"), uint64(m.dst.Lo), uint64(m.dst.Hi))
	}
	if m.hasTypes {
		b = append(args.Name(b, m.notTypes, "dccp-types"), ' ')
		for i, n := range dccpTypes() {
			if m.types&(1<<i) != 0 {
				if b[len(b)-1] != ' ' {
					b = append(b, ',')
				}
				b = append(b, n...)
			}
		}
	}
	if m.hasOption {
		b = args.Dec(args.Name(b, m.notOption, "dccp-option"), uint64(m.option))
	}
	return b
}
