package hook

import (
	"weir/conntrack"
	"weir/iface"
	"weir/packet"
	"weir/route"
	"weir/socket"
	"weir/trace"
)

// Traversal is one packet on its way through the machine: the packet, and all
// that is known of it that does not stand in its bytes (Linux: struct sk_buff
// without the data, and struct nf_hook_state). A worker has a few and resets
// them; nobody stores one.
type Traversal struct {
	Pkt *packet.Packet
	Env *Env

	Point   Point
	In, Out *iface.Iface // nil where the point has none
	Now     int64        // packet clock, ns since the Unix epoch

	CT       conntrack.Ref
	Template *conntrack.Template // set by CT in raw, taken by conntrack; nil is none
	Mark     uint32
	Priority uint32 // traffic class (CLASSIFY)
	// Route is how the packet leaves or is delivered; Type None before routing.
	Route route.Result
	// Taken marks a stolen packet that this machine has answered for good.
	Taken bool
	// Local marks a packet that this machine sent.
	Local bool
	// Copy marks what this machine takes itself of a broadcast or multicast
	// that it sends, on its way out: no socket stands behind it.
	Copy bool
	// SocketOwner is what -m owner asks of a local packet; nil if unknown.
	SocketOwner *Owner
	// Socket is the one that a rule gave the packet to (TPROXY), nil if none.
	Socket *socket.Socket
	// NFTrace marks a packet that the TRACE target chose.
	NFTrace bool

	// Why is set by whoever drops.
	Why Reason
	// Hotdrop is set by a match that ends the walk with a drop.
	Hotdrop bool
	// QueueNum and QueueBypass go with a Queue verdict.
	QueueNum    uint16
	QueueBypass bool

	// Place and Op are where the rule stands whose target acts.
	Place Place
	Op    int32

	Trace *trace.Recorder // nil is off; its methods accept nil
	// Memo notes what the tables did with the packet; nil is off.
	Memo *Memo
}

// Memo is what the walk of one packet found, so that later packets of its
// connection can be spared it.
type Memo struct {
	// Varying is set when the outcome hangs on something that other packets
	// of the same connection and direction may have otherwise.
	Varying bool
	// Assured is set when a rule may have looked whether the connection is
	// assured.
	Assured bool
	// Steps are the rules and policies that counted the packet.
	Steps []MemoStep
}

// Reset empties the memo for the next packet.
func (m *Memo) Reset() *Memo {
	m.Varying, m.Assured = false, false
	m.Steps = m.Steps[:0]
	return m
}

// MemoStep is a counter of a table: which one, and where.
type MemoStep struct {
	Table any // *xtables.Table
	Op    int32
}

// Owner is the credentials of the socket behind a locally sent packet.
type Owner struct {
	UID, GID uint32
	// Kernel marks a socket by which the machine itself answers: it has no
	// file, and nobody owns it.
	Kernel bool
	// Groups are the supplementary groups.
	Groups []uint32
}

// Drop records the reason and returns the verdict, so that no drop goes
// without one: return t.Drop(hook.ReasonRule).
func (t *Traversal) Drop(r Reason) Verdict {
	t.Why = r
	return Drop
}

// Env is what hook functions may use of the machine they run in. One per
// worker; it outlives every traversal.
type Env struct {
	CT     *conntrack.Table
	Routes *route.Table
	Ifaces *iface.Set
	// Sockets are the machine's; nil is none. FindSocket asks them.
	Sockets socket.Finder
	query   socket.Query // of FindSocket
	// Rand is every random choice of the machine; seeded, so that a replay
	// is the same twice.
	Rand Rand
	// Emit answers and injects packets.
	Emit Emitter
	// Log takes the lines of LOG, NFLOG and log_invalid; nil throws them away.
	Log Logger
	// Cookies are the SYN proxy's.
	Cookies Cookies
}

// FindSocket is the socket of a packet, nil if there is none.
func (e *Env) FindSocket(q socket.Query, k socket.Kind) *socket.Socket {
	if e.Sockets == nil {
		return nil
	}
	e.query = q // which would go to the heap otherwise
	return e.Sockets.Find(&e.query, k)
}

// Ends are the ends of a connection.
type Ends struct {
	Src, Dst         packet.Addr
	SrcPort, DstPort uint16
}

// Cookies make and check the sequence numbers that the SYN proxy gives to
// clients.
type Cookies interface {
	// Make is the cookie for a SYN with the sequence number seq; size is the
	// number of a segment size, less than four.
	Make(e *Ends, seq, size uint32, now int64) uint32
	// Check takes a cookie apart; false if Make did not make it within two
	// minutes.
	Check(e *Ends, seq, cookie uint32, now int64) (size uint32, ok bool)
	// Stamp is the clock of time stamps, in ms.
	Stamp(now int64) uint32
}

// Rand is a source of random numbers.
type Rand interface {
	Uint32() uint32
	// PortOffset chooses the first port or id to try: a number that, added to
	// min modulo size, is where a search begins. They and the side that
	// is searched, the source's or the destination's, let a test steer the
	// choice. Linux takes 16 random bits.
	PortOffset(min, size uint32, source bool) uint32
}

// Emitter makes the machine send packets of its own because of the one in the
// traversal. The answer goes through OUTPUT and POSTROUTING before the call
// returns. Nothing is sent where Linux would send nothing (an error about an
// error, a broadcast …).
type Emitter interface {
	// ICMPError sends an ICMP or ICMPv6 error about t's packet. info is the
	// second word of the ICMP header: MTU, pointer, gateway; else 0.
	ICMPError(t *Traversal, typ, code uint8, info uint32)
	// TCPReset answers t's segment with RST (-j REJECT --reject-with tcp-reset).
	TCPReset(t *Traversal)
	// Inject sends a copy of a packet out as if this machine had made it,
	// untracked, by the route to via (-j TEE); with out by that interface only.
	Inject(t *Traversal, p *packet.Packet, via packet.Addr, out *iface.Iface)
	// Segment sends a TCP segment of the SYN proxy's.
	Segment(t *Traversal, s *Segment)
	// Scratch is an empty slice with room for the options of a segment, good
	// until the next call of Segment.
	Scratch() []byte
}

// Segment is a TCP segment without data.
type Segment struct {
	Src, Dst         packet.Addr
	SrcPort, DstPort uint16
	Seq, Ack         uint32
	Flags            uint8
	Window           uint16
	Options          []byte // a multiple of four bytes, at most 40
	// CT is what it is attached to; without a connection it is tracked as any
	// packet.
	CT conntrack.Ref
	// Proxied: a connection that it begins belongs to the SYN proxy.
	Proxied bool
}

// Place knows the rules of a table.
type Place interface {
	// AppendRule appends table, chain, number and text of a rule.
	AppendRule(b []byte, op int32) []byte
}

// Rule is the rule whose target acts, as LogRecord shows it.
func (t *Traversal) Rule() string {
	if t.Place == nil {
		return ""
	}
	return string(t.Place.AppendRule(nil, t.Op))
}

// Logger takes what rules log.
type Logger interface {
	Log(t *Traversal, l LogRecord)
}

// LogRecord is one line that a rule or a tracker wrote.
type LogRecord struct {
	Source string // "LOG", "NFLOG", "TRACE", "nf_ct_proto_6" …
	Level  uint8  // syslog level 0 to 7
	Group  uint16 // NFLOG
	Text   string // without the time; as the kernel writes it
	// Size is how many bytes of the packet a listener shall get (NFLOG); 0 is
	// all.
	Size uint32
	// Rule is the rule that logs, "filter FORWARD 3: -p tcp -j LOG"; empty if
	// no rule does.
	Rule string
}
