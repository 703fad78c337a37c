package match

import (
	"strings"

	"weir/hook"
	"weir/packet"
	"weir/xtables"
	"weir/xtables/args"
)

// TCP is -m tcp: ports, flags and the presence of an option of a TCP segment.
func TCP() xtables.MatchExt {
	return xtables.MatchExt{
		Name: "tcp", Families: xtables.Both, Protos: []uint8{packet.TCP},
		Options: []xtables.Option{
			{Name: "source-port", Args: xtables.OneArg, Alias: "sport"},
			{Name: "sport", Args: xtables.OneArg},
			{Name: "destination-port", Args: xtables.OneArg, Alias: "dport"},
			{Name: "dport", Args: xtables.OneArg},
			{Name: "tcp-flags", Args: xtables.TwoArgs},
			{Name: "syn"},
			{Name: "tcp-option", Args: xtables.OneArg},
		},
		Parse: parseTCP,
		Doc:   "all options",
	}
}

type tcpMatch struct {
	src, dst          args.PortRange
	mask, comp        uint8
	option            uint8
	notFlags, notOpts bool
}

func parseTCP(_ *xtables.Context, given []xtables.Given) (xtables.Match, error) {
	m := &tcpMatch{src: args.AnyPort(), dst: args.AnyPort()}
	if err := args.Apart(given, "syn", "tcp-flags"); err != nil {
		return nil, err
	}
	for i := range given {
		g := &given[i]
		var err error
		switch g.Name {
		case "sport":
			m.src, err = args.OrderedPorts(g, "tcp")
		case "dport":
			m.dst, err = args.OrderedPorts(g, "tcp")
		case "syn":
			m.mask = packet.TCPSyn | packet.TCPRst | packet.TCPAck | packet.TCPFin
			m.comp, m.notFlags = packet.TCPSyn, g.Invert
		case "tcp-flags":
			m.notFlags = g.Invert
			if m.mask, err = tcpFlags(g, 0); err == nil {
				m.comp, err = tcpFlags(g, 1)
			}
		case "tcp-option":
			var n uint64
			n, err = args.Uint(g, 1, 255)
			m.option, m.notOpts = uint8(n), g.Invert
		}
		if err != nil {
			return nil, err
		}
	}
	return m, nil
}

// tcpFlagNames are the flags that iptables can name, from the lowest bit on.
func tcpFlagNames() []string { return []string{"FIN", "SYN", "RST", "PSH", "ACK", "URG"} }

func tcpFlags(g *xtables.Given, arg int) (bits uint8, err error) {
	for _, w := range strings.Split(g.Args[arg].Text, ",") {
		switch n := args.Enum(w, tcpFlagNames(), args.NoCase); {
		case n >= 0:
			bits |= 1 << n
		case strings.EqualFold(w, "ALL"):
			bits |= 0x3f
		case w == "" || strings.EqualFold(w, "NONE"):
		default:
			return 0, &xtables.Error{Pos: g.Args[arg].Pos, Msg: "--tcp-flags: no TCP flag " + w}
		}
	}
	return bits, nil
}

func (m *tcpMatch) Match(t *hook.Traversal) bool {
	if t.Pkt.FragOff == 8 && t.Pkt.Family == packet.IPv4 {
		// It would overwrite the flags of the first fragment (RFC 1858).
		t.Hotdrop = true
		return false
	}
	h := l4(t, 20)
	if h == nil {
		return false
	}
	s, d := ports(h)
	if !m.src.Has(s) || !m.dst.Has(d) {
		return false
	}
	if (h[13]&m.mask == m.comp) == m.notFlags {
		return false
	}
	if m.option == 0 {
		return true
	}
	n := int(h[12]>>4) * 4
	if n < 20 || n > len(h) {
		t.Hotdrop = true
		return false
	}
	return hasTCPOption(h[20:n], m.option) != m.notOpts
}

// hasTCPOption looks for an option as Linux does: the end-of-options mark ends
// nothing, and an option of length zero counts as one byte.
func hasTCPOption(o []byte, kind uint8) bool {
	for i := 0; i < len(o); {
		if o[i] == kind {
			return true
		}
		if o[i] < 2 || i+1 >= len(o) || o[i+1] == 0 {
			i++
		} else {
			i += int(o[i+1])
		}
	}
	return false
}

func (m *tcpMatch) Explain(t *hook.Traversal) string {
	p := t.Pkt
	if p.FragOff != 0 || p.L4 < 0 || len(p.Data)-p.L4 < 20 {
		return noHeader(p)
	}
	h := p.Data[p.L4:]
	s, d := ports(h)
	switch {
	case !m.src.Has(s):
		return "sport is " + dec(uint64(s))
	case !m.dst.Has(d):
		return "dport is " + dec(uint64(d))
	case (h[13]&m.mask == m.comp) == m.notFlags:
		return "flags are " + string(appendTCPFlags(nil, h[13]&0x3f))
	case t.Hotdrop:
		return "the options are cut off"
	case m.notOpts:
		return "has option " + dec(uint64(m.option))
	}
	return "has no option " + dec(uint64(m.option))
}

// WantsSYN reports a match that only segments with SYN can pass; TCPMSS must
// stand behind one.
func (m *tcpMatch) WantsSYN() bool { return m.comp&packet.TCPSyn != 0 && !m.notFlags }

func (m *tcpMatch) AppendArgs(b []byte) []byte {
	b = m.src.Append(b, "sport")
	b = m.dst.Append(b, "dport")
	if m.option != 0 {
		b = args.Dec(args.Name(b, m.notOpts, "tcp-option"), uint64(m.option))
	}
	if m.mask != 0 || m.notFlags {
		b = append(args.Name(b, m.notFlags, "tcp-flags"), ' ')
		b = append(appendTCPFlags(b, m.mask), ' ')
		b = appendTCPFlags(b, m.comp)
	}
	return b
}

func appendTCPFlags(b []byte, bits uint8) []byte {
	if bits == 0 {
		return append(b, "NONE"...)
	}
	first := true
	for i, n := range tcpFlagNames() {
		if bits&(1<<i) == 0 {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		b, first = append(b, n...), false
	}
	return b
}
