package conntrack

import "weir/packet"

// Track is conntrack's way in: it attaches to ref what the packet belongs to.
// ref must be the packet's; when something is attached already, the packet is
// left alone. A packet without a place goes on with ref zero, which rules see
// as INVALID. tmpl is what rules asked for, nil for nothing; mark is the
// packet's, for zones taken from it; prerouting says that checksums are
// verified. When the outcome is not OK the packet is to be dropped, and ref is
// zero.
//
// Linux: net/netfilter/nf_conntrack_core.c nf_conntrack_in.
func (tb *Table) Track(p *packet.Packet, tmpl *Template, ref *Ref, mark uint32, prerouting bool, now int64) Outcome {
	tb.why = remark{}
	if ref.Conn != nil || ref.Info == InfoUntracked {
		return pass()
	}
	*ref = Ref{}
	if p.L4 < 0 {
		tb.say(whyNoL4)
		tb.stats.Invalid++
		return pass()
	}
	zo, zr := zonesOf(tmpl, mark)
	v := &tb.visit
	v.tb, v.p, v.b, v.prerouting, v.now = tb, p, p.Data[p.L4:], prerouting, now
	if p.Proto == packet.ICMP && p.Family == packet.IPv4 || p.Proto == packet.ICMPv6 && p.Family == packet.IPv6 {
		if v.icmpIn(ref, zo, zr) {
			return pass()
		}
	}
	for {
		if !v.resolve(tmpl, zo, zr) {
			tb.say(whyTableFull)
			tb.stats.Drop++
			return refuse(CauseTableFull)
		}
		if v.c == nil {
			tb.stats.Invalid++
			return pass()
		}
		res := tb.trackers[p.Proto].track(v)
		if res == accepted {
			break
		}
		tb.Release(Ref{Conn: v.c})
		if res == repeat {
			continue
		}
		tb.stats.Invalid++
		if res == dropped {
			tb.stats.Drop++
			return refuse(CauseTracker)
		}
		return pass()
	}
	c := v.c
	*ref = Ref{Conn: c, Info: v.info}
	if v.info == InfoEstablishedReply && c.Status&SeenReply == 0 {
		// After the tracker, which saw the first reply without it.
		c.Status |= SeenReply
		c.note(EventBitReply)
	}
	return pass()
}

// zonesOf is the zone for each direction.
func zonesOf(tmpl *Template, mark uint32) (zo, zr uint16) {
	if tmpl == nil {
		return 0, 0
	}
	id := tmpl.ZoneID
	if tmpl.ZoneFromMark {
		id = uint16(mark)
	}
	if tmpl.ZoneDir&ZoneOriginal != 0 {
		zo = id
	}
	if tmpl.ZoneDir&ZoneReply != 0 {
		zr = id
	}
	return zo, zr
}

// resolve looks the packet's connection up or creates it, and sets what the
// packet is to it. No connection and true: the packet has no place. False:
// there was no room. Linux: resolve_normal_ct.
func (v *visit) resolve(tmpl *Template, zo, zr uint16) bool {
	tb := v.tb
	v.c = nil
	t := &v.t
	if !t.read(v.p, zo) {
		tb.say(whyNoTuple)
		return true
	}
	h := tb.hash(t)
	c, d := tb.lookup(t, h, v.now)
	if c == nil && zr != zo {
		t.Zone = zr
		c, d = tb.Lookup(t, v.now)
		t.Zone = zo
	}
	if c == nil {
		reply, ok := t.Inverse()
		if !ok {
			tb.say(whyNoInverse)
			return true
		}
		reply.Zone = zr
		if c = tb.create(t, &reply, uint32(h), tmpl, v.now); c == nil {
			return false
		}
		d = Original
	}
	v.c, v.dir = c, d
	switch {
	case d == Reply:
		v.info = InfoEstablishedReply
	case c.Status&SeenReply != 0:
		v.info = InfoEstablished
	case c.Status&Expected != 0:
		v.info = InfoRelated
	default:
		v.info = InfoNew
	}
	return true
}
