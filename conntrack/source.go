package conntrack

import (
	"encoding/binary"

	"weir/internal/siphash"
)

// sources finds connections by the source of their original tuple, the newest
// first; NAT asks it to keep one mapping for one source. Like the index it
// grows by one chain at a time.
type sources struct {
	heads   []*[chunkHeads]uint32 // slot of the newest, 0 is none
	chains  uint32                // in use
	mask    uint32
	entries uint32
}

const chunkHeads = 1024

// sourceHash hashes what connections of one source have in common. The zone
// counts when it is that of both directions. Linux: hash_by_src.
func (tb *Table) sourceHash(t *Tuple, zone uint16) uint32 {
	le := binary.LittleEndian
	last := uint64(t.SrcL4) | uint64(zone)<<16 | uint64(t.Proto)<<32 | uint64(t.L3)<<40 | 1<<63
	return uint32(siphash.Sum5(&tb.key, le.Uint64(t.Src[:]), le.Uint64(t.Src[8:]), 0, 0, last))
}

// bothZone is the zone of a connection if it counts in both directions, else 0.
func (c *Conn) bothZone() uint16 {
	if c.Tuple[Original].Zone == c.Tuple[Reply].Zone {
		return c.Tuple[Original].Zone
	}
	return 0
}

func (s *sources) head(h uint32) *uint32 {
	b := h & (s.mask<<1 | 1)
	if b >= s.chains {
		b &= s.mask
	}
	return s.at(b)
}

func (s *sources) at(b uint32) *uint32 { return &s.heads[b/chunkHeads][b%chunkHeads] }

// LinkSource enters a connection into the by-source index. It leaves it when
// it is freed. A second call does nothing.
func (tb *Table) LinkSource(c *Conn) {
	if c.flags&inSources != 0 {
		return
	}
	s := &tb.sources
	if s.heads == nil {
		s.heads = []*[chunkHeads]uint32{new([chunkHeads]uint32)}
		s.chains, s.mask = 16, 15
	}
	c.flags |= inSources
	tb.pushSource(s.head(tb.sourceHash(&c.Tuple[Original], c.bothZone())), c)
	s.entries++
	if s.entries > s.chains {
		tb.splitSources()
	}
}

func (tb *Table) pushSource(head *uint32, c *Conn) {
	c.srcPrev, c.srcNext = 0, *head
	if c.srcNext != 0 {
		tb.conn(c.srcNext).srcPrev = c.index
	}
	*head = c.index
}

// splitSources divides the chain whose turn it is; both keep their order.
func (tb *Table) splitSources() {
	s := &tb.sources
	if s.chains%chunkHeads == 0 {
		s.heads = append(s.heads, new([chunkHeads]uint32))
	}
	fresh := s.chains
	from := s.at(fresh & s.mask)
	s.chains++
	bit := s.mask + 1
	if s.chains == bit<<1 {
		s.mask = s.mask<<1 | 1
	}
	heads := [2]*uint32{from, s.at(fresh)}
	tails := [2]*Conn{}
	slot := *from
	*from = 0
	for slot != 0 {
		c := tb.conn(slot)
		slot = c.srcNext
		side := 0
		if tb.sourceHash(&c.Tuple[Original], c.bothZone())&bit != 0 {
			side = 1
		}
		c.srcNext, c.srcPrev = 0, 0
		if last := tails[side]; last != nil {
			last.srcNext, c.srcPrev = c.index, last.index
		} else {
			*heads[side] = c.index
		}
		tails[side] = c
	}
}

// unlinkSource takes a connection out again.
func (tb *Table) unlinkSource(c *Conn) {
	if c.flags&inSources == 0 {
		return
	}
	c.flags &^= inSources
	tb.sources.entries--
	if c.srcNext != 0 {
		tb.conn(c.srcNext).srcPrev = c.srcPrev
	}
	if c.srcPrev != 0 {
		tb.conn(c.srcPrev).srcNext = c.srcNext
	} else {
		*tb.sources.head(tb.sourceHash(&c.Tuple[Original], c.bothZone())) = c.srcNext
	}
	c.srcNext, c.srcPrev = 0, 0
}

// EachSource calls f with the linked connections whose original tuple has the
// source address, source port, protocol and family of t, in the zone, the
// newest first, until f returns false. f must not link or kill connections.
func (tb *Table) EachSource(t *Tuple, zone uint16, f func(*Conn) bool) {
	if tb.sources.heads == nil {
		return
	}
	for slot := *tb.sources.head(tb.sourceHash(t, zone)); slot != 0; {
		c := tb.conn(slot)
		slot = c.srcNext
		o := &c.Tuple[Original]
		if o.Src == t.Src && o.SrcL4 == t.SrcL4 && o.Proto == t.Proto && o.L3 == t.L3 && c.bothZone() == zone {
			if !f(c) {
				return
			}
		}
	}
}
