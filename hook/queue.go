package hook

import (
	"weir/iface"
	"weir/packet"
)

// QueueLen is how many packets wait in a queue unless it says otherwise. Linux:
// NFQNL_QMAX_DEFAULT.
const QueueLen = 1024

// QueueSpec is a queue to which somebody listens. Linux: struct nfqnl_instance.
type QueueSpec struct {
	Listener Listener
	// MaxLen is how many packets may wait at most; 0 is QueueLen. Those beyond
	// are dropped.
	MaxLen int
	// FailOpen accepts them instead (Linux: NFQA_CFG_F_FAIL_OPEN).
	FailOpen bool
}

// Listener takes what -j NFQUEUE hands out, as a program that has bound itself
// to the queue.
type Listener interface {
	// Queued is handed a packet and answers. It must not use the machine. What q
	// points to is valid during the call.
	Queued(q *Queued) Answer
}

// Queued is a packet that was handed out.
type Queued struct {
	ID     uint64 // names it in the machine, from 1
	Queue  uint16
	Family packet.Family
	Point  Point
	// In and Out are the interfaces, nil where the point has none.
	In, Out *iface.Iface
	Mark    uint32
	// Link is how the frame was addressed that brought it.
	Link packet.Link
	// Owner is who sent it; nil if that is unknown.
	Owner *Owner
	// Now is the packet clock in ns since the Unix epoch.
	Now int64
	// Data is the packet from the IP header on, with checksums that are right if
	// they are to be right on the wire. It must not be changed.
	Data []byte
	// Size is that of its segments, if it is several (packet.Offload); else 0.
	Size uint16
}

// Answer is what a listener decides. The zero value drops.
type Answer struct {
	// Verdict is Accept, to go on with the next function of the hook; Drop;
	// Repeat, to run the function again that queued the packet; Stop, to skip the
	// rest of the hook; Queue, to hand the packet to queue To; or Stolen, to
	// decide later: the packet is held until then. Anything else drops.
	Verdict Verdict
	// To is for Queue. Nobody who listens there drops the packet.
	To uint16
	// Mark replaces the packet's mark if Marked.
	Mark   uint32
	Marked bool
	// Data, if not nil, replaces the packet, from the IP header on. Checksums are
	// the listener's business. What is no packet of the same family whose length
	// is that of Data is dropped. The bytes are copied.
	Data []byte
}
