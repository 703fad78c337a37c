package route

import (
	"cmp"
	"net/netip"
	"slices"

	"weir/iface"
	"weir/packet"
)

// New builds a table. Routes without a device get the one through which their
// gateway is reached; a Table of 0 means main, or local for the types that
// Linux keeps there. Tables that no policy rule names are ignored.
func New(ifs *iface.Set, routes []Route, o Options) *Table {
	t := &Table{ifs: ifs, owned: make(map[packet.Addr][]owner)}
	all := ifs.All()
	for _, i := range all {
		if i.Loopback && t.lo == nil {
			t.lo = i
		}
	}
	if t.lo == nil {
		t.lo = Loopback()
		all = append([]*iface.Iface{t.lo}, all...)
	}
	var list []Route
	for _, i := range all {
		list = append(list, up(connected(i, o))...)
		for _, a := range i.Addrs {
			p := a.Prefix.Addr()
			key := packet.AddrOf(p)
			t.owned[key] = append(t.owned[key], owner{i, packet.FamilyOf(p)})
		}
	}
	list = append(list, loopbackRoutes(t.lo, list, o)...)
	derived := len(list)
	for _, r := range up(routes) {
		if r.Table == 0 {
			r.Table = TableMain
			if r.Type == Local || r.Type == Broadcast || r.Type == Anycast {
				r.Table = TableLocal
			}
		}
		list = append(list, r)
	}
	for i := range list {
		r := &list[i]
		// The kernel adds its own local routes without this mark; of a
		// complete list those are the ones for configured addresses and
		// the loopback network.
		if i >= derived && r.Type == Local && r.To.Addr().Is4() && !t.kernelMade(r) {
			t.customLocal = true
		}
	}
	t.steps4, t.steps6 = t.steps(list, packet.IPv4, o.Rules), t.steps(list, packet.IPv6, o.Rules)
	if t.steps4[0].rule == nil {
		t.local4 = t.steps4[0].trie
	} else {
		t.customLocal = true
		t.local4 = t.plant(list, true, TableLocal)
	}
	return t
}

// up is the routes without those by an interface that is down, but for the
// local ones of IPv4. Linux: fib_sync_down_dev.
func up(list []Route) (out []Route) {
	for _, r := range list {
		if r.Dev == nil || !r.Dev.Down || r.Type == Local && r.To.Addr().Is4() {
			out = append(out, r)
		}
	}
	return out
}

// Loopback is lo as Linux brings it up.
func Loopback() *iface.Iface {
	return &iface.Iface{Index: 1, Name: "lo", MTU: 65536, Loopback: true, Addrs: []iface.Addr{
		{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 8), Scope: iface.Host},
		{Prefix: netip.PrefixFrom(netip.IPv6Loopback(), 128), Scope: iface.Host},
	}}
}

func (t *Table) kernelMade(r *Route) bool {
	if r.To == loopback4() {
		return true
	}
	return r.To.IsSingleIP() && t.Owns(packet.IPv4, packet.AddrOf(r.To.Addr()), nil)
}

func loopback4() netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{127, 0, 0, 0}), 8)
}

// loopbackRoutes makes the routes of 127.0.0.0/8 and ::1 when no address of lo
// gave them and the list is not complete.
func loopbackRoutes(lo *iface.Iface, have []Route, o Options) (out []Route) {
	six := netip.PrefixFrom(netip.IPv6Loopback(), 128)
	has := func(p netip.Prefix) bool {
		return slices.ContainsFunc(have, func(r Route) bool { return r.To == p && r.Type == Local })
	}
	one := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if !o.Complete4 && !has(loopback4()) {
		out = append(out, Route{To: loopback4(), Dev: lo, Type: Local, Src: one, Table: TableLocal, Scope: iface.Host},
			Route{To: netip.PrefixFrom(one, 32), Dev: lo, Type: Local, Src: one, Table: TableLocal, Scope: iface.Host})
	}
	if !o.Complete6 && !has(six) {
		out = append(out, Route{To: six, Dev: lo, Type: Local, Table: TableLocal})
	}
	return out
}

// connected is the routes that Linux makes for the addresses of an interface.
// Linux: net/ipv4/fib_frontend.c fib_add_ifaddr, net/ipv6/addrconf.c.
func connected(i *iface.Iface, o Options) (out []Route) {
	six := false
	for _, a := range i.Addrs {
		addr := a.Prefix.Addr()
		bits := a.Prefix.Bits()
		if addr.Is4() {
			if !o.Complete4 {
				out = append(out, connected4(i, a, addr, bits)...)
			}
			continue
		}
		if o.Complete6 {
			continue
		}
		six = true
		out = append(out, Route{To: netip.PrefixFrom(addr, 128), Dev: i, Type: Local, Table: TableLocal})
		net := a.Prefix
		if a.Peer.IsValid() {
			net = netip.PrefixFrom(a.Peer, bits)
		}
		out = append(out, Route{To: net.Masked(), Dev: i, Type: Unicast, Table: TableMain, Metric: 256})
		if o.Anycast6 && bits < 127 && !i.Loopback {
			out = append(out, Route{To: netip.PrefixFrom(a.Prefix.Masked().Addr(), 128), Dev: i, Type: Anycast, Table: TableLocal})
		}
	}
	if six && !i.Loopback {
		mc := netip.PrefixFrom(netip.AddrFrom16([16]byte{0xff}), 8)
		out = append(out, Route{To: mc, Dev: i, Type: Multicast, Table: TableLocal, Metric: 256})
	}
	return out
}

func connected4(i *iface.Iface, a iface.Addr, addr netip.Addr, bits int) (out []Route) {
	to := addr
	if a.Secondary {
		// What is sent to it comes from the first address of its subnet.
		for _, b := range i.Addrs {
			if !b.Secondary && b.Prefix.Masked() == a.Prefix.Masked() {
				addr = b.Prefix.Addr()
				break
			}
		}
	}
	out = append(out, Route{To: netip.PrefixFrom(to, 32), Dev: i, Type: Local, Src: addr, Table: TableLocal, Scope: iface.Host})
	if a.Broadcast.IsValid() && a.Broadcast != netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		out = append(out, Route{To: netip.PrefixFrom(a.Broadcast, 32), Dev: i, Type: Broadcast, Src: addr, Table: TableLocal, Scope: iface.LinkLocal})
	}
	net := a.Prefix
	if a.Peer.IsValid() {
		net = netip.PrefixFrom(a.Peer, bits)
	}
	net = net.Masked()
	if a.Secondary || net.Addr().IsUnspecified() || bits == 32 && net.Addr() == addr {
		return out
	}
	r := Route{To: net, Dev: i, Type: Unicast, Src: addr, Table: TableMain, Scope: iface.LinkLocal}
	if i.Loopback {
		r.Type, r.Table, r.Scope = Local, TableLocal, iface.Host
	}
	out = append(out, r)
	if bits < 31 {
		out = append(out, Route{To: netip.PrefixFrom(last4(net), 32), Dev: i, Type: Broadcast, Src: addr, Table: TableLocal, Scope: iface.LinkLocal})
	}
	return out
}

// last4 is the highest address of an IPv4 network.
func last4(p netip.Prefix) netip.Addr {
	b := p.Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom4(b)
}

// plant builds a trie of some tables. In one prefix the order is: local before
// main, larger TOS first (IPv4), smaller metric first, then as given.
func (t *Table) plant(list []Route, four bool, tables ...int) *trie {
	tr := &trie{}
	var nodes []*node
	for _, r := range list {
		if r.To.Addr().Is4() != four || !slices.Contains(tables, r.Table) {
			continue
		}
		r.To = r.To.Masked()
		n, ok := tr.bart.Get(r.To)
		if !ok {
			n = &node{prefix: r.To}
			tr.bart.Insert(r.To, n)
			nodes = append(nodes, n)
		}
		if r.Dev == nil && r.Via.IsValid() {
			r.Dev = deviceFor(list, r.Via)
		}
		if r.Dev == nil && !four {
			r.Dev = t.lo // where Linux puts IPv6 routes that refuse
		}
		if !four && r.Metric == 0 && r.Type != Local && r.Type != Anycast {
			r.Metric = 1024 // IP6_RT_PRIO_USER
		}
		if slices.ContainsFunc(n.routes, func(e entry) bool { return e.route == r }) {
			continue
		}
		n.routes = append(n.routes, entry{r, t.resultOf(&r)})
	}
	for _, n := range nodes {
		slices.SortStableFunc(n.routes, func(a, b entry) int {
			return cmp.Or(-cmp.Compare(a.route.Table, b.route.Table), -cmp.Compare(a.route.TOS, b.route.TOS), cmp.Compare(a.route.Metric, b.route.Metric))
		})
		if n.prefix.Bits() > 0 {
			shorter := netip.PrefixFrom(n.prefix.Addr(), n.prefix.Bits()-1).Masked()
			n.up, _ = tr.bart.LookupPrefix(shorter)
		}
	}
	return tr
}

// deviceFor finds the interface by which a gateway is reached.
func deviceFor(list []Route, via netip.Addr) (dev *iface.Iface) {
	best := -1
	for _, r := range list {
		if r.Dev != nil && r.Type == Unicast && !r.Via.IsValid() && r.To.Contains(via) && r.To.Bits() > best {
			best, dev = r.To.Bits(), r.Dev
		}
	}
	return dev
}

// resultOf is what a look-up answers for a route.
func (t *Table) resultOf(r *Route) Result {
	res := Result{Type: r.Type, Out: r.Dev, MTU: r.MTU, Scope: iface.Host}
	four := r.To.Addr().Is4()
	if r.Via.IsValid() {
		res.Gateway = packet.AddrOf(r.Via)
		res.Scope = iface.LinkLocal
	} else if r.Type == Local {
		res.Scope = iface.Nowhere
	}
	switch {
	case r.Src.IsValid():
		res.PrefSrc = packet.AddrOf(r.Src)
	case four && r.Dev != nil && (r.Type == Unicast || r.Type == Broadcast || r.Type == Multicast):
		gw := netip.Addr{}
		if r.Via.Is4() {
			gw = r.Via
		}
		if a := t.selectAddr4(r.Dev, gw, r.Scope); a.IsValid() {
			res.PrefSrc = packet.AddrOf(a)
		}
	}
	if r.Type == Local {
		res.Out = t.lo
	}
	if res.MTU == 0 && res.Out != nil {
		res.MTU = res.Out.MTU
	}
	return res
}
