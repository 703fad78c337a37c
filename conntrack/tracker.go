package conntrack

import "weir/packet"

// result is what a tracker makes of a packet, with Linux's values.
type result int8

const (
	accepted result = 1  // NF_ACCEPT
	dropped  result = 0  // NF_DROP
	invalid  result = -1 // -NF_ACCEPT: goes on without a connection
	repeat   result = -4 // -NF_REPEAT: look up again, the entry is gone
)

// visit is one packet at its connection.
type visit struct {
	tb         *Table
	c          *Conn
	p          *packet.Packet
	b          []byte // layer-4 header and all behind
	info       Info
	dir        Dir
	prerouting bool
	now        int64
	t          Tuple // of the packet
}

// tracker is a protocol's rules. A new protocol is one file with a track
// function and one line in trackers.
type tracker struct {
	proto uint8
	// clashOK allows two connections that race for one tuple to be merged.
	clashOK bool
	track   func(v *visit) result
}

// trackers lists every protocol that has rules of its own; all others are
// generic.
func trackers() []tracker {
	return []tracker{
		{proto: packet.ICMP, track: trackICMP},
		{proto: packet.TCP, track: trackTCP},
		{proto: packet.UDP, clashOK: true, track: trackUDP},
		{proto: packet.GRE, clashOK: true, track: trackGRE},
		{proto: packet.ICMPv6, track: trackICMP},
		{proto: packet.SCTP, track: trackSCTP},
		{proto: packet.UDPLite, clashOK: true, track: trackUDPLite},
	}
}

// ClashOK reports a protocol of which two connections that begin at the same
// time for one tuple can become one. Linux: nf_nat_allow_clash.
func (tb *Table) ClashOK(proto uint8) bool { return tb.trackers[proto].clashOK }

// fail records a remark and calls the packet invalid.
func (v *visit) fail(k whyKind) result {
	v.tb.say(k)
	return invalid
}

// fresh reports that the connection is not in the table yet.
func (v *visit) fresh() bool { return v.c.Status&Confirmed == 0 }

// badChecksum reports a checksum that is wrong where it is verified at all.
func (v *visit) badChecksum() bool {
	if !v.prerouting || !v.tb.cfg.Checksum {
		return false
	}
	if !v.p.L4ChecksumOK() {
		return true
	}
	switch v.p.Proto {
	case packet.UDP:
		if v.b[6]|v.b[7] != 0 {
			v.p.SetSummed()
		}
	case packet.TCP, packet.ICMP, packet.ICMPv6:
		v.p.SetSummed()
	}
	return false
}

// refresh renews the timeout and counts the packet. Linux: nf_ct_refresh_acct.
func (v *visit) refresh(timeout int64) {
	if v.c.Status&FixedTimeout == 0 {
		v.tb.setTimeout(v.c, timeout, v.now)
	}
	v.tb.account(v.c, v.info, v.p)
}

// Refresh renews a connection's timeout. Linux: nf_ct_refresh.
func (tb *Table) Refresh(c *Conn, timeout, now int64) {
	if c.Status&FixedTimeout == 0 {
		tb.setTimeout(c, timeout, now)
	}
}

// setTimeout sets the time left: relative before confirmation.
func (tb *Table) setTimeout(c *Conn, timeout, now int64) {
	if c.Status&Confirmed != 0 {
		timeout += now
	}
	c.deadline = timeout
}

// account counts a packet. Linux: nf_ct_acct_update.
func (tb *Table) account(c *Conn, info Info, p *packet.Packet) {
	if c.flags&counted != 0 {
		ct := &tb.Counters(c)[info.Dir()]
		ct.Packets++
		ct.Bytes += uint64(p.Len())
	}
}

// assure protects the connection from early drop.
func (v *visit) assure() {
	if v.c.Status&Assured == 0 {
		v.c.Status |= Assured
		v.c.note(EventBitAssured)
	}
}

// trackGeneric is for protocols without rules. Linux: generic_packet.
func trackGeneric(v *visit) result {
	v.refresh(v.tb.timeout(v.c, 0, v.tb.cfg.GenericTimeout))
	return accepted
}
