package conntrack

import "weir/packet"

// Track is conntrack's way in: it attaches to ref what the packet belongs to.
// ref must be the packet's; when something is attached already, the packet is
// left alone. A packet without a place goes on without a connection, which
// rules see as INVALID. tmpl is what rules asked for, nil for nothing; mark is the
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
	return v.examine(ref, tmpl, zo, zr, false)
}

// Find looks up the connection of a packet that has no template, without
// touching anything; nil if there is none, or if it is over. Only protocols
// whose packets all have tuples of their own: no ICMP.
func (tb *Table) Find(p *packet.Packet, now int64) (*Conn, Dir) {
	if p.L4 < 0 || p.Proto == packet.ICMP || p.Proto == packet.ICMPv6 {
		return nil, Original
	}
	t := &tb.visit.t
	if !t.read(p, 0) {
		return nil, Original
	}
	c, d := tb.find(t, tb.hash(t), anyDir)
	if c == nil || c.expired(now) {
		return nil, Original
	}
	return c, d
}

// TrackFound is Track for a packet without template whose connection Find has
// just found.
func (tb *Table) TrackFound(p *packet.Packet, c *Conn, d Dir, ref *Ref, now int64) Outcome {
	tb.why = remark{}
	*ref = Ref{}
	v := &tb.visit
	v.tb, v.p, v.b, v.prerouting, v.now = tb, p, p.Data[p.L4:], true, now
	v.place(c, d)
	return v.examine(ref, nil, 0, 0, true)
}

// examine lets the protocol's tracker look at the packet. placed says that its
// connection is known already.
func (v *visit) examine(ref *Ref, tmpl *Template, zo, zr uint16, placed bool) Outcome {
	tb, p := v.tb, v.p
	for ; ; placed = false {
		if !placed && !v.resolve(tmpl, zo, zr) {
			tb.say(whyTableFull)
			tb.stats.Drop++
			*ref = Ref{}
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
		*ref = Ref{}
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
	tb.greSource(t, v.b)
	h := tb.hash(t)
	var c *Conn
	var d Dir
	if zo != zr || !tb.isAbsent(h) {
		c, d = tb.lookupIn(t, h, zo, zr, v.now)
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
		if zo == zr {
			tb.vacancy = vacancy{seq: c.Seq, inserts: tb.index.inserts, orig: h}
		}
		d = Original
	}
	v.place(c, d)
	return true
}

// lookupIn looks a tuple up in the zones of a template: zo for those that have
// it as their original tuple, zr for the reply. h is the hash of t, which has
// zone zo. Linux: __nf_conntrack_find_get with a zone of one direction.
func (tb *Table) lookupIn(t *Tuple, h uint64, zo, zr uint16, now int64) (*Conn, Dir) {
	c, d := tb.lookup(t, h, meeting(Original, zo, zr), now)
	if zr == zo || c != nil {
		return c, d
	}
	t.Zone = zr
	c, d = tb.lookup(t, tb.hash(t), onlyReply, now)
	t.Zone = zo
	return c, d
}

// place sets the packet's connection and what the packet is to it.
func (v *visit) place(c *Conn, d Dir) {
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
}
