package conntrack

import "weir/packet"

// KillCounting counts the packet and ends its connection.
// Linux: nf_ct_kill_acct.
func (tb *Table) KillCounting(ref Ref, p *packet.Packet, now int64) {
	tb.killAcct(ref.Conn, ref.Info, p, now)
}

// Masqueraded lists the confirmed connections that left masqueraded by the
// interface with the index.
func (tb *Table) Masqueraded(index uint32, now int64) (list []*Conn) {
	tb.each(now, func(c *Conn) bool {
		if tb.MasqIf(c) == index {
			list = append(list, c)
		}
		return true
	})
	for _, c := range list {
		tb.hold(c)
	}
	return list
}

// Zone is the zone of a connection if it counts in both directions, else 0.
func (c *Conn) Zone() uint16 { return c.bothZone() }
