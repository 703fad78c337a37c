package xtables

import (
	"math/bits"

	"weir/conntrack"
	"weir/packet"
)

// conds appends what a packet must have, one way or another, for the rule at an
// op to match. whole says that such a packet does match.
func (tb *Table) conds(list []cond, pc int32) (_ []cond, whole bool) {
	o := &tb.ops[pc]
	c, whole := tb.baseCond(o)
	var s Selection
	for i := range tb.matches[o.match : o.match+uint32(o.nm)] {
		m := &tb.matches[int(o.match)+i]
		if x, ok := m.Match.(Selective); ok {
			e := x.Select(&s)
			if e != Whole {
				whole = false
			}
			if e == Open {
				break
			}
			continue
		}
		whole = false
		if !m.steady {
			break // asking it may be noticed
		}
	}
	whole = whole && !s.over
	list, all := s.combine(list, c)
	return list, whole && all
}

// baseCond is the part of the header and the interfaces. Tests with "!" are left
// to the walk.
func (tb *Table) baseCond(o *op) (c cond, whole bool) {
	plain := o.tests &^ o.not
	whole = o.tests&o.not == 0 && o.tests&TestFragment == 0
	var w wide
	if o.flags&flagWide != 0 {
		w = tb.wides[o.wide]
	}
	if plain&TestSrc != 0 {
		c.set(wordSrc, o.src, o.srcMask)
		c.set(wordSrcL, w.src, w.srcMask)
	}
	if plain&TestDst != 0 {
		if tb.Family == packet.IPv4 {
			c.set(wordSrc, o.dst>>32, o.dstMask>>32)
		} else {
			c.set(wordDst, o.dst, o.dstMask)
			c.set(wordDstL, w.dst, w.dstMask)
		}
	}
	if plain&TestIn != 0 {
		c.device(wordIn, &tb.devs[o.in])
	}
	if plain&TestOut != 0 {
		c.device(wordOut, &tb.devs[o.out])
	}
	if o.tests&TestProto != 0 && o.proto == 0 {
		whole = false // IPv6, -p all: a later fragment fails it
	} else if plain&TestProto != 0 {
		c.set(wordL4, uint64(o.proto)<<shiftProto, (noProto|0xff)<<shiftProto)
	}
	return c, whole
}

// device enters a name. Names end in zeros, so that one which is compared to
// its end is compared whole, and names of all lengths have one mask.
func (c *cond) device(word int, d *device) {
	mask := d.mask
	for i := range 16 {
		if d.name[i/8]>>(i%8*8)&0xff == 0 && mask[i/8]>>(i%8*8)&0xff != 0 {
			mask = [2]uint64{^uint64(0), ^uint64(0)}
		}
	}
	c.set(word, d.name[0], mask[0])
	c.set(word+1, d.name[1], mask[1])
}

// combine appends c with everything that s may be; false if that is less exact
// than s, since there are too many ways.
func (s *Selection) combine(list []cond, c cond) ([]cond, bool) {
	most := maxBlocks
	if c.addressBits() >= enoughBits {
		most = fewBlocks
	}
	src, ok1 := cover(s.src, most)
	dst, ok2 := cover(s.dst, most)
	states := states(s.states)
	if len(src)*len(dst)*max(len(states), 1) > maxConds {
		src, ok1 = nil, false
	}
	if len(dst)*len(states) > maxConds {
		states, ok2 = nil, false
	}
	for i := range max(len(src), 1) {
		a := c
		if len(src) > 0 {
			a.port(shiftSrcPort, src[i])
		}
		for j := range max(len(dst), 1) {
			b := a
			if len(dst) > 0 {
				b.port(shiftDstPort, dst[j])
			}
			for k := range max(len(states), 1) {
				d := b
				if len(states) > 0 {
					d.set(wordL4, uint64(states[k])<<shiftState, 7<<shiftState)
				}
				list = append(list, d)
			}
		}
	}
	return list, ok1 && ok2
}

// addressBits is how many bits of the addresses are asked for.
func (c *cond) addressBits() (n int) {
	for _, m := range c.mask[wordSrc : wordDstL+1] {
		n += bits.OnesCount64(m)
	}
	return n
}

func (c *cond) port(shift int, p portPrefix) {
	c.set(wordL4, uint64(p.val)<<shift, (noPort|uint64(p.mask))<<shift)
}

// states lists a set; nil if it is all but one or more.
func states(set uint8) (list []conntrack.State) {
	for s := conntrack.StateInvalid; s <= conntrack.StateUntracked; s++ {
		if set&(1<<s) != 0 {
			list = append(list, s)
		}
	}
	return list
}
