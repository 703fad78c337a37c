package match

import (
	"net/netip"

	"weir/hook"
	"weir/iface"
	"weir/packet"
	"weir/route"
	"weir/xtables"
	"weir/xtables/args"
)

// Rpfilter is -m rpfilter: the way back to the sender leads out where the
// packet came in.
func Rpfilter() xtables.MatchExt {
	return xtables.MatchExt{
		Name: "rpfilter", Families: xtables.Both,
		Tables: []string{"raw", "mangle"}, Points: hook.MaskOf(hook.Prerouting),
		Options: []xtables.Option{
			{Name: "loose", NoInvert: true}, {Name: "validmark", NoInvert: true},
			{Name: "accept-local", NoInvert: true}, {Name: "invert", NoInvert: true},
		},
		Parse: parseRpfilter,
		Doc:   "all options",
	}
}

type rpfilterMatch struct{ loose, mark, local, not bool }

func parseRpfilter(_ *xtables.Context, given []xtables.Given) (xtables.Match, error) {
	has := func(n string) bool { return args.Find(given, n) != nil }
	return &rpfilterMatch{has("loose"), has("validmark"), has("accept-local"), has("invert")}, nil
}

func (m *rpfilterMatch) Match(t *hook.Traversal) bool { return m.passes(t) != m.not }

// passes follows Linux net/ipv4/netfilter/ipt_rpfilter.c and its IPv6 twin.
func (m *rpfilterMatch) passes(t *hook.Traversal) bool {
	if t.In == nil {
		return false
	}
	if t.In.Loopback {
		return true
	}
	p := t.Pkt
	k := route.Key{Family: p.Family, Dst: p.Src(), Src: p.Dst()}
	if m.mark {
		k.Mark = t.Mark
	}
	if p.Family == packet.IPv4 {
		d := k.Src
		multicast, broadcast := d[0]&0xf0 == 0xe0, d[0]&d[1]&d[2]&d[3] == 255
		if k.Dst[0] == 0 && (broadcast || d[0] == 224 && d[1] == 0 && d[2] == 0) {
			return true // somebody who has no address yet
		}
		if multicast || broadcast || d[0] == 0 {
			k.Src = packet.Addr{}
		}
		k.TOS = p.TOS() & 0x1c
	} else {
		if k.Dst.IsZero() {
			return true
		}
		if k.Src[0] == 0xff {
			k.Src = packet.Addr{}
		}
		// A route by the interface is preferred to an equal one, no more.
		if !m.loose || k.Dst[0] == 0xfe && k.Dst[1]&0xc0 == 0x80 {
			k.In = t.In
		}
	}
	r := t.Env.Routes.Lookup(&k)
	switch r.Type {
	case route.Unicast:
		return m.loose || r.Out == t.In
	case route.Local:
		return m.local && (p.Family == packet.IPv6 || m.loose || has(t.In, p.Src().IP(p.Family)))
	}
	return false
}

// has reports that a device has an address: the route to it leads there.
func has(dev *iface.Iface, a netip.Addr) bool {
	for i := range dev.Addrs {
		if dev.Addrs[i].Prefix.Addr() == a {
			return true
		}
	}
	return false
}

func (m *rpfilterMatch) Explain(t *hook.Traversal) string {
	if m.not {
		return "the way back is right"
	}
	return "the way back is another"
}

func (m *rpfilterMatch) AppendArgs(b []byte) []byte {
	for _, f := range [...]struct {
		on   bool
		name string
	}{{m.loose, "loose"}, {m.mark, "validmark"}, {m.local, "accept-local"}, {m.not, "invert"}} {
		if f.on {
			b = args.Name(b, false, f.name)
		}
	}
	return b
}
