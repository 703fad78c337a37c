package show

import (
	"encoding/hex"
	"strconv"

	"weir/conntrack"
	"weir/packet"
)

// AppendProc adds a connection as /proc/net/nf_conntrack lists it.
func AppendProc(b []byte, tb *conntrack.Table, c *conntrack.Conn, now int64) []byte {
	t, r := &c.Tuple[conntrack.Original], &c.Tuple[conntrack.Reply]
	e := entry{c: c, counters: tb.Counters(c)}
	b = appendL3(b, t.L3)
	b = appendL4(b, kernelProtoName(t.Proto), t.Proto)
	b = appendNum(b, "", uint64(c.Expires(now)/second))
	if s := stateOf(c); s != "" {
		b = append(append(b, s...), ' ')
	}
	if g := c.GRE(); g != nil {
		b = append(b, "timeout="...)
		b = strconv.AppendInt(b, g.Timeout/second, 10)
		b = append(b, ", stream_timeout="...)
		b = append(strconv.AppendInt(b, g.StreamTimeout/second, 10), ' ')
	}
	b = appendProcTuple(b, t)
	if t.Zone != r.Zone && t.Zone != 0 {
		b = appendNum(b, "zone-orig=", uint64(t.Zone))
	}
	b = e.appendCounter(b, conntrack.Original)
	if !c.Has(conntrack.SeenReply) {
		b = append(b, "[UNREPLIED] "...)
	}
	b = appendProcTuple(b, r)
	if t.Zone != r.Zone && r.Zone != 0 {
		b = appendNum(b, "zone-reply=", uint64(r.Zone))
	}
	b = e.appendCounter(b, conntrack.Reply)
	if c.Has(conntrack.Assured) {
		b = append(b, "[ASSURED] "...)
	}
	b = appendNum(b, "mark=", uint64(c.Mark))
	if t.Zone == r.Zone {
		b = appendNum(b, "zone=", uint64(t.Zone))
	}
	if start := tb.Started(c); start != 0 {
		b = appendNum(b, "delta-time=", uint64(max(0, now-start)/second))
	}
	b = append(b, "use="...)
	return strconv.AppendInt(b, int64(2+tb.Children(c)), 10)
}

// kernelProtoName is the name that the kernel has for a protocol.
func kernelProtoName(proto uint8) string {
	switch proto {
	case packet.ICMP:
		return "icmp"
	case packet.TCP:
		return "tcp"
	case packet.UDP:
		return "udp"
	case packet.GRE:
		return "gre"
	case packet.SCTP:
		return "sctp"
	case packet.UDPLite:
		return "udplite"
	case packet.ICMPv6:
		return "icmpv6"
	}
	return "unknown"
}

// appendProcTuple writes IPv6 addresses in full.
func appendProcTuple(b []byte, t *conntrack.Tuple) []byte {
	b = append(b, "src="...)
	b = appendFull(b, t.Src, t.L3)
	b = append(b, " dst="...)
	b = appendFull(b, t.Dst, t.L3)
	return appendL4Tuple(append(b, ' '), t)
}

func appendFull(b []byte, a packet.Addr, f packet.Family) []byte {
	if f == packet.IPv4 {
		return a.IP(f).AppendTo(b)
	}
	for i := 0; i < len(a); i += 2 {
		if i > 0 {
			b = append(b, ':')
		}
		b = hex.AppendEncode(b, a[i:i+2])
	}
	return b
}
