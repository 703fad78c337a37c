package kernel

import (
	"errors"
	"net/netip"
	"time"
)

// ErrUnavailable says that there is no kernel to ask: not Linux, or not root.
var ErrUnavailable = errors.New("kernel: needs Linux, root and iptables-legacy")

// Iface is a point-to-point device without a link layer.
type Iface struct {
	Name  string
	Addrs []netip.Prefix // the address, with the length of its network
	MTU   int            // 0 is 1500
	// MAC, if not zero, makes it an Ethernet device without ARP.
	MAC [6]byte
}

// Route is one route beside the connected ones.
type Route struct {
	To   netip.Prefix
	Via  netip.Addr // invalid: directly on Dev
	Dev  string
	Type string // "" is unicast; blackhole, unreachable, prohibit, throw, local, broadcast, multicast
	Src  netip.Addr
	// Metric and MTU are 0 if not given.
	Metric, MTU int
	Table       int // 0: the one that Linux takes
}

// Socket listens, takes what is delivered to it and never answers.
type Socket struct {
	TCP  bool           // else UDP
	Addr netip.AddrPort // of both families, if the address is ::
	Peer netip.AddrPort // of a connected one
	// Transparent and Mark are the options of that name.
	Transparent bool
	Mark        uint32
	Dev         string // bound to
}

// Config is a machine.
type Config struct {
	Ifaces []Iface
	Routes []Route
	// Policy is policy rules as `ip rule add` takes them, with -4 or -6 first.
	Policy [][]string
	// Rules4 and Rules6 are iptables-save text; tables that are not named
	// are empty with policy ACCEPT.
	Rules4, Rules6 string
	// Sets is the text of ipset save that the rules ask about.
	Sets string
	// Sysctl holds keys as sysctl(8) prints them. They are set after the
	// devices exist.
	Sysctl map[string]string
	// Named loads only the tables that the rules name: a table registers its
	// hooks when it is first used, and nat switches connection tracking on.
	Named bool
	// Fingerprints is pf.os for nfnl_osf(8). The kernel has one list for all
	// namespaces; Close takes these away again.
	Fingerprints string
	// Listen are the machine's sockets.
	Listen []Socket
	// Trace collects TRACE lines and the reasons of log_invalid.
	Trace bool
}

// Output is one packet that left.
type Output struct {
	Dev  string
	Data []byte
}

// Result is what one packet caused. Its slices are the caller's.
type Result struct {
	// Out is in order for each device; the order between devices is not
	// known.
	Out    []Output
	Events []Event
	// Trace is "table:chain:rule|return|policy:number", in order.
	Trace []string
	// Invalid is why connection tracking called packets invalid.
	Invalid []string
	// Refused is the error of sending a local packet: EPERM when a rule
	// dropped it, ENETUNREACH without a route, nil if it went out.
	Refused error
}

// EventType is the kind of an event.
type EventType uint8

// The kinds of events.
const (
	EventNew EventType = iota + 1
	EventUpdate
	EventDestroy
	ExpectNew
	ExpectDestroy
)

// String is the kind as conntrack -E prints it.
func (t EventType) String() string {
	return [...]string{"?", "NEW", "UPDATE", "DESTROY", "EXPECT NEW", "EXPECT DESTROY"}[t]
}

// Event is one message of connection tracking. Entry holds the fields that
// the message carried; Has tells which.
type Event struct {
	Type  EventType
	Entry Entry
	// Expect is set, and Entry empty, for the events of expectations.
	Expect Expect
}

// Expect is an expectation.
type Expect struct {
	// Tuple is what is expected, as far as Mask says; Master is the original
	// tuple of the connection that expects.
	Tuple, Mask, Master Tuple
	// NAT is the destination before translation, in the source of a tuple of
	// the master's protocol, and NATDir the direction; zero without.
	NAT                   Tuple
	NATDir                uint32
	Timeout, Flags, Class uint32
	Helper, Fn            string
	Zone                  uint16
}

// Tuple is one direction of a connection.
type Tuple struct {
	Src, Dst netip.Addr
	Proto    uint8
	// SrcPort and DstPort are ports, GRE's keys, or for ICMP the id and
	// type<<8|code.
	SrcPort, DstPort uint16
	// Zone is of this direction only, 0 if none.
	Zone uint16
}

// Has says which fields of an Entry a message carried.
type Has uint16

// The optional fields.
const (
	HasStatus Has = 1 << iota
	HasTimeout
	HasMark
	HasState
	HasCounters
	HasZone
	HasMaster
	HasHelper
)

// Counter counts one direction.
type Counter struct{ Packets, Bytes uint64 }

// Entry is a connection.
type Entry struct {
	Orig, Reply Tuple
	// ID tells connections with the same tuples apart.
	ID       uint32
	Has      Has
	Status   uint32 // IPS_ bits
	Timeout  uint32 // seconds left
	Mark     uint32
	Zone     uint16 // of both directions
	State    uint8  // of TCP or SCTP
	WScale   [2]uint8
	Flags    [2]uint8 // of TCP, per direction
	Counters [2]Counter
	Master   Tuple
	Helper   string
}

// Stats is conntrack -S, summed over all CPUs.
type Stats struct {
	Found, Invalid, Insert, InsertFailed, Drop, EarlyDrop, Error,
	SearchRestart, ClashResolve, ChainTooLong uint64
}

// second is the unit of timeouts in the connection table.
const second = time.Second
