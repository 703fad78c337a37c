package nat

import (
	"weir/conntrack"
	"weir/hook"
	"weir/packet"
	"weir/trace"
)

// Hook is NAT at a hook point, for every packet: it asks the nat table for the
// first packets of a connection, decides not to translate when nobody else
// decided, and rewrites. walk runs the nat table's chain of the point. A drop has
// its reason in t.
// Linux: nf_nat_inet_fn, nf_nat_ipv4_fn, nf_nat_ipv6_fn.
func Hook(t *hook.Traversal, walk func(*hook.Traversal) hook.Verdict) hook.Verdict {
	c := t.CT.Conn
	if c == nil {
		return hook.Accept
	}
	m := ManipAt(t.Point)
	switch t.CT.Info {
	case conntrack.InfoRelated, conntrack.InfoRelatedReply:
		if isICMP(t.Pkt) {
			if why := translateError(t, m); why != "" {
				return refuse(t, why)
			}
			return hook.Accept
		}
		fallthrough
	case conntrack.InfoNew:
		if c.Has(m.done()) {
			if wayOutChanged(t, c) {
				return evict(t, c)
			}
			break
		}
		if v := walk(t); v != hook.Accept {
			return v
		}
		if t.Point == hook.Prerouting && t.Env.CT.HasMappings() && !c.Has(m.done()) {
			if v := inbound(t, c); v != hook.Accept {
				return v
			}
		}
		if !c.Has(m.done()) && !NullBinding(t, c, m) {
			return hook.Drop
		}
	default:
		if wayOutChanged(t, c) {
			return evict(t, c)
		}
	}
	if !Packet(t, m) {
		return refuse(t, "too short to be translated")
	}
	return hook.Accept
}

// isICMP reports the ICMP of the packet's own family.
func isICMP(p *packet.Packet) bool {
	if p.Family == packet.IPv4 {
		return p.Proto == packet.ICMP
	}
	return p.Proto == packet.ICMPv6 && p.L4 >= 0
}

// wayOutChanged reports a masqueraded connection whose packets leave by
// another interface than the first. Linux: nf_nat_oif_changed.
func wayOutChanged(t *hook.Traversal, c *conntrack.Conn) bool {
	if t.Point != hook.Postrouting || t.CT.Info.Dir() != conntrack.Original || t.Out == nil {
		return false
	}
	first := t.Env.CT.MasqIf(c)
	return first != 0 && first != uint32(t.Out.Index)
}

// evict ends a connection whose mapping no longer fits; its next packet makes
// a new one.
func evict(t *hook.Traversal, c *conntrack.Conn) hook.Verdict {
	if t.Trace.On() {
		t.Trace.Add(trace.Step{Kind: trace.KindNAT, Text: "leaves by another interface than the masqueraded connection: the connection ends", Verdict: "DROP"})
	}
	t.Env.CT.KillCounting(t.CT, t.Pkt, t.Now)
	return t.Drop(hook.ReasonNATRouteChange)
}

// Packet rewrites one side of a packet as its connection says; false when it
// is too short for that. Linux: nf_nat_packet, nf_nat_manip_pkt.
func Packet(t *hook.Traversal, m Manip) bool {
	c, d := t.CT.Conn, t.CT.Info.Dir()
	if !c.Has(m.bit(d)) {
		return true
	}
	target, ok := c.Tuple[1-d].Inverse()
	if !ok {
		return false
	}
	return outer(t.Pkt).manip(&target, m)
}
