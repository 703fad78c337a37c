package conntrack

import (
	"fmt"
	"slices"
	"sync/atomic"
)

// Check verifies the invariants of a table between packets: no two connections
// share a tuple, each is reachable by both of its own and by its name, no slot
// is lost, the by-source chains are whole, no record is kept from workers, no
// extension and no expectation is lost. Those of packets that are under way need
// not be confirmed, nor those of packets that wait outside (Keep). It is for tests: it looks at everything.
func (tb *Table) Check(underWay ...*Conn) error {
	if len(tb.dead) != 0 || len(tb.held) != 0 {
		return fmt.Errorf("%d dead slots and %d kept ones between packets", len(tb.dead), len(tb.held))
	}
	defer tb.letGo(0)
	liveSlots, entries, linked := 0, 0, 0
	for slot := uint32(1); slot < tb.used; slot++ {
		c := tb.conn(slot)
		if c.index != slot {
			return fmt.Errorf("slot %d thinks it is %d", slot, c.index)
		}
		// Read once: a worker may give it back meanwhile.
		if want, has := tb.lockOf(c), atomic.LoadUint32(&c.lock); has != want && has != busy {
			return fmt.Errorf("slot %d has lock %d, want %d", slot, has, want)
		}
		if c.flags&live == 0 {
			continue
		}
		liveSlots++
		if c.flags&inSources != 0 {
			linked++
		}
		if h := tb.extOf(c); h != nil && h.waits && h.children > 0 && c.Status&Dying != 0 {
			continue // it ended, and its children have not
		}
		if k := tb.keeps[slot]; k != nil && (k.waits || c.Status&(Confirmed|Dying) == 0) {
			continue // of a packet that waits outside
		}
		if c.Status&Confirmed == 0 && slices.Contains(underWay, c) {
			continue
		}
		if c.Status&(Confirmed|Dying) != Confirmed {
			return fmt.Errorf("slot %d has status %#x between packets", slot, c.Status)
		}
		if tb.ByID(c.ID()) != c {
			return fmt.Errorf("slot %d is not found by its id", slot)
		}
		for d := Original; d <= Reply; d++ {
			if d == Original && c.Status&NATClash != 0 {
				continue
			}
			entries++
			if got, gd := tb.find(&c.Tuple[d], tb.hash(&c.Tuple[d]), anyDir); got != c || gd != c.found(d) {
				return fmt.Errorf("slot %d direction %d: its tuple finds %v", slot, d, got)
			}
		}
	}
	if liveSlots != tb.count {
		return fmt.Errorf("%d slots in use, count %d", liveSlots, tb.count)
	}
	free := 0
	for slot := tb.free; slot != 0; slot = tb.conn(slot).ext {
		if tb.conn(slot).flags&live != 0 {
			return fmt.Errorf("slot %d is free and in use", slot)
		}
		free++
	}
	if tb.used > 0 && liveSlots+free != int(tb.used)-1 {
		return fmt.Errorf("%d in use and %d free of %d slots", liveSlots, free, tb.used-1)
	}
	if err := tb.index.check(entries); err != nil {
		return err
	}
	if err := tb.checkSources(linked); err != nil {
		return err
	}
	if err := tb.checkMappings(); err != nil {
		return err
	}
	return tb.checkExtensions()
}

// checkExtensions verifies that every extension belongs to one connection or is
// free, and every expectation to one master or is free.
func (tb *Table) checkExtensions() error {
	owned, expected := map[uint32]bool{}, 0
	children := map[ID]uint32{}
	for slot := uint32(1); slot < tb.used; slot++ {
		c := tb.conn(slot)
		if c.flags&live == 0 {
			continue
		}
		if tb.ByID(tb.Master(c)) != nil {
			children[tb.Master(c)]++
		}
		if c.ext == 0 {
			continue
		}
		if owned[c.ext] {
			return fmt.Errorf("extension %d belongs to two connections", c.ext)
		}
		owned[c.ext] = true
		for e := tb.exts.at(c.ext).first; e != 0; e = tb.expects.at(e).ofNext {
			if x := tb.expects.at(e); !x.used || x.Master != c.ID() {
				return fmt.Errorf("expectation %d is chained to slot %d and is not its own", e, slot)
			}
			expected++
		}
	}
	for id, n := range children {
		if e := tb.extOf(tb.ByID(id)); e == nil || e.children != n {
			return fmt.Errorf("connection %d has %d children and does not count them so", id, n)
		}
	}
	free := 0
	for e := tb.exts.free; e != 0; e = tb.exts.at(e).next {
		free++
	}
	if used := max(tb.exts.used, 1) - 1; len(owned)+free != int(used) {
		return fmt.Errorf("extensions: %d in use, %d free of %d", len(owned), free, used)
	}
	x := &tb.expects
	free = 0
	for e := x.free; e != 0; e = x.at(e).hashNext {
		free++
	}
	if used := max(x.used, 1) - 1; expected != x.count || expected+free != int(used) {
		return fmt.Errorf("expectations: %d chained, count %d, %d free of %d", expected, x.count, free, used)
	}
	return nil
}

func (ix *index) check(entries int) error {
	seen := map[entryRef]bool{}
	overs := 0
	for n := uint32(0); n < ix.buckets; n++ {
		for b := ix.at(n); b != nil; b = ix.nextOf(b) {
			hole := false
			for _, r := range b.ref {
				if r == 0 {
					hole = true
					continue
				}
				if hole || seen[r] {
					return fmt.Errorf("bucket %d: entry %d behind a hole or twice", n, r)
				}
				seen[r] = true
			}
			if b.next != 0 {
				overs++
				if hole {
					return fmt.Errorf("bucket %d overflows though it has room", n)
				}
			}
		}
	}
	free := 0
	for n := ix.overFree; n != 0; n = ix.overAt(n).next {
		free++
	}
	if overs+free != int(ix.overUsed) {
		return fmt.Errorf("overflow: %d in use, %d free of %d", overs, free, ix.overUsed)
	}
	if len(seen) != entries || ix.entries != entries {
		return fmt.Errorf("index holds %d entries and counts %d, want %d", len(seen), ix.entries, entries)
	}
	return nil
}

func (tb *Table) checkSources(linked int) error {
	s := &tb.sources
	n, heads := 0, 0
	for i := uint32(0); i < s.buckets; i++ {
		for b, full := s.at(i), true; ; b = s.overAt(b.next) {
			for k, slot := range b.slot {
				if slot == 0 {
					full = false
					continue
				}
				if !full {
					return fmt.Errorf("source bucket %d has a hole", i)
				}
				heads++
				for prev := uint32(0); slot != 0; slot = tb.remoteAt(slot).srcNext {
					c := tb.conn(slot)
					h := tb.sourceHash(&c.Tuple[Original], c.bothZone())
					if tb.remote(c).srcPrev != prev || c.flags&inSources == 0 || uint16(h>>firstBits) != b.tag[k] || s.home(h) != s.at(i) {
						return fmt.Errorf("source chain in bucket %d is broken at slot %d", i, slot)
					}
					prev = slot
					n++
				}
			}
			if b.next == 0 {
				break
			}
		}
	}
	if n != linked || s.entries != heads {
		return fmt.Errorf("by-source index holds %d connections of %d sources and counts %d, want %d", n, heads, s.entries, linked)
	}
	return nil
}
