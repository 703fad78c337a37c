package conntrack

// ID names a connection for as long as its slot is not reused: the index of
// the slot in the low 32 bits, its generation in the high ones. 0 is none.
type ID uint64

// Conn is one connection. It holds no Go pointer, so that a slab of millions
// costs the garbage collector nothing; links to other connections are slot
// indices with generations.
//
// Fields are read by everyone above this package; they are written through
// the Table only, except where a method says otherwise.
type Conn struct {
	// Tuple is what the connection looks like on the wire in each
	// direction. NAT changes Tuple[Reply] before confirmation and nothing
	// else, ever.
	Tuple [2]Tuple

	Status Status
	Mark   uint32

	// deadline is relative (ns) until confirmation, then absolute on the
	// packet clock (ns since the Unix epoch).
	deadline int64

	// Seq counts connections as they were created, from 1: the order of
	// listings and the id that conntrack -o id prints.
	Seq uint64

	index, gen uint32 // own slot, own generation
	srcNext    uint32 // chain of the NAT by-source index, slot+1
	master     ID

	// MasqIf is the index of the interface by which a masqueraded
	// connection left first, 0 if it is not masqueraded.
	MasqIf uint32
	// ext is the slot of extensions that few connections have (helper,
	// labels, sequence adjustment, timeout policy), +1; 0 is none.
	ext uint32

	proto [64]byte // see tcp.go and its neighbours for the layout per protocol
}

// ID is the connection's name; valid until it is freed.
func (c *Conn) ID() ID { return ID(c.gen)<<32 | ID(c.index) }

// Has reports whether all of the bits are set.
func (c *Conn) Has(s Status) bool { return c.Status&s == s }
