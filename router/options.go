package router

import (
	"encoding/binary"

	"weir/hook"
	"weir/packet"
	"weir/route"
)

// IPv4 options (RFC 791, RFC 2113).
const (
	optEnd         = 0
	optNoop        = 1
	optRecord      = 7
	optTimestamp   = 68
	optLooseRoute  = 131
	optAlert       = 148
	optCIPSO       = 134
	optStrictRoute = 137

	stampOnly      = 0
	stampAddr      = 1
	stampPrescribe = 3
)

// options is where the IPv4 options of a received packet stand; offsets are
// from the start of the IP header, 0 for none. Linux: struct ip_options.
type options struct {
	length             int // of all options
	srr, rr, ts, cipso int
	strict             bool
	rrNeed             bool // an address of ours is to be put in
	tsNeedAddr         bool
	tsNeedTime         bool
	srrHit             bool // this machine was the stop; next is nextHop
	nextHop            packet.Addr
	changed            bool
}

// receiveOptions reads the options of a received packet and does what they ask
// of a machine on the way. Linux: ip_rcv_options.
func (r *Router) receiveOptions(p *passage) hook.Reason {
	t := p.t
	d := t.Pkt.Data
	bad := r.compile(p, d[:t.Pkt.HeaderLen()])
	if bad >= 0 {
		r.ICMPError(t, icmpParameter, 0, uint32(bad)<<24)
		return hook.ReasonMalformed
	}
	if p.opt.srr == 0 {
		return hook.NoReason
	}
	if !r.dev(t.In).SourceRoute4 {
		return hook.ReasonSourceRoute
	}
	return r.sourceRoute(p)
}

// fixHeader computes the header checksum after options changed. As in Linux
// this waits until the packet is forwarded: an error about it quotes the
// checksum that it came with.
func (r *Router) fixHeader(p *passage) {
	pk := p.t.Pkt
	binary.BigEndian.PutUint16(pk.Data[10:], packet.IPv4HeaderChecksum(pk.Data[:pk.HeaderLen()]))
}

// compile reads the options in header h into p.opt and enters this machine
// where a route or time is recorded. It returns the offset of what is wrong,
// or -1. Linux: __ip_options_compile.
func (r *Router) compile(p *passage, h []byte) int {
	p.opt = options{length: len(h) - 20}
	for at := 20; at < len(h); {
		switch h[at] {
		case optEnd:
			for i := range h[at:] {
				p.opt.changed = p.opt.changed || h[at+i] != 0
				h[at+i] = 0
			}
			return -1
		case optNoop:
			at++
			continue
		}
		if len(h)-at < 2 {
			return at
		}
		n := int(h[at+1])
		if n < 2 || n > len(h)-at {
			return at
		}
		o := h[at : at+n]
		bad := -1
		switch o[0] {
		case optLooseRoute, optStrictRoute:
			bad = checkOption(o, p.opt.srr, 3, 4)
			if bad < 0 {
				p.opt.srr, p.opt.strict = at, o[0] == optStrictRoute
			}
		case optRecord:
			bad = checkOption(o, p.opt.rr, 3, 4)
			if bad < 0 {
				bad = r.record(p, o)
			}
			if bad < 0 {
				p.opt.rr = at
			}
		case optTimestamp:
			bad = checkOption(o, p.opt.ts, 4, 5)
			if bad < 0 {
				bad = r.stamp(p, o)
			}
			if bad < 0 {
				p.opt.ts = at
			}
		case optCIPSO:
			// No domain of interpretation is known (cipso_v4_validate).
			p.opt.cipso = at
			if bad = 2; n < 8 {
				bad = 1
			}
		case optAlert:
			if n < 4 {
				bad = 1
			}
		}
		if bad >= 0 {
			return at + bad
		}
		at += n
	}
	return -1
}

// checkOption finds what is wrong with an option that may stand once, has at
// least least bytes and a pointer of at least pointer.
func checkOption(o []byte, before, least int, pointer uint8) int {
	switch {
	case before != 0:
		return 0
	case len(o) < least:
		return 1
	case o[2] < pointer:
		return 2
	}
	return -1
}

// record enters this machine's address into a record-route option.
func (r *Router) record(p *passage, o []byte) int {
	at, n := int(o[2]), len(o)
	if at > n {
		return -1
	}
	if at+3 > n {
		return 2
	}
	a := r.stopAddr(p)
	copy(o[at-1:at+3], a[:4])
	o[2] += 4
	p.opt.rrNeed, p.opt.changed = true, true
	return -1
}

// stamp enters address and time into a timestamp option.
func (r *Router) stamp(p *passage, o []byte) int {
	at, n := int(o[2]), len(o)
	kind := o[3] & 15
	if at > n {
		if kind == stampPrescribe {
			return -1
		}
		if o[3]>>4 == 15 {
			return 3
		}
		o[3] += 16
		p.opt.changed = true
		return -1
	}
	if at+3 > n {
		return 2
	}
	timeAt := -1
	switch kind {
	case stampOnly:
		timeAt = at - 1
		p.opt.tsNeedTime = true
		o[2] += 4
	case stampAddr:
		if at+7 > n {
			return 2
		}
		a := r.stopAddr(p)
		copy(o[at-1:at+3], a[:4])
		timeAt = at + 3
		p.opt.tsNeedAddr, p.opt.tsNeedTime = true, true
		o[2] += 8
	case stampPrescribe:
		if at+7 > n {
			return 2
		}
		var a packet.Addr
		copy(a[:4], o[at-1:])
		if r.routes.AddrType(packet.IPv4, a, nil) == route.Unicast {
			return -1
		}
		timeAt = at + 3
		p.opt.tsNeedTime = true
		o[2] += 8
	}
	if timeAt >= 0 && timeAt+4 <= n {
		binary.BigEndian.PutUint32(o[timeAt:], midnight(p.t.Now))
		p.opt.changed = true
	}
	return -1
}

// stopAddr is this machine's address as the stop of a received packet.
func (r *Router) stopAddr(p *passage) packet.Addr {
	if p.t.Route.Type == route.Local {
		return p.t.Pkt.Dst()
	}
	return r.specificSource(p.t)
}

// sourceRoute follows a source route in which this machine is a stop. Linux:
// ip_options_rcv_srr.
func (r *Router) sourceRoute(p *passage) hook.Reason {
	t := p.t
	if t.Pkt.Link.Type != packet.ToHost {
		return hook.ReasonSourceRoute
	}
	switch t.Route.Type {
	case route.Unicast:
		if !p.opt.strict {
			return hook.NoReason
		}
		r.ICMPError(t, icmpParameter, 0, 16<<24)
		return hook.ReasonSourceRoute
	case route.Local:
	default:
		return hook.ReasonSourceRoute
	}
	o := t.Pkt.Data[p.opt.srr:]
	space := int(o[1])
	at := int(o[2])
	for ; at <= space; at += 4 {
		if at+3 > space {
			r.ICMPError(t, icmpParameter, 0, uint32(p.opt.srr+2)<<24)
			return hook.ReasonSourceRoute
		}
		var hop packet.Addr
		copy(hop[:4], o[at-1:])
		was := t.Route
		why := r.inputRoute4(p, hop)
		if why != hook.NoReason || t.Route.Type != route.Unicast && t.Route.Type != route.Local {
			t.Route = was
			return hook.ReasonSourceRoute
		}
		if t.Route.Type != route.Local {
			p.opt.srrHit, p.opt.changed, p.opt.nextHop = true, true, hop
			break
		}
		copy(t.Pkt.Data[16:20], hop[:4])
		p.opt.changed = true
	}
	return hook.NoReason
}

// forwardOptions enters the address by which the packet leaves. Linux:
// ip_forward_options.
func (r *Router) forwardOptions(p *passage) {
	d := p.t.Pkt.Data
	o := &p.opt
	if !o.changed {
		return
	}
	src := p.t.Route.PrefSrc
	if src.IsZero() {
		src = r.routes.SourceFor(packet.IPv4, p.t.Pkt.Dst(), p.t.Route.Out, p.t.Route.Gateway)
	}
	if at := o.rr; o.rrNeed && at+int(d[at+2])-1 <= p.t.Pkt.HeaderLen() {
		copy(d[at+int(d[at+2])-5:], src[:4])
	}
	if o.srrHit {
		s := d[o.srr:]
		for at := int(s[2]); at+3 <= int(s[1]); at += 4 {
			if [4]byte(s[at-1:]) != [4]byte(o.nextHop[:4]) {
				continue
			}
			p.t.Pkt.SetDst(o.nextHop)
			copy(s[at-1:], src[:4])
			s[2] = byte(at + 4)
			break
		}
	}
	// Linux does this for source-routed packets only.
	if at := o.ts; o.srrHit && o.tsNeedAddr && at+int(d[at+2])-5 <= p.t.Pkt.HeaderLen() {
		copy(d[at+int(d[at+2])-9:], src[:4])
	}
	r.fixHeader(p)
}

// reply4 is the options of a packet that answers a received one.
type reply4 struct {
	b [40]byte
	n int
	// Where route and time stamp options stand in the header, and what is
	// still to be entered there.
	rr, ts         int
	rrNeed         bool
	tsAddr, tsTime bool
	srr, cipso     int
}

// sent is what is known of the options once they stand in a packet: an error
// about it echoes them in turn. Linux: ip_options_build.
func (e *reply4) sent() options {
	return options{
		length: e.n, srr: e.srr, rr: e.rr, ts: e.ts, cipso: e.cipso,
		rrNeed: e.rrNeed, tsNeedAddr: e.tsAddr, tsNeedTime: e.tsTime,
	}
}

// echoOptions makes the options with which a received packet is answered; q
// gets the first stop of a reversed source route as destination. It is false
// when they cannot be answered. Linux: __ip_options_echo.
func (r *Router) echoOptions(t *hook.Traversal, e *reply4, q *outQuery) bool {
	p := r.passageOf(t)
	if p == nil || p.opt.length == 0 || t.Local && !p.made {
		return true
	}
	d := t.Pkt.Data
	if at := p.opt.rr; at != 0 {
		l, next := int(d[at+1]), int(d[at+2])
		o := e.b[e.n:]
		e.rr = 20 + e.n
		e.n += copy(o, d[at:at+l])
		if p.opt.rrNeed && next <= l {
			if next+3 > l {
				return false
			}
			o[2] = byte(next + 4)
			e.rrNeed = true
		}
	}
	if at := p.opt.ts; at != 0 && !r.echoStamp(d[at:], &p.opt, e) {
		return false
	}
	if at := p.opt.srr; at != 0 {
		e.srr = 20 + e.n
		e.n += reverseRoute(e.b[e.n:], d[at:], t.Pkt.Src(), q)
	}
	if at := p.opt.cipso; at != 0 {
		e.cipso = 20 + e.n
		e.n += copy(e.b[e.n:], d[at:at+int(d[at+1])])
	}
	for e.n%4 != 0 {
		e.b[e.n] = optEnd
		e.n++
	}
	return true
}

// echoStamp copies a timestamp option and makes room for another entry.
func (r *Router) echoStamp(s []byte, opt *options, e *reply4) bool {
	l, next := int(s[1]), int(s[2])
	o := e.b[e.n:]
	e.ts = 20 + e.n
	e.n += copy(o, s[:l])
	if next > l {
		return true
	}
	if opt.tsNeedAddr {
		if next+3 > l {
			return false
		}
		e.tsAddr = true
		next += 4
	}
	if opt.tsNeedTime {
		switch {
		case next+3 > l:
			return false
		case o[3]&15 != stampPrescribe:
			e.tsTime = true
			next += 4
		case next+7 <= l:
			var a packet.Addr
			copy(a[:4], o[next-1:])
			if r.routes.AddrType(packet.IPv4, a, nil) != route.Unicast {
				e.tsTime = true
				next += 8
			}
		}
	}
	o[2] = byte(next)
	return true
}

// reverseRoute writes the source route s backwards and returns its length.
func reverseRoute(o, s []byte, src packet.Addr, q *outQuery) int {
	at := min(int(s[2]), int(s[1])+1) - 4
	n := 0
	var first packet.Addr
	if at > 3 {
		copy(first[:4], s[at-1:at+3])
		for at, n = at-4, 4; at > 3; at, n = at-4, n+4 {
			copy(o[n-1:n+3], s[at-1:at+3])
		}
		if [4]byte(s[at+3:]) == [4]byte(src[:4]) {
			n -= 4
		}
	}
	if n <= 3 {
		return 0
	}
	q.dst = first
	o[0], o[1], o[2] = s[0], byte(n+3), 4
	// The final destination, the sender, is put last (ip_options_build).
	copy(o[n-1:n+3], src[:4])
	return n + 3
}

// fillOptions enters the sender's address and the time into the options of a
// packet that is made. Linux: ip_options_build.
func (r *Router) fillOptions(h []byte, e *reply4) {
	// put writes v where the pointer of the option at opt stood back bytes
	// before.
	put := func(opt, back int, v []byte) {
		if at := opt + int(h[opt+2]) - back; at >= opt+3 && at+4 <= len(h) {
			copy(h[at:], v)
		}
	}
	if e.rrNeed {
		put(e.rr, 5, h[12:16])
	}
	if e.tsAddr {
		put(e.ts, 9, h[12:16])
	}
	if e.tsTime {
		var ms [4]byte
		binary.BigEndian.PutUint32(ms[:], midnight(r.now))
		put(e.ts, 5, ms[:])
	}
}

// blankOptions replaces the options that only the first fragment carries by
// no-ops. Linux: ip_options_fragment.
func blankOptions(o []byte) {
	for at := 0; at < len(o); {
		switch o[at] {
		case optEnd:
			return
		case optNoop:
			at++
			continue
		}
		if at+2 > len(o) {
			return
		}
		n := int(o[at+1])
		if n < 2 || at+n > len(o) {
			return
		}
		if o[at]&0x80 == 0 {
			for i := at; i < at+n; i++ {
				o[i] = optNoop
			}
		}
		at += n
	}
}
