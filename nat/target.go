package nat

import (
	"weir/hook"
	"weir/iface"
	"weir/packet"
)

// Masquerade maps the source of t's new connection to the address of the
// interface by which it leaves, and remembers the interface: when the way out
// changes the connection ends. r gives ports and flags. Linux:
// nf_nat_masquerade_ipv4, nf_nat_masquerade_ipv6.
func Masquerade(t *hook.Traversal, r *Range) bool {
	c := t.CT.Conn
	if c == nil || t.Pkt.Family == packet.IPv4 && c.Tuple[0].Src.IsZero() {
		return true
	}
	if t.Out == nil {
		return fail(t, "no interface to masquerade as")
	}
	src := t.Env.Routes.SourceFor(t.Pkt.Family, t.Pkt.Dst(), t.Out, t.Route.Gateway)
	if src.IsZero() {
		return fail(t, "no address to masquerade as")
	}
	t.Env.CT.SetMasqIf(c, uint32(t.Out.Index))
	to := r.to(src)
	return Setup(t, c, &to, Source)
}

// Redirect maps the destination of t's new connection to this machine: for
// packets of its own the loopback address, else the first address of the
// interface they came in by. r gives ports and flags. Linux:
// nf_nat_redirect_ipv4, nf_nat_redirect_ipv6.
func Redirect(t *hook.Traversal, r *Range) bool {
	c := t.CT.Conn
	if c == nil {
		return true
	}
	to, ok := packet.Addr{127, 0, 0, 1}, true
	if t.Point != hook.Output {
		to, ok = firstInScope(t)
	} else if t.Pkt.Family == packet.IPv6 {
		to = packet.Addr{15: 1}
	}
	if !ok {
		return fail(t, "no address to redirect to")
	}
	there := r.to(to)
	return Setup(t, c, &there, Destination)
}

// firstInScope is the address of the incoming interface to which packets are
// redirected: the first, or for IPv6 to a destination of a limited scope the
// newest of that scope. Linux: nf_nat_redirect_ipv6_usable.
func firstInScope(t *hook.Traversal) (packet.Addr, bool) {
	want := uint8(0)
	if t.Pkt.Family == packet.IPv6 {
		want = limitedScope(t.Pkt.Dst())
	}
	if want == 0 {
		return t.Env.Routes.First(t.Pkt.Family, t.In)
	}
	for i := len(t.In.Addrs) - 1; i >= 0; i-- {
		if a := packet.AddrOf(t.In.Addrs[i].Prefix.Addr()); t.In.Addrs[i].Prefix.Addr().Is6() && limitedScope(a) == want {
			return a, true
		}
	}
	return packet.Addr{}, false
}

// limitedScope is the scope of an IPv6 address that is not global, with
// Linux's bits (IPV6_ADDR_SCOPE_MASK); 0 for the others.
func limitedScope(a packet.Addr) uint8 {
	const loopback, link, site, compatible = 0x10, 0x20, 0x40, 0x80
	switch {
	case a[0] == 0xff && a[1]&15 == 1, a == packet.Addr{15: 1}:
		return loopback
	case a[0] == 0xff && a[1]&15 == 2, a[0] == 0xfe && a[1]&0xc0 == 0x80:
		return link
	case a[0] == 0xff && a[1]&15 == 5, a[0] == 0xfe && a[1]&0xc0 == 0xc0:
		return site
	case !a.IsZero() && [12]byte(a[:12]) == [12]byte{}:
		return compatible
	}
	return 0
}

// Netmap maps the network part of the address that the hook point rewrites and
// keeps its host part. r holds the first and last address of the network.
// Linux: net/netfilter/xt_NETMAP.c.
func Netmap(t *hook.Traversal, r *Range) bool {
	c := t.CT.Conn
	if c == nil {
		return true
	}
	m := ManipAt(t.Point)
	a := t.Pkt.Src()
	if m == Destination {
		a = t.Pkt.Dst()
	}
	for i := range a {
		host := r.MinAddr[i] ^ r.MaxAddr[i]
		a[i] = a[i]&host | r.MinAddr[i]&^host
	}
	to := r.to(a)
	return Setup(t, c, &to, m)
}

// to is the range with one address.
func (r *Range) to(a packet.Addr) Range {
	n := *r
	n.Flags |= MapIPs
	n.MinAddr, n.MaxAddr = a, a
	return n
}

// InterfaceDown ends the masqueraded connections that left by an interface
// that went down, and returns how many. Linux: masq_device_event.
func InterfaceDown(env *hook.Env, dev *iface.Iface, now int64) int {
	n := 0
	for _, c := range env.CT.Masqueraded(uint32(dev.Index), now) {
		if env.CT.Kill(c, now) {
			n++
		}
	}
	return n
}

// AddressRemoved ends the masqueraded connections that use an address that an
// interface lost, and returns how many. Linux: masq_inet_event.
func AddressRemoved(env *hook.Env, dev *iface.Iface, f packet.Family, a packet.Addr, now int64) int {
	n := 0
	for _, c := range env.CT.Masqueraded(uint32(dev.Index), now) {
		if r := &c.Tuple[1]; r.L3 == f && r.Dst == a && env.CT.Kill(c, now) {
			n++
		}
	}
	return n
}
