package conntrack

import (
	"encoding/binary"

	"weir/packet"
)

// sources finds connections by the source of their original tuple, the newest
// first; NAT asks it to keep one mapping for one source. It is a linear hash
// table like the index, with one entry a source: the newest connection of the
// source, behind which the others are chained. An entry has enough of its hash
// that neither a look-up for a source that is new nor the growth of the table
// touches a connection, as a rule.
type sources struct {
	regions *regions
	chunks  []*[chunkSources]sourceBucket
	buckets uint32 // in use
	mask    uint32 // 2^k-1, where 2^k <= buckets < 2^(k+1)
	entries int    // sources

	over     []*[chunkSources]sourceBucket // overflow buckets, numbered from 1
	overUsed uint32                        // handed out so far
	overFree uint32                        // chain of free ones
}

const (
	chunkSources = 1 << firstBits
	sourceSlots  = 10
	// sourceFill is the average number of entries that makes the table grow.
	sourceFill = 7
	// firstBits are the bits of the hash that the number of a bucket tells at
	// any size. The next 16 stand in the entry; together they are all of a
	// hash that counts.
	firstBits  = 8
	sourceBits = firstBits + 16
)

// sourceBucket is 64 bytes. Entries fill it from the front without holes.
type sourceBucket struct {
	tag  [sourceSlots]uint16
	slot [sourceSlots]uint32 // of the newest connection; 0 is empty
	next uint32              // overflow bucket, 0 is none
}

// sourceHash hashes what connections of one source have in common. The zone
// counts when it is that of both directions. Linux: hash_by_src.
func (tb *Table) sourceHash(t *Tuple, zone uint16) uint32 {
	le := binary.LittleEndian
	last := uint64(t.SrcL4) | uint64(zone)<<16 | uint64(t.Proto)<<32 | uint64(t.L3)<<40 | 1<<63
	if t.L3 == packet.IPv4 {
		return uint32(tb.hashKey.four(le.Uint64(t.Src[:]), last))
	}
	return uint32(tb.hashKey.six(le.Uint64(t.Src[:]), le.Uint64(t.Src[8:]), 0, 0, last))
}

// bothZone is the zone of a connection if it counts in both directions, else 0.
func (c *Conn) bothZone() uint16 {
	if c.Tuple[Original].Zone == c.Tuple[Reply].Zone {
		return c.Tuple[Original].Zone
	}
	return 0
}

func (s *sources) home(h uint32) *sourceBucket {
	b := h & (s.mask<<1 | 1)
	if b >= s.buckets {
		b &= s.mask
	}
	return s.at(b)
}

func (s *sources) at(b uint32) *sourceBucket { return &s.chunks[b/chunkSources][b%chunkSources] }

func (s *sources) overAt(n uint32) *sourceBucket {
	return &s.over[(n-1)/chunkSources][(n-1)%chunkSources]
}

// find is the place of a hash: where its entry is, or i < 0 if there is none.
func (s *sources) find(h uint32) (b *sourceBucket, i int) {
	for b = s.home(h); ; b = s.overAt(b.next) {
		for i := range b.slot {
			if b.slot[i] == 0 {
				return b, -1
			}
			if b.tag[i] == uint16(h>>firstBits) {
				return b, i
			}
		}
		if b.next == 0 {
			return b, -1
		}
	}
}

// LinkSource enters a connection into the by-source index. It leaves it when
// it is freed. A second call does nothing.
func (tb *Table) LinkSource(c *Conn) {
	if c.flags&inSources != 0 {
		return
	}
	s := &tb.sources
	if s.chunks == nil {
		s.chunks = []*[chunkSources]sourceBucket{alloc[[chunkSources]sourceBucket](s.regions)}
		s.buckets, s.mask = chunkSources, chunkSources-1
	}
	c.flags |= inSources
	me := tb.remote(c)
	me.srcPrev, me.srcNext = 0, 0
	h := tb.sourceHash(&c.Tuple[Original], c.bothZone())
	b, i := s.find(h)
	if i >= 0 {
		me.srcNext, b.slot[i] = b.slot[i], c.index
		tb.remoteAt(me.srcNext).srcPrev = c.index
		return
	}
	s.put(b, uint16(h>>firstBits), c.index)
	s.entries++
	if uint64(s.entries) > uint64(s.buckets)*sourceFill && s.buckets < 1<<sourceBits {
		s.split()
	}
}

// put appends an entry to a bucket's chain.
func (s *sources) put(b *sourceBucket, tag uint16, slot uint32) {
	for b.next != 0 {
		b = s.overAt(b.next)
	}
	for i := range b.slot {
		if b.slot[i] == 0 {
			b.tag[i], b.slot[i] = tag, slot
			return
		}
	}
	n := s.overFree
	if n != 0 {
		s.overFree = s.overAt(n).next
	} else {
		if s.overUsed%chunkSources == 0 {
			s.over = append(s.over, alloc[[chunkSources]sourceBucket](s.regions))
		}
		s.overUsed++
		n = s.overUsed
	}
	b.next = n
	o := s.overAt(n)
	*o = sourceBucket{}
	o.tag[0], o.slot[0] = tag, slot
}

// split adds one bucket and divides the one whose turn it is.
func (s *sources) split() {
	if s.buckets%chunkSources == 0 {
		s.chunks = append(s.chunks, alloc[[chunkSources]sourceBucket](s.regions))
	}
	fresh := s.buckets
	from := s.at(fresh & s.mask)
	s.buckets++
	bit := s.mask + 1
	if s.buckets == bit<<1 {
		s.mask = s.mask<<1 | 1
	}
	chain := *from
	*from = sourceBucket{}
	for {
		for i, slot := range chain.slot {
			if slot == 0 {
				break
			}
			to := from
			if uint32(chain.tag[i])<<firstBits&bit != 0 {
				to = s.at(fresh)
			}
			s.put(to, chain.tag[i], slot)
		}
		n := chain.next
		if n == 0 {
			return
		}
		chain = *s.overAt(n)
		s.freeOver(n)
	}
}

func (s *sources) freeOver(n uint32) {
	*s.overAt(n) = sourceBucket{next: s.overFree}
	s.overFree = n
}

// remove takes an entry out; the last of its chain fills the hole.
func (s *sources) remove(h uint32) {
	for before, b := (*sourceBucket)(nil), s.home(h); ; before, b = b, s.overAt(b.next) {
		for i := range b.slot {
			if b.tag[i] == uint16(h>>firstBits) && b.slot[i] != 0 {
				s.fillHole(before, b, i)
				s.entries--
				return
			}
		}
		if b.next == 0 {
			return
		}
	}
}

func (s *sources) fillHole(before, b *sourceBucket, i int) {
	last := b
	for last.next != 0 {
		before, last = last, s.overAt(last.next)
	}
	n := sourceSlots - 1
	for last.slot[n] == 0 {
		n--
	}
	b.tag[i], b.slot[i] = last.tag[n], last.slot[n]
	last.tag[n], last.slot[n] = 0, 0
	if n == 0 && before != nil {
		s.freeOver(before.next)
		before.next = 0
	}
}

// unlinkSource takes a connection out again.
func (tb *Table) unlinkSource(c *Conn) {
	if c.flags&inSources == 0 {
		return
	}
	c.flags &^= inSources
	me := tb.remote(c)
	if me.srcNext != 0 {
		tb.remoteAt(me.srcNext).srcPrev = me.srcPrev
	}
	if me.srcPrev != 0 {
		tb.remoteAt(me.srcPrev).srcNext = me.srcNext
	} else if h := tb.sourceHash(&c.Tuple[Original], c.bothZone()); me.srcNext == 0 {
		tb.sources.remove(h)
	} else if b, i := tb.sources.find(h); i >= 0 {
		b.slot[i] = me.srcNext
	}
	me.srcNext, me.srcPrev = 0, 0
}

// HasSource reports whether EachSource may have something for a tuple and zone.
func (tb *Table) HasSource(t *Tuple, zone uint16) bool {
	if tb.sources.chunks == nil {
		return false
	}
	_, i := tb.sources.find(tb.sourceHash(t, zone))
	return i >= 0
}

// EachSource calls f with the linked connections whose original tuple has the
// source address, source port, protocol and family of t, in the zone, the
// newest first, until f returns false. f must not link or kill connections.
func (tb *Table) EachSource(t *Tuple, zone uint16, f func(*Conn) bool) {
	if tb.sources.chunks == nil {
		return
	}
	b, i := tb.sources.find(tb.sourceHash(t, zone))
	if i < 0 {
		return
	}
	for slot := b.slot[i]; slot != 0; {
		c := tb.conn(slot)
		slot = tb.remoteAt(slot).srcNext
		o := &c.Tuple[Original]
		if o.Src == t.Src && o.SrcL4 == t.SrcL4 && o.Proto == t.Proto && o.L3 == t.L3 && c.bothZone() == zone {
			if !f(c) {
				return
			}
		}
	}
}
