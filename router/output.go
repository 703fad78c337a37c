package router

import (
	"weir/hook"
	"weir/iface"
	"weir/packet"
	"weir/route"
)

// outQuery asks for the way of a packet of this machine.
type outQuery struct {
	dst  packet.Addr
	src  packet.Addr  // zero: to be chosen
	out  *iface.Iface // nil: any
	near *iface.Iface // IPv6: preferred among equals
	mark uint32
	tos  uint8
	// anySource allows a source that is not this machine's.
	anySource bool
}

// routeOut finds the way and the source of a packet of this machine; the
// source is in the result's PrefSrc.
//
// Linux: ip_route_output_key_hash_rcu, ip6_route_output,
// ip6_dst_lookup_tail.
func (r *Router) routeOut(f packet.Family, q *outQuery) (route.Result, hook.Reason) {
	four := f == packet.IPv4
	dst := q.dst
	if four && dst.IsZero() {
		if dst = q.src; dst.IsZero() {
			dst = packet.Addr{127, 0, 0, 1}
		}
		q.dst = dst // what the machine itself sends is addressed so
	}
	group := !four && dst[0] == 0xff || four && (multicast4(dst) || dst == route.Broadcast4())
	out := q.out
	if four && !q.src.IsZero() {
		if multicast4(q.src) || q.src == route.Broadcast4() {
			return route.Result{}, hook.ReasonMartian
		}
		if out == nil && group {
			if out = r.ownerOf(q.src); out == nil {
				return route.Result{}, hook.ReasonNoRoute
			}
		} else if !q.anySource && !r.routes.IsLocal(f, q.src) {
			return route.Result{}, hook.ReasonMartian
		}
	}
	k := route.Key{Family: f, Dst: dst, Src: q.src, In: q.near, Out: out, Mark: q.mark, TOS: q.tos}
	res := r.routes.Lookup(&k)
	switch res.Type {
	case route.None:
		if !four || out == nil {
			return res, hook.ReasonNoRoute
		}
		// The interface is given: the destination must be on its link.
		res = route.Result{Type: route.Unicast, Out: out, MTU: out.MTU}
		if q.src.IsZero() {
			res.PrefSrc = r.routes.SourceFor(f, dst, out, packet.Addr{})
		}
	case route.Blackhole, route.Unreachable, route.Prohibit:
		return res, hook.ReasonProhibited
	}
	dev := res.Out
	switch {
	case res.Type == route.Local:
		res.Out, res.MTU = r.lo, r.lo.MTU
		if res.PrefSrc.IsZero() {
			res.PrefSrc = dst
		}
	case res.Type == route.Anycast:
		res.Out, res.MTU = r.lo, r.lo.MTU
	case four && dst == route.Broadcast4():
		res.Type, res.Gateway = route.Broadcast, packet.Addr{}
	case group:
		res.Type = route.Multicast
		if four {
			res.Gateway = packet.Addr{}
		}
	}
	if !q.src.IsZero() {
		res.PrefSrc = q.src
	} else if !four && res.PrefSrc.IsZero() {
		res.PrefSrc = r.routes.SourceFor(f, dst, dev, res.Gateway)
	}
	if four && res.PrefSrc[0] == 127 && !res.Out.Loopback && !r.dev(res.Out).RouteLocalnet {
		return res, hook.ReasonMartian
	}
	return res, hook.NoReason
}

// ownerOf is the interface on which an IPv4 address is configured.
func (r *Router) ownerOf(a packet.Addr) *iface.Iface {
	for _, i := range r.routes.Ifaces().All() {
		if r.routes.Owns(packet.IPv4, a, i) {
			return i
		}
	}
	return nil
}

// send carries a packet of this machine out. The source stands in the packet
// and takes no part in the choice of the way, as for a raw socket.
//
// Linux: raw_sendmsg with IP_HDRINCL, __ip_local_out, ip6_local_out.
func (r *Router) send(p *passage) Fate {
	t := p.t
	q := outQuery{dst: t.Pkt.Dst(), out: t.Out, mark: t.Mark, tos: t.Pkt.TOS(), anySource: true}
	res, why := r.routeOut(t.Pkt.Family, &q)
	t.Route = res
	if why != hook.NoReason {
		return p.drop(why)
	}
	return r.localOut(p)
}

// localOut takes a packet of this machine whose way is chosen through OUTPUT.
func (r *Router) localOut(p *passage) Fate {
	t := p.t
	t.In, t.Out = nil, t.Route.Out
	r.traceRoute(p)
	if f, done := r.run(hook.Output, p); done {
		return f
	}
	return r.output(p)
}

// output takes a packet through POSTROUTING and sends it. Linux: ip_output,
// ip6_output, ip_mc_output.
func (r *Router) output(p *passage) Fate {
	t := p.t
	t.Out = t.Route.Out
	// IPv4 makes this machine's copy before POSTROUTING, IPv6 behind it.
	four := t.Pkt.Family == packet.IPv4
	if four && r.takesToo(t) && !r.loopCopy(p) {
		return p.drop(hook.ReasonTTL)
	}
	if f, done := r.run(hook.Postrouting, p); done {
		return f
	}
	return r.posted(p)
}

// posted goes on behind POSTROUTING. Linux: ip_finish_output,
// ip6_finish_output.
func (r *Router) posted(p *passage) Fate {
	t := p.t
	if t.Pkt.Family == packet.IPv6 && r.takesToo(t) && !r.loopCopy(p) {
		return p.drop(hook.ReasonTTL)
	}
	return r.finish(p)
}

// takesToo reports a broadcast or multicast that this machine sends and is
// itself among the receivers of.
func (r *Router) takesToo(t *hook.Traversal) bool {
	if !t.Local || t.Out.Loopback {
		return false
	}
	switch t.Route.Type {
	case route.Broadcast:
		return true
	case route.Multicast:
		return t.Pkt.Dst() == allHosts4() || t.Pkt.Family == packet.IPv6 && r.member6(t.Pkt.Dst(), t.Out)
	}
	return false
}

// loopCopy gives this machine its copy of what it sends. It returns false for
// a multicast that must not go further than that.
func (r *Router) loopCopy(p *passage) (goesOn bool) {
	t := p.t
	goesOn = t.Route.Type != route.Multicast || t.Pkt.TTL() > 0
	if len(r.active) > maxNested {
		return goesOn
	}
	c := r.get(t)
	data := r.alloc(len(t.Pkt.Data))
	copy(data, t.Pkt.Data)
	c.pkt = *t.Pkt
	c.pkt.Data = data
	c.own.CT, c.own.Mark, c.own.Route, c.own.Out, c.own.NFTrace = t.CT, t.Mark, t.Route, t.Out, t.NFTrace
	c.own.Copy = true
	c.attached = true
	r.active = append(r.active, c)
	_, done := r.run(hook.Postrouting, c)
	r.active = r.active[:len(r.active)-1]
	if done {
		r.put(c)
		return goesOn
	}
	r.copied(c)
	if r.top.t != nil && r.top.t == t && !r.top.back && !r.draining {
		// A program's packet: Linux takes the copy in at once, before it goes
		// on with the packet itself.
		r.drainLoop()
	}
	return goesOn
}

// copied takes a copy in again.
func (r *Router) copied(c *passage) Fate {
	c.copyOf, c.keep = c.t.Out, true
	r.loop = append(r.loop, c)
	return looped
}

// transmit hands one packet of p to its interface. pk is p's own packet or a
// fragment of it.
func (r *Router) transmit(p *passage, pk *packet.Packet) Fate {
	t := p.t
	if t.Out.Loopback {
		p.keep = true
		r.loop = append(r.loop, p)
		return looped
	}
	pk.FillSum()
	r.sink.Transmit(t.Out, pk, t)
	if t.Local {
		return Sent
	}
	return Forwarded
}

// emit sends a packet that the router made; p.pkt has its bytes, t.Route its
// way. parent is what caused it.
func (r *Router) emit(parent *hook.Traversal, p *passage) {
	var before string
	if parent != nil && parent.Trace.On() {
		before = parent.Trace.SetHook("")
	}
	r.active = append(r.active, p)
	r.localOut(p)
	r.active = r.active[:len(r.active)-1]
	if parent != nil && parent.Trace.On() {
		parent.Trace.SetHook(before)
	}
	if !p.keep {
		r.put(p)
	}
}
