package conntrack

// NumLabels is how many labels a connection may have, numbered from 0.
const NumLabels = 128

// HasLabel reports whether a label of a connection is set (-m connlabel).
func (s *slab) HasLabel(c *Conn, bit uint8) bool {
	if c.flags&labelled == 0 || bit >= NumLabels {
		return false
	}
	return s.labels[c.index/chunkConns][c.index%chunkConns][bit/64]&(1<<(bit%64)) != 0
}

// Labels is the labels of a connection, a bit each, the first in the lowest bit
// of the first word.
func (s *slab) Labels(c *Conn) (l [NumLabels / 64]uint64) {
	if c.flags&labelled != 0 {
		l = s.labels[c.index/chunkConns][c.index%chunkConns]
	}
	return l
}

// SetLabel sets a label below NumLabels. The first label of a connection makes
// room for those of its neighbours; connections without any cost nothing.
func (tb *Table) SetLabel(c *Conn, bit uint8) {
	if bit >= NumLabels || tb.HasLabel(c, bit) {
		return
	}
	if c.flags&labelled == 0 {
		tb.makeLabels(c)
	}
	tb.labels[c.index/chunkConns][c.index%chunkConns][bit/64] |= 1 << (bit % 64)
	c.note(EventBitLabel)
}

// makeLabels makes room for a connection's labels, of which none is set.
func (tb *Table) makeLabels(c *Conn) {
	n := c.index / chunkConns
	for uint32(len(tb.labels)) <= n {
		tb.labels = append(tb.labels, nil)
	}
	if tb.labels[n] == nil {
		tb.labels[n] = new([chunkConns][NumLabels / 64]uint64)
	}
	tb.labels[n][c.index%chunkConns] = [NumLabels / 64]uint64{}
	c.flags |= labelled
}

// putLabel sets or clears a label.
func (tb *Table) putLabel(c *Conn, bit uint8, on bool) {
	switch {
	case on:
		tb.SetLabel(c, bit)
	case tb.HasLabel(c, bit):
		tb.labels[c.index/chunkConns][c.index%chunkConns][bit/64] &^= 1 << (bit % 64)
		c.note(EventBitLabel)
	}
}
