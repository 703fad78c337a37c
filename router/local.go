package router

import (
	"encoding/binary"
	"strconv"

	"weir/conntrack"
	"weir/defrag"
	"weir/hook"
	"weir/packet"
	"weir/route"
	"weir/socket"
	"weir/trace"
)

// deliver takes a packet that is for this machine. Linux: ip_local_deliver,
// ip6_input.
func (r *Router) deliver(p *passage) Fate {
	t := p.t
	if t.Pkt.Family == packet.IPv4 && (t.Pkt.FragOff != 0 || t.Pkt.More) {
		if f, done := r.gather(p, defrag.Deliver, 0); done {
			return f
		}
	}
	if f, done := r.run(hook.Input, p); done {
		return f
	}
	return r.delivered(p)
}

// delivered goes on behind INPUT. Linux: ip_local_deliver_finish,
// ip6_input_finish.
func (r *Router) delivered(p *passage) Fate {
	t := p.t
	if r.cfg.Handover {
		r.sink.Transmit(r.lo, t.Pkt, t)
		return Delivered
	}
	if t.Pkt.Family == packet.IPv6 {
		return r.deliver6(p)
	}
	r.take(p, t.Pkt.Proto, t.Pkt.HeaderLen(), 0)
	return Delivered
}

// protoPIM is protocol independent multicast, for which Linux has a receiver.
const protoPIM = 103

// take is the machine's own stack at layer 4: m is the message at offset off.
// named is the offset of the field that names the protocol (IPv6).
func (r *Router) take(p *passage, proto uint8, off, named int) {
	pk := p.t.Pkt
	pk.Complete()
	four := pk.Family == packet.IPv4
	m := pk.Data[off:]
	switch {
	case proto == packet.ICMP && four:
		r.takeICMP(p, m)
	case proto == packet.ICMPv6 && !four:
		r.takeICMP6(p, m)
	case proto == packet.TCP:
		r.takeTCP(p, m)
	case proto == packet.UDP, proto == packet.UDPLite:
		r.takeUDP(p, proto, m)
	case proto == packet.IGMP && four, proto == protoPIM, r.raw(p, proto): // and nothing answered
	case four:
		r.ICMPError(p.t, icmpDestUnreach, icmpProtoUnreach, 0)
	default:
		r.ICMPError(p.t, icmp6Parameter, icmp6UnknownNext, uint32(named))
	}
}

// takeICMP answers what asks for an answer. Linux: icmp_rcv.
func (r *Router) takeICMP(p *passage, m []byte) {
	t := p.t
	if len(m) < 8 || !t.Pkt.L4ChecksumOK() || m[0] > icmpLastType {
		return
	}
	if t.Route.Type != route.Local && r.cfg.EchoIgnoreBroadcasts {
		return
	}
	switch m[0] {
	case icmpDestUnreach:
		if m[1] == icmpFragNeeded && t.Route.Type == route.Local {
			r.learnMTU(t, m[8:], int(binary.BigEndian.Uint16(m[6:])))
		}
	case icmpEcho:
		if !r.cfg.EchoIgnoreAll4 {
			r.reply(p, icmpEchoReply, m[1], m)
		}
	case icmpTimestamp:
		r.timestamp(p, m[:])
	}
}

// learnMTU believes an error that quotes an ICMP message of this machine's: an
// echo reply of IPv4, any message of IPv6. For others Linux asks the socket that
// sent them. Linux: icmp_err, icmpv6_err.
func (r *Router) learnMTU(t *hook.Traversal, quoted []byte, mtu int) {
	f := t.Pkt.Family
	in := packet.Packet{Data: quoted, Family: f}
	q := outQuery{}
	if f == packet.IPv4 {
		n := 0
		if len(quoted) >= 20 {
			n = int(quoted[0]&15) * 4
		}
		if n < 20 || len(quoted) < n+8 || quoted[9] != packet.ICMP || quoted[n] != icmpEchoReply {
			return
		}
		q = outQuery{src: in.Src(), tos: quoted[1]}
	} else {
		if len(quoted) < 40 {
			return
		}
		proto, off, fr := packet.SkipExtHdr(quoted)
		if proto != packet.ICMPv6 || fr.Off != 0 || off < 0 || len(quoted) < off+8 {
			return
		}
		q = outQuery{src: in.Src(), anySource: true}
	}
	q.dst = in.Dst()
	if _, why := r.routeOut(f, &q); why != hook.NoReason || !r.routes.LearnMTU(f, q.dst, mtu, r.cfg.PathMTU[busy(f)], r.now) {
		return
	}
	if r.learned != nil {
		r.learned()
	}
}

// takeICMP6 answers what asks for an answer. Linux: icmpv6_rcv.
func (r *Router) takeICMP6(p *passage, m []byte) {
	t := p.t
	if len(m) < 8 || !t.Pkt.L4ChecksumOK() {
		return
	}
	if m[0] == icmp6PacketTooBig {
		r.learnMTU(t, m[8:], int(binary.BigEndian.Uint32(m[4:])))
	}
	switch {
	case m[0] != icmp6Echo:
		return
	case r.cfg.EchoIgnoreAll6,
		t.Route.Type == route.Multicast && r.cfg.EchoIgnoreMulticast,
		t.Route.Type == route.Anycast && r.cfg.EchoIgnoreAnycast:
		return
	}
	r.reply(p, icmp6EchoReply, m[1], m)
}

// takeTCP refuses segments for closed ports. Linux: tcp_v4_rcv, tcp_v6_rcv.
func (r *Router) takeTCP(p *passage, m []byte) {
	t := p.t
	if t.Pkt.Link.Type != packet.ToHost || len(m) < 20 || m[12]>>4 < 5 || len(m) < int(m[12]>>4)*4 || !t.Pkt.L4ChecksumOK() {
		return
	}
	if !r.listens(p, packet.TCP, m) {
		r.refuseTCP(p)
	}
}

// takeUDP refuses datagrams for closed ports. Linux: __udp4_lib_rcv,
// __udp6_lib_rcv.
func (r *Router) takeUDP(p *passage, proto uint8, m []byte) {
	t := p.t
	if len(m) < 8 {
		return
	}
	four := t.Pkt.Family == packet.IPv4
	udpLen := len(m)
	if n := int(binary.BigEndian.Uint16(m[4:])); proto == packet.UDP {
		if n == 0 && !four {
			n = len(m)
		}
		if n > len(m) || n < 8 {
			return
		}
		udpLen = n
		if !udpSumOK(t.Pkt, m[:n]) || t.Pkt.Stale() && n > shortSum {
			return
		}
	} else if !t.Pkt.L4ChecksumOK() {
		return
	}
	if r.listens(p, proto, m) || t.Route.Type == route.Broadcast || t.Route.Type == route.Multicast {
		return
	}
	// The socket layer has forgotten the connection (nf_reset_ct): the error
	// finds its own by what it quotes.
	ct, whole := t.CT, t.Pkt.Data
	t.CT = conntrack.Ref{}
	if proto == packet.UDP {
		// What UDP's own length leaves out is cut off by then.
		t.Pkt.Data = whole[:len(whole)-len(m)+udpLen]
	}
	if four {
		r.ICMPError(t, icmpDestUnreach, icmpPortUnreach, 0)
	} else {
		r.ICMPError(t, icmp6DestUnreach, icmp6PortUnreach, 0)
	}
	t.CT, t.Pkt.Data = ct, whole
}

// shortSum is the length in bytes up to which Linux sums again what it takes
// for wrong (CHECKSUM_BREAK); longer datagrams whose IPv6 header changed after
// the sum was taken are lost.
const shortSum = 76

// udpSumOK verifies a datagram as a socket does: over the length that UDP
// states, and a zero checksum is good for IPv4 only.
func udpSumOK(p *packet.Packet, m []byte) bool {
	if m[6] == 0 && m[7] == 0 {
		return p.Family == packet.IPv4
	}
	return packet.Fold(packet.Sum(m, packet.PseudoSum(p.Family, p.Src(), p.Dst(), packet.UDP, len(m)))) == 0xffff
}

// listens reports a socket for a datagram or segment: the one to which a rule
// gave it, or its own.
func (r *Router) listens(p *passage, proto uint8, m []byte) bool {
	q := socket.Query{Proto: proto, Sport: binary.BigEndian.Uint16(m), Dport: binary.BigEndian.Uint16(m[2:])}
	return p.t.Socket != nil || r.find(p, q)
}

// raw reports a raw socket of a protocol.
func (r *Router) raw(p *passage, proto uint8) bool { return r.find(p, socket.Query{Proto: proto}) }

func (r *Router) find(p *passage, q socket.Query) bool {
	pk := p.t.Pkt
	q.Family, q.Src, q.Dst, q.In = pk.Family, pk.Src(), pk.Dst(), p.t.In
	return r.env.FindSocket(q, socket.Any) != nil
}

// Defrag is the hook function that reassembles before connection tracking, at
// PREROUTING and OUTPUT. Linux: ipv4_conntrack_defrag, ipv6_defrag.
func (r *Router) Defrag(t *hook.Traversal) hook.Verdict {
	if t.CT.Conn != nil || t.CT.Untracked() {
		return hook.Accept
	}
	if t.Pkt.Family == packet.IPv6 && headerCut(t.Pkt) {
		return t.Drop(hook.ReasonFragBad)
	}
	if t.Pkt.Family == packet.IPv4 && t.Pkt.FragOff == 0 && !t.Pkt.More || t.Pkt.Family == packet.IPv6 && t.Pkt.FragHdr == 0 {
		return hook.Accept
	}
	p := passage{t: t}
	u, zone := defrag.ConntrackIn, uint16(0)
	if t.Point == hook.Output {
		u = defrag.ConntrackOut
	}
	if z := t.Template; z != nil && z.ZoneDir&conntrack.ZoneOriginal != 0 {
		zone = z.ZoneID
		if z.ZoneFromMark {
			zone = uint16(t.Mark)
		}
	}
	switch f, done := r.gather(&p, u, zone); {
	case !done:
		return hook.Accept
	case f == Held:
		return hook.Stolen
	}
	return hook.Drop
}

// headerCut reports a fragment header that is cut off. Linux lets one pass of
// which enough is there to see that nothing can follow it, and one that begins
// behind the packet's end. Linux: nf_ct_frag6_gather, find_prev_fhdr.
func headerCut(pk *packet.Packet) bool {
	d := pk.Data
	next, off := d[6], 40
	for next != packet.Fragment {
		if off+2 > len(d) {
			return false
		}
		n := (int(d[off+1]) + 1) * 8
		switch next {
		case packet.HopByHop, packet.Routing, packet.DestOpts:
		case packet.AH:
			n = (int(d[off+1]) + 2) * 4
		default:
			return false
		}
		next = d[off]
		off += n
	}
	return len(d) > 40 && off <= len(d) && off+8 > len(d) && pk.L4 < 0
}

// gather files a fragment; done tells that the packet ends here.
func (r *Router) gather(p *passage, u defrag.User, zone uint16) (f Fate, done bool) {
	t := p.t
	st, cause := r.frags.Add(t.Pkt, u, zone, t.In, t.Now)
	if t.Trace.On() {
		s := trace.Step{Kind: trace.KindDefrag, Text: cause.String()}
		switch st {
		case defrag.Waiting:
			s.Text = "fragment kept until the rest comes"
		case defrag.Complete:
			s.Text = "reassembled from " + strconv.Itoa(len(t.Pkt.Reassembled.Parts)) + " fragments, " + strconv.Itoa(len(t.Pkt.Data)) + " bytes"
		case defrag.PassedOn:
			s.Text = "not reassembled"
		case defrag.Dropped:
			s.Verdict = "DROP"
		}
		t.Trace.Add(s)
	}
	switch st {
	case defrag.Waiting:
		return Held, true
	case defrag.Dropped:
		return p.drop(reasonOf(cause)), true
	}
	return 0, false
}

func reasonOf(c defrag.Cause) hook.Reason {
	switch c {
	case defrag.Overlap, defrag.Duplicate:
		return hook.ReasonFragOverlap
	case defrag.Memory:
		return hook.ReasonFragMemory
	case defrag.Timeout:
		return hook.ReasonFragTimeout
	}
	return hook.ReasonFragBad
}

// fragmentTimeout tells the sender that its datagram did not become whole.
// IPv4 does so only for datagrams to this machine. Linux: ip_expire,
// ip6frag_expire_frag_queue.
func (r *Router) fragmentTimeout(e *defrag.Expired) {
	if e.First == nil || e.In == nil {
		return
	}
	p := r.get(nil)
	p.own.Local = false
	p.own.In = e.In
	p.pkt = packet.Packet{Data: e.First, Family: e.Family}
	p.pkt.Reparse()
	if e.Family == packet.IPv4 {
		if r.inputRoute4(p, p.pkt.Dst()) == hook.NoReason && p.own.Route.Type == route.Local {
			r.ICMPError(&p.own, icmpTimeExceeded, 1, 0)
		}
	} else {
		r.ICMPError(&p.own, icmp6TimeExceeded, 1, 0)
	}
	r.put(p)
}
