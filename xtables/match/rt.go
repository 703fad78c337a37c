package match

import (
	"math"
	"strings"

	"weir/hook"
	"weir/packet"
	"weir/xtables"
	"weir/xtables/args"
)

// RT is -m rt: the IPv6 routing header.
func RT() xtables.MatchExt {
	return xtables.MatchExt{
		Name: "rt", Families: xtables.V6,
		Options: []xtables.Option{
			{Name: "rt-type", Args: xtables.OneArg}, {Name: "rt-segsleft", Args: xtables.OneArg},
			{Name: "rt-len", Args: xtables.OneArg}, {Name: "rt-0-res", NoInvert: true},
			{Name: "rt-0-addrs", Args: xtables.OneArg, NoInvert: true},
			{Name: "rt-0-not-strict", NoInvert: true},
		},
		Parse: parseRT,
		Doc:   "all options",
	}
}

type rtMatch struct {
	segs           span32
	typ, length    uint32
	hasTyp, notTyp bool
	hasLen, notLen bool
	res, loose     bool
	addrs          []packet.Addr
}

func parseRT(_ *xtables.Context, given []xtables.Given) (xtables.Match, error) {
	m := &rtMatch{segs: anySpan()}
	for i := range given {
		g := &given[i]
		var n uint64
		var err error
		if strings.HasPrefix(g.Name, "rt-0-") && (!m.hasTyp || m.typ != 0 || m.notTyp) {
			return nil, args.Errorf(g, "--%s must stand behind --rt-type 0", g.Name)
		}
		switch g.Name {
		case "rt-type":
			n, err = args.Uint(g, 0, math.MaxUint32)
			m.typ, m.hasTyp, m.notTyp = uint32(n), true, g.Invert
		case "rt-segsleft":
			m.segs, err = readSpan(g)
		case "rt-len":
			n, err = args.Uint(g, 0, math.MaxUint32)
			m.length, m.hasLen, m.notLen = uint32(n), true, g.Invert
		case "rt-0-res":
			m.res = true
		case "rt-0-addrs":
			for _, w := range strings.Split(args.Text(g), ",") {
				a, ok := args.Address(packet.IPv6, w)
				if !ok || len(m.addrs) == 16 {
					return nil, args.Bad(g, "a list of up to 16 IPv6 addresses")
				}
				m.addrs = append(m.addrs, a)
			}
		default:
			if m.loose = true; m.addrs == nil {
				err = args.Errorf(g, "--rt-0-not-strict must stand behind --rt-0-addrs")
			}
		}
		if err != nil {
			return nil, err
		}
	}
	return m, nil
}

// Match follows Linux net/ipv6/netfilter/ip6t_rt.c.
func (m *rtMatch) Match(t *hook.Traversal) bool {
	h, ok := extHeader(t, packet.Routing, 4)
	if !ok {
		return false
	}
	n := (int(h[1]) + 1) * 8
	if len(h) < n {
		t.Hotdrop = true
		return false
	}
	if !m.segs.has(uint32(h[3])) ||
		m.hasLen && (uint32(n) == m.length) == m.notLen ||
		m.hasTyp && (uint32(h[2]) == m.typ) == m.notTyp ||
		m.res && h[4]|h[5]|h[6]|h[7] != 0 {
		return false
	}
	if m.addrs == nil {
		return true
	}
	have := (n - 8) / 16
	if len(m.addrs) > have || !m.loose && len(m.addrs) != have {
		return false
	}
	hit := 0
	for i := 0; i < have && hit < len(m.addrs); i++ {
		if packet.Addr(h[8+16*i:24+16*i]) == m.addrs[hit] {
			hit++
		} else if !m.loose {
			return false
		}
	}
	return hit == len(m.addrs)
}

func (m *rtMatch) Explain(t *hook.Traversal) string {
	h, ok := extHeader(t, packet.Routing, 4)
	if !ok {
		return "no routing header"
	}
	return "type is " + dec(uint64(h[2])) + ", segments left " + dec(uint64(h[3])) + ", length is " + dec((uint64(h[1])+1)*8)
}

func (m *rtMatch) AppendArgs(b []byte) []byte {
	if m.hasTyp {
		b = args.Dec(args.Name(b, m.notTyp, "rt-type"), uint64(m.typ))
	}
	b = m.segs.append(b, "rt-segsleft")
	if m.hasLen {
		b = args.Dec(args.Name(b, m.notLen, "rt-len"), uint64(m.length))
	}
	if m.res {
		b = args.Name(b, false, "rt-0-res")
	}
	for i, a := range m.addrs {
		if i == 0 {
			b = append(args.Name(b, false, "rt-0-addrs"), ' ')
		} else {
			b = append(b, ',')
		}
		b = args.Addr(b, packet.IPv6, a)
	}
	if m.loose {
		b = args.Name(b, false, "rt-0-not-strict")
	}
	return b
}
