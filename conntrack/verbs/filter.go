package verbs

import (
	"weir/conntrack"
	"weir/conntrack/show"
	"weir/packet"
)

const second = int64(1e9)

// candidate is a connection as a message of Linux's tells it; what a message of
// an event leaves out matches no filter that asks for it.
type candidate struct {
	c        *conntrack.Conn
	left     int64 // s
	labels   [2]uint64
	hasLeft  bool
	hasMark  bool
	hasState bool
}

func listed(tb *conntrack.Table, c *conntrack.Conn, now int64) candidate {
	return candidate{c: c, left: c.Expires(now) / second, labels: tb.Labels(c), hasLeft: true, hasMark: true, hasState: true}
}

// Match reports whether a connection passes the command's filter.
func (c *Command) Match(tb *conntrack.Table, k *conntrack.Conn, now int64) bool {
	x := listed(tb, k, now)
	return c.inFamily(k) && c.matches(&x)
}

// MatchEvent reports whether an event passes the filter of -E.
func (c *Command) MatchEvent(e *conntrack.Event) bool {
	end := e.Kind == conntrack.EventDestroy
	kind := [...]eventKinds{conntrack.EventNew: kindNew, conntrack.EventUpdate: kindUpdate, conntrack.EventDestroy: kindDestroy}[e.Kind]
	if c.opts.has(optEvents) && c.events&kind == 0 {
		return false
	}
	x := candidate{c: &e.Conn, left: e.Conn.Expires(e.Time) / second, hasState: end || e.Mask&conntrack.EventBitProtoInfo != 0}
	x.hasLeft = !end || x.left > 0
	x.hasMark = e.Mask&conntrack.EventBitMark != 0 || e.Conn.Mark != 0
	if e.Mask&conntrack.EventBitLabel != 0 {
		x.labels = e.Labels
	}
	return c.inFamily(&e.Conn) && c.matches(&x)
}

// inFamily is what Linux filters by itself.
func (c *Command) inFamily(k *conntrack.Conn) bool {
	return c.family == 0 || k.Tuple[conntrack.Original].L3 == c.family
}

// matches follows nfct_filter of conntrack(8).
func (c *Command) matches(x *candidate) bool {
	return c.inNAT(x.c) && c.inMark(x) && c.inLabels(x) && c.inNetwork(x.c) && (!c.compares() || c.equal(x))
}

// compares reports that one of the options stands that make all of them be
// compared.
func (c *Command) compares() bool {
	return c.opts.any(optProto, optSrc, optDst, optReplySrc, optReplyDst, optMark, optSecmark, optStatus, optID, optZone,
		optLabel, optOrigZone, optReplyZone)
}

func (c *Command) inMark(x *candidate) bool {
	return !c.opts.has(optMark) || x.hasMark && x.c.Mark&c.markMask == c.mark
}

func (c *Command) inLabels(x *candidate) bool {
	if c.labels == nil {
		return true
	}
	for i, want := range c.labels {
		if x.labels[i]&want != want {
			return false
		}
	}
	return x.labels != [2]uint64{}
}

// inNetwork compares the addresses that have a mask.
func (c *Command) inNetwork(k *conntrack.Conn) bool {
	t := &k.Tuple[conntrack.Original]
	if !c.opts.any(optMaskSrc, optMaskDst) {
		return true
	}
	if t.L3 != c.family {
		return false
	}
	in := func(a, net, mask *packet.Addr) bool {
		for i := range a {
			if (a[i]^net[i])&mask[i] != 0 {
				return false
			}
		}
		return true
	}
	return (!c.opts.has(optMaskSrc) || in(&t.Src, &c.ct.tuple.Src, &c.mask.tuple.Src)) &&
		(!c.opts.has(optMaskDst) || in(&t.Dst, &c.ct.tuple.Dst, &c.mask.tuple.Dst))
}

// inNAT compares what NAT made of a connection. Like the original it compares
// addresses of IPv4 only: one of IPv6 is not looked at.
func (c *Command) inNAT(k *conntrack.Conn) bool {
	either := c.opts.has(optAnyNAT)
	wantSrc, wantDst := c.opts.has(optSrcNAT), c.opts.has(optDstNAT)
	if !either && !wantSrc && !wantDst {
		return true
	}
	r := &k.Tuple[conntrack.Reply]
	src := (either || wantSrc) && c.natSide(fSNATAddr, fSNATPort, show.SNATed(k), show.SPATed(k), r.Dst == c.ct.snat, r.DstL4 == c.ct.snatPort)
	dst := (either || wantDst) && c.natSide(fDNATAddr, fDNATPort, show.DNATed(k), show.DPATed(k), r.Src == c.ct.dnat, r.SrcL4 == c.ct.dnatPort)
	switch {
	case either:
		return src || dst
	case wantSrc && wantDst:
		return src && dst
	case wantSrc:
		return src
	}
	return dst
}

// natSide compares one side: translated and ported are what NAT did, addr and
// port whether it did so as asked.
func (c *Command) natSide(addrField, portField field, translated, ported, addr, port bool) bool {
	byAddr := c.ct.has(addrField) && c.family == packet.IPv4
	byPort := c.ct.has(portField)
	if !byAddr && !byPort {
		return translated || ported
	}
	return (!byAddr || translated && addr) && (!byPort || ported && port)
}

// equal compares everything that the command says of the connection itself.
// Linux: nfct_cmp of libnetfilter_conntrack.
func (c *Command) equal(x *candidate) bool {
	a, k := &c.ct, x.c
	o, r := &k.Tuple[conntrack.Original], &k.Tuple[conntrack.Reply]
	is := func(f field, ok bool) bool { return !a.has(f) || ok }
	// Keys of GRE are not compared.
	port := func(f field, mine, asked uint16) bool {
		return is(f, hasPorts(o.Proto) && (mine == asked || o.Proto == packet.GRE))
	}
	icmp := o.Proto == packet.ICMP || o.Proto == packet.ICMPv6
	zone, zo, zr := uint16(0), o.Zone, r.Zone
	if zo == zr {
		zone, zo, zr = zo, 0, 0
	}
	return is(fOrigL3, o.L3 == a.tuple.L3) && is(fReplyL3, o.L3 == a.reply.L3) && is(fL4, o.Proto == c.number) &&
		(c.opts.has(optMaskSrc) || is(fOrigSrc, o.Src == a.tuple.Src)) && (c.opts.has(optMaskDst) || is(fOrigDst, o.Dst == a.tuple.Dst)) &&
		is(fReplySrc, r.Src == a.reply.Src) && is(fReplyDst, r.Dst == a.reply.Dst) &&
		port(fOrigSport, o.SrcL4, a.tuple.SrcL4) && port(fOrigDport, o.DstL4, a.tuple.DstL4) &&
		port(fReplySport, r.SrcL4, a.reply.SrcL4) && port(fReplyDport, r.DstL4, a.reply.DstL4) &&
		is(fICMPType, icmp && o.ICMPType() == a.icmpType) && is(fICMPCode, icmp && o.ICMPCode() == a.icmpCode) &&
		is(fICMPID, icmp && o.SrcL4 == a.icmpID) && is(fState, x.hasState && stateIs(k, a.state)) &&
		is(fTimeout, x.hasLeft && x.left == int64(a.timeout)) && is(fStatus, k.Status&a.status == a.status) &&
		is(fID, k.Seq == uint64(a.id)) && is(fZone, zone == a.zone) && is(fOrigZone, zo == a.origZone) && is(fReplyZone, zr == a.replyZone)
}

// hasPorts reports a protocol of which Linux tells ports or keys.
func hasPorts(proto uint8) bool {
	switch proto {
	case packet.TCP, packet.UDP, packet.UDPLite, packet.SCTP, packet.GRE:
		return true
	}
	return false
}

func stateIs(k *conntrack.Conn, n uint8) bool {
	if t := k.TCP(); t != nil {
		return uint8(t.State) == n
	}
	s := k.SCTP()
	return s != nil && uint8(s.State) == n
}
