package conntrack

// extension is what few connections have: sequence adjustment, a helper,
// children that were expected, a SYN proxy. It lies outside the connection's record, so that
// a plain connection costs nothing more (Linux: struct nf_ct_ext).
type extension struct {
	help
	seq [2]seqAdj
	// proxied: the SYN proxy made the connection.
	proxied bool
	proxy   SynProxy
	// next chains free extensions.
	next uint32
}

// chunkExts is how many extensions are allocated at once.
const chunkExts = 64

// extSlab holds extensions in chunks that never move. Slot 0 is never used.
type extSlab struct {
	chunks []*[chunkExts]extension
	used   uint32 // slots handed out so far, slot 0 included
	free   uint32 // chain of free slots through next
}

func (s *extSlab) at(slot uint32) *extension { return &s.chunks[slot/chunkExts][slot%chunkExts] }

// take hands out an empty slot.
func (s *extSlab) take() uint32 {
	if slot := s.free; slot != 0 {
		e := s.at(slot)
		s.free = e.next
		*e = extension{}
		return slot
	}
	s.used = max(s.used, 1)
	if s.used/chunkExts == uint32(len(s.chunks)) {
		s.chunks = append(s.chunks, new([chunkExts]extension))
	}
	s.used++
	return s.used - 1
}

// give takes a slot back.
func (s *extSlab) give(slot uint32) {
	*s.at(slot) = extension{next: s.free}
	s.free = slot
}

// Extended reports a connection that has an extension: its packets are not all
// alike, since a helper may read them or their numbers are rewritten.
func (c *Conn) Extended() bool { return c.ext != 0 }

// extOf is the connection's extension, nil if it has none.
func (tb *Table) extOf(c *Conn) *extension {
	if c.ext == 0 {
		return nil
	}
	return tb.exts.at(c.ext)
}

// extend gives the connection an extension if it has none.
func (tb *Table) extend(c *Conn) *extension {
	if c.ext == 0 {
		c.ext = tb.exts.take()
	}
	return tb.exts.at(c.ext)
}

// release takes the slot of a connection back, and its extension.
func (tb *Table) release(c *Conn) {
	if c.ext != 0 {
		tb.exts.give(c.ext)
	}
	tb.give(c)
}
