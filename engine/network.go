package engine

import (
	"net/netip"
	"slices"

	"weir/iface"
	"weir/nat"
	"weir/packet"
	"weir/route"
)

// SetNetwork swaps the interfaces and the routes whole, between packets: the
// machine owns both from then on. An interface keeps its index, by which its
// sysctls and the connections know it; callers take the new ones from Ifaces.
//
// As in Linux, masqueraded connections end when the interface by which they left
// went down (or is gone), or lost the address that they use; SetNetwork returns
// how many. All others stay and are routed anew. Path MTUs are forgotten. Packets that wait in
// a queue are dropped if an interface of theirs went down.
func (m *Machine) SetNetwork(ifaces []*iface.Iface, routes []route.Route, now int64) (ended int) {
	if !m.ready {
		return 0
	}
	m.forget()
	if !hasLoopback(ifaces) {
		ifaces = append([]*iface.Iface{m.env.Routes.Loopback()}, ifaces...)
	}
	before, set := m.env.Ifaces, iface.NewSet(ifaces...)
	m.router.ChangeIfaces(set, m.lost)
	m.env.Ifaces = set
	m.router.SetRoutes(route.New(set, left(before, routes), m.routing))
	for _, old := range before.All() {
		i := set.Index(old.Index)
		if i == nil || i.Down && !old.Down {
			ended += nat.InterfaceDown(&m.env, old, now)
			continue
		}
		for _, a := range old.Addrs {
			if addr := a.Prefix.Addr(); !owns(i, addr) {
				ended += nat.AddressRemoved(&m.env, old, packet.FamilyOf(addr), packet.AddrOf(addr), now)
			}
		}
	}
	m.env.CT.Reap()
	return ended
}

// left is the routes without those of IPv4 by an interface that has no IPv4
// address any more. Linux: fib_inetaddr_event.
func left(before *iface.Set, routes []route.Route) (list []route.Route) {
	for _, r := range routes {
		if r.Dev != nil && r.To.Addr().Is4() && !addressed4(r.Dev) {
			if old := before.Index(r.Dev.Index); old != nil && addressed4(old) {
				continue
			}
		}
		list = append(list, r)
	}
	return list
}

// addressed4 says whether an interface has an IPv4 address.
func addressed4(i *iface.Iface) bool {
	return slices.ContainsFunc(i.Addrs, func(a iface.Addr) bool { return a.Prefix.Addr().Is4() })
}

// owns says whether an interface has an address.
func owns(i *iface.Iface, addr netip.Addr) bool {
	return slices.ContainsFunc(i.Addrs, func(a iface.Addr) bool { return a.Prefix.Addr() == addr })
}
