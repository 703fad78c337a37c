package xtables

import (
	"encoding/binary"

	"weir/hook"
	"weir/iface"
	"weir/packet"
)

// This file finds, during a walk, the next rule of a classified chain that the
// packet may match.

// search is a classified chain that is being walked.
type search struct {
	cl      *classifier
	gen     uint32 // of the view for which the cursors stand
	next    int32  // tuple to probe next
	cursors int32  // first of its cursors in scratch
	groups  int32  // first of its groups in scratch
	known   int32  // first of what it knows of parts in scratch
	from    int32  // rules before this op have been counted
	at      int32  // op to which the walk has come
	size    int    // of the packet since from; a target may change it
}

// cursor stands in a list of rules that the packet may match.
type cursor struct {
	op       int32 // the next of them
	more, to int32 // the ones behind it are classifier.lists[more:to]
}

// scratch is what the walks of a table that are under way need; it is kept from
// packet to packet.
type scratch struct {
	key      key
	searches []search
	cursors  []cursor
	groups   []int32 // that apply to the packet
	known    []uint8 // what searches know of parts of the key
	names    [4]struct {
		dev   *iface.Iface // immutable while packets run
		words [2]uint64
	}
}

// level is where a chain returns to.
type level struct {
	pc     int32 // the jump
	search int32 // of the chain with the jump, -1 if it is scanned
}

// enter begins the walk of a chain and returns its search, -1 if the chain is
// to be scanned.
func (tb *Table) enter(chain int, v *view, t *hook.Traversal) int32 {
	if chain >= len(tb.classOf) || tb.classOf[chain] < 0 {
		return -1
	}
	if v.gen == 0 {
		v.gen = 1
		v.odd = !v.makeKey(&tb.scratch.key, t)
	}
	if v.odd || t.NFTrace || t.Trace.On() {
		return -1
	}
	cl := tb.classes[tb.classOf[chain]]
	s := &tb.scratch
	s.searches = append(s.searches, search{cl: cl, gen: v.gen, cursors: int32(len(s.cursors)), groups: int32(len(s.groups)),
		known: int32(len(s.known)), from: int32(tb.Chains[chain].start), size: t.Pkt.Len()})
	for range cl.filter.masks {
		s.known = append(s.known, unknown)
	}
	return int32(len(s.searches) - 1)
}

// seek is the first op from pc on that the packet may match, or the end of the
// chain.
func (tb *Table) seek(n, pc int32, v *view, t *hook.Traversal) int32 {
	s := &tb.scratch
	f := &s.searches[n]
	cl := f.cl
	if f.gen != v.gen || v.odd || t.NFTrace {
		// A target changed the packet since: look anew, or go on rule by rule.
		tb.count(f, f.at+1, t)
		s.cursors, s.groups = s.cursors[:f.cursors], s.groups[:f.groups]
		f.gen, f.next = v.gen, 0
		clear(s.known[f.known:])
		if v.odd || t.NFTrace {
			f.at = pc
			return pc
		}
	}
	if f.size != t.Pkt.Len() {
		tb.count(f, f.at+1, t) // with the size that it had there
		f.size = t.Pkt.Len()
	}
	best := cl.end
	for {
		h := s.cursors[f.cursors:]
		if len(h) == 0 {
			break
		}
		c := &h[0]
		if c.op >= pc {
			best = c.op
			break
		}
		for c.op < pc && c.more < c.to {
			c.op = cl.lists[c.more]
			c.more++
		}
		if c.op < pc {
			last := len(h) - 1
			h[0] = h[last]
			h = h[:last]
			s.cursors = s.cursors[:int(f.cursors)+last]
		}
		sink(h)
	}
	sieve := len(cl.filter.masks) > 0
	for int(f.next) < len(cl.tuples) && cl.tuples[f.next].head < best {
		tu := &cl.tuples[f.next]
		f.next++
		if sieve {
			known, half := s.known[f.known:], tb.Family == packet.IPv4
			if tu.next != 0 && cl.filter.lacks(tu.parts[:partDst+1], &s.key, half, known) {
				f.next = tu.next
				continue
			}
			if cl.filter.lacks(tu.parts[partSrcPort:], &s.key, half, known) {
				continue
			}
		}
		rule, ok := cl.probe(tu, &s.key)
		if !ok {
			continue
		}
		if tu.grouped {
			if tb.passes(cl.groups[rule].ops[0], v, t) {
				s.groups = append(s.groups, rule)
			}
			continue
		}
		c := cursor{op: rule}
		if rule < 0 {
			at := ^rule + 1
			c.to = at + cl.lists[at-1]
			c.more = at + firstFrom(cl.lists[at:c.to], pc)
			if c.more == c.to {
				continue
			}
			c.op = cl.lists[c.more]
			c.more++
		}
		if c.op >= pc {
			s.cursors = append(s.cursors, c)
			rise(s.cursors[f.cursors:])
			best = min(best, c.op)
		}
	}
	f.at = best
	return best
}

// The cursors of a search are a heap: the lowest op is first.

// rise brings the last cursor to its place.
func rise(h []cursor) {
	for i := len(h) - 1; i > 0; {
		up := (i - 1) / 2
		if h[up].op <= h[i].op {
			return
		}
		h[up], h[i] = h[i], h[up]
		i = up
	}
}

// sink brings the first cursor to its place.
func sink(h []cursor) {
	for i := 0; ; {
		down := 2*i + 1
		if down >= len(h) {
			return
		}
		if down+1 < len(h) && h[down+1].op < h[down].op {
			down++
		}
		if h[i].op <= h[down].op {
			return
		}
		h[i], h[down] = h[down], h[i]
		i = down
	}
}

// firstFrom is the index of the first of ascending ops that is not below op.
func firstFrom(ops []int32, op int32) int32 {
	lo, hi := 0, len(ops)
	for lo < hi {
		if mid := (lo + hi) / 2; ops[mid] < op {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return int32(lo)
}

// passes reports whether the packet matches a rule of which asking leaves no
// trace.
func (tb *Table) passes(pc int32, v *view, t *hook.Traversal) bool {
	o := &tb.ops[pc]
	if tb.base(o, v, t) != 0 {
		return false
	}
	for i := range tb.matches[o.match : o.match+uint32(o.nm)] {
		if !tb.matches[int(o.match)+i].Match.Match(t) {
			return false
		}
	}
	return true
}

// probe finds what lies under the packet's key for a tuple.
func (cl *classifier) probe(tu *tuple, k *key) (rule int32, ok bool) {
	at := place(cl.sum(tu, k), cl.salt)
	for p := at >> cl.shift; ; p++ {
		s := &cl.slots[p&uint64(len(cl.slots)-1)]
		switch s.sum {
		case 0:
			return 0, false
		case uint32(at) | 1:
			if s.rule >= 0 && (s.rule&groupBit != 0) != tu.grouped || s.rule < 0 && tu.grouped {
				return 0, false
			}
			if tu.grouped {
				return s.rule &^ groupBit, true
			}
			return s.rule, true
		}
	}
}

// leave ends the walk of a chain at the op to which it has come.
func (tb *Table) leave(n int32, t *hook.Traversal) {
	s := &tb.scratch
	f := &s.searches[n]
	tb.count(f, f.at, t)
	s.cursors, s.groups, s.known, s.searches = s.cursors[:f.cursors], s.groups[:f.groups], s.known[:f.known], s.searches[:n]
}

// count counts the packet at the rules of the groups that it passes, from where
// they were counted last to the op.
func (tb *Table) count(f *search, to int32, t *hook.Traversal) {
	for _, g := range tb.scratch.groups[f.groups:] {
		g := &f.cl.groups[g]
		lo, hi := firstFrom(g.ops, f.from), firstFrom(g.ops, to)
		if lo >= hi {
			continue
		}
		// A hit counts at all the rules before it.
		tb.hit(t, -1-2*(int32(g.hits)+hi), f.size)
		if lo > 0 {
			tb.hit(t, -2-2*(int32(g.hits)+lo), f.size)
		}
	}
	f.from = to
}

// apart is for a rule of a group that was counted by itself.
func (tb *Table) apart(n, pc int32, t *hook.Traversal) {
	f := &tb.scratch.searches[n]
	tb.count(f, pc, t)
	f.from = pc + 1
}

// hit counts a packet of that size at a mark; see Add.
func (tb *Table) hit(t *hook.Traversal, mark int32, size int) {
	tb.Add(mark, 1, uint64(size))
	if t.Memo != nil {
		t.Memo.Steps = append(t.Memo.Steps, hook.MemoStep{Table: tb, Op: mark})
	}
}

// makeKey is the packet as classifiers see it; false for one that must be
// walked rule by rule, since a match might be unable to read it.
func (v *view) makeKey(k *key, t *hook.Traversal) bool {
	p := t.Pkt
	if v.lastHdr == 0 {
		v.findLast(p)
	}
	if v.lastHdr == -2 {
		return false
	}
	proto := uint64(v.proto)
	if v.lastHdr == -1 {
		proto = noProto
	}
	ports, ok := portsOf(p, v.proto)
	if !ok {
		return false
	}
	*k = key{wordSrc: v.srcHi, wordIn: v.in[0], wordInL: v.in[1], wordOut: v.out[0], wordOutL: v.out[1],
		wordL4: ports | proto<<shiftProto | uint64(t.CT.State())<<shiftState}
	if p.Family == packet.IPv4 {
		k[wordSrc] |= v.dstHi >> 32
	} else {
		k[wordDst], k[wordSrcL], k[wordDstL] = v.dstHi, v.srcLo, v.dstLo
	}
	return true
}

// portsOf is the ports as they stand in wordL4; false for a packet that is cut
// off before the end of what the matches of its protocol read.
func portsOf(p *packet.Packet, proto uint8) (ports uint64, ok bool) {
	const none = noPort<<shiftSrcPort | noPort<<shiftDstPort
	need := 0
	switch proto {
	case packet.TCP:
		if p.FragOff == 8 && p.Family == packet.IPv4 {
			return none, false
		}
		need = 20
	case packet.UDP, packet.UDPLite:
		need = 8
	case packet.SCTP, packet.DCCP:
		need = 4
	default:
		return none, true
	}
	if p.FragOff != 0 {
		return none, true
	}
	if p.L4 < 0 || len(p.Data)-p.L4 < need {
		return none, false
	}
	w := binary.BigEndian.Uint32(p.Data[p.L4:])
	return uint64(w>>16)<<shiftSrcPort | uint64(w&0xffff)<<shiftDstPort, true
}

// changed looks at the packet again after a target.
func (tb *Table) changed(v *view, t *hook.Traversal) {
	v.load(t.Pkt)
	if v.gen == 0 || v.odd {
		return
	}
	// A target that walked this table from within has left another key here.
	old := tb.scratch.key
	v.odd = !v.makeKey(&tb.scratch.key, t)
	if v.odd || tb.scratch.key != old {
		v.gen++
	}
}
