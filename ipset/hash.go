package ipset

import (
	"math/bits"

	"weir/internal/jhash"
	"weir/packet"
)

// Linux's sizes (net/netfilter/ipset/ip_set_hash_gen.h).
const (
	defaultHash  = 1024
	minimalHash  = 64
	defaultMax   = 65536
	bucketStep   = 2  // slots by which a bucket grows
	bucketMax    = 12 // slots of a full one, unless tuned
	bucketTuned  = 64
	regionBits   = 10
	kernelBucket = 32
	maxBits      = 28
)

// hash is the members of a hash set. A bucket is a run of words in the slab of
// its size: two words of used bits, one word of how far it is filled, one
// spare, then the records.
type hash struct {
	bits              uint8
	bucket            uint8
	netmask           uint8
	initval           uint32
	maxelem, markmask uint32
	bitmask           packet.Addr
	masked            bool
	key, hashed, ext  int
	rec               int
	table             []uint32
	regions           []region
	slabs             [bucketTuned/bucketStep + 1]slab
	nets              [2][]prefix
}

// region is a part of the table that Linux locks by itself; only its count of
// elements shows: a region is full before the set is.
type region struct {
	elems uint32
	bytes int
}

// prefix is a prefix length and how many members have it, the longest first.
type prefix struct {
	cidr  uint8
	count uint32
}

// slab is buckets of one size.
type slab struct {
	words []uint32
	free  []uint32
}

const bucketHead = 4

func regionsOf(bits uint8) int {
	if bits < regionBits {
		return 1
	}
	return 1 << (bits - regionBits)
}

func (s *Set) makeHash(c *Create) Error {
	h := &s.hash
	h.bucket, h.maxelem, h.netmask = bucketMax, defaultMax, s.hostMask
	h.bitmask = ones()
	size := uint32(defaultHash)
	if c.HasHashSize {
		size = max(c.HashSize, minimalHash)
	}
	h.bits = uint8(bits.Len32(size - 1))
	if h.bits > maxBits {
		return ErrInvalid
	}
	if c.HasMaxElem {
		h.maxelem = c.MaxElem
	}
	if c.HasBucketSize {
		h.bucket = min(max(c.BucketSize, bucketStep), bucketMax)
		h.bucket += h.bucket % 2
	}
	if s.typ == HashIPMark {
		h.markmask = 0xffffffff
		if c.HasMarkmask {
			if h.markmask = c.Markmask; h.markmask == 0 {
				return ErrMarkmask
			}
		}
	}
	if s.typ.Masked() {
		if c.HasNetmask && c.HasBitmask {
			return ErrBitmask
		}
		if c.HasNetmask {
			if c.Netmask == 0 || c.Netmask > s.hostMask {
				return ErrNetmask
			}
			h.netmask, h.bitmask = c.Netmask, mask(ones(), c.Netmask)
		}
		if c.HasBitmask {
			h.bitmask = c.Bitmask
			if h.bitmask.IsZero() {
				return ErrNetmask
			}
		}
		if s.family == packet.IPv4 {
			for i := 4; i < len(h.bitmask); i++ {
				h.bitmask[i] = 0xff
			}
		}
		h.masked = h.bitmask != ones()
	}
	switch {
	case c.HasInitval:
		h.initval = c.Initval
	case s.sets.Rand != nil:
		h.initval = s.sets.Rand()
	}
	h.table, h.regions = make([]uint32, 1<<h.bits), make([]region, regionsOf(h.bits))
	return OK
}

func (s *Set) flushHash() {
	h := &s.hash
	clear(h.table)
	clear(h.regions)
	h.slabs = [len(h.slabs)]slab{}
	h.nets = [2][]prefix{}
}

// bucketWords is the words of a bucket by its reference; 0 is none.
func (h *hash) bucketWords(ref uint32) []uint32 {
	class := ref >> 26
	n := bucketHead + int(class)*bucketStep*h.rec
	at := int(ref&(1<<26-1)) * n
	return h.slabs[class].words[at : at+n : at+n]
}

// alloc makes a bucket of class*bucketStep slots.
func (h *hash) alloc(class uint32) uint32 {
	sl := &h.slabs[class]
	if n := len(sl.free); n > 0 {
		ref := sl.free[n-1]
		sl.free = sl.free[:n-1]
		clear(h.bucketWords(ref))
		return ref
	}
	n := bucketHead + int(class)*bucketStep*h.rec
	i := len(sl.words) / n
	if cap(sl.words) < len(sl.words)+n {
		grown := make([]uint32, len(sl.words), max(2*cap(sl.words), 64*n))
		copy(grown, sl.words)
		sl.words = grown
	}
	sl.words = sl.words[:len(sl.words)+n]
	return class<<26 | uint32(i)
}

func (h *hash) release(ref uint32) {
	sl := &h.slabs[ref>>26]
	sl.free = append(sl.free, ref)
}

func size(ref uint32) int { return int(ref>>26) * bucketStep }

func (h *hash) slot(b []uint32, i int) []uint32 {
	at := bucketHead + i*h.rec
	return b[at : at+h.rec : at+h.rec]
}

func used(b []uint32, i int) bool { return b[i>>5]>>(i&31)&1 != 0 }
func setUsed(b []uint32, i int)   { b[i>>5] |= 1 << (i & 31) }
func clearUsed(b []uint32, i int) { b[i>>5] &^= 1 << (i & 31) }

func (h *hash) index(k *[maxKey]uint32) uint32 {
	return jhash.Words(k[:h.hashed], h.initval) & (1<<h.bits - 1)
}

// resized copies a bucket into one of another size; holes vanish if it shrinks.
func (h *hash) resized(ref uint32, class uint32) uint32 {
	to := h.alloc(class)
	a, b := h.bucketWords(ref), h.bucketWords(to)
	n := 0
	for i := range int(a[2]) {
		if class > ref>>26 {
			copy(b[:3], a[:3])
			copy(h.slot(b, i), h.slot(a, i))
			continue
		}
		if used(a, i) {
			copy(h.slot(b, n), h.slot(a, i))
			setUsed(b, n)
			n++
			b[2] = uint32(n)
		}
	}
	h.release(ref)
	return to
}

func (h *hash) addNet(net int, cidr uint8) {
	l := h.nets[net]
	i := 0
	for i < len(l) && l[i].cidr > cidr {
		i++
	}
	if i < len(l) && l[i].cidr == cidr {
		l[i].count++
		return
	}
	l = append(l, prefix{})
	copy(l[i+1:], l[i:])
	l[i] = prefix{cidr, 1}
	h.nets[net] = l
}

func (h *hash) dropNet(net int, cidr uint8) {
	l := h.nets[net]
	for i := range l {
		if l[i].cidr == cidr {
			if l[i].count--; l[i].count == 0 {
				h.nets[net] = append(l[:i], l[i+1:]...)
			}
			return
		}
	}
}

// forget lets go what counts a record: its networks and its extensions.
func (s *Set) forget(r []uint32) {
	if n := s.netCount; n > 0 {
		e := s.decode(r)
		c := s.cidrs(&e)
		for i := range n {
			s.hash.dropNet(i, c[i])
		}
	}
	s.clear(r[s.hash.ext:])
}

// addHash adds a member; errGrow asks for a larger table.
func (s *Set) addHash(e *Elem, g *given, exist bool, now int64) Error {
	h, k := &s.hash, &s.sets.key
	s.encode(e, k)
	at := h.index(k)
	reg := int(at >> regionBits)
	bucketBytes := func(n int) int { return kernelBucket + n*s.kernelElem() }
	elems, limit := h.regions[reg].elems, h.maxelem/uint32(len(h.regions))
	force := false
	if elems >= limit {
		if s.hasTimeout {
			s.collect(reg, now)
		}
		limit, elems = h.maxelem, 0
		for i := range h.regions {
			elems += h.regions[i].elems
		}
		force = elems >= limit && s.force
	}
	ref := h.table[at]
	slot, near := -1, 0
	reuse, deleted := false, false
	var b []uint32
	if ref == 0 {
		if force || elems >= limit {
			return ErrHashFull
		}
		ref = h.alloc(1)
		h.table[at] = ref
		h.regions[reg].bytes += bucketBytes(bucketStep)
		b = h.bucketWords(ref)
	} else {
		b = h.bucketWords(ref)
		for i := range int(b[2]) {
			if !used(b, i) {
				if slot < 0 {
					deleted, reuse, slot = true, true, i
				}
				continue
			}
			r := h.slot(b, i)
			if s.equal(r, k, &near) {
				if exist || s.expired(r[h.ext:], now) {
					s.setFlags(r, e)
					s.init(r[h.ext:], g, now)
					return OK
				}
				return ErrExist
			}
			if s.expired(r[h.ext:], now) && slot < 0 {
				slot, reuse = i, true
			}
		}
		switch {
		case reuse || force:
			slot = max(slot, 0)
			if !deleted {
				s.forget(h.slot(b, slot))
				h.regions[reg].elems--
			}
		case elems >= limit:
			return ErrHashFull
		case int(b[2]) >= size(ref):
			if s.typ == HashNetIface {
				if h.bucket >= bucketTuned {
					return ErrHashFull
				}
				if int(h.bucket) <= near {
					h.bucket += bucketStep
				}
			}
			if size(ref) >= int(h.bucket) {
				return errGrow
			}
			ref = h.resized(ref, ref>>26+1)
			h.table[at] = ref
			h.regions[reg].bytes += bucketBytes(bucketStep)
			b = h.bucketWords(ref)
		}
	}
	if slot < 0 {
		slot = int(b[2])
		b[2]++
	}
	h.regions[reg].elems++
	c := s.cidrs(e)
	for i := range s.netCount {
		h.addNet(i, c[i])
	}
	r := h.slot(b, slot)
	copy(r, k[:h.key])
	if h.ext > h.key {
		if r[h.key] = 0; e.Wildcard {
			r[h.key] = flagWildcard
		}
	}
	s.setFlags(r, e)
	s.init(r[h.ext:], g, now)
	setUsed(b, slot)
	return OK
}

// setFlags writes what adding a member again may change.
func (s *Set) setFlags(r []uint32, e *Elem) {
	if s.netCount == 0 {
		return
	}
	r[s.hash.key] &^= flagNomatch
	if e.Nomatch {
		r[s.hash.key] |= flagNomatch
	}
}

// collect drops the expired members of a region.
func (s *Set) collect(reg int, now int64) {
	h := &s.hash
	n := len(h.table) / len(h.regions)
	elem := s.kernelElem()
	for at := reg * n; at < (reg+1)*n; at++ {
		ref := h.table[at]
		if ref == 0 {
			continue
		}
		b := h.bucketWords(ref)
		holes := 0
		for i := range int(b[2]) {
			if !used(b, i) {
				holes++
			} else if r := h.slot(b, i); s.expired(r[h.ext:], now) {
				clearUsed(b, i)
				s.forget(r)
				h.regions[reg].elems--
				holes++
			}
		}
		switch {
		case holes < bucketStep:
		case holes >= size(ref):
			h.regions[reg].bytes -= kernelBucket + size(ref)*elem
			h.release(ref)
			h.table[at] = 0
		default:
			h.regions[reg].bytes -= kernelBucket + bucketStep*elem
			h.table[at] = h.resized(ref, ref>>26-1)
		}
	}
}

// grow doubles the table until every bucket has room.
func (s *Set) grow(now int64) Error {
	h := &s.hash
	old := *h
	step := kernelBucket + bucketStep*s.kernelElem()
	for {
		h.bits++
		if h.bits > maxBits {
			*h = old
			return ErrHashFull
		}
		h.table, h.regions = make([]uint32, 1<<h.bits), make([]region, regionsOf(h.bits))
		h.slabs = [len(h.slabs)]slab{}
		if s.rehash(&old, step, now) {
			return OK
		}
	}
}

func (s *Set) rehash(old *hash, step int, now int64) bool {
	h := &s.hash
	var k [maxKey]uint32
	for _, ref := range old.table {
		if ref == 0 {
			continue
		}
		b := old.bucketWords(ref)
		for i := range int(b[2]) {
			if !used(b, i) {
				continue
			}
			r := old.slot(b, i)
			if s.expired(r[h.ext:], now) {
				continue
			}
			copy(k[:], r[:h.key])
			at := h.index(&k)
			reg := &h.regions[at>>regionBits]
			to := h.table[at]
			if to == 0 {
				to = h.alloc(1)
				reg.bytes += step
			} else if m := h.bucketWords(to); int(m[2]) >= size(to) {
				if size(to) >= int(h.bucket) {
					return false
				}
				to = h.resized(to, to>>26+1)
				reg.bytes += step
			}
			h.table[at] = to
			m := h.bucketWords(to)
			copy(h.slot(m, int(m[2])), r)
			setUsed(m, int(m[2]))
			m[2]++
			reg.elems++
		}
	}
	return true
}

// delHash removes a member.
func (s *Set) delHash(e *Elem, now int64) Error {
	h, k := &s.hash, &s.sets.key
	s.encode(e, k)
	at := h.index(k)
	reg := &h.regions[at>>regionBits]
	ref := h.table[at]
	if ref == 0 {
		return ErrExist
	}
	b := h.bucketWords(ref)
	holes, near := 0, 0
	for i := range int(b[2]) {
		if !used(b, i) {
			holes++
			continue
		}
		r := h.slot(b, i)
		if !s.equal(r, k, &near) {
			continue
		}
		if s.expired(r[h.ext:], now) {
			return ErrExist
		}
		clearUsed(b, i)
		if i+1 == int(b[2]) {
			b[2]--
		}
		reg.elems--
		s.forget(r)
		for j := i; j < int(b[2]); j++ {
			if !used(b, j) {
				holes++
			}
		}
		if b[2] == 0 && holes == 0 {
			reg.bytes -= kernelBucket + size(ref)*s.kernelElem()
			h.release(ref)
			h.table[at] = 0
		} else if holes >= bucketStep {
			reg.bytes -= kernelBucket + bucketStep*s.kernelElem()
			h.table[at] = h.resized(ref, ref>>26-1)
		}
		return OK
	}
	return ErrExist
}

// lookHash looks for a key: OK for found, errNomatch for found and excepted,
// ErrExist for not found.
func (s *Set) lookHash(k *[maxKey]uint32, o *Options, near *int, now int64) Error {
	h := &s.hash
	ref := h.table[h.index(k)]
	if ref == 0 {
		return ErrExist
	}
	b := h.bucketWords(ref)
	for i := range int(b[2]) {
		if !used(b, i) {
			continue
		}
		r := h.slot(b, i)
		if !s.equal(r, k, near) {
			continue
		}
		if s.found(r[h.ext:], o, now) {
			if h.ext > h.key && r[h.key]&flagNomatch != 0 {
				return errNomatch
			}
			return OK
		}
		*near = 0
	}
	return ErrExist
}

// testHash tests a member; one host is looked for in all networks.
func (s *Set) testHash(e *Elem, o *Options, now int64) Error {
	h, k := &s.hash, &s.sets.key
	n, near := s.netCount, 0
	c := s.cidrs(e)
	if n == 0 || c[0] != s.hostMask || n == 2 && c[1] != s.hostMask {
		s.encode(e, k)
		return s.lookHash(k, o, &near, now)
	}
	ip2 := e.IP2
	for _, p := range h.nets[0] {
		s.setNet(e, 0, p.cidr)
		if n == 1 {
			s.encode(e, k)
			if err := s.lookHash(k, o, &near, now); err != ErrExist {
				return err
			}
			if near > 0 {
				return ErrExist
			}
			continue
		}
		e.IP2 = ip2
		for _, q := range h.nets[1] {
			s.setNet(e, 1, q.cidr)
			s.encode(e, k)
			if err := s.lookHash(k, o, &near, now); err != ErrExist {
				return err
			}
		}
	}
	return ErrExist
}

func (s *Set) eachHash(now int64, f func(e *Elem, x *Ext) bool) {
	h := &s.hash
	for _, ref := range h.table {
		if ref == 0 {
			continue
		}
		b := h.bucketWords(ref)
		for i := range int(b[2]) {
			if !used(b, i) {
				continue
			}
			r := h.slot(b, i)
			if s.expired(r[h.ext:], now) {
				continue
			}
			e, x := s.decode(r), s.read(r[h.ext:], now)
			if !f(&e, &x) {
				return
			}
		}
	}
}

// hashSize is the members and the bytes that Linux reports.
func (s *Set) hashSize(now int64) (n, bytes int) {
	h := &s.hash
	for _, ref := range h.table {
		if ref == 0 {
			continue
		}
		b := h.bucketWords(ref)
		for i := range int(b[2]) {
			if used(b, i) && !s.expired(h.slot(b, i)[h.ext:], now) {
				n++
			}
		}
	}
	for i := range h.regions {
		bytes += h.regions[i].bytes
	}
	return n, bytes + 24*len(h.regions) + s.kernelBase() + s.comments.bytes
}

// kernelElem is the bytes of a member in Linux, extensions included.
func (s *Set) kernelElem() int {
	switch s.typ {
	case BitmapIP, BitmapPort:
		return s.kernelSize(0, 1)
	case BitmapIPMAC:
		return s.kernelSize(8, 8)
	case ListSet:
		return s.kernelSize(48, 8)
	case HashNetIface:
		return s.kernelSize(s.kernelKey(), 4)
	case HashNetNet, HashNetPortNet:
		if s.family == packet.IPv4 {
			return s.kernelSize(s.kernelKey(), 8)
		}
	}
	return s.kernelSize(s.kernelKey(), 4)
}

func (s *Set) kernelKey() int {
	if s.typ == HashNetIface {
		return (4*s.addrWords() + 5 + 16 + 3) &^ 3
	}
	return 4 * s.hash.key
}

// kernelBase is the bytes of an empty set in Linux.
func (s *Set) kernelBase() int {
	n := 168
	lens := int(s.hostMask)
	if s.typ == HashNetIface {
		lens++
	}
	switch s.netCount {
	case 1:
		n += 8 * lens
	case 2:
		n += 12 * lens
	}
	if s.typ.Masked() {
		n += 16
	}
	if s.typ == HashIPMark {
		n += 4
	}
	return (n + s.kernelKey() + 7) &^ 7
}
