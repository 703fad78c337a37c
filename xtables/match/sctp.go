package match

import (
	"encoding/binary"
	"strings"

	"weir/hook"
	"weir/packet"
	"weir/xtables"
	"weir/xtables/args"
)

// SCTP is -m sctp: ports and chunk types of an SCTP packet.
func SCTP() xtables.MatchExt {
	return xtables.MatchExt{
		Name: "sctp", Families: xtables.Both, Protos: []uint8{packet.SCTP},
		Options: []xtables.Option{
			{Name: "source-port", Args: xtables.OneArg, Alias: "sport"}, {Name: "sport", Args: xtables.OneArg},
			{Name: "destination-port", Args: xtables.OneArg, Alias: "dport"}, {Name: "dport", Args: xtables.OneArg},
			{Name: "chunk-types", Args: xtables.TwoArgs},
		},
		Parse: parseSCTP,
		Doc:   "all options",
	}
}

// sctpNames are the chunk types that iptables can name, in order of number,
// with the letters of their flags from bit 3 down.
func sctpNames() []struct {
	name  string
	typ   uint8
	flags string
} {
	return []struct {
		name  string
		typ   uint8
		flags string
	}{
		{"DATA", 0, "IUBE"}, {"INIT", 1, "----"}, {"INIT_ACK", 2, "----"}, {"SACK", 3, "----"},
		{"HEARTBEAT", 4, "----"}, {"HEARTBEAT_ACK", 5, "----"}, {"ABORT", 6, "---T"}, {"SHUTDOWN", 7, "----"},
		{"SHUTDOWN_ACK", 8, "----"}, {"ERROR", 9, "----"}, {"COOKIE_ECHO", 10, "----"}, {"COOKIE_ACK", 11, "----"},
		{"ECN_ECNE", 12, "----"}, {"ECN_CWR", 13, "----"}, {"SHUTDOWN_COMPLETE", 14, "---T"}, {"I_DATA", 64, "IUBE"},
		{"ASCONF_ACK", 128, "----"}, {"RE_CONFIG", 130, "----"}, {"PAD", 132, "----"}, {"FORWARD_TSN", 192, "----"},
		{"ASCONF", 193, "----"}, {"I_FORWARD_TSN", 194, "----"},
	}
}

type sctpMatch struct {
	src, dst       args.PortRange
	hasSrc, hasDst bool
	how            string // "any", "all", "only"; empty: chunks are not asked
	not            bool
	types          [256]bool
	n              int // how many types
	mask, value    [256]uint8
}

func parseSCTP(_ *xtables.Context, given []xtables.Given) (xtables.Match, error) {
	m := &sctpMatch{src: args.AnyPort(), dst: args.AnyPort()}
	for i := range given {
		g := &given[i]
		var err error
		switch g.Name {
		case "sport":
			m.hasSrc = true
			m.src, err = args.OrderedPorts(g, "sctp")
		case "dport":
			m.hasDst = true
			m.dst, err = args.OrderedPorts(g, "sctp")
		default:
			err = m.chunks(g)
		}
		if err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *sctpMatch) chunks(g *xtables.Given) error {
	m.how, m.not = strings.ToLower(args.Text(g)), g.Invert
	if m.how != "any" && m.how != "all" && m.how != "only" {
		return args.Bad(g, "all, any or only")
	}
	list := g.Args[1].Text
	bad := func(what, w string) error {
		return &xtables.Error{Pos: g.Args[1].Pos, Msg: "--chunk-types: " + what + " " + w}
	}
	switch strings.ToUpper(list) {
	case "ALL":
		for i := range m.types {
			m.types[i] = true
		}
		m.n = len(m.types)
		return nil
	case "NONE":
		return nil
	}
words:
	for _, w := range strings.Split(list, ",") {
		name, flags, _ := strings.Cut(w, ":")
		for _, c := range sctpNames() {
			if !strings.EqualFold(c.name, name) {
				continue
			}
			if !m.types[c.typ] {
				m.types[c.typ] = true
				m.n++
			}
			for _, f := range []byte(flags) {
				bit := strings.IndexByte(c.flags, f&^0x20)
				if bit < 0 || f|0x20 < 'a' {
					return bad("no such flag of", w)
				}
				v := uint8(8 >> bit)
				m.mask[c.typ] |= v
				if f < 'a' { // a capital letter wins
					m.value[c.typ] |= v
				}
			}
			continue words
		}
		return bad("no chunk", w)
	}
	return nil
}

func (m *sctpMatch) Match(t *hook.Traversal) bool {
	h := l4(t, 12)
	if h == nil {
		return false
	}
	s, d := ports(h)
	if !m.src.Has(s) || !m.dst.Has(d) {
		return false
	}
	if m.how == "" {
		return true
	}
	hit, ok := m.walk(h[12:])
	if !ok {
		t.Hotdrop = true // and with "!" the rule still counts the packet
	}
	return hit != m.not
}

// walk follows Linux net/netfilter/xt_sctp.c; ok is false for a chunk that is
// cut off or has no length.
func (m *sctpMatch) walk(c []byte) (hit, ok bool) {
	seen, missing := [256]bool{}, m.n
	for first := true; first || len(c) > 0; first = false {
		if len(c) < 4 {
			return false, false
		}
		typ, flags := c[0], c[1]
		n := int(binary.BigEndian.Uint16(c[2:]))
		if n == 0 {
			return false, false
		}
		c = c[min((n+3)&^3, len(c)):]
		right := m.types[typ] && flags&m.mask[typ] == m.value[typ]
		switch {
		case m.how == "any" && right:
			return true, true
		case m.how == "only" && !right:
			return false, true
		case m.how == "all" && right && !seen[typ]:
			seen[typ] = true
			missing--
		}
	}
	return m.how == "only" || m.how == "all" && missing == 0, true
}

func (m *sctpMatch) Explain(t *hook.Traversal) string {
	h := t.Pkt.Payload()
	if len(h) < 12 {
		return noHeader(t.Pkt)
	}
	s := explainPorts(t.Pkt) + ", chunks:"
	for c := h[12:]; len(c) >= 4; {
		name := dec(uint64(c[0]))
		for _, n := range sctpNames() {
			if n.typ == c[0] {
				name = n.name
			}
		}
		s += " " + name
		n := int(binary.BigEndian.Uint16(c[2:]))
		if n == 0 {
			break
		}
		c = c[min((n+3)&^3, len(c)):]
	}
	return s
}

func (m *sctpMatch) AppendArgs(b []byte) []byte {
	if m.hasSrc {
		b = args.Range(args.Name(b, m.src.Not, "sport"), uint64(m.src.Lo), uint64(m.src.Hi))
	}
	if m.hasDst {
		b = args.Range(args.Name(b, m.dst.Not, "dport"), uint64(m.dst.Lo), uint64(m.dst.Hi))
	}
	if m.how == "" {
		return b
	}
	b = args.Word(args.Name(b, m.not, "chunk-types"), m.how)
	switch m.n {
	case 0:
		return append(b, " NONE"...)
	case len(m.types):
		return append(b, " ALL"...)
	}
	sep := byte(' ')
	for _, c := range sctpNames() {
		if !m.types[c.typ] {
			continue
		}
		b, sep = append(append(b, sep), c.name...), ','
		if m.mask[c.typ] == 0 {
			continue
		}
		b = append(b, ':')
		for i := range c.flags {
			switch v := uint8(8 >> i); {
			case m.value[c.typ]&v != 0:
				b = append(b, c.flags[i])
			case m.mask[c.typ]&v != 0:
				b = append(b, c.flags[i]|0x20)
			}
		}
	}
	return b
}
