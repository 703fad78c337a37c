package xtables

import "math/bits"

// filter spares probes where rules have many combinations of masks. Each part
// of a key, such as the source address, is looked up by itself under each of
// its masks: if no rule has that value, no combination with that mask has the
// key. What a walk learns so it keeps for the combinations to come.
type filter struct {
	masks []partMask // by number, from 1
	bits  []uint64   // a Bloom filter with one bit for each value
	shift uint8
}

// The parts of a key.
const (
	partSrc = iota
	partDst
	partSrcPort
	partDstPort
	numParts
)

// partMask is a mask of one part.
type partMask struct {
	part   uint8
	hi, lo uint64
}

// partOf takes a part out of a key or of its mask. half says that one word
// holds both addresses.
func partOf(k *key, part uint8, half bool) (hi, lo uint64) {
	const port = noPort<<1 - 1
	switch part {
	case partSrc:
		if half {
			return k[wordSrc] >> 32, 0
		}
		return k[wordSrc], k[wordSrcL]
	case partDst:
		if half {
			return k[wordSrc] << 32 >> 32, 0
		}
		return k[wordDst], k[wordDstL]
	case partSrcPort:
		return k[wordL4] >> shiftSrcPort & port, 0
	}
	return k[wordL4] >> shiftDstPort & port, 0
}

// parts numbers the masks of a tuple's parts.
func (b *builder) parts(tu *tuple, c *cond) {
	for p := uint8(0); p < numParts; p++ {
		m := partMask{part: p}
		if m.hi, m.lo = partOf(&c.mask, p, b.half); m.hi|m.lo == 0 {
			continue
		}
		id, ok := b.partOf[m]
		if !ok {
			if len(b.cl.filter.masks) == 1<<16-1 {
				continue
			}
			b.cl.filter.masks = append(b.cl.filter.masks, m)
			id = uint16(len(b.cl.filter.masks))
			b.partOf[m] = id
		}
		tu.parts[p] = id
	}
}

// values notes the values of a tuple's parts in a condition.
func (b *builder) values(tu *tuple, c *cond) {
	for _, id := range tu.parts {
		if id != 0 {
			b.sums[b.cl.filter.sum(id, &c.val, b.half)] = struct{}{}
		}
	}
}

func (f *filter) sum(id uint16, k *key, half bool) uint64 {
	m := &f.masks[id-1]
	hi, lo := partOf(k, m.part, half)
	return fold(fold(uint64(id)^hi&m.hi) ^ lo&m.lo)
}

// sift fills the filter if there are combinations enough.
func (b *builder) sift() {
	f := &b.cl.filter
	if len(b.cl.tuples) < filterFrom {
		f.masks, f.bits = nil, nil
		for i := range b.cl.tuples {
			b.cl.tuples[i].parts = [numParts]uint16{}
		}
		return
	}
	size := max(bits.Len(uint(8*len(b.sums))), 6)
	f.shift = uint8(64 - size)
	f.bits = make([]uint64, 1<<size/64)
	for s := range b.sums {
		at := s >> f.shift
		f.bits[at/64] |= 1 << (at % 64)
	}
}

// What a search knows of a mask.
const (
	unknown uint8 = iota
	alive
	dead
)

// lacks reports that one of the masks leads to a value that no rule has. known
// is what the search has learnt so far, by the number of the mask.
func (f *filter) lacks(parts []uint16, k *key, half bool, known []uint8) bool {
	for _, id := range parts {
		if id == 0 {
			continue
		}
		s := &known[id-1]
		if *s == unknown {
			at := f.sum(id, k, half) >> f.shift
			*s = dead
			if f.bits[at/64]>>(at%64)&1 != 0 {
				*s = alive
			}
		}
		if *s == dead {
			return true
		}
	}
	return false
}
