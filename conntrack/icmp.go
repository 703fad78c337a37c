package conntrack

import "weir/packet"

// icmpFate is what the first look at an ICMP message says.
type icmpFate uint8

const (
	icmpNormal    icmpFate = iota // has a tuple of its own
	icmpQuotes                    // is about the packet that it quotes
	icmpUntracked                 // never tracked
	icmpRefused                   // goes on without a connection
)

// icmpIn treats what must be decided before an ICMP message is looked up:
// errors are attached to the connection of the packet that they quote. It
// reports whether the message is done with. Linux: nf_conntrack_handle_icmp.
func (v *visit) icmpIn(ref *Ref, zo, zr uint16) bool {
	if len(v.b) < 8 {
		return v.icmpError(whyICMPShort)
	}
	if v.badChecksum() {
		return v.icmpError(whyChecksum)
	}
	fate, quote, why := icmpFate(0), 8, whyNothing
	if v.p.Family == packet.IPv4 {
		fate, why = icmp4Fate(v.b[0])
	} else {
		fate, quote, why = icmp6Fate(v.p, v.b)
	}
	switch fate {
	case icmpNormal:
		return false
	case icmpUntracked:
		*ref = Ref{Info: InfoUntracked}
		return true
	case icmpRefused:
		return v.icmpError(why)
	}
	return v.icmpQuoting(ref, v.b[quote:], zo, zr)
}

func (v *visit) icmpError(k whyKind) bool {
	v.tb.say(k)
	v.tb.stats.Error++
	return true
}

// icmp4Fate sorts ICMP types. Linux: nf_conntrack_icmpv4_error.
func icmp4Fate(typ uint8) (icmpFate, whyKind) {
	switch {
	case typ > 18:
		return icmpRefused, whyICMPType
	case typ == 3, typ == 4, typ == 5, typ == 11, typ == 12:
		return icmpQuotes, whyNothing
	}
	return icmpNormal, whyNothing
}

// icmp6Fate sorts ICMPv6 types; quote is where the quoted packet begins.
// Linux: nf_conntrack_icmpv6_error.
func icmp6Fate(p *packet.Packet, b []byte) (fate icmpFate, quote int, why whyKind) {
	switch typ := b[0]; {
	case typ >= 130 && typ <= 136, typ == 143, typ == 151, typ == 152:
		return icmpUntracked, 0, whyNothing
	case typ == 137:
		return redirectFate(p, b)
	case typ < 128:
		return icmpQuotes, 8, whyNothing
	}
	return icmpNormal, 0, whyNothing
}

// redirectFate finds the packet that a redirect quotes in its first option
// (RFC 4861 section 4.5).
func redirectFate(p *packet.Packet, b []byte) (icmpFate, int, whyKind) {
	const (
		redirectLen      = 40 // ICMPv6 header, target, destination
		redirectedHeader = 4  // option type
	)
	if len(b) < redirectLen {
		return icmpRefused, 0, whyICMPInner
	}
	if b[1] != 0 {
		return icmpNormal, 0, whyNothing
	}
	src := p.Src()
	if p.TTL() != 255 || src[0] != 0xfe || src[1]&0xc0 != 0x80 {
		return icmpRefused, 0, whyICMPInner
	}
	if len(b) < redirectLen+2 || b[redirectLen+1] == 0 {
		return icmpRefused, 0, whyICMPInner
	}
	if b[redirectLen] != redirectedHeader {
		return icmpNormal, 0, whyNothing
	}
	if len(b) < redirectLen+8 {
		return icmpRefused, 0, whyICMPInner
	}
	return icmpQuotes, redirectLen + 8, whyNothing
}

// icmpQuoting attaches the connection of a quoted packet. The error travels in
// the direction in which that connection has the inverse of the quoted tuple,
// so the outer destination must be that tuple's.
// Linux: nf_conntrack_inet_error.
func (v *visit) icmpQuoting(ref *Ref, quoted []byte, zo, zr uint16) bool {
	tb := v.tb
	inner, ok := v.tb.tupleInside(v.p.Family, quoted, zo)
	if !ok {
		return v.icmpError(whyICMPInner)
	}
	t, ok := inner.Inverse()
	if !ok {
		return v.icmpError(whyICMPInner)
	}
	c, d := tb.lookupIn(&t, tb.hash(&t), zo, zr, v.now)
	if c == nil {
		return v.icmpError(whyICMPUnknown)
	}
	if c.Tuple[d].Dst != v.p.Dst() {
		tb.outer, tb.quoted, tb.outerL3 = v.p.Dst(), c.Tuple[d].Dst, v.p.Family
		return v.icmpError(whyICMPOuter)
	}
	*ref = Ref{Conn: c, Info: InfoRelated}
	if d == Reply {
		ref.Info = InfoRelatedReply
	}
	return true
}

// trackICMP is for the messages that have a tuple of their own: a connection
// begins with a request only. Linux: nf_conntrack_icmp_packet,
// nf_conntrack_icmpv6_packet.
func trackICMP(v *visit) result {
	timeout, family := v.tb.cfg.ICMPTimeout, packet.IPv4
	if v.p.Proto == packet.ICMPv6 {
		timeout, family = v.tb.cfg.ICMPv6Timeout, packet.IPv6
	}
	if v.p.Family != family {
		return v.fail(whyProtoFamily)
	}
	if v.fresh() && !icmpBegins(v.p.Proto, v.c.Tuple[Original].ICMPType()) {
		return v.fail(whyInvalidNew)
	}
	v.refresh(v.tb.timeout(v.c, 0, timeout))
	return accepted
}

// icmpBegins reports the types that ask.
func icmpBegins(proto, typ uint8) bool {
	if proto == packet.ICMPv6 {
		return typ == 128 || typ == 139
	}
	return typ == 8 || typ == 13 || typ == 15 || typ == 17
}
