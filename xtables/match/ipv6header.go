package match

import (
	"strings"

	"weir/hook"
	"weir/packet"
	"weir/xtables"
	"weir/xtables/args"
)

// IPv6Header is -m ipv6header: which extension headers a packet has.
func IPv6Header() xtables.MatchExt {
	return xtables.MatchExt{
		Name: "ipv6header", Families: xtables.V6,
		Options: []xtables.Option{
			{Name: "header", Args: xtables.OneArg}, {Name: "soft", NoInvert: true},
		},
		Parse: parseIPv6Header,
		Doc:   "all options",
	}
}

type ipv6headerMatch struct {
	want      uint8 // a bit for each of headerKinds
	not, soft bool
}

// headerKinds are the headers in the order in which iptables-save lists them;
// the last is "anything else".
func headerKinds() [8]struct {
	name, alias string
	proto       int
} {
	return [8]struct {
		name, alias string
		proto       int
	}{
		{"hop-by-hop", "hop", packet.HopByHop}, {"ipv6-opts", "dst", packet.DestOpts},
		{"ipv6-route", "route", packet.Routing}, {"ipv6-frag", "frag", packet.Fragment},
		{"ah", "auth", packet.AH}, {"esp", "esp", packet.ESP}, {"ipv6-nonxt", "none", packet.NoNext},
		{"protocol", "prot", -1},
	}
}

// otherHeader is the bit of "protocol": something that is no extension header.
const otherHeader = 1 << 7

func headerBit(proto uint8) uint8 {
	for i, k := range headerKinds() {
		if k.proto == int(proto) {
			return 1 << i
		}
	}
	return 0
}

func parseIPv6Header(_ *xtables.Context, given []xtables.Given) (xtables.Match, error) {
	if err := args.Need(given, "header"); err != nil {
		return nil, err
	}
	g := args.Find(given, "header")
	m := &ipv6headerMatch{not: g.Invert, soft: args.Find(given, "soft") != nil}
words:
	for _, w := range strings.Split(args.Text(g), ",") {
		n, isNum := args.Number(w, 0, 255)
		for i, k := range headerKinds() {
			if w == k.name || w == k.alias || isNum && uint8(n) == uint8(k.proto) { // iptables takes 255 for "protocol"
				m.want |= 1 << i
				continue words
			}
		}
		return nil, args.Errorf(g, "--header: no header %q", w)
	}
	return m, nil
}

// headers are the kinds that a packet has.
//
// Linux: net/ipv6/netfilter/ip6t_ipv6header.c.
func (m *ipv6headerMatch) headers(d []byte) (bits uint8, ok bool) {
	next, off := d[6], 40
	for {
		switch next {
		case packet.NoNext:
			return bits | headerBit(next), true
		case packet.HopByHop, packet.Routing, packet.Fragment, packet.AH, packet.DestOpts, packet.ESP:
		default:
			return bits | otherHeader, true
		}
		if len(d)-off < 2 {
			return 0, false
		}
		bits |= headerBit(next)
		n := (int(d[off+1]) + 1) * 8
		switch next {
		case packet.ESP:
			return bits, true
		case packet.Fragment:
			n = 8
		case packet.AH:
			n = (int(d[off+1]) + 2) * 4
		}
		next, off = d[off], off+n
		if off > len(d) {
			if next != packet.NoNext && next != packet.ESP {
				bits |= otherHeader
			}
			return bits, true
		}
	}
}

func (m *ipv6headerMatch) Match(t *hook.Traversal) bool {
	have, ok := m.headers(t.Pkt.Data)
	if !ok {
		return false
	}
	if m.soft {
		if m.not {
			have = ^have
		}
		return have&m.want == m.want
	}
	return (have == m.want) != m.not
}

func (m *ipv6headerMatch) Explain(t *hook.Traversal) string {
	have, ok := m.headers(t.Pkt.Data)
	if !ok {
		return "the headers are cut off"
	}
	return "has" + string(appendHeaders(nil, have))
}

func (m *ipv6headerMatch) AppendArgs(b []byte) []byte {
	b = appendHeaders(args.Name(b, m.not, "header"), m.want)
	if m.soft {
		b = args.Name(b, false, "soft")
	}
	return b
}

func appendHeaders(b []byte, bits uint8) []byte {
	sep := byte(' ')
	for i, k := range headerKinds() {
		if bits&(1<<i) != 0 {
			b, sep = append(append(b, sep), k.name...), ','
		}
	}
	return b
}
