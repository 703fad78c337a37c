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
	optStrictRoute = 137

	stampOnly      = 0
	stampAddr      = 1
	stampPrescribe = 3
)

// options is where the IPv4 options of a received packet stand; offsets are
// from the start of the IP header, 0 for none. Linux: struct ip_options.
type options struct {
	length      int // of all options
	srr, rr, ts int
	strict      bool
	rrNeed      bool // an address of ours is to be put in
	tsNeedAddr  bool
	tsNeedTime  bool
	srrHit      bool // this machine was the stop; next is nextHop
	nextHop     packet.Addr
	changed     bool
}

// receiveOptions reads the options of a received packet and does what they ask
// of a machine on the way. Linux: ip_rcv_options.
func (r *Router) receiveOptions(p *passage) hook.Reason {
	t := p.t
	d := t.Pkt.Data
	bad := r.compile(p, d[:t.Pkt.HeaderLen()])
	if bad >= 0 {
		p.opt = options{}
		r.fixHeader(p)
		r.ICMPError(t, icmpParameter, 0, uint32(bad)<<24)
		return hook.ReasonMalformed
	}
	why := hook.NoReason
	if p.opt.srr != 0 {
		if !r.dev(t.In).SourceRoute4 {
			why = hook.ReasonSourceRoute
		} else {
			why = r.sourceRoute(p)
		}
	}
	r.fixHeader(p)
	return why
}

// fixHeader computes the header checksum after options changed.
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
			clear(h[at:])
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
			p.opt.srr, p.opt.strict = at, o[0] == optStrictRoute
		case optRecord:
			bad = checkOption(o, p.opt.rr, 3, 4)
			if bad < 0 {
				bad = r.record(p, o)
			}
			p.opt.rr = at
		case optTimestamp:
			bad = checkOption(o, p.opt.ts, 4, 5)
			if bad < 0 {
				bad = r.stamp(p, o)
			}
			p.opt.ts = at
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
	p.opt.rrNeed = true
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
			p.opt.srrHit, p.opt.nextHop = true, hop
			break
		}
		t.Pkt.SetDst(hop)
	}
	return hook.NoReason
}

// forwardOptions enters the address by which the packet leaves. Linux:
// ip_forward_options.
func (r *Router) forwardOptions(p *passage) {
	d := p.t.Pkt.Data
	o := &p.opt
	if !o.rrNeed && !o.tsNeedAddr && !o.srrHit {
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
	if at := o.ts; o.tsNeedAddr && at+int(d[at+2])-5 <= p.t.Pkt.HeaderLen() {
		copy(d[at+int(d[at+2])-9:], src[:4])
	}
	r.fixHeader(p)
}

// echoOptions writes into opt the options with which a received packet is
// answered, and returns their length; q gets the first stop of a reversed
// source route as destination. It is false when they cannot be answered.
// Linux: __ip_options_echo.
func (r *Router) echoOptions(t *hook.Traversal, opt *[40]byte, q *outQuery) (int, bool) {
	p := r.passageOf(t)
	if p == nil || p.opt.length == 0 || t.Local {
		return 0, true
	}
	d := t.Pkt.Data
	n := 0
	if at := p.opt.rr; at != 0 {
		l, next := int(d[at+1]), int(d[at+2])
		n += copy(opt[n:], d[at:at+l])
		if p.opt.rrNeed && next <= l {
			if next+3 > l {
				return 0, false
			}
			opt[n-l+2] = byte(next + 4)
		}
	}
	if at := p.opt.ts; at != 0 {
		l, next := int(d[at+1]), int(d[at+2])
		o := opt[n:]
		n += copy(o, d[at:at+l])
		if next <= l {
			if p.opt.tsNeedAddr {
				if next+3 > l {
					return 0, false
				}
				next += 4
			}
			if p.opt.tsNeedTime {
				if next+3 > l {
					return 0, false
				}
				if o[3]&15 != stampPrescribe {
					next += 4
				} else if next+7 <= l {
					var a packet.Addr
					copy(a[:4], o[next-1:])
					if r.routes.AddrType(packet.IPv4, a, nil) != route.Unicast {
						next += 8
					}
				}
			}
			o[2] = byte(next)
		}
	}
	if at := p.opt.srr; at != 0 {
		n += reverseRoute(opt[n:], d[at:], t.Pkt.Src(), q)
	}
	for n%4 != 0 {
		opt[n] = optEnd
		n++
	}
	return n, true
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
func (r *Router) fillOptions(h []byte) {
	for at := 20; at+2 < len(h); {
		switch h[at] {
		case optEnd:
			return
		case optNoop:
			at++
			continue
		}
		n := int(h[at+1])
		if n < 2 || at+n > len(h) {
			return
		}
		switch next := int(h[at+2]); h[at] {
		case optRecord:
			if next >= 8 && at+next-1 <= len(h) {
				copy(h[at+next-5:], h[12:16])
			}
		case optTimestamp:
			switch h[at+3] & 15 {
			case stampOnly:
				if next >= 9 {
					binary.BigEndian.PutUint32(h[at+next-5:], midnight(r.now))
				}
			case stampAddr:
				if next >= 13 {
					copy(h[at+next-9:], h[12:16])
					binary.BigEndian.PutUint32(h[at+next-5:], midnight(r.now))
				}
			case stampPrescribe:
				if next >= 13 {
					binary.BigEndian.PutUint32(h[at+next-5:], midnight(r.now))
				}
			}
		}
		at += n
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
