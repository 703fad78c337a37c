package conntrack

import (
	"encoding/binary"
	"math/bits"

	"weir/internal/siphash"
	"weir/packet"
)

// The index finds a connection by the tuple of either direction. It is a
// linear hash table: it grows by one bucket at a time as entries come, so
// that no packet ever waits for a rehash. A bucket is one cache line of ten
// entries; each entry is a connection's slot with the direction in the lowest
// bit, beside 16 further bits of the hash that spare most looks at
// connections that are not meant. Buckets that run over are chained.
type index struct {
	chunks  []*[chunkBuckets]bucket
	buckets uint32 // in use
	mask    uint32 // 2^k-1, where 2^k <= buckets < 2^(k+1)
	entries int

	over     []*[chunkBuckets]bucket // overflow buckets, numbered from 1
	overUsed uint32                  // handed out so far
	overFree uint32                  // chain of free ones
}

const (
	chunkBuckets = 256
	bucketSlots  = 10
	// fill is the average number of entries that makes the index grow.
	// Unsplit buckets hold up to 4/3 of it.
	fill = 6
)

// bucket is 64 bytes. Entries fill it from the front without holes.
type bucket struct {
	tag  [bucketSlots]uint16
	ref  [bucketSlots]entryRef
	next uint32 // overflow bucket, 0 is none
}

// entryRef is slot<<1 | direction; slot 0 is never used, so 0 is empty.
type entryRef uint32

func makeRef(slot uint32, d Dir) entryRef { return entryRef(slot<<1) | entryRef(d) }
func (r entryRef) slot() uint32           { return uint32(r >> 1) }
func (r entryRef) dir() Dir               { return Dir(r & 1) }

func newIndex() index {
	return index{
		chunks:  []*[chunkBuckets]bucket{new([chunkBuckets]bucket)},
		buckets: chunkBuckets, mask: chunkBuckets - 1,
	}
}

// hash is the keyed hash of a tuple. Addresses of IPv4 fit one word, which
// the family in the last word keeps apart from IPv6.
func (tb *Table) hash(t *Tuple) uint64 {
	last := uint64(t.SrcL4) | uint64(t.DstL4)<<16 | uint64(t.Zone)<<32 | uint64(t.Proto)<<48 | uint64(t.L3)<<56
	le := binary.LittleEndian
	if t.L3 == packet.IPv4 {
		return siphash.Sum2(&tb.key, le.Uint64(t.Src[:])|le.Uint64(t.Dst[:])<<32, last)
	}
	return siphash.Sum5(&tb.key, le.Uint64(t.Src[:]), le.Uint64(t.Src[8:]), le.Uint64(t.Dst[:]), le.Uint64(t.Dst[8:]), last)
}

// tagOf is the part of the hash that stands in the bucket.
func tagOf(h uint64) uint16 { return uint16(h >> 48) }

// home is the first bucket of a hash.
func (ix *index) home(h uint32) *bucket {
	b := h & (ix.mask<<1 | 1)
	if b >= ix.buckets {
		b &= ix.mask
	}
	return ix.at(b)
}

func (ix *index) at(b uint32) *bucket { return &ix.chunks[b/chunkBuckets][b%chunkBuckets] }

// nextOf is the bucket chained behind b, nil if none.
func (ix *index) nextOf(b *bucket) *bucket {
	if b.next == 0 {
		return nil
	}
	return ix.overAt(b.next)
}

func (ix *index) overAt(n uint32) *bucket { return &ix.over[(n-1)/chunkBuckets][(n-1)%chunkBuckets] }

// insert adds an entry. tb finds the connections that a split moves.
func (ix *index) insert(tb *Table, h uint64, r entryRef) {
	ix.put(ix.home(uint32(h)), tagOf(h), r)
	ix.entries++
	if uint64(ix.entries) > uint64(ix.buckets)*fill {
		ix.split(tb)
	}
}

// put appends an entry to a bucket's chain.
func (ix *index) put(b *bucket, tag uint16, r entryRef) {
	for b.next != 0 {
		b = ix.overAt(b.next)
	}
	for i := range b.ref {
		if b.ref[i] == 0 {
			b.tag[i], b.ref[i] = tag, r
			return
		}
	}
	n := ix.newOver()
	b.next = n
	o := ix.overAt(n)
	o.tag[0], o.ref[0] = tag, r
}

// newOver takes an empty overflow bucket.
func (ix *index) newOver() uint32 {
	if n := ix.overFree; n != 0 {
		o := ix.overAt(n)
		ix.overFree = o.next
		*o = bucket{}
		return n
	}
	if ix.overUsed%chunkBuckets == 0 {
		ix.over = append(ix.over, new([chunkBuckets]bucket))
	}
	ix.overUsed++
	return ix.overUsed
}

func (ix *index) freeOver(n uint32) {
	*ix.overAt(n) = bucket{next: ix.overFree}
	ix.overFree = n
}

// remove takes an entry out and reports whether it was there. The last entry
// of the chain fills the hole.
func (ix *index) remove(h uint32, r entryRef) bool {
	for before, b := (*bucket)(nil), ix.home(h); b != nil; before, b = b, ix.nextOf(b) {
		for i := range b.ref {
			if b.ref[i] == r {
				ix.fillHole(before, b, i)
				ix.entries--
				return true
			}
		}
	}
	return false
}

// fillHole moves the last entry of the chain into position i of b and frees
// an overflow bucket that became empty. before is the bucket that b hangs on,
// nil for the first.
func (ix *index) fillHole(before, b *bucket, i int) {
	last := b
	for last.next != 0 {
		before, last = last, ix.overAt(last.next)
	}
	n := bucketSlots - 1
	for last.ref[n] == 0 {
		n--
	}
	b.tag[i], b.ref[i] = last.tag[n], last.ref[n]
	last.tag[n], last.ref[n] = 0, 0
	if n == 0 && before != nil {
		ix.freeOver(before.next)
		before.next = 0
	}
}

// split adds one bucket and divides the one whose turn it is.
func (ix *index) split(tb *Table) {
	if ix.buckets%chunkBuckets == 0 {
		ix.chunks = append(ix.chunks, new([chunkBuckets]bucket))
	}
	fresh := ix.buckets
	old := ix.at(fresh & ix.mask)
	ix.buckets++
	bit := ix.mask + 1
	if ix.buckets == bit<<1 {
		ix.mask = ix.mask<<1 | 1
	}
	to := ix.at(fresh)
	chain := *old
	*old = bucket{}
	for {
		for i, r := range chain.ref {
			if r == 0 {
				break
			}
			dst := old
			if tb.conn(r.slot()).hash[r.dir()]&bit != 0 {
				dst = to
			}
			ix.put(dst, chain.tag[i], r)
		}
		n := chain.next
		if n == 0 {
			return
		}
		chain = *ix.overAt(n)
		ix.freeOver(n)
	}
}

// inRange calls f for each entry whose hash, read from its lowest bit, lies in
// [lo, hi]: the entries that share a bucket of Linux's table, which divides
// the hash by size. f may remove the entry it is given. It returns false to
// stop.
func (ix *index) inRange(tb *Table, lo, hi uint32, f func(r entryRef) bool) {
	k := bits.Len32(ix.mask)
	if k == 0 {
		return
	}
	first, last := uint64(lo)>>(32-k), uint64(hi)>>(32-k)
	for p := first; p <= last; p++ {
		b := bits.Reverse32(uint32(p)) >> (32 - k)
		if !ix.chainInRange(tb, b, lo, hi, f) {
			return
		}
		if b |= ix.mask + 1; b < ix.buckets {
			if !ix.chainInRange(tb, b, lo, hi, f) {
				return
			}
		}
	}
}

// chainInRange is inRange for one bucket. It collects before it calls, since
// f may move entries about.
func (ix *index) chainInRange(tb *Table, n, lo, hi uint32, f func(r entryRef) bool) bool {
	tb.scratch = tb.scratch[:0]
	for b := ix.at(n); b != nil; b = ix.nextOf(b) {
		for _, r := range b.ref {
			if r == 0 {
				break
			}
			if h := bits.Reverse32(tb.conn(r.slot()).hash[r.dir()]); h >= lo && h <= hi {
				tb.scratch = append(tb.scratch, r)
			}
		}
	}
	for _, r := range tb.scratch {
		if !f(r) {
			return false
		}
	}
	return true
}
