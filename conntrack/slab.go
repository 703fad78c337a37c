package conntrack

import "unsafe"

// Connections live in chunks that never move nor shrink, so that a *Conn
// stays valid. Slot 0 is never used. A parallel chunk with the same number
// holds counters or time stamps once a connection of that chunk has some.
const chunkConns = 1024

type slab struct {
	regions  *regions
	conns    []*[chunkConns]Conn
	counters []*[chunkConns][2]Counter
	starts   []*[chunkConns]int64
	labels   []*[chunkConns][NumLabels / 64]uint64
	used     uint32 // slots handed out so far, slot 0 included
	free     uint32 // chain of free slots through srcNext
}

// conn is the connection of a slot that was handed out.
func (s *slab) conn(slot uint32) *Conn {
	return connAt(unsafe.Pointer(s.conns[slot/chunkConns]), slot%chunkConns)
}

// take hands out an empty slot.
func (s *slab) take() *Conn {
	if s.free != 0 {
		c := s.conn(s.free)
		s.free = c.srcNext
		s.clear(c)
		return c
	}
	if s.used == 0 {
		s.used = 1
		s.conns = append(s.conns, alloc[[chunkConns]Conn](s.regions))
	} else if s.used%chunkConns == 0 {
		s.conns = append(s.conns, alloc[[chunkConns]Conn](s.regions))
	}
	slot := s.used
	s.used++
	c := s.conn(slot)
	c.index, c.gen = slot, 1
	return c
}

// clear empties a slot, all but its name and its lock: a worker may try the
// latter even now.
func (s *slab) clear(c *Conn) {
	index, gen := c.index, c.gen
	const behind = unsafe.Offsetof(c.Status)
	*(*[unsafe.Sizeof(*c) - behind]byte)(unsafe.Add(unsafe.Pointer(c), behind)) = [unsafe.Sizeof(*c) - behind]byte{}
	c.index, c.gen = index, gen
}

// copyTo copies a record without its lock.
func (c *Conn) copyTo(to *Conn) {
	const behind = unsafe.Offsetof(c.Status)
	type rest [unsafe.Sizeof(*c) - behind]byte
	*(*rest)(unsafe.Add(unsafe.Pointer(to), behind)) = *(*rest)(unsafe.Add(unsafe.Pointer(c), behind))
}

// give takes a slot back. Its generation moves on, so that old names of the
// connection find nothing; generation 0 is skipped because ID 0 means none.
func (s *slab) give(c *Conn) {
	gen := c.gen + 1
	if gen == 0 {
		gen = 1
	}
	s.clear(c)
	c.gen, c.srcNext = gen, s.free
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
