package route

import (
	"net/netip"

	"weir/iface"
	"weir/packet"
)

// Type is what a route does with a packet, with Linux's numbers (RTN_*).
type Type uint8

// The route types.
const (
	None        Type = iota // not routed yet, or no route
	Unicast                 // forward or send
	Local                   // deliver here
	Broadcast               // deliver here as broadcast, send as broadcast
	Anycast                 // IPv6
	Multicast               // to a group
	Blackhole               // drop silently
	Unreachable             // drop, ICMP host unreachable
	Prohibit                // drop, ICMP administratively prohibited
	Throw                   // go on with the next table
)

// Result is the outcome of a look-up.
type Result struct {
	Type Type
	Out  *iface.Iface // the way out; for Local, lo
	// Gateway is the next hop, zero if the destination is on the link.
	Gateway packet.Addr
	// PrefSrc is the source address that the route or its interface
	// prefers for packets from this machine; zero when the destination
	// family has none.
	PrefSrc packet.Addr
	MTU     int // bytes; of the route if it has one, else of Out
	// Learned is the MTU that routers on the way told of, 0 if none did. It
	// counts for the machine's own packets and where IPv6 packets leave;
	// Locked: it counts for all.
	Learned int
	Locked  bool
	// Scope is how far the next hop is (Linux: nhc_scope): Link for a
	// gateway, Host for a destination on the link.
	Scope iface.Scope
}

// Route is one entry of a table, as `ip route` shows it.
type Route struct {
	To     netip.Prefix
	Via    netip.Addr // zero: on the link
	Dev    *iface.Iface
	Type   Type
	Src    netip.Addr // preferred source
	Metric int
	MTU    int
	Table  int // 255 local, 254 main, 253 default
	Scope  iface.Scope
	TOS    uint8
}

// Key is a look-up.
type Key struct {
	Family   packet.Family
	Dst, Src packet.Addr
	// In is where a received packet came from; IPv6 prefers routes by it,
	// and for link-local and multicast destinations demands them. Out
	// restricts the way out; nil is any.
	In, Out *iface.Iface
	Mark    uint32
	TOS     uint8
}
