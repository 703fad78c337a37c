package conntrack

// Stats counts what happened, with the names and meanings of conntrack -S and
// /proc/net/stat/nf_conntrack. There is one for the whole table where Linux
// has one per CPU.
type Stats struct {
	Found         uint64 // NAT found a tuple in use
	Invalid       uint64 // packets that no tracker could place
	Insert        uint64 // connections entered from outside, not by packets
	InsertFailed  uint64 // confirmations that failed
	Drop          uint64 // packets dropped: table full, tracker, clash
	EarlyDrop     uint64 // connections evicted to make room
	Error         uint64 // ICMP messages refused before the look-up
	SearchRestart uint64 // always 0: a look-up never races here
	ClashResolve  uint64 // clashes that were resolved
	ChainTooLong  uint64 // confirmations refused because a bucket was crowded
	ExpectNew     uint64 // expectations that a new connection matched
	ExpectCreate  uint64 // expectations made
	ExpectDelete  uint64 // expectations removed, for any reason
}

// Cause says why Track or Confirm want a packet dropped.
type Cause uint8

// The causes.
const (
	CauseNone         Cause = iota
	CauseTableFull          // nf_conntrack_max reached and nobody to evict
	CauseTracker            // the protocol's tracker refused
	CauseClash              // another connection has the tuple
	CauseDying              // the connection is being removed
	CauseChainTooLong       // the bucket is crowded
)

// String is the cause in words.
func (c Cause) String() string {
	switch c {
	case CauseTableFull:
		return "table-full"
	case CauseTracker:
		return "tracker"
	case CauseClash:
		return "clash"
	case CauseDying:
		return "dying"
	case CauseChainTooLong:
		return "chain-too-long"
	default:
		return ""
	}
}

// Outcome is what Track and Confirm return. The zero value drops.
type Outcome struct {
	OK    bool  // the packet goes on
	Cause Cause // why not
}

func pass() Outcome          { return Outcome{OK: true} }
func refuse(c Cause) Outcome { return Outcome{Cause: c} }
