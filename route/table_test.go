package route

import (
	"net/netip"
	"testing"

	"weir/iface"
	"weir/packet"
)

func addr(s string) packet.Addr { return packet.AddrOf(netip.MustParseAddr(s)) }

func fam(s string) packet.Family { return packet.FamilyOf(netip.MustParseAddr(s)) }

// sample is a machine with two interfaces.
func sample(o Options, more ...Route) (*Table, *iface.Iface, *iface.Iface) {
	p := netip.MustParsePrefix
	lan := &iface.Iface{Index: 2, Name: "lan0", MTU: 1500, Addrs: []iface.Addr{
		{Prefix: p("192.0.2.1/24")}, {Prefix: p("192.0.2.5/24"), Secondary: true},
		{Prefix: p("2001:db8:1::1/64")}, {Prefix: p("2001:db8:1::2/64")}, {Prefix: p("fe80::1/64"), Scope: iface.LinkLocal}}}
	wan := &iface.Iface{Index: 3, Name: "wan0", MTU: 1400, Addrs: []iface.Addr{
		{Prefix: p("203.0.113.2/24")}, {Prefix: p("2001:db8:2::2/64")}, {Prefix: p("fd00::2/64"), Deprecated: true}, {Prefix: p("fe80::2/64"), Scope: iface.LinkLocal}}}
	routes := append([]Route{
		{To: p("0.0.0.0/0"), Via: netip.MustParseAddr("203.0.113.1"), Dev: wan, Type: Unicast},
		{To: p("::/0"), Via: netip.MustParseAddr("2001:db8:2::1"), Dev: wan, Type: Unicast},
	}, more...)
	return New(iface.NewSet(Loopback(), lan, wan), routes, o), lan, wan
}

func TestLookup(t *testing.T) {
	p := netip.MustParsePrefix
	tb, _, _ := sample(Options{Anycast6: true},
		Route{To: p("10.0.0.0/8"), Via: netip.MustParseAddr("192.0.2.9"), Type: Unicast, Metric: 20},
		Route{To: p("10.0.0.0/8"), Via: netip.MustParseAddr("203.0.113.9"), Type: Unicast, Metric: 10, MTU: 900},
		Route{To: p("10.1.0.0/16"), Via: netip.MustParseAddr("192.0.2.9"), Type: Unicast, TOS: 0x10},
		Route{To: p("10.2.0.0/16"), Type: Throw},
		Route{To: p("10.3.0.0/16"), Type: Prohibit},
		Route{To: p("2001:db8:3::/48"), Type: Throw},
	)
	for _, c := range []struct {
		name string
		dst  string
		tos  uint8
		typ  Type
		out  string
		gw   string
		src  string
		mtu  int
	}{
		{"the default route", "198.51.100.1", 0, Unicast, "wan0", "203.0.113.1", "203.0.113.2", 1400},
		{"a neighbour", "192.0.2.9", 0, Unicast, "lan0", "", "192.0.2.1", 1500},
		{"an own address", "192.0.2.1", 0, Local, "lo", "", "192.0.2.1", 65536},
		{"a broadcast address", "192.0.2.255", 0, Broadcast, "lan0", "", "192.0.2.1", 1500},
		{"the network's first address is no broadcast", "192.0.2.0", 0, Unicast, "lan0", "", "192.0.2.1", 1500},
		{"the loopback network", "127.9.9.9", 0, Local, "lo", "", "127.0.0.1", 65536},
		{"the smaller metric", "10.9.0.1", 0, Unicast, "wan0", "203.0.113.9", "203.0.113.2", 900},
		{"a route for another TOS does not count", "10.1.0.1", 0, Unicast, "wan0", "203.0.113.9", "203.0.113.2", 900},
		{"a route for this TOS", "10.1.0.1", 0x10, Unicast, "lan0", "192.0.2.9", "192.0.2.1", 1500},
		{"throw ends the main table", "10.2.0.1", 0, None, "", "", "", 0},
		{"prohibit", "10.3.0.1", 0, Prohibit, "", "", "", 0},
		{"the IPv6 default route", "2001:db8:9::1", 0, Unicast, "wan0", "2001:db8:2::1", "", 1400},
		{"an own IPv6 address", "2001:db8:1::1", 0, Local, "lo", "", "2001:db8:1::1", 65536},
		{"the subnet-router anycast address", "2001:db8:1::", 0, Anycast, "lan0", "", "", 1500},
		{"IPv6 throw", "2001:db8:3::1", 0, None, "", "", "", 0},
		{"IPv6 loopback", "::1", 0, Local, "lo", "", "::1", 65536},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := tb.Lookup(&Key{Family: fam(c.dst), Dst: addr(c.dst), TOS: c.tos})
			want := Result{Type: c.typ, MTU: c.mtu}
			if c.gw != "" {
				want.Gateway = addr(c.gw)
			}
			if c.src != "" {
				want.PrefSrc = addr(c.src)
			}
			out := ""
			if r.Out != nil {
				out = r.Out.Name
			}
			if out != c.out || r.Type != want.Type || r.MTU != want.MTU || r.Gateway != want.Gateway || r.PrefSrc != want.PrefSrc {
				t.Errorf("got %+v by %q, want %+v by %q", r, out, want, c.out)
			}
		})
	}
}

func TestAddrType(t *testing.T) {
	tb, lan, wan := sample(Options{Anycast6: true}, Route{To: netip.MustParsePrefix("2001:db8:66::/48"), Type: Unreachable})
	for _, c := range []struct {
		name string
		a    string
		dev  *iface.Iface
		want Type
	}{
		{"a stranger", "198.51.100.1", nil, Unicast},
		{"own", "192.0.2.1", nil, Local},
		{"own on its interface", "192.0.2.1", lan, Local},
		{"own on another interface", "192.0.2.1", wan, Unicast},
		{"broadcast", "192.0.2.255", nil, Broadcast},
		{"limited broadcast", "255.255.255.255", wan, Broadcast},
		{"zero", "0.0.0.0", nil, Broadcast},
		{"group", "224.0.0.251", nil, Multicast},
		{"IPv6 own", "2001:db8:1::1", nil, Local},
		{"IPv6 own on another interface", "2001:db8:1::1", wan, Unicast},
		{"IPv6 group", "ff02::1", nil, Multicast},
		{"IPv6 unspecified", "::", nil, Unicast},
		{"IPv6 anycast", "2001:db8:1::", nil, Anycast},
		{"IPv6 unreachable", "2001:db8:66::1", nil, Unreachable},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := tb.AddrType(fam(c.a), addr(c.a), c.dev); got != c.want {
				t.Errorf("got %d, want %d", got, c.want)
			}
		})
	}
}

func TestSourceFor(t *testing.T) {
	tb, lan, wan := sample(Options{})
	for _, c := range []struct {
		name string
		dst  string
		out  *iface.Iface
		want string
	}{
		{"the first address of the interface", "198.51.100.1", wan, "203.0.113.2"},
		{"not a secondary one", "192.0.2.77", lan, "192.0.2.1"},
		{"a deprecated IPv6 address last", "2001:db8:9::1", wan, "2001:db8:2::2"},
		{"of equal IPv6 addresses the newer", "2001:db8:9::1", lan, "2001:db8:1::2"},
		{"an address itself", "2001:db8:1::1", lan, "2001:db8:1::1"},
		{"link-local to link-local", "fe80::9", wan, "fe80::2"},
		{"a label that fits before a prefix that is near, but not if deprecated", "fd00::9", wan, "2001:db8:2::2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := tb.SourceFor(fam(c.dst), addr(c.dst), c.out, packet.Addr{})
			if got != addr(c.want) {
				t.Errorf("got %v, want %s", got.IP(fam(c.dst)), c.want)
			}
		})
	}
}

func TestCheckSource(t *testing.T) {
	p := netip.MustParsePrefix
	tb, lan, wan := sample(Options{})
	custom, clan, _ := sample(Options{}, Route{To: p("198.51.100.0/24"), Type: Local})
	for _, c := range []struct {
		name string
		tb   *Table
		q    Source
		src  string
		want SourceVerdict
	}{
		{"without a filter anybody", tb, Source{In: wan}, "192.0.2.9", SourceOK},
		{"but not we", tb, Source{In: wan}, "192.0.2.1", SourceMartian},
		{"unless accept_local", tb, Source{In: wan, AcceptLocal: true}, "192.0.2.1", SourceOK},
		{"a broadcast address passes without a filter", tb, Source{In: lan}, "192.0.2.255", SourceOK},
		{"and not with one", tb, Source{In: lan, Filter: Strict}, "192.0.2.255", SourceMartian},
		{"strict, from its own side", tb, Source{In: lan, Filter: Strict}, "192.0.2.9", SourceDirect},
		{"strict, from the other side", tb, Source{In: wan, Filter: Strict}, "192.0.2.9", SourceReverse},
		{"loose, from the other side", tb, Source{In: wan, Filter: Loose}, "192.0.2.9", SourceOK},
		{"a local route made by hand", custom, Source{In: clan}, "198.51.100.7", SourceMartian},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.q.Src = addr(c.src)
			if got := c.tb.CheckSource(&c.q); got != c.want {
				t.Errorf("got %d, want %d", got, c.want)
			}
		})
	}
}

func TestLookupAllocatesNothing(t *testing.T) {
	tb, _, _ := sample(Options{})
	for _, dst := range []string{"198.51.100.1", "2001:db8:9::1"} {
		k := Key{Family: fam(dst), Dst: addr(dst)}
		if n := testing.AllocsPerRun(100, func() { tb.Lookup(&k) }); n != 0 {
			t.Errorf("%s: %v allocations", dst, n)
		}
	}
}
