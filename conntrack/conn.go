package conntrack

import "encoding/binary"

// ID names a connection for as long as its slot is not reused: the index of
// the slot in the low 32 bits, the low half of Seq in the high ones. 0 is none.
type ID uint64

// Conn is one connection. It holds no Go pointer, so that a slab of millions
// costs the garbage collector nothing; links to other connections are slot
// indices with generations.
//
// Fields are read by everyone above this package; they are written through
// the Table only, except where a method says otherwise.
//
// What every packet of an established connection needs stands in front, so
// that it costs two cache lines, the third for the state of TCP.
type Conn struct {
	// lock is who may touch the record while workers run; see lock.go. It
	// stays first: a slot is cleared from behind it on.
	lock uint32

	Status Status

	// Tuple is what the connection looks like on the wire in each
	// direction. NAT changes Tuple[Reply] before confirmation and nothing
	// else, ever.
	Tuple [2]Tuple

	// deadline is relative (ns) until confirmation, then absolute on the
	// packet clock (ns since the Unix epoch).
	deadline int64

	// Path is a note of the engine for each direction: what became of the
	// packets before. 0 is none. It means nothing to this package.
	Path [2]uint32

	Mark uint32
	// ext is the slot of what few connections have, 0 is none.
	ext uint32

	pending   EventMask // events of this packet, sent when it reaches confirm
	eventMask EventMask // events that someone wants; 0: none are cached
	flags     connFlags
	policy    uint8 // timeout policy, index+1 in Table.policies; 0 is none

	proto protoState
	index uint32 // own slot

	// Seq counts connections as they were created, from 1: the order of
	// listings and the id that conntrack -o id prints. Its low half is the
	// generation of the slot.
	Seq uint64
}

// remote is what hardly a packet of an established connection asks for. It lies
// apart, so that a record is three cache lines.
type remote struct {
	// srcNext and srcPrev chain connections of one source in the by-source
	// index; 0 is none.
	srcNext, srcPrev uint32
	// masqIf is the index of the interface by which a masqueraded connection
	// left first, 0 if it is not masqueraded.
	masqIf uint32
	// The halves of the master's ID.
	masterSlot, masterGen uint32
}

// connFlags are properties that Linux keeps elsewhere than in the status.
type connFlags uint8

const (
	live      connFlags = 1 << iota // the slot is in use
	counted                         // has counters (nf_conntrack_acct at creation)
	stamped                         // has a start time (nf_conntrack_timestamp at creation)
	inSources                       // is in the by-source index
	symmetric                       // both tuples are equal: sent to itself, port and all
	labelled                        // has had a label
	child                           // has a master
	mapping                         // uses a Mapping
)

// ID is the connection's name; valid until it is freed.
func (c *Conn) ID() ID { return ID(c.Seq<<32) | ID(c.index) }

// Has reports whether all of the bits are set.
func (c *Conn) Has(s Status) bool { return c.Status&s == s }

// Proto is the protocol of the connection.
func (c *Conn) Proto() uint8 { return c.Tuple[Original].Proto }

// Expires is the time left in ns, 0 if it is over. Of an unconfirmed
// connection it is the whole timeout.
func (c *Conn) Expires(now int64) int64 {
	if c.Status&Confirmed == 0 {
		return c.deadline
	}
	return max(0, c.deadline-now)
}

// expired reports a confirmed connection whose time is over.
func (c *Conn) expired(now int64) bool { return c.deadline <= now }

// found is the direction that a packet has whose tuple is that of d. When both
// tuples are equal Linux finds the reply, which it enters last.
func (c *Conn) found(d Dir) Dir {
	if c.flags&symmetric != 0 {
		return Reply
	}
	return d
}

// equal reports that t is this connection's tuple of direction d, zone and
// all. It compares word by word as Tuple.read writes.
func (c *Conn) equal(d Dir, t *Tuple) bool {
	u, le := &c.Tuple[d], binary.LittleEndian
	return u.SrcL4 == t.SrcL4 && u.DstL4 == t.DstL4 && u.Proto == t.Proto && u.L3 == t.L3 && u.Zone == t.Zone &&
		le.Uint64(u.Src[:]) == le.Uint64(t.Src[:]) && le.Uint64(u.Dst[:]) == le.Uint64(t.Dst[:]) &&
		le.Uint64(u.Src[8:]) == le.Uint64(t.Src[8:]) && le.Uint64(u.Dst[8:]) == le.Uint64(t.Dst[8:])
}

// note remembers an event for the time when the packet reaches confirm.
func (c *Conn) note(m EventMask) {
	if c.eventMask != 0 {
		c.pending |= m
	}
}
