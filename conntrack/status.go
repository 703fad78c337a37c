package conntrack

// Status is the bits of a connection, with Linux's values (IPS_*).
type Status uint32

// The status bits.
const (
	Expected     Status = 1 << iota // created through an expectation
	SeenReply                       // a packet of the reply direction was accepted
	Assured                         // not a victim of early drop
	Confirmed                       // in the table
	SrcNAT                          // the original direction needs its source rewritten
	DstNAT                          // the original direction needs its destination rewritten
	SeqAdjust                       // TCP sequence numbers are adjusted
	SrcNATDone                      // the source side is decided (perhaps unchanged)
	DstNATDone                      // the destination side is decided
	Dying                           // being removed
	FixedTimeout                    // trackers do not refresh it
	IsTemplate                      // a rule's template, never in the table
	NATClash                        // the short-lived duplicate of a clash
	HelperSet                       // helper set by a rule
)

// NATMask is both translation bits, NATDoneMask both decided bits.
const (
	NATMask     = SrcNAT | DstNAT
	NATDoneMask = SrcNATDone | DstNATDone
)

// Info is a packet's relation to its connection (Linux: enum ip_conntrack_info).
type Info uint8

// The values of Info, as in Linux.
const (
	InfoEstablished      Info = 0
	InfoRelated          Info = 1
	InfoNew              Info = 2
	InfoEstablishedReply Info = 3
	InfoRelatedReply     Info = 4
	InfoUntracked        Info = 7
)

// Dir is the direction that the packet has.
func (i Info) Dir() Dir {
	if i >= InfoEstablishedReply && i != InfoUntracked {
		return Reply
	}
	return Original
}

// Ref is what a packet carries of its connection. The zero value means that
// nothing is attached: not looked up yet, or INVALID after conntrack ran. An
// untracked packet has Conn nil and Info InfoUntracked.
//
// A Ref is valid during one traversal only: the slot of Conn is not reused
// before the table's owner calls Table.Reap.
type Ref struct {
	Conn *Conn
	Info Info
}

// Untracked reports a packet that a rule took out of tracking, or one that
// conntrack never tracks (neighbour discovery).
func (r Ref) Untracked() bool { return r.Conn == nil && r.Info == InfoUntracked }

// State is the one word that rules ask for.
type State uint8

// The states, in the bit order of -m conntrack --ctstate.
const (
	StateInvalid State = iota
	StateNew
	StateEstablished
	StateRelated
	StateUntracked
)

// String is the state as rules write it.
func (s State) String() string {
	switch s {
	case StateNew:
		return "NEW"
	case StateEstablished:
		return "ESTABLISHED"
	case StateRelated:
		return "RELATED"
	case StateUntracked:
		return "UNTRACKED"
	default:
		return "INVALID"
	}
}

// State is the state that a rule sees for the packet.
func (r Ref) State() State {
	if r.Conn == nil {
		if r.Info == InfoUntracked {
			return StateUntracked
		}
		return StateInvalid
	}
	switch r.Info % 3 {
	case 0:
		return StateEstablished
	case 1:
		return StateRelated
	default:
		return StateNew
	}
}
