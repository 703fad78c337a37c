package match

import (
	"errors"
	"strings"

	"weir/hook"
	"weir/iface"
	"weir/packet"
	"weir/route"
	"weir/xtables"
	"weir/xtables/args"
)

// Addrtype is -m addrtype: what the machine's routes make of an address.
func Addrtype() xtables.MatchExt {
	return xtables.MatchExt{
		Name: "addrtype", Families: xtables.Both,
		Options: []xtables.Option{
			{Name: "src-type", Args: xtables.OneArg},
			{Name: "dst-type", Args: xtables.OneArg},
			{Name: "limit-iface-in", NoInvert: true},
			{Name: "limit-iface-out", NoInvert: true},
		},
		Parse: parseAddrtype,
		Check: checkAddrtype,
		Doc:   "all options",
	}
}

// addrtypeNames are route.Type's values by the names that rules use.
func addrtypeNames() []string {
	return []string{"UNSPEC", "UNICAST", "LOCAL", "BROADCAST", "ANYCAST", "MULTICAST",
		"BLACKHOLE", "UNREACHABLE", "PROHIBIT", "THROW", "NAT", "XRESOLVE"}
}

type typeSet uint16

func (s typeSet) has(t route.Type) bool { return s&(1<<t) != 0 }

type addrtypeMatch struct {
	src, dst       typeSet // empty: not asked
	notSrc, notDst bool
	in, out        bool // limited to the interface of the packet
}

func parseAddrtype(c *xtables.Context, given []xtables.Given) (xtables.Match, error) {
	m := &addrtypeMatch{}
	var err error
	for i := range given {
		g := &given[i]
		switch g.Name {
		case "src-type":
			m.notSrc = g.Invert
			m.src, err = parseTypes(c.Family, g)
		case "dst-type":
			m.notDst = g.Invert
			m.dst, err = parseTypes(c.Family, g)
		case "limit-iface-in":
			m.in = true
		case "limit-iface-out":
			m.out = true
		}
		if err != nil {
			return nil, err
		}
	}
	if err := args.Need(given, "src-type", "dst-type"); err != nil {
		return nil, err
	}
	return m, args.Apart(given, "limit-iface-in", "limit-iface-out")
}

func parseTypes(f packet.Family, g *xtables.Given) (set typeSet, err error) {
	for _, w := range strings.Split(args.Text(g), ",") {
		n := args.Enum(w, addrtypeNames(), args.Prefix)
		if w == "" || n < 0 {
			return 0, args.Errorf(g, "--%s: no address type %q", g.Name, w)
		}
		t := route.Type(n)
		if f == packet.IPv6 && (t == route.Broadcast || t == route.Blackhole || t >= route.Prohibit) {
			return 0, args.Errorf(g, "--%s: IPv6 has no type %s", g.Name, addrtypeNames()[n])
		}
		set |= 1 << t
	}
	return set, nil
}

func checkAddrtype(c *xtables.Context, x xtables.Match) error {
	m := x.(*addrtypeMatch)
	switch {
	case m.out && (c.Points.Has(hook.Prerouting) || c.Points.Has(hook.Input)):
		return errors.New("--limit-iface-out: no way out is known in PREROUTING and INPUT")
	case m.in && (c.Points.Has(hook.Output) || c.Points.Has(hook.Postrouting)):
		return errors.New("--limit-iface-in: there is no way in in OUTPUT and POSTROUTING")
	}
	return nil
}

func (m *addrtypeMatch) Match(t *hook.Traversal) bool {
	var dev *iface.Iface
	if m.in {
		dev = t.In
	} else if m.out {
		dev = t.Out
	}
	if m.src != 0 && isType(t, t.Pkt.Src(), dev, m.src) == m.notSrc {
		return false
	}
	return m.dst == 0 || isType(t, t.Pkt.Dst(), dev, m.dst) != m.notDst
}

// isType asks the routes. For IPv6 Linux joins the conditions differently:
// multicast, unicast and unspecified are read off the address and must all
// hold, the others come from a route and one is enough.
//
// Linux: net/netfilter/xt_addrtype.c.
func isType(t *hook.Traversal, a packet.Addr, dev *iface.Iface, set typeSet) bool {
	if t.Pkt.Family == packet.IPv4 {
		return set.has(t.Env.Routes.AddrType(packet.IPv4, a, dev))
	}
	multicast := a[0] == 0xff
	any := a.IsZero()
	mapped := a[0]|a[1]|a[2]|a[3]|a[4]|a[5]|a[6]|a[7]|a[8]|a[9] == 0 && a[10] == 0xff && a[11] == 0xff
	switch {
	case set.has(route.Multicast) && !multicast,
		set.has(route.Unicast) && (multicast || any || mapped),
		set.has(route.None) && !any:
		return false
	}
	const asked = 1<<route.Local | 1<<route.Anycast | 1<<route.Unreachable
	if set&asked == 0 {
		return true
	}
	typ := t.Env.Routes.AddrType(packet.IPv6, a, dev)
	switch typ {
	case route.None, route.Blackhole, route.Prohibit, route.Throw:
		typ = route.Unreachable
	}
	return (set & asked).has(typ)
}

func (m *addrtypeMatch) Explain(t *hook.Traversal) string {
	var dev *iface.Iface
	if m.in {
		dev = t.In
	} else if m.out {
		dev = t.Out
	}
	say := func(what string, a packet.Addr) string {
		typ := t.Env.Routes.AddrType(t.Pkt.Family, a, dev)
		if int(typ) >= len(addrtypeNames()) {
			typ = route.None
		}
		return what + a.IP(t.Pkt.Family).String() + " is " + addrtypeNames()[typ]
	}
	if src := t.Pkt.Src(); m.src != 0 && isType(t, src, dev, m.src) == m.notSrc {
		return say("source ", src)
	}
	return say("destination ", t.Pkt.Dst())
}

func (m *addrtypeMatch) AppendArgs(b []byte) []byte {
	b = m.src.append(b, m.notSrc, "src-type")
	b = m.dst.append(b, m.notDst, "dst-type")
	if m.in {
		b = args.Name(b, false, "limit-iface-in")
	}
	if m.out {
		b = args.Name(b, false, "limit-iface-out")
	}
	return b
}

func (s typeSet) append(b []byte, not bool, option string) []byte {
	if s == 0 {
		return b
	}
	b = args.Name(b, not, option)
	sep := byte(' ')
	for i, n := range addrtypeNames() {
		if s&(1<<i) != 0 {
			b, sep = append(append(b, sep), n...), ','
		}
	}
	return b
}
