package router

import (
	"encoding/binary"

	"weir/conntrack"
	"weir/hook"
	"weir/iface"
	"weir/packet"
	"weir/route"
	"weir/trace"
)

// TCPReset implements hook.Emitter. It also ends the connection, as -j REJECT
// --reject-with tcp-reset does. Linux: nf_send_reset, nf_send_reset6.
func (r *Router) TCPReset(t *hook.Traversal) {
	pk := t.Pkt
	if len(r.active) > maxNested || pk.FragOff != 0 || pk.Proto != packet.TCP || pk.L4 < 0 || len(pk.Payload()) < 20 ||
		pk.Payload()[13]&packet.TCPRst != 0 || !summedUp(t) {
		return
	}
	src, dst := pk.Src(), pk.Dst()
	switch {
	case t.Route.Type == route.Broadcast, t.Route.Type == route.Multicast,
		pk.Family == packet.IPv6 && (!unicast(packet.IPv6, src) || !unicast(packet.IPv6, dst)):
		return
	}
	q := outQuery{dst: src, src: dst, anySource: true}
	if pk.Family == packet.IPv4 {
		if typ := r.routes.AddrType(packet.IPv4, dst, nil); typ != route.Local && typ != route.Unicast {
			q.src = packet.Addr{}
		}
	}
	// Linux does not ask for the interface of a link-local sender here.
	if r.reflect(pk.Family) {
		q.mark = t.Mark
	}
	res, why := r.routeOut(pk.Family, &q)
	if why != hook.NoReason {
		return
	}
	n := r.reset(t, src, r.hopLimit(pk.Family, &res, false), 0, &reply4{})
	n.pkt.Unsummed = pk.Family == packet.IPv4
	attach(n, t)
	if t.CT.Conn != nil && r.env.CT != nil {
		r.env.CT.CloseTCP(t.CT.Conn, t.Now)
	}
	r.emitReset(t, n, &res, q.mark)
}

// summedUp verifies the checksum of a segment with that of the IPv4 header,
// which Linux takes in (nf_ip_checksum); the latter is wrong after an option
// was filled in on arrival. What conntrack found right is known still in INPUT
// (CHECKSUM_COMPLETE, which forwarding throws away).
func summedUp(t *hook.Traversal) bool {
	pk := t.Pkt
	if t.Point == hook.Input && pk.Summed && !pk.Stale() {
		return true
	}
	return pk.L4ChecksumOK() && (pk.Family == packet.IPv6 || packet.Fold(packet.Sum(pk.Data[:pk.HeaderLen()], 0)) == 0xffff)
}

func (r *Router) reflect(f packet.Family) bool {
	return f == packet.IPv4 && r.cfg.ReflectMark4 || f == packet.IPv6 && r.cfg.ReflectMark6
}

func (r *Router) emitReset(t *hook.Traversal, n *passage, res *route.Result, mark uint32) {
	n.own.Route, n.own.Mark = *res, mark
	if t.Trace.On() {
		t.Trace.Add(trace.Step{Kind: trace.KindEmit, Text: "TCP reset to " + t.Pkt.Src().IP(t.Pkt.Family).String()})
	}
	r.emit(t, n)
}

// reset makes the RST segment that answers t's.
func (r *Router) reset(t *hook.Traversal, dst packet.Addr, ttl, tos uint8, opt *reply4) *passage {
	pk := t.Pkt
	seg := pk.Payload()
	head := 40
	if pk.Family == packet.IPv4 {
		head = 20 + opt.n
	}
	n := r.get(t)
	d := r.alloc(head + 20)
	h := d[head:]
	clear(h)
	copy(h[0:2], seg[2:4])
	copy(h[2:4], seg[0:2])
	h[12], h[13] = 5<<4, packet.TCPRst
	if seg[13]&packet.TCPAck != 0 {
		copy(h[4:8], seg[8:12])
	} else {
		n := uint32(len(seg)) - uint32(seg[12]>>4)*4
		n += uint32(seg[13]&packet.TCPSyn)>>1 + uint32(seg[13]&packet.TCPFin)
		binary.BigEndian.PutUint32(h[8:], be32(seg[4:])+n)
		h[13] |= packet.TCPAck
	}
	r.header(n, d, head, outHeader{src: pk.Dst(), dst: dst, proto: packet.TCP, tos: tos, ttl: ttl, opt: opt, fam: pk.Family})
	return n
}

// refuseTCP answers a segment for a closed port. Linux: tcp_v4_send_reset,
// tcp_v6_send_reset.
func (r *Router) refuseTCP(p *passage) {
	t := p.t
	pk := t.Pkt
	if len(r.active) > maxNested || pk.Payload()[13]&packet.TCPRst != 0 {
		return
	}
	four := pk.Family == packet.IPv4
	if t.Route.Type != route.Local || !plainOptions(pk.Payload()) {
		return
	}
	q := outQuery{dst: pk.Src(), src: pk.Dst(), tos: pk.TOS() &^ 3, anySource: !four}
	var opt reply4
	if four && pk.HeaderLen() > 20 && !r.echoOptions(t, &opt, &q) {
		return
	}
	if src := pk.Src(); !four && (src[0] == 0xff || linkLocal6(src) || src == packet.Addr{15: 1}) {
		q.out = t.In
	}
	if r.reflect(pk.Family) {
		q.mark = t.Mark
	}
	res, why := r.routeOut(pk.Family, &q)
	if why != hook.NoReason {
		return
	}
	n := r.reset(t, q.dst, r.hopLimit(pk.Family, &res, four), q.tos, &opt)
	if four && pk.Dst().IsZero() {
		n.pkt.SetSrc(res.PrefSrc) // chosen behind the sum of the segment
	}
	n.pkt.Unsummed = !four
	if four {
		n.own.SocketOwner = &r.socket // IPv6 has none: tcp_v6_send_response
	}
	r.emitReset(t, n, &res, q.mark)
}

// plainOptions reports that the options of a TCP segment are well-formed and
// do not authenticate it: a machine without the key does not answer one that
// is signed. Options that leave no room for a signature behind them are not
// looked at. Linux: tcp_do_parse_auth_options.
func plainOptions(seg []byte) bool {
	const md5, ao, least = 19, 29, 18
	o := seg[20 : int(seg[12]>>4)*4]
	for len(o) >= least {
		switch o[0] {
		case 0:
			return true
		case 1:
			o = o[1:]
			continue
		case md5, ao:
			return false
		}
		n := int(o[1])
		if n < 2 || n > len(o) {
			return false
		}
		o = o[n:]
	}
	return true
}

// reply answers an ICMP request with the message body[8:], its first eight
// bytes being the reply's header. Linux: icmp_reply, icmpv6_echo_reply.
func (r *Router) reply(p *passage, typ, code uint8, body []byte) {
	t := p.t
	pk := t.Pkt
	f := pk.Family
	if len(r.active) > maxNested || r.icmpBusy[busy(f)] {
		return
	}
	four := f == packet.IPv4
	q := outQuery{dst: pk.Src(), src: pk.Dst(), tos: pk.TOS()}
	if r.reflect(f) {
		q.mark = t.Mark
	}
	var opt reply4
	proto := uint8(packet.ICMPv6)
	if four {
		proto = packet.ICMP
		if t.Route.Type != route.Local {
			q.src = r.specificSource(t)
		}
		if pk.HeaderLen() > 20 && !r.echoOptions(t, &opt, &q) {
			return
		}
	} else {
		if t.Route.Type == route.Multicast || t.Route.Type == route.Anycast {
			q.src = packet.Addr{}
		}
		q.anySource = true
		if q.near = t.In; q.src.IsZero() {
			q.out = t.In
			if t.In.Loopback {
				// By the interface that has the address.
				q.out = r.routes.Lookup(&route.Key{Family: f, Dst: pk.Dst()}).Out
			}
		}
	}
	if !r.limits.all(r, f, typ, code) {
		return
	}
	res, why := r.routeOut(f, &q)
	if why != hook.NoReason || !r.limits.peer(r, f, q.dst, res.Out, typ, code) {
		return
	}
	head := 20 + opt.n
	if !four {
		head = 40
	}
	n := r.get(t)
	d := r.alloc(head + len(body))
	copy(d[head:], body)
	d[head], d[head+1], d[head+2], d[head+3] = typ, code, 0, 0
	r.header(n, d, head, outHeader{src: res.PrefSrc, dst: q.dst, proto: proto, tos: q.tos, ttl: r.hopLimit(f, &res, true), id: true, opt: &opt, fam: f})
	n.pkt.Reassembled = inParts(len(d), head, res.PathMTU(), four)
	n.own.Route, n.own.Mark = res, q.mark
	if t.Trace.On() {
		t.Trace.Add(trace.Step{Kind: trace.KindEmit, Text: "echo reply to " + pk.Src().IP(f).String()})
	}
	r.emitICMP(t, n, f)
}

// inParts is the cut of a packet of n bytes, head of them its header, that does
// not fit; it keeps it when NAT sends the packet another way. Linux:
// ip_append_data, ip6_append_data.
func inParts(n, head, mtu int, four bool) *packet.Geometry {
	if n <= mtu {
		return nil
	}
	room := mtu - head
	part := room &^ 7
	if !four {
		part -= 8
	}
	g := &packet.Geometry{Body: head}
	for n -= head; n > room; n -= part {
		g.Parts = append(g.Parts, part)
	}
	g.Parts = append(g.Parts, n)
	return g
}

// specificSource is the address with which the machine answers what was sent
// to many. Linux: fib_compute_spec_dst.
func (r *Router) specificSource(t *hook.Traversal) packet.Addr {
	src := t.Pkt.Src()
	if !src.IsZero() {
		k := route.Key{Family: packet.IPv4, Dst: src, TOS: t.Pkt.TOS()}
		if res := r.routes.Lookup(&k); !res.PrefSrc.IsZero() {
			return res.PrefSrc
		}
	}
	return r.routes.LinkSource(src, t.In)
}

// timestamp answers a timestamp request. Linux: icmp_timestamp.
func (r *Router) timestamp(p *passage, m []byte) {
	if len(m) < 12 {
		return
	}
	var b [20]byte
	copy(b[:12], m[:12])
	now := midnight(p.t.Now)
	binary.BigEndian.PutUint32(b[12:], now)
	binary.BigEndian.PutUint32(b[16:], now)
	r.reply(p, icmpTimestampReply, 0, b[:])
}

// midnight is the milliseconds since midnight UTC. Linux:
// inet_current_timestamp.
func midnight(now int64) uint32 { return uint32(now / 1e6 % 86400000) }

// Inject implements hook.Emitter. Linux: nf_dup_ipv4, nf_dup_ipv6.
func (r *Router) Inject(t *hook.Traversal, p *packet.Packet, via packet.Addr, out *iface.Iface) {
	if len(r.active) > maxNested {
		return
	}
	q := outQuery{dst: via, out: out, mark: t.Mark, tos: p.TOS(), anySource: true}
	res, why := r.routeOut(p.Family, &q)
	if why != hook.NoReason || res.Out == nil {
		return
	}
	n := r.get(t)
	n.pkt = *p
	n.pkt.Data = r.alloc(len(p.Data))
	copy(n.pkt.Data, p.Data)
	n.own.CT = conntrack.Ref{Info: conntrack.InfoUntracked}
	n.own.Mark, n.own.Route, n.own.NFTrace = t.Mark, res, t.NFTrace
	r.emit(t, n)
}

// Scratch implements hook.Emitter.
func (r *Router) Scratch() []byte { return r.options[:0] }

// Segment implements hook.Emitter. Linux: synproxy_send_tcp,
// synproxy_send_tcp_ipv6.
func (r *Router) Segment(t *hook.Traversal, s *hook.Segment) {
	f := t.Pkt.Family
	if len(r.active) > maxNested || len(s.Options) > 40 {
		return
	}
	q := outQuery{dst: s.Dst, src: s.Src, anySource: true}
	if f == packet.IPv4 {
		if typ := r.routes.AddrType(f, s.Src, nil); typ != route.Local && typ != route.Unicast {
			q.src = packet.Addr{}
		}
	}
	res, why := r.routeOut(f, &q)
	if why != hook.NoReason {
		return
	}
	head := 40
	if f == packet.IPv4 {
		head = 20
	}
	n := r.get(t)
	d := r.alloc(head + 20 + len(s.Options))
	h := d[head:]
	clear(h[:20])
	be := binary.BigEndian
	be.PutUint16(h, s.SrcPort)
	be.PutUint16(h[2:], s.DstPort)
	be.PutUint32(h[4:], s.Seq)
	be.PutUint32(h[8:], s.Ack)
	h[12], h[13] = uint8(5+len(s.Options)/4)<<4, s.Flags
	be.PutUint16(h[14:], s.Window)
	copy(h[20:], s.Options)
	r.header(n, d, head, outHeader{src: s.Src, dst: s.Dst, proto: packet.TCP, ttl: r.hopLimit(f, &res, false), opt: &reply4{}, fam: f})
	n.pkt.Unsummed = true
	switch {
	case s.Proxied:
		n.own.Template = &r.proxied
		n.own.CT = r.proxied.Attach()
	case s.CT.Conn != nil:
		n.own.CT, n.attached = s.CT, true
	}
	n.own.Route = res
	if t.Trace.On() {
		t.Trace.Add(trace.Step{Kind: trace.KindEmit, Text: "SYN proxy to " + s.Dst.IP(f).String()})
	}
	r.emit(t, n)
}
