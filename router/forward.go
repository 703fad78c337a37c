package router

import (
	"weir/hook"
	"weir/packet"
	"weir/route"
)

// forward sends a packet on. Linux: ip_forward, ip6_forward.
func (r *Router) forward(p *passage) Fate {
	t := p.t
	pk := t.Pkt
	four := pk.Family == packet.IPv4
	if !four && !r.cfg.Forward6 {
		return p.drop(hook.ReasonForwardingOff)
	}
	if pk.Link.Type != packet.ToHost {
		return p.drop(hook.ReasonNotLocal)
	}
	if t.Socket != nil {
		return p.drop(hook.ReasonAssigned)
	}
	if pk.TTL() <= 1 {
		if four {
			r.ICMPError(t, icmpTimeExceeded, 0, 0)
		} else {
			r.ICMPError(t, icmp6TimeExceeded, 0, 0)
		}
		return p.drop(hook.ReasonTTL)
	}
	if four {
		if p.opt.strict && !t.Route.Gateway.IsZero() {
			r.ICMPError(t, icmpDestUnreach, icmpSourceRouteFailed, 0)
			return p.drop(hook.ReasonSourceRoute)
		}
	} else if why := r.mayForward6(p); why != hook.NoReason {
		return p.drop(why)
	}
	t.Out = t.Route.Out
	mtu := r.mtu(t, true)
	// The machine's own messages may be cut anywhere (Linux: ignore_df).
	if tooBig(pk, mtu) && (four || !p.made) {
		if four {
			r.ICMPError(t, icmpDestUnreach, icmpFragNeeded, uint32(mtu))
		} else {
			r.packetTooBig6(t, mtu)
		}
		return p.drop(hook.ReasonTooBig)
	}
	pk.SetTTL(pk.TTL() - 1)
	if four && p.direct && t.Out == t.In && r.dev(t.Out).Redirects && p.opt.srr == 0 {
		r.redirect(p)
	}
	if f, done := r.run(hook.Forward, p); done {
		return f
	}
	return r.forwarded(p)
}

// forwarded goes on behind FORWARD. Linux: ip_forward_finish,
// ip6_forward_finish.
func (r *Router) forwarded(p *passage) Fate {
	if p.t.Pkt.Family == packet.IPv4 && p.opt.length > 0 {
		r.forwardOptions(p)
	}
	return r.output(p)
}

// mayForward6 checks the source of a packet that is to be forwarded.
func (r *Router) mayForward6(p *passage) hook.Reason {
	src := p.t.Pkt.Src()
	if p.t.Route.Out == p.t.In {
		// Linux sends a redirect here, for which it needs neighbours; see
		// docs/differences.md.
		return hook.NoReason
	}
	switch {
	case src.IsZero(), src[0] == 0xff, src == packet.Addr{15: 1}:
		return hook.ReasonMartian
	case linkLocal6(src):
		r.ICMPError(p.t, icmp6DestUnreach, icmp6BeyondScope, 0)
		return hook.ReasonMartian
	}
	return hook.NoReason
}

// mtu is the largest packet that leaves by the packet's route; forwarding asks
// on the way in, where only the link counts. Linux: ip_dst_mtu_maybe_forward,
// ip6_dst_mtu_maybe_forward.
func (r *Router) mtu(t *hook.Traversal, forwarding bool) int {
	m := t.Route.MTU
	if t.Pkt.Family == packet.IPv6 {
		switch {
		case !forwarding:
			m = t.Route.PathMTU()
		case !t.Route.Locked:
			m = t.Route.Out.MTU // what the route carries shows at the way out
		}
		return max(m, 1280)
	}
	if t.Local || t.Route.Locked {
		m = t.Route.PathMTU()
	}
	return min(m, 65535)
}

// tooBig reports a packet that does not fit and may not be cut. Linux:
// ip_exceeds_mtu, ip6_pkt_too_big.
func tooBig(p *packet.Packet, mtu int) bool {
	if p.Wire() <= mtu {
		return false
	}
	if p.Family == packet.IPv4 && !p.DF() {
		return false
	}
	if g := p.Reassembled; g != nil {
		return g.MaxSize > mtu
	}
	return true
}

// redirect tells a neighbour of a better way. Linux: ip_rt_send_redirect.
func (r *Router) redirect(p *passage) {
	t := p.t
	gw := t.Route.Gateway
	if gw.IsZero() {
		gw = t.Pkt.Dst()
	}
	if !r.dev(t.Out).SharedMedia && !r.onLink(t, gw) {
		return
	}
	if r.limits.redirect(r, t.Pkt.Src()) {
		r.ICMPError(t, icmpRedirect, 1, be32(gw[:]))
	}
}

// onLink reports whether the sender and the gateway are in one subnet of the
// packet's interface. Linux: inet_addr_onlink.
func (r *Router) onLink(t *hook.Traversal, gw packet.Addr) bool {
	src := t.Pkt.Src().IP(packet.IPv4)
	for i := range t.Out.Addrs {
		a := t.Out.Addrs[i].Prefix
		if a.Addr().Is4() && a.Contains(src) && a.Contains(gw.IP(packet.IPv4)) {
			return true
		}
	}
	return false
}

// Reroute chooses the way of a locally sent packet again, after a hook
// function of OUTPUT changed what routing looks at. The interface that the
// functions behind it see stays; POSTROUTING sees the new one.
//
// Linux: ip_route_me_harder, ip6_route_me_harder.
func (r *Router) Reroute(t *hook.Traversal) hook.Verdict {
	q := outQuery{dst: t.Pkt.Dst(), mark: t.Mark, tos: t.Pkt.TOS(), anySource: true}
	if t.Pkt.Family == packet.IPv4 {
		src := t.Pkt.Src()
		if typ := r.routes.AddrType(packet.IPv4, src, nil); typ == route.Local || typ == route.Unicast {
			q.src = src
		}
	} else {
		q.src = t.Pkt.Src()
		if route.LinkScoped(q.dst) || q.dst[0] == 0xff {
			q.out = t.Route.Out
		}
	}
	res, why := r.routeOut(t.Pkt.Family, &q)
	if why != hook.NoReason {
		return t.Drop(why)
	}
	t.Route = res
	if p := r.passageOf(t); p != nil {
		r.traceRoute(p)
	}
	return hook.Accept
}
