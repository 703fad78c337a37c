package nat

import (
	"net/netip"
	"strconv"

	"weir/conntrack"
	"weir/packet"
)

// sideText is one side of a tuple for traces: 192.0.2.1:80, or for ICMP
// 192.0.2.1 id 7.
func sideText(t *conntrack.Tuple, m Manip) string {
	a, p := t.Src, t.SrcL4
	if m == Destination {
		a, p = t.Dst, t.DstL4
	}
	ip := a.IP(t.L3)
	switch t.Proto {
	case packet.TCP, packet.UDP, packet.UDPLite, packet.SCTP:
		return netip.AddrPortFrom(ip, p).String()
	case packet.ICMP, packet.ICMPv6:
		return ip.String() + " id " + strconv.Itoa(int(t.SrcL4))
	}
	return ip.String()
}
