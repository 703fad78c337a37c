package xtables

import (
	"cmp"
	"math/bits"
	"slices"

	"weir/packet"
)

// Long chains are not scanned. Each rule says which packets it can match at
// most, as values under masks of a few words of the packet (addresses, ports,
// protocol, state, interfaces). The rules that have their masks in common lie
// in one hash table, so that one probe for each combination of masks finds all
// rules that the packet may match (V. Srinivasan and others, "Packet
// classification using tuple space search", 1999). Combinations are probed
// only when the walk has come to the first rule that they could yield.
//
// What is found is a rule to look at, nothing more: the walk evaluates it as it
// would in a scan. The one exception are rules that many packets pass and that
// do nothing but count, see group.

// The words of a key.
const (
	wordSrc  = iota // IPv4: source and destination
	wordDst         // IPv6: upper half of the destination
	wordSrcL        // IPv6: lower halves
	wordDstL
	wordL4 // ports, protocol, state
	wordIn
	wordInL
	wordOut
	wordOutL
	numWords
)

// Fields of wordL4. The bit above a port is set when the packet has none, the
// one above the protocol when no protocol is to be seen.
const (
	shiftSrcPort = 0
	shiftDstPort = 17
	shiftProto   = 34
	shiftState   = 43
	noPort       = 1 << 16
	noProto      = 1 << 8
)

// key is the packet as the classifiers see it.
type key [numWords]uint64

// cond is the packets that have the same values under the masks.
type cond struct{ val, mask key }

func (c *cond) set(word int, val, mask uint64) {
	c.mask[word] |= mask
	c.val[word] |= val & mask
}

// meet is the packets of both; false if there are none.
func (c *cond) meet(o *cond) (m cond, ok bool) {
	for i := range c.val {
		if (c.val[i]^o.val[i])&c.mask[i]&o.mask[i] != 0 {
			return m, false
		}
		m.val[i], m.mask[i] = c.val[i]|o.val[i], c.mask[i]|o.mask[i]
	}
	return m, true
}

const (
	// classifyFrom is the number of rules from which a chain is not scanned.
	classifyFrom = 16
	// maxBlocks bounds the blocks into which the ports of a rule are cut, and
	// maxConds the combinations of all that it names; beyond, the rule is
	// looked at more often than need be. So is one that asks for enoughBits
	// of the addresses and more than fewBlocks: the addresses do the most.
	maxBlocks  = 32
	fewBlocks  = 4
	enoughBits = 16
	maxConds   = 128
	// filterFrom is the number of combinations of masks from which the parts
	// of a key are looked up by themselves first, see filter.
	filterFrom = 24
	// groupFrom is the number of jumps with one condition that make a group.
	groupFrom = 4
	// maxGrouped is the length of a chain that is looked into from outside.
	maxGrouped = 64
)

// classifier finds the rules of one chain that a packet may match.
type classifier struct {
	end    int32 // op behind the last rule
	tuples []tuple
	masks  []uint64
	slots  []slot
	shift  uint8
	salt   int
	filter filter
	lists  []int32 // ops of keys that several rules share, each list behind its length
	groups []group
}

// tuple is a combination of masks.
type tuple struct {
	first   int32 // op of the first rule that has it
	head    int32 // first of the tuples that have the same masks of addresses,
	next    int32 // the index behind them, if it is the first of them
	grouped bool  // its keys name groups
	n       uint8
	words   [numWords]uint8 // which words count
	mask    uint32          // their masks in classifier.masks
	seed    uint64
	parts   [numParts]uint16 // numbers of its masks in the filter, 0 for none
}

// slot is a place in the hash table. sum 0 is empty; rule is an op, a group with
// groupBit, or ^i for a list of ops that has its length at lists[i].
type slot struct {
	sum  uint32
	rule int32
}

const groupBit = 1 << 30

// group is jumps of a chain that ask for the same, into chains of which the
// conditions are known to this chain's classifier: when no rule in there can
// match, the jump does nothing but count, and it is enough to count once for
// all of them up to the place that the walk reaches.
type group struct {
	ops  []int32
	hits uint32 // first of len(ops)+1 places in Table.hits
}

// Compile builds classifiers for the chains where that is worth it, or with
// all for every chain. A table without them is walked rule by rule, with the
// same outcome. Call it before the first walk; a second call does nothing.
func (tb *Table) Compile(all bool) {
	if tb.compiled {
		return
	}
	tb.compiled = true
	tb.classOf = make([]int32, len(tb.Chains))
	budget := 4*len(tb.ops) + 1024 // conditions of chains that are looked into
	for i, c := range tb.Chains {
		tb.classOf[i] = -1
		if len(c.Rules) < classifyFrom && !all {
			continue
		}
		b := builder{tb: tb, all: all, half: tb.Family == packet.IPv4, cl: &classifier{end: int32(c.start + len(c.Rules))}, budget: &budget}
		if b.build(c) {
			tb.classOf[i] = int32(len(tb.classes))
			tb.classes = append(tb.classes, b.cl)
		}
	}
	tb.resetHits()
}

// Interpret drops what Compile made: the table is walked rule by rule again.
// Call it before the first walk.
func (tb *Table) Interpret() {
	tb.settle()
	tb.compiled, tb.classes, tb.classOf, tb.hits = true, nil, nil, nil
}

// builder makes one classifier.
type builder struct {
	tb     *Table
	all    bool
	half   bool // IPv4: one word has both addresses
	cl     *classifier
	budget *int
	found  []found
	tuples map[tupleKey]int32
	partOf map[partMask]uint16
	sums   map[uint64]struct{} // of the values of parts
	last   tupleKey            // the tuple looked up last, which is often the next
	lastAt int32
}

type tupleKey struct {
	mask    key
	grouped bool
}

// found is an entry: a rule or group under the sum of its key.
type found struct {
	sum, place uint64
	rule       int32
}

// build reports whether it is worth it.
func (b *builder) build(c *Chain) bool {
	tb, start := b.tb, int32(c.start)
	groups, member := b.group(c)
	b.tuples = make(map[tupleKey]int32)
	b.partOf, b.sums = make(map[partMask]uint16), make(map[uint64]struct{})
	var conds, inside []cond
	free := 0 // rules that say nothing beforehand
	for i := range c.Rules {
		pc := start + int32(i)
		conds, _ = tb.conds(conds[:0], pc)
		enter := conds
		if g := member[pc]; g != 0 {
			ok := false
			if inside, ok = b.into(inside[:0], pc, &conds[0]); ok {
				groups[g-1].ops = append(groups[g-1].ops, pc)
				tb.ops[pc].flags |= flagGrouped
				enter = inside
			}
		}
		for k := range enter {
			if enter[k].mask == (key{}) {
				free++
			}
			b.add(&enter[k], pc, false)
		}
	}
	if !b.all && (len(b.cl.tuples)*4 > len(c.Rules) || free*2 > len(c.Rules)) {
		return b.giveUp(groups)
	}
	for _, g := range groups {
		if len(g.ops) == 0 {
			continue
		}
		b.cl.groups = append(b.cl.groups, group{ops: g.ops})
		t := b.add(&g.cond, groupBit|int32(len(b.cl.groups)-1), true)
		b.cl.tuples[t].first = min(b.cl.tuples[t].first, g.ops[0])
	}
	for salt := 0; salt < 64; salt += 13 {
		if b.hash(salt) {
			return true
		}
	}
	return b.giveUp(groups)
}

func (b *builder) giveUp(groups []candidate) bool {
	for _, g := range groups {
		for _, pc := range g.ops {
			b.tb.ops[pc].flags &^= flagGrouped
		}
	}
	return false
}

// candidate is a group that may come to be.
type candidate struct {
	cond cond
	n    int
	ops  []int32
}

// group finds jumps with equal conditions. member is the number of an op's
// group, from 1.
func (b *builder) group(c *Chain) (groups []candidate, member map[int32]int) {
	var conds []cond
	byCond := make(map[cond]int)
	member = make(map[int32]int)
	for i, r := range c.Rules {
		if r.Target.Kind != KindJump {
			continue
		}
		var whole bool
		pc := int32(c.start + i)
		if conds, whole = b.tb.conds(conds[:0], pc); !whole || len(conds) != 1 {
			continue
		}
		g := byCond[conds[0]]
		if g == 0 {
			groups = append(groups, candidate{cond: conds[0]})
			g = len(groups)
			byCond[conds[0]] = g
		}
		groups[g-1].n++
		member[pc] = g
	}
	for pc, g := range member {
		if groups[g-1].n < groupFrom && !b.all {
			delete(member, pc)
		}
	}
	return groups, member
}

// into is the conditions under which the chain behind a jump has a rule that
// matches; false if that is not worth to know.
func (b *builder) into(list []cond, pc int32, outer *cond) ([]cond, bool) {
	tb := b.tb
	to := tb.of[tb.ops[pc].jump]
	if len(to.Rules) > maxGrouped {
		return list, false
	}
	var conds []cond
	for i := range to.Rules {
		conds, _ = tb.conds(conds[:0], int32(to.start+i))
		for k := range conds {
			m, ok := conds[k].meet(outer)
			if !ok {
				continue
			}
			if m == *outer || *b.budget == 0 {
				return list, false
			}
			*b.budget--
			list = append(list, m)
		}
	}
	return list, true
}

// add enters a rule or group under a condition and returns its tuple.
func (b *builder) add(c *cond, rule int32, grouped bool) int32 {
	k := tupleKey{c.mask, grouped}
	t, ok := b.lastAt, b.last == k && len(b.tuples) > 0
	if !ok {
		if t, ok = b.tuples[k]; !ok {
			t = int32(len(b.cl.tuples))
			tu := tuple{first: rule, grouped: grouped, mask: uint32(len(b.cl.masks)), seed: uint64(t)*0x9e3779b97f4a7c15 + 1}
			if grouped {
				tu.first = b.cl.end
			}
			for w, m := range c.mask {
				if m != 0 {
					tu.words[tu.n] = uint8(w)
					tu.n++
					b.cl.masks = append(b.cl.masks, m)
				}
			}
			b.parts(&tu, c)
			b.cl.tuples = append(b.cl.tuples, tu)
			b.tuples[k] = t
		}
		b.last, b.lastAt = k, t
	}
	b.found = append(b.found, found{sum: b.cl.sum(&b.cl.tuples[t], &c.val), rule: rule})
	b.values(&b.cl.tuples[t], c)
	return t
}

// sum hashes what counts of a key for a tuple.
func (cl *classifier) sum(t *tuple, k *key) uint64 {
	h := t.seed
	for i := uint8(0); i < t.n; i++ {
		h ^= fold(h ^ k[t.words[i]]&cl.masks[t.mask+uint32(i)])
	}
	return h
}

func fold(w uint64) uint64 {
	hi, lo := bits.Mul64(w, 0x9fb21c651e98df25)
	return hi ^ lo
}

// hash fills the slots. It returns false when two keys cannot be told apart;
// salt gives it another chance.
func (b *builder) hash(salt int) bool {
	cl := b.cl
	cl.salt, cl.lists = salt, cl.lists[:0]
	for i := range b.found {
		b.found[i].place = place(b.found[i].sum, cl.salt)
	}
	slices.SortStableFunc(b.found, func(x, y found) int { return cmp.Compare(x.place, y.place) })
	keys := 0
	for i := range b.found {
		if i == 0 || b.found[i].place != b.found[i-1].place {
			keys++
		}
	}
	size := bits.Len(uint(2 * keys))
	cl.shift = uint8(64 - size)
	cl.slots = make([]slot, 1<<size)
	for i := 0; i < len(b.found); {
		at, rule, start := b.found[i].place, b.found[i].rule, len(cl.lists)
		cl.lists = append(cl.lists, 0)
		for ; i < len(b.found) && b.found[i].place == at; i++ {
			r := b.found[i].rule
			if len(cl.lists) > start+1 && cl.lists[len(cl.lists)-1] == r {
				continue
			}
			if (r^rule)&groupBit != 0 {
				return false
			}
			cl.lists = append(cl.lists, r)
		}
		if n := len(cl.lists) - start - 1; n == 1 {
			cl.lists = cl.lists[:start]
		} else {
			if rule&groupBit != 0 {
				return false
			}
			cl.lists[start] = int32(n)
			rule = ^int32(start)
		}
		p := at >> cl.shift
		for ; cl.slots[p].sum != 0; p = (p + 1) & uint64(len(cl.slots)-1) {
			if cl.slots[p].sum == uint32(at)|1 {
				return false
			}
		}
		cl.slots[p] = slot{uint32(at) | 1, rule}
	}
	b.sift()
	b.order()
	return true
}

// order puts the tuples in the order in which a walk comes to them; with a
// filter, those with the same masks of addresses together.
func (b *builder) order() {
	t := b.cl.tuples
	type addresses [2]uint16
	of := func(t *tuple) addresses { return addresses{t.parts[partSrc], t.parts[partDst]} }
	heads := make(map[addresses]int32)
	for i := range t {
		k := of(&t[i])
		if h, ok := heads[k]; !ok || t[i].first < h {
			heads[k] = t[i].first
		}
	}
	filtered := len(b.cl.filter.masks) > 0
	for i := range t {
		t[i].head = t[i].first
		if filtered {
			t[i].head = heads[of(&t[i])]
		}
	}
	slices.SortStableFunc(t, func(x, y tuple) int {
		if c := cmp.Compare(x.head, y.head); c != 0 || !filtered {
			return c
		}
		if c := slices.Compare(x.parts[:partDst+1], y.parts[:partDst+1]); c != 0 {
			return c
		}
		return cmp.Compare(x.first, y.first)
	})
	for i := 0; i < len(t); {
		j := i + 1
		for filtered && j < len(t) && of(&t[j]) == of(&t[i]) {
			j++
		}
		t[i].next = int32(j)
		i = j
	}
}

// place is where a sum lies: the upper bits choose the slot, the lower ones
// tell those apart that fell on it.
func place(sum uint64, salt int) uint64 { return bits.RotateLeft64(sum, salt) }
