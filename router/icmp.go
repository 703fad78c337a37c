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

// ICMP types and codes (IANA).
const (
	icmpEchoReply         = 0
	icmpDestUnreach       = 3
	icmpRedirect          = 5
	icmpEcho              = 8
	icmpTimeExceeded      = 11
	icmpParameter         = 12
	icmpTimestamp         = 13
	icmpTimestampReply    = 14
	icmpLastType          = 18 // NR_ICMP_TYPES
	icmpNetUnreach        = 0
	icmpHostUnreach       = 1
	icmpProtoUnreach      = 2
	icmpPortUnreach       = 3
	icmpFragNeeded        = 4
	icmpSourceRouteFailed = 5
	icmpAdminProhibited   = 13

	icmp6DestUnreach     = 1
	icmp6PacketTooBig    = 2
	icmp6TimeExceeded    = 3
	icmp6Parameter       = 4
	icmp6Echo            = 128
	icmp6EchoReply       = 129
	icmp6NoRoute         = 0
	icmp6AdminProhibited = 1
	icmp6BeyondScope     = 2
	icmp6PortUnreach     = 4
	icmp6BadField        = 0
	icmp6UnknownNext     = 1
	icmp6UnknownOption   = 2
	icmp6HeadersSplit    = 3
)

// icmpIsError reports the ICMP types about which no error is sent, the types
// without a meaning among them. Linux: icmp_pointers.
func icmpIsError(typ uint8) bool {
	switch typ {
	case 1, 2, icmpDestUnreach, 4, icmpRedirect, 6, 7, 9, 10, icmpTimeExceeded, icmpParameter:
		return true
	}
	return false
}

// ICMPError implements hook.Emitter. Linux: __icmp_send, icmp6_send.
func (r *Router) ICMPError(t *hook.Traversal, typ, code uint8, info uint32) {
	if len(r.active) > maxNested || r.icmpBusy[busy(t.Pkt.Family)] {
		return
	}
	var q outQuery
	var ok bool
	var opt reply4
	four := t.Pkt.Family == packet.IPv4
	if four {
		q, ok = r.errorQuery4(t, typ)
		if ok && t.Pkt.HeaderLen() > 20 {
			ok = r.echoOptions(t, &opt, &q)
		}
	} else {
		q, ok = r.errorQuery6(t, typ, code, info)
	}
	if !ok {
		return
	}
	f := t.Pkt.Family
	if !(t.In != nil && t.In.Loopback) && !r.limits.all(r, f, typ, code) {
		return
	}
	res, why := r.routeOut(f, &q)
	if why != hook.NoReason || !r.limits.peer(r, f, q.dst, res.Out, typ, code) {
		return
	}
	head, room := 20+opt.n, min(res.PathMTU(), 576)
	if !four {
		head, room = 40, 1280
	}
	room -= head + 8
	if room <= 20 {
		return
	}
	quote := t.Pkt.Data[:min(len(t.Pkt.Data), room)]
	n := r.get(t)
	d := r.alloc(head + 8 + len(quote))
	m := d[head:]
	m[0], m[1] = typ, code
	m[2], m[3] = 0, 0
	binary.BigEndian.PutUint32(m[4:], info)
	copy(m[8:], quote)
	quoteUnsummed(m[8:], t.Pkt)
	src := res.PrefSrc
	if four && src.IsZero() {
		src = packet.Addr{192, 0, 0, 8} // INADDR_DUMMY, RFC 7600
	}
	proto := uint8(packet.ICMPv6)
	if four {
		proto = packet.ICMP
	}
	r.header(n, d, head, outHeader{src: src, dst: q.dst, proto: proto, tos: q.tos, ttl: r.hopLimit(f, &res, true), id: true, opt: &opt, fam: f})
	if !four || icmpIsError(typ) {
		attach(n, t)
	}
	n.own.Route, n.own.Mark = res, q.mark
	if t.Trace.On() {
		t.Trace.Add(trace.Step{Kind: trace.KindEmit, Text: icmpName(f, typ, code) + " to " + t.Pkt.Src().IP(f).String()})
	}
	r.emitICMP(t, n, f)
}

// quoteUnsummed makes the quoted checksum of p what it is before it is filled in.
func quoteUnsummed(quote []byte, p *packet.Packet) {
	at := 16 // TCP's checksum
	if p.Proto == packet.UDP {
		at = 6
	}
	if p.Unsummed && len(quote) >= p.L4+at+2 {
		sum := packet.PseudoSum(p.Family, p.Src(), p.Dst(), p.Proto, len(p.Data)-p.L4)
		binary.BigEndian.PutUint16(quote[p.L4+at:], packet.Fold(sum))
	}
}

// emitICMP sends an ICMP message. While it is on its way the machine sends no
// other of the family, be it an error about the first: Linux has one socket
// for them, which is taken then (icmp_xmit_lock, icmpv6_xmit_lock).
func (r *Router) emitICMP(t *hook.Traversal, n *passage, f packet.Family) {
	i := busy(f)
	n.own.SocketOwner = &r.socket
	r.icmpBusy[i] = true
	r.emit(t, n)
	r.icmpBusy[i] = false
}

// busy is the place of a family in icmpBusy.
func busy(f packet.Family) int {
	if f == packet.IPv6 {
		return 1
	}
	return 0
}

// errorQuery4 decides whether an error may be sent and where it goes.
func (r *Router) errorQuery4(t *hook.Traversal, typ uint8) (q outQuery, ok bool) {
	pk := t.Pkt
	switch t.Route.Type {
	case route.Broadcast, route.Multicast:
		return q, false
	case route.None:
		if t.Point == hook.Prerouting {
			return q, false // no route yet: Linux cannot answer either
		}
	}
	if pk.Link.Type != packet.ToHost || pk.FragOff != 0 {
		return q, false
	}
	if icmpIsError(typ) && pk.Proto == packet.ICMP {
		b := pk.Data[pk.HeaderLen():]
		if len(b) == 0 || b[0] > icmpLastType || icmpIsError(b[0]) {
			return q, false
		}
	}
	q.dst = pk.Src()
	q.tos = pk.TOS()
	if icmpIsError(typ) {
		q.tos = q.tos&0x1e | 0xc0
	}
	if r.cfg.ReflectMark4 {
		q.mark = t.Mark
	}
	switch {
	case t.Route.Type == route.Local:
		q.src = pk.Dst()
	case r.cfg.ErrorsUseInbound && t.In != nil && !t.Local:
		q.src = r.routes.LinkSource(pk.Src(), t.In)
	}
	return q, true
}

// errorQuery6 decides whether an error may be sent and where it goes.
func (r *Router) errorQuery6(t *hook.Traversal, typ, code uint8, info uint32) (q outQuery, ok bool) {
	pk := t.Pkt
	src, dst := pk.Src(), pk.Dst()
	dev := t.In
	if dev == nil {
		dev = t.Out
		if t.Point == hook.Output {
			dev = r.lo
		}
	}
	if r.routes.Owns(packet.IPv6, dst, nil) && (!linkLocal6(dst) || r.routes.Owns(packet.IPv6, dst, dev)) || r.anycast6(dst, dev) {
		q.src = dst
	}
	if dst[0] == 0xff || pk.Link.Type != packet.ToHost {
		// Groups are answered by two errors only (RFC 4443 section 2.4 e).
		unknown := typ == icmp6Parameter && code == icmp6UnknownOption && int(info) < len(pk.Data) && pk.Data[info]&0xc0 == 0x80
		if typ != icmp6PacketTooBig && !unknown {
			return q, false
		}
		q.src = packet.Addr{}
	}
	if src.IsZero() || src[0] == 0xff || icmp6AboutError(pk) || !r.cfg.AnycastErrors && r.routes.IsAnycast6(src) {
		return q, false
	}
	q.dst = src
	if route.LinkScoped(src) {
		q.out = dev
	}
	if r.cfg.ReflectMark6 {
		q.mark = t.Mark
	}
	if q.src.IsZero() && t.In != nil {
		k := route.Key{Family: packet.IPv6, Dst: src, Out: q.out, Mark: q.mark}
		if r.routes.Lookup(&k).PrefSrc.IsZero() {
			q.src = r.routes.SourceFor(packet.IPv6, src, t.In, packet.Addr{})
		}
	}
	return q, true
}

// anycast6 reports an anycast address of this machine. Linux:
// ipv6_chk_acast_addr_src.
func (r *Router) anycast6(a packet.Addr, dev *iface.Iface) bool {
	k := route.Key{Family: packet.IPv6, Dst: a}
	if linkLocal6(a) {
		k.Out = dev
	}
	return a[0] != 0xff && r.routes.Lookup(&k).Type == route.Anycast
}

// icmp6AboutError reports an ICMPv6 error message, and a packet that claims to
// be ICMPv6 and is too short to tell. Linux: is_ineligible.
func icmp6AboutError(p *packet.Packet) bool {
	proto, off, fr := packet.SkipExtHdr(p.Data)
	if off < 0 || proto != packet.ICMPv6 || fr.Off != 0 {
		return false
	}
	if off >= len(p.Data) {
		return !fr.More
	}
	return p.Data[off]&0x80 == 0
}

// packetTooBig6 answers with the MTU. Linux takes the way out as the place
// where the error arises, but chooses the source by the way in.
func (r *Router) packetTooBig6(t *hook.Traversal, mtu int) {
	r.ICMPError(t, icmp6PacketTooBig, 0, uint32(mtu))
}

// attach gives an error the connection of the packet that it is about.
// Linux: nf_conntrack_attach.
func attach(n *passage, t *hook.Traversal) {
	if t.CT.Conn == nil {
		if t.CT.Untracked() {
			// Neither a connection nor nothing: rules see INVALID, and CT
			// and NOTRACK find something attached (nf_conntrack_attach).
			n.own.CT = conntrack.Ref{Info: conntrack.InfoRelated}
		}
		return
	}
	n.own.CT = t.CT
	n.own.CT.Info = conntrack.InfoRelated
	if t.CT.Info.Dir() == conntrack.Original {
		n.own.CT.Info = conntrack.InfoRelatedReply
	}
	n.attached = true
}

// outHeader is the IP header of a packet that the router makes.
type outHeader struct {
	src, dst packet.Addr
	proto    uint8
	tos, ttl uint8
	id       bool    // IPv4: an identification, else "don't fragment" and 0
	opt      *reply4 // IPv4
	fam      packet.Family
}

// header writes the IP header into d[:head], the checksum of layer 4 behind
// it, and makes d the packet of n.
func (r *Router) header(n *passage, d []byte, head int, h outHeader) {
	pk := &n.pkt
	*pk = packet.Packet{Data: d, Family: h.fam}
	clear(d[:head])
	if h.fam == packet.IPv6 {
		d[0], d[1] = 0x60|h.tos>>4, h.tos<<4
		binary.BigEndian.PutUint16(d[4:], uint16(len(d)-40))
		d[6], d[7] = h.proto, h.ttl
		copy(d[8:24], h.src[:])
		copy(d[24:40], h.dst[:])
	} else {
		d[0], d[1], d[8], d[9] = 0x40|byte(head/4), h.tos, h.ttl, h.proto
		binary.BigEndian.PutUint16(d[2:], uint16(len(d)))
		if h.id {
			r.ipID++
			binary.BigEndian.PutUint16(d[4:], r.ipID)
		} else {
			d[6] = 0x40
		}
		copy(d[12:16], h.src[:4])
		copy(d[16:20], h.dst[:4])
		if head > 20 {
			copy(d[20:head], h.opt.b[:])
			r.fillOptions(d[:head], h.opt)
			n.opt = h.opt.sent()
		}
		binary.BigEndian.PutUint16(d[10:], packet.IPv4HeaderChecksum(d[:head]))
	}
	pk.Reparse()
	pk.FixL4Checksum()
	if b := pk.Payload(); pk.Proto == packet.ICMP && len(b) >= 4 && b[2]&b[3] == 0xff {
		b[2], b[3] = 0, 0 // Linux's sum begins with all ones
	}
}

// hopLimit is the TTL or hop limit of the machine's own packets.
// Those that a socket of the kernel's sends to many go no further than the
// link; ownSocket says that this is one.
func (r *Router) hopLimit(f packet.Family, res *route.Result, ownSocket bool) uint8 {
	if ownSocket && res.Type == route.Multicast {
		return 1
	}
	if f == packet.IPv4 {
		return r.cfg.TTL
	}
	if h := r.dev(res.Out).HopLimit; h != 0 {
		return h
	}
	return 64
}

func icmpName(f packet.Family, typ, code uint8) string {
	if f == packet.IPv6 {
		switch typ {
		case icmp6DestUnreach:
			return "ICMPv6 destination unreachable"
		case icmp6PacketTooBig:
			return "ICMPv6 packet too big"
		case icmp6TimeExceeded:
			return "ICMPv6 time exceeded"
		}
		return "ICMPv6 parameter problem"
	}
	switch {
	case typ == icmpDestUnreach && code == icmpFragNeeded:
		return "ICMP fragmentation needed"
	case typ == icmpDestUnreach && code == icmpPortUnreach:
		return "ICMP port unreachable"
	case typ == icmpDestUnreach:
		return "ICMP destination unreachable"
	case typ == icmpTimeExceeded:
		return "ICMP time exceeded"
	case typ == icmpRedirect:
		return "ICMP redirect"
	}
	return "ICMP parameter problem"
}

func be32(b []byte) uint32 { return binary.BigEndian.Uint32(b) }
