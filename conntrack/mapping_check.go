package conntrack

import "fmt"

// checkMappings verifies that mappings and permits count those that use them, that
// each is found, and that no slot of theirs is lost.
func (tb *Table) checkMappings() error {
	s := &tb.mappings
	refs, permits := map[uint32]uint32{}, map[uint32]uint32{}
	for slot := uint32(1); slot < tb.used; slot++ {
		c := tb.conn(slot)
		if c.flags&live == 0 || c.flags&mapping == 0 {
			continue
		}
		for _, u := range tb.mappingUses(c) {
			refs[u.mapping]++
			permits[u.permit]++
		}
	}
	count, held, of := 0, 0, map[uint32]uint32{}
	kept := chain(s.keptFirst, func(p uint32) uint32 { return s.permitAt(p).laterKept })
	for slot := uint32(1); slot < s.permitUsed; slot++ {
		p := s.permitAt(slot)
		if p.until != 0 {
			permits[slot]++
			kept--
		}
		if p.refs != permits[slot] {
			return fmt.Errorf("permit %d counts %d users, and has %d", slot, p.refs, permits[slot])
		}
		if p.refs == 0 {
			continue
		}
		count++
		of[p.mapping]++
		if tb.findPermit(p.mapping, &p.addr) != slot {
			return fmt.Errorf("permit %d is not found", slot)
		}
	}
	if kept != 0 {
		return fmt.Errorf("%d more permits are listed as kept than are", kept)
	}
	if free := chain(s.permitFree, func(p uint32) uint32 { return s.permitAt(p).next }); count != s.permitCount || count+free != int(max(s.permitUsed, 1))-1 {
		return fmt.Errorf("permits: %d in use, count %d, %d free of %d", count, s.permitCount, free, s.permitUsed)
	}
	count = 0
	for slot := uint32(1); slot < s.used; slot++ {
		m := s.at(slot)
		if m.slot == 0 {
			continue
		}
		count++
		if m.slot != slot || m.refs != refs[slot] || m.permits != of[slot] {
			return fmt.Errorf("mapping %d is called %d, counts %d users and %d permits, and has %d and %d", slot, m.slot, m.refs, m.permits, refs[slot], of[slot])
		}
		if m.refs == 0 {
			held++
		}
		t := Tuple{Zone: m.ZoneOut, Proto: m.Proto, L3: m.L3}
		if s.outsideOf(tb.endpointHash(&m.Outside, m.ZoneOut, m.Proto, m.L3), &m.Outside, &t) != m {
			return fmt.Errorf("mapping %d is not found by its outer endpoint", slot)
		}
		at := s.inside[tb.endpointHash(&m.Inside, m.ZoneIn, m.Proto, m.L3)&uint32(len(s.inside)-1)]
		for at != slot {
			if at == 0 {
				return fmt.Errorf("mapping %d is not found by its source", slot)
			}
			at = s.at(at).insideNext
		}
	}
	if _, n := tb.Mappings(); n != held {
		return fmt.Errorf("%d mappings are held down, and %d are listed so", held, n)
	}
	if free := chain(s.free, func(m uint32) uint32 { return s.at(m).insideNext }); count != s.count || count+free != int(max(s.used, 1))-1 {
		return fmt.Errorf("mappings: %d in use, count %d, %d free of %d", count, s.count, free, s.used)
	}
	return nil
}

// chain is how long a chain is.
func chain(slot uint32, next func(uint32) uint32) (n int) {
	for ; slot != 0; slot = next(slot) {
		n++
	}
	return n
}
