package router

import (
	"weir/hook"
	"weir/iface"
	"weir/packet"
	"weir/route"
)

// receive takes a packet in. Linux: ip_rcv, ipv6_rcv.
func (r *Router) receive(p *passage) Fate {
	t := p.t
	if t.Pkt.Link.Type == packet.ToOther {
		return p.drop(hook.ReasonNotLocal)
	}
	if t.Pkt.Family == packet.IPv6 {
		if why := r.check6(p); why != hook.NoReason {
			return p.drop(why)
		}
	}
	p.before = t.Pkt.Dst()
	if f, done := r.run(hook.Prerouting, p); done {
		return f
	}
	return r.received(p)
}

// received goes on behind PREROUTING. Linux: ip_rcv_finish, ip6_rcv_finish.
func (r *Router) received(p *passage) Fate {
	t := p.t
	if t.Route.Type != route.None && t.Pkt.Dst() != p.before {
		// The way was known since the packet left this machine for lo.
		t.Route = route.Result{}
	}
	four := t.Pkt.Family == packet.IPv4
	if h := t.Pkt.HeaderLen(); t.Route.Type == route.None && (four && t.Pkt.Proto == packet.TCP || !four && t.Pkt.Data[6] == packet.TCP) {
		// Linux looks for a socket early (tcp_v4_early_demux).
		if t.Pkt.Link.Type == packet.ToHost && len(t.Pkt.Data) >= h+20 {
			t.Pkt.Pull(h + 20)
		}
	}
	if four {
		return r.routeIn4(p)
	}
	return r.routeIn6(p)
}

// check6 is what IPv6 looks at before the first hook. Linux: ip6_rcv_core.
func (r *Router) check6(p *passage) hook.Reason {
	t := p.t
	src, dst := t.Pkt.Src(), t.Pkt.Dst()
	loopback := packet.Addr{15: 1}
	onLo := t.In.Loopback
	switch {
	case r.dev(t.In).Disable6:
		return hook.ReasonNotLocal
	case (src == loopback || dst == loopback) && !onLo,
		dst[0] == 0xff && dst[1]&15 == 1 && !onLo,
		dst[0] == 0xff && dst[1]&15 == 0,
		src[0] == 0xff:
		return hook.ReasonMartian
	}
	if t.Pkt.Data[6] == packet.HopByHop {
		return r.hopOptions(p)
	}
	return hook.NoReason
}

// routeIn4 chooses the way of a received IPv4 packet and goes it. Linux:
// ip_rcv_finish, ip_route_input_slow.
func (r *Router) routeIn4(p *passage) Fate {
	t := p.t
	if t.Route.Type == route.None {
		if why := r.inputRoute4(p, t.Pkt.Dst()); why != hook.NoReason {
			return p.drop(why)
		}
		r.traceRoute(p)
	}
	if t.Pkt.HeaderLen() > 20 {
		if why := r.receiveOptions(p); why != hook.NoReason {
			return p.drop(why)
		}
	}
	switch t.Route.Type {
	case route.Local, route.Broadcast, route.Multicast:
		return r.deliver(p)
	case route.Unicast:
		return r.forward(p)
	}
	return r.unroutable4(p)
}

// inputRoute4 finds the route to dst for the packet and checks its addresses.
// It sets t.Route; a route that refuses has its type there.
func (r *Router) inputRoute4(p *passage, dst packet.Addr) hook.Reason {
	t := p.t
	src := t.Pkt.Src()
	dev := r.dev(t.In)
	t.Route = route.Result{}
	p.direct, p.noRoute = false, false
	if multicast4(dst) {
		return r.inputGroup4(p, dst)
	}
	limited := route.Broadcast4()
	switch {
	case multicast4(src), src == limited:
		return hook.ReasonMartian
	case dst == limited, src.IsZero() && dst.IsZero():
		return r.inputBroadcast(p)
	case src.IsZero(), dst.IsZero():
		return hook.ReasonMartian
	case (dst[0] == 127 || src[0] == 127) && !dev.RouteLocalnet:
		return hook.ReasonMartian
	}
	k := route.Key{Family: packet.IPv4, Dst: dst, Src: src, In: t.In, Mark: t.Mark, TOS: t.Pkt.TOS()}
	res := r.routes.Lookup(&k)
	switch res.Type {
	case route.Broadcast:
		return r.inputBroadcast(p)
	case route.Local:
		t.Route = res
		_, why := r.checkSource(p, dst, nil)
		return why
	case route.None:
		p.noRoute = true
		t.Route.Type = route.Unreachable
		return hook.NoReason
	case route.Blackhole, route.Unreachable, route.Prohibit:
		t.Route = res
		return hook.NoReason
	}
	if !dev.Forward4 {
		p.noRoute = true
		t.Route.Type = route.Unreachable
		return hook.NoReason
	}
	if res.Type != route.Unicast {
		return hook.ReasonMartian
	}
	t.Route = res
	direct, why := r.checkSource(p, dst, res.Out)
	p.direct = direct
	return why
}

// inputBroadcast takes a broadcast for this machine.
func (r *Router) inputBroadcast(p *passage) hook.Reason {
	t := p.t
	t.Route = route.Result{Type: route.Broadcast, Out: r.lo, MTU: r.lo.MTU}
	if t.Pkt.Src().IsZero() {
		return hook.NoReason
	}
	_, why := r.checkSource(p, packet.Addr{}, nil)
	return why
}

// inputGroup4 takes a multicast if the machine is in the group. Linux:
// ip_route_input_mc.
func (r *Router) inputGroup4(p *passage, dst packet.Addr) hook.Reason {
	t := p.t
	src := t.Pkt.Src()
	if dst != allHosts4() {
		return hook.ReasonBroadcast
	}
	switch {
	case multicast4(src), src == route.Broadcast4(),
		src[0] == 127 && !r.dev(t.In).RouteLocalnet:
		return hook.ReasonMartian
	}
	t.Route = route.Result{Type: route.Multicast, Out: r.lo, MTU: r.lo.MTU}
	if src.IsZero() {
		return hook.NoReason // all-hosts is a group of the link
	}
	_, why := r.checkSource(p, packet.Addr{}, nil)
	return why
}

func multicast4(a packet.Addr) bool { return a[0]&0xf0 == 0xe0 }
func allHosts4() packet.Addr        { return packet.Addr{224, 0, 0, 1} }
func linkLocal6(a packet.Addr) bool { return a[0] == 0xfe && a[1]&0xc0 == 0x80 }
func unicast(f packet.Family, a packet.Addr) bool {
	if f == packet.IPv6 {
		mapped := [12]byte(a[:12]) == [12]byte{10: 0xff, 11: 0xff}
		return a[0] != 0xff && !a.IsZero() && !mapped
	}
	return !multicast4(a) && !a.IsZero() && a != route.Broadcast4()
}

// checkSource asks the routes whether the sender may be where it is.
func (r *Router) checkSource(p *passage, dst packet.Addr, out *iface.Iface) (direct bool, why hook.Reason) {
	t := p.t
	dev := r.dev(t.In)
	q := route.Source{Src: t.Pkt.Src(), Dst: dst, In: t.In, Out: out, TOS: t.Pkt.TOS(),
		Filter: dev.Filter, AcceptLocal: dev.AcceptLocal, Redirects: dev.Redirects}
	if dev.ValidMark {
		q.Mark = t.Mark
	}
	switch r.routes.CheckSource(&q) {
	case route.SourceDirect:
		return true, hook.NoReason
	case route.SourceMartian:
		return false, hook.ReasonMartian
	case route.SourceReverse:
		return false, hook.ReasonRPFilter
	}
	return false, hook.NoReason
}

// unroutable4 refuses a packet to which no route leads. Linux: ip_error.
func (r *Router) unroutable4(p *passage) Fate {
	t := p.t
	why := hook.ReasonProhibited
	if p.noRoute {
		why = hook.ReasonNoRoute
	}
	if !r.dev(t.In).Forward4 {
		return p.drop(hook.ReasonForwardingOff)
	}
	if t.Route.Type == route.Blackhole || !r.limits.routeError(r, t.Pkt.Src()) {
		return p.drop(why)
	}
	code := uint8(icmpHostUnreach)
	switch {
	case p.noRoute:
		code = icmpNetUnreach
	case t.Route.Type == route.Prohibit:
		code = icmpAdminProhibited
	}
	r.ICMPError(t, icmpDestUnreach, code, 0)
	return p.drop(why)
}

// routeIn6 chooses the way of a received IPv6 packet and goes it. Linux:
// ip6_rcv_finish, ip6_route_input.
func (r *Router) routeIn6(p *passage) Fate {
	t := p.t
	if t.Route.Type == route.None {
		k := route.Key{Family: packet.IPv6, Dst: t.Pkt.Dst(), Src: t.Pkt.Src(), In: t.In, Mark: t.Mark, TOS: t.Pkt.TOS()}
		t.Route = r.routes.Lookup(&k)
		if k.Dst[0] == 0xff {
			t.Route = route.Result{Type: route.Multicast, Out: t.In, MTU: t.In.MTU}
		}
		r.traceRoute(p)
	}
	switch t.Route.Type {
	case route.Local, route.Anycast:
		return r.deliver(p)
	case route.Multicast:
		if !r.member6(t.Pkt.Dst(), t.In) {
			return p.drop(hook.ReasonBroadcast)
		}
		return r.deliver(p)
	case route.Unicast:
		return r.forward(p)
	case route.None:
		r.unreachable6(p, icmp6NoRoute)
		return p.drop(hook.ReasonNoRoute)
	case route.Blackhole:
		return p.drop(hook.ReasonProhibited)
	case route.Prohibit:
		r.unreachable6(p, icmp6AdminProhibited)
		return p.drop(hook.ReasonProhibited)
	}
	r.unreachable6(p, icmp6NoRoute)
	return p.drop(hook.ReasonProhibited)
}

// unreachable6 answers a packet that no route takes. Linux: ip6_pkt_drop.
func (r *Router) unreachable6(p *passage, code uint8) {
	r.ICMPError(p.t, icmp6DestUnreach, code, 0)
}

// member6 reports the groups that Linux joins by itself: all nodes, all
// routers of the link when forwarding, and on Ethernet the solicited-node
// groups of the addresses.
func (r *Router) member6(g packet.Addr, dev *iface.Iface) bool {
	switch g {
	case packet.Addr{0xff, 1, 15: 1}, packet.Addr{0xff, 2, 15: 1}:
		return true
	case packet.Addr{0xff, 2, 15: 2}:
		return r.cfg.Forward6
	}
	if dev.MAC == [6]byte{} || g != (packet.Addr{0xff, 2, 11: 1, 12: 0xff, 13: g[13], 14: g[14], 15: g[15]}) {
		return false
	}
	for i := range dev.Addrs {
		if ip := dev.Addrs[i].Prefix.Addr(); ip.Is6() {
			if a := packet.AddrOf(ip); [3]byte(a[13:]) == [3]byte(g[13:]) {
				return true
			}
		}
	}
	return false
}
