package conntrack

import (
	"math/bits"
	"sync/atomic"
	"unsafe"
)

// The index finds a connection by the tuple of either direction. It is a
// linear hash table: it grows by one bucket at a time as entries come, so
// that no packet ever waits for a rehash. A bucket is one cache line of ten
// entries; each entry is a connection's slot with the direction in the lowest
// bit, beside 16 bits of the hash, its tag, that spare most looks at
// connections that are not meant. The lowest of these bits are the next that
// divide a bucket, so that growth looks at no connection either but once in
// four doublings. Buckets that run over are chained.
//
// One goroutine at a time changes the index. Workers read it meanwhile, with
// atomic loads and without a lock: what they find they check in the record
// itself, and what they miss they look up again under the machine's lock.
type index struct {
	regions *regions
	chunks  []unsafe.Pointer // of buckets, as plain addresses, see directory
	buckets uint32           // in use
	mask    uint32           // 2^k-1, where 2^k <= buckets < 2^(k+1)
	entries int
	inserts uint64 // ever
	shared  bool   // workers read too

	over     []*[chunkBuckets]bucket // overflow buckets, numbered from 1
	overUsed uint32                  // handed out so far
	overFree uint32                  // chain of free ones
}

const (
	chunkBuckets = 256
	manyBuckets  = 256 * chunkBuckets // from here on chunks are large
	bucketSlots  = 10
	// fill is the average number of entries that makes the index grow.
	// Unsplit buckets hold up to 4/3 of it.
	fill = 6
)

// bucket is 64 bytes. Entries fill it from the front without holes; tags are
// four to a word, the first in its lowest bits.
type bucket struct {
	tags  [2]uint64
	tags2 uint32
	next  uint32 // overflow bucket, 0 is none
	ref   [bucketSlots]entryRef
}

// entryRef is slot<<1 | direction; slot 0 is never used, so 0 is empty.
type entryRef uint32

func makeRef(slot uint32, d Dir) entryRef { return entryRef(slot<<1) | entryRef(d) }
func (r entryRef) slot() uint32           { return uint32(r >> 1) }
func (r entryRef) dir() Dir               { return Dir(r & 1) }

func newIndex(r *regions) index {
	return index{
		regions: r,
		chunks:  []unsafe.Pointer{unsafe.Pointer(alloc[[chunkBuckets]bucket](r))},
		buckets: chunkBuckets, mask: chunkBuckets - 1,
	}
}

// tagShift is where in the hash the tags of a bucket begin whose number tells
// so many bits of the hash: at least 12 bits of a tag are not told by it.
func tagShift(told int) int { return told &^ 3 & 63 }

// locate is the number of the first bucket of a hash in an index of so many,
// and the tag there.
func locate(h uint64, buckets, mask uint32) (n uint32, tag uint16) {
	n = uint32(h) & mask
	_, divided := bits.Sub32(n, buckets-mask-1, 0) // 1 if it is, without a jump that nothing foretells
	n |= uint32(h) & (mask + 1) & -divided
	return n, uint16(h >> tagShift(bits.Len32(mask)+int(divided)))
}

const (
	laneOnes = 0x0001_0001_0001_0001
	laneTops = 0x8000_8000_8000_8000
)

// lanes marks the top bit of each 16-bit lane of w that holds the tag. A lane
// behind one that does may be marked wrongly.
func lanes(w, spread uint64) uint64 {
	x := w ^ spread
	return (x - laneOnes) &^ x & laneTops
}

// matches marks the entries of a bucket that have the tag, one bit each; see
// first. Few may be marked wrongly.
func matches(w0, w1 uint64, w2 uint32, spread uint64) uint64 {
	return lanes(w0, spread)>>3 | lanes(w1, spread)>>2 | lanes(uint64(w2)|^spread<<32, spread)>>1
}

// first is the entry of the lowest mark.
func first(m uint64) int {
	at := bits.TrailingZeros64(m)
	return (at&15-12)*4 + at>>4
}

// any reports that an entry of a bucket or of those behind it may have the tag.
func (ix *index) any(b *bucket, tag uint16) bool {
	spread := uint64(tag) * laneOnes
	for ; ; b = ix.overAt(b.next) {
		for m := matches(b.tags[0], b.tags[1], b.tags2, spread); m != 0; m &= m - 1 {
			if b.ref[first(m)] != 0 {
				return true
			}
		}
		if b.next == 0 {
			return false
		}
	}
}

// tag is the tag of an entry.
func (b *bucket) tag(i int) uint16 {
	if i >= 8 {
		return uint16(b.tags2 >> (i % 4 * 16))
	}
	return uint16(b.tags[i/4] >> (i % 4 * 16))
}

// set writes an entry, for workers to see or not at all.
func (ix *index) set(b *bucket, i int, tag uint16, r entryRef) {
	at := i % 4 * 16
	if i >= 8 {
		w := b.tags2&^(0xffff<<at) | uint32(tag)<<at
		if ix.shared {
			atomic.StoreUint32(&b.tags2, w)
		} else {
			b.tags2 = w
		}
	} else {
		w := b.tags[i/4]&^(0xffff<<at) | uint64(tag)<<at
		if ix.shared {
			atomic.StoreUint64(&b.tags[i/4], w)
		} else {
			b.tags[i/4] = w
		}
	}
	if ix.shared {
		atomic.StoreUint32((*uint32)(&b.ref[i]), uint32(r))
	} else {
		b.ref[i] = r
	}
}

// setNext chains an overflow bucket.
func (ix *index) setNext(b *bucket, n uint32) {
	if ix.shared {
		atomic.StoreUint32(&b.next, n)
	} else {
		b.next = n
	}
}

// clear empties a bucket.
func (ix *index) clear(b *bucket) {
	if !ix.shared {
		*b = bucket{}
		return
	}
	for i := range b.ref {
		atomic.StoreUint32((*uint32)(&b.ref[i]), 0)
	}
	atomic.StoreUint64(&b.tags[0], 0)
	atomic.StoreUint64(&b.tags[1], 0)
	atomic.StoreUint32(&b.tags2, 0)
	atomic.StoreUint32(&b.next, 0)
}

// home is the first bucket of a hash, and the tag there.
func (ix *index) home(h uint64) (*bucket, uint16) {
	n, tag := locate(h, ix.buckets, ix.mask)
	return ix.at(n), tag
}

func (ix *index) at(b uint32) *bucket {
	n, at := chunkOf(b, chunkBuckets, manyBuckets)
	return bucketAt(ix.chunks[n], at)
}

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
	b, tag := ix.home(h)
	ix.put(b, tag, r)
	ix.entries++
	ix.inserts++
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
			ix.set(b, i, tag, r)
			return
		}
	}
	n := ix.newOver()
	ix.set(ix.overAt(n), 0, tag, r)
	ix.setNext(b, n)
}

// newOver takes an empty overflow bucket.
func (ix *index) newOver() uint32 {
	if n := ix.overFree; n != 0 {
		o := ix.overAt(n)
		ix.overFree = o.next
		ix.setNext(o, 0)
		return n
	}
	if ix.overUsed%chunkBuckets == 0 {
		ix.over = append(ix.over, alloc[[chunkBuckets]bucket](ix.regions))
	}
	ix.overUsed++
	return ix.overUsed
}

func (ix *index) freeOver(n uint32) {
	o := ix.overAt(n)
	ix.clear(o)
	ix.setNext(o, ix.overFree)
	ix.overFree = n
}

// remove takes an entry out and reports whether it was there. The last entry
// of the chain fills the hole.
func (ix *index) remove(h uint64, r entryRef) bool {
	b, _ := ix.home(h)
	for before := (*bucket)(nil); b != nil; before, b = b, ix.nextOf(b) {
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
	ix.set(b, i, last.tag(n), last.ref[n])
	ix.set(last, n, 0, 0)
	if n == 0 && before != nil {
		over := before.next
		ix.setNext(before, 0)
		ix.freeOver(over)
	}
}

// split adds one bucket and divides the one whose turn it is.
func (ix *index) split(tb *Table) {
	if ix.buckets >= manyBuckets {
		if ix.buckets%(larger*chunkBuckets) == 0 {
			ix.chunks = append(ix.chunks, unsafe.Pointer(alloc[[larger * chunkBuckets]bucket](ix.regions)))
		}
	} else if ix.buckets%chunkBuckets == 0 {
		ix.chunks = append(ix.chunks, unsafe.Pointer(alloc[[chunkBuckets]bucket](ix.regions)))
	}
	fresh := ix.buckets
	old := ix.at(fresh & ix.mask)
	ix.buckets++
	told := bits.Len32(ix.mask)
	if bit := ix.mask + 1; ix.buckets == bit<<1 {
		ix.mask = ix.mask<<1 | 1
	}
	chain := *old
	ix.clear(old)
	// Where entries go that are appended: each has a place there, or a bucket
	// behind.
	to := [2]struct {
		b *bucket
		n int
	}{{b: old}, {b: ix.at(fresh)}}
	was, is := tagShift(told), tagShift(told+1)
	for {
		for i, r := range chain.ref {
			if r == 0 {
				break
			}
			low := uint64(chain.tag(i)) // of the hash, from bit was on
			if was != is {
				low = tb.hashOf(r) >> was
			}
			dst := &to[low>>(told-was)&1]
			if dst.n == bucketSlots {
				n := ix.newOver()
				ix.setNext(dst.b, n)
				dst.b, dst.n = ix.overAt(n), 0
			}
			ix.set(dst.b, dst.n, uint16(low>>(is-was)), r)
			dst.n++
		}
		over := chain.next
		if over == 0 {
			break
		}
		chain = *ix.overAt(over)
		ix.freeOver(over)
	}
}

// hashOf is an entry's hash.
func (tb *Table) hashOf(r entryRef) uint64 { return tb.hash(&tb.conn(r.slot()).Tuple[r.dir()]) }

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
// f may move entries about. The bucket's number and the tag tell most of a
// hash, and so most records are not read.
func (ix *index) chainInRange(tb *Table, n, lo, hi uint32, f func(r entryRef) bool) bool {
	tb.scratch = tb.scratch[:0]
	told := bits.Len32(ix.mask)
	if n&ix.mask < ix.buckets-ix.mask-1 {
		told++
	}
	shift := tagShift(told)
	rest := uint32(1)<<max(0, 32-shift-16) - 1 // what neither tells, reversed
	for b := ix.at(n); b != nil; b = ix.nextOf(b) {
		for i, r := range b.ref {
			if r == 0 {
				break
			}
			h := bits.Reverse32(n | uint32(b.tag(i))<<shift)
			if h|rest < lo || h > hi {
				continue
			}
			if h < lo || h|rest > hi {
				h = bits.Reverse32(uint32(tb.hashOf(r)))
			}
			if h >= lo && h <= hi {
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
