package conntrack

import "unsafe"

// Connections live in chunks that never move nor shrink, so that a *Conn
// stays valid. Slot 0 is never used. The first chunks are small; those of big
// tables are so large that the list of them stays in the nearest cache. What
// few look at lies in parallel chunks of chunkConns: remotes, and counters or
// time stamps once a connection of such a chunk has some.
const (
	chunkConns = 1024
	manyConns  = 256 * chunkConns // from here on chunks are large
)

// larger is how many times larger a chunk is in a big table.
const larger = 4

// chunkOf is where an element stands, the number of its chunk and its place
// therein: chunks have small elements each, and from element many on larger
// times that.
func chunkOf(i, small, many uint32) (chunk, at uint32) {
	if i < many {
		return i / small, i % small
	}
	return many/small - many/(larger*small) + i/(larger*small), i % (larger * small)
}

type slab struct {
	regions  *regions
	conns    []unsafe.Pointer // as plain addresses, see directory
	remotes  []*[chunkConns]remote
	counters []*[chunkConns][2]Counter
	starts   []*[chunkConns]int64
	labels   []*[chunkConns][NumLabels / 64]uint64
	assured  []uint64 // a bit a slot, see spare
	used     uint32   // slots handed out so far, slot 0 included
	free     uint32   // chain of free slots through ext
}

// conn is the connection of a slot that was handed out.
func (s *slab) conn(slot uint32) *Conn {
	n, at := chunkOf(slot, chunkConns, manyConns)
	return connAt(s.conns[n], at)
}

// take hands out an empty slot.
func (s *slab) take() *Conn {
	if s.free != 0 {
		c := s.conn(s.free)
		s.free = c.ext
		c.ext = 0 // the rest was cleared when it was given
		return c
	}
	if s.used%chunkConns == 0 {
		if s.used < manyConns {
			s.conns = append(s.conns, unsafe.Pointer(alloc[[chunkConns]Conn](s.regions)))
		} else if s.used%(larger*chunkConns) == 0 {
			s.conns = append(s.conns, unsafe.Pointer(alloc[[larger * chunkConns]Conn](s.regions)))
		}
		s.remotes = append(s.remotes, alloc[[chunkConns]remote](s.regions))
		s.used = max(s.used, 1)
	}
	slot := s.used
	s.used++
	c := s.conn(slot)
	c.index = slot
	return c
}

// remote is what lies apart from a record.
func (s *slab) remote(c *Conn) *remote { return s.remoteAt(c.index) }

func (s *slab) remoteAt(slot uint32) *remote {
	return &s.remotes[slot/chunkConns][slot%chunkConns]
}

// Master is the connection that expected c; 0 is none. It may be gone: ask
// Table.ByID.
func (s *slab) Master(c *Conn) ID {
	if c.flags&child == 0 {
		return 0
	}
	r := s.remote(c)
	return ID(r.masterGen)<<32 | ID(r.masterSlot)
}

// setMaster makes c the child of a connection.
func (s *slab) setMaster(c *Conn, id ID) {
	c.flags |= child
	r := s.remote(c)
	r.masterSlot, r.masterGen = uint32(id), uint32(id>>32)
}

// MasqIf is the index of the interface by which a masqueraded connection left
// first, 0 if it is not masqueraded.
func (s *slab) MasqIf(c *Conn) uint32 { return s.remote(c).masqIf }

// SetMasqIf is for who masquerades a new connection.
func (s *slab) SetMasqIf(c *Conn, index uint32) { s.remote(c).masqIf = index }

// clear empties a slot, all but its name and its lock: a worker may try the
// latter even now.
func (s *slab) clear(c *Conn) {
	index := c.index
	const behind = unsafe.Offsetof(c.Status)
	*(*[unsafe.Sizeof(*c) - behind]byte)(unsafe.Add(unsafe.Pointer(c), behind)) = [unsafe.Sizeof(*c) - behind]byte{}
	c.index = index
	*s.remote(c) = remote{}
	if n := index / 64; n < uint32(len(s.assured)) {
		s.assured[n] &^= 1 << (index % 64)
	}
}

// copyTo copies a record without its lock.
func (c *Conn) copyTo(to *Conn) {
	const behind = unsafe.Offsetof(c.Status)
	type rest [unsafe.Sizeof(*c) - behind]byte
	*(*rest)(unsafe.Add(unsafe.Pointer(to), behind)) = *(*rest)(unsafe.Add(unsafe.Pointer(c), behind))
}

// give takes a slot back. The next connection there has another Seq, so that
// old names find nothing.
func (s *slab) give(c *Conn) {
	s.clear(c)
	c.ext = s.free
	s.free = c.index
}

// addCounters makes room for a connection's counters and clears them.
func (s *slab) addCounters(c *Conn) {
	n := c.index / chunkConns
	for uint32(len(s.counters)) <= n {
		s.counters = append(s.counters, nil)
	}
	if s.counters[n] == nil {
		s.counters[n] = alloc[[chunkConns][2]Counter](s.regions)
	}
	s.counters[n][c.index%chunkConns] = [2]Counter{}
	c.flags |= counted
}

// addStart makes room for a connection's start time and clears it.
func (s *slab) addStart(c *Conn) {
	n := c.index / chunkConns
	for uint32(len(s.starts)) <= n {
		s.starts = append(s.starts, nil)
	}
	if s.starts[n] == nil {
		s.starts[n] = new([chunkConns]int64)
	}
	s.starts[n][c.index%chunkConns] = 0
	c.flags |= stamped
}

// Counters is what a connection has sent in each direction; nil if it was
// created while nf_conntrack_acct was off.
func (s *slab) Counters(c *Conn) *[2]Counter {
	if c.flags&counted == 0 {
		return nil
	}
	return &s.counters[c.index/chunkConns][c.index%chunkConns]
}

// Started is when a connection was confirmed, ns since the Unix epoch; 0 if it
// was created while nf_conntrack_timestamp was off.
func (s *slab) Started(c *Conn) int64 {
	if c.flags&stamped == 0 {
		return 0
	}
	return s.starts[c.index/chunkConns][c.index%chunkConns]
}
