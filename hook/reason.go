package hook

// Reason is the enumerated cause of a drop. Each is counted by the machine
// and shown by replay and trace.
type Reason uint8

// The reasons. The zero value says that nobody gave one, which a test forbids.
const (
	NoReason             Reason = iota
	ReasonRule                  // a rule's DROP
	ReasonPolicy                // the policy of a built-in chain
	ReasonReject                // a rule's REJECT
	ReasonHotdrop               // a match found the packet too broken to judge
	ReasonMalformed             // IP header, lengths or header checksum wrong
	ReasonMartian               // source or destination address that may not be here
	ReasonRPFilter              // reverse path filter
	ReasonNoRoute               // no route to the destination
	ReasonProhibited            // a blackhole, unreachable, prohibit or throw route
	ReasonForwardingOff         // not for this machine, which does not forward
	ReasonTTL                   // time to live or hop limit exceeded
	ReasonTooBig                // larger than the MTU and not to be fragmented
	ReasonSourceRoute           // source-routed, which the machine refuses
	ReasonFragOverlap           // fragments overlap
	ReasonFragBad               // fragments that cannot be one datagram
	ReasonFragTimeout           // the rest of a datagram did not come
	ReasonFragMemory            // reassembly memory is full
	ReasonTableFull             // nf_conntrack_max reached and nobody to evict
	ReasonInvalidTracked        // a protocol tracker asked for a drop
	ReasonClash                 // lost the race to confirm its tuple
	ReasonDying                 // its connection was being removed
	ReasonNATFailed             // no mapping, or the packet could not be rewritten
	ReasonNATRouteChange        // masqueraded, and the way out changed
	ReasonNotLocal              // link layer: not addressed to this machine
	ReasonBroadcast             // broadcast or multicast that nobody here takes
	ReasonQueue                 // queued and nobody listens
	ReasonNoSocket              // for this machine, but no one takes the protocol or port
	ReasonUser                  // a hook function of the library's user
	ReasonHelper                // a connection helper refused the packet
	ReasonSynproxy              // the SYN proxy answered it, or it had a wrong cookie
	ReasonNATExhausted          // no endpoint is free for an endpoint-independent mapping
	ReasonNATFiltered           // to a mapping whose filtering does not let the sender in
	ReasonAssigned              // given to a socket by TPROXY, and not routed to this machine
	ReasonQueueFull             // as many packets wait in its queue as may
	ReasonQueueShared           // not queued: another packet has its new connection too
	ReasonListener              // dropped by who listens to its queue, or the queue was closed
	NumReasons
)

var reasonNames = [NumReasons]string{
	"", "rule", "policy", "reject", "hotdrop", "malformed", "martian", "rp-filter", "no-route",
	"prohibited", "forwarding-off", "ttl", "too-big", "source-route", "frag-overlap", "frag-bad",
	"frag-timeout", "frag-memory", "table-full", "tracker", "clash", "dying", "nat-failed",
	"nat-route-change", "not-local", "broadcast", "queue", "no-socket", "user", "helper",
	"synproxy", "nat-exhausted", "nat-filtered", "assigned",
	"queue-full", "queue-shared", "listener",
}

// String is the reason as JSON and text show it; empty for NoReason.
func (r Reason) String() string {
	if r < NumReasons {
		return reasonNames[r]
	}
	return "?"
}
