package conntrack

// keeping says of a connection's slot that packets wait outside of the machine
// which belong to it (NFQUEUE).
type keeping struct {
	packets uint32
	// counts: it was killed, and counts among the connections still.
	counts bool
	// waits: it was killed and would be free by now.
	waits bool
}

// Keep is for a packet of a connection that waits outside of the machine: until
// LetGo the slot is not reused, however the connection ends, and one that is not
// confirmed yet outlives the Release of other packets. Linux: nf_conntrack_get.
func (tb *Table) Keep(c *Conn) {
	if tb.keeps == nil {
		tb.keeps = make(map[uint32]*keeping)
	}
	k := tb.keeps[c.index]
	if k == nil {
		k = &keeping{}
		tb.keeps[c.index] = k
	}
	k.packets++
}

// LetGo is for such a packet when it goes on: c is then as if Track had just
// found it, and is freed by Release or Reap as any.
func (tb *Table) LetGo(c *Conn) {
	k := tb.keeps[c.index]
	if k == nil {
		return
	}
	if c.Status&(Confirmed|Dying) == Confirmed {
		tb.hold(c)
	}
	if k.packets--; k.packets > 0 {
		return
	}
	delete(tb.keeps, c.index)
	if k.counts {
		tb.count--
	}
	if k.waits {
		tb.dead = append(tb.dead, c.index)
	}
}

// Kept is how many packets of a connection wait outside of the machine.
func (tb *Table) Kept(c *Conn) int {
	if k := tb.keeps[c.index]; k != nil {
		return int(k.packets)
	}
	return 0
}
