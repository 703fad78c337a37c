package nat

import (
	"weir/conntrack"
	"weir/hook"
	"weir/packet"
)

// plain is setup where nothing has to be searched: one address or none is given,
// no port, and nobody has the tuple nor another mapping for the source. It
// returns false, and has done nothing, when setup has to look closer.
func plain(t *hook.Traversal, c *conntrack.Conn, r *Range, m Manip) bool {
	if t.Trace.On() || r.Flags != MapIPs || c.Status&(conntrack.Confirmed|m.done()) != 0 || r.MinAddr != r.MaxAddr ||
		c.Tuple[conntrack.Original].Zone != c.Tuple[conntrack.Reply].Zone {
		return false
	}
	tb, orig, reply := t.Env.CT, &c.Tuple[conntrack.Original], c.Tuple[conntrack.Reply]
	if tb.HasMappings() && m == Source {
		return false // their endpoints are not for others
	}
	if reply.Proto == packet.ICMP || reply.Proto == packet.ICMPv6 {
		return false // their two words are no ports
	}
	mine := &reply.Src
	if m == Source {
		mine = &reply.Dst
		if *mine != r.MinAddr && (*mine != orig.Src || reply.DstL4 != orig.SrcL4 || tb.HasSource(orig, c.Zone())) {
			return false
		}
	}
	changes := *mine != r.MinAddr
	*mine = r.MinAddr
	if !tb.Unused(c, &reply, t.Now) {
		return false
	}
	if changes {
		tb.SetReply(c, reply)
		c.Status |= m.bit(conntrack.Original)
	}
	if m == Source {
		tb.LinkSource(c)
	}
	c.Status |= m.done()
	return true
}
