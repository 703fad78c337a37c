package conntrack

import "weir/packet"

// Kill ends a connection: it is marked dying, the listener hears of it, its
// tuples leave the index. It returns false if it was dying already. The slot
// stays as it is until Reap. Linux: nf_ct_delete.
func (tb *Table) Kill(c *Conn, now int64) bool {
	if c.flags&live == 0 || c.Status&Dying != 0 {
		return false
	}
	c.Status |= Dying
	if c.flags&child != 0 && c.Proto() == packet.GRE {
		tb.ForgetGREKeys(tb.Master(c))
	}
	if c.flags&mapping != 0 {
		tb.leaveMappings(c, now)
	}
	tb.dead = append(tb.dead, c.index)
	if h := tb.extOf(c); h != nil && h.children > 0 {
		h.kept = true
	} else if k := tb.keeps[c.index]; k != nil {
		k.counts = true
	} else {
		tb.count--
	}
	if c.Status&Confirmed == 0 {
		tb.unexpectAll(c, now)
		return true
	}
	if c.eventMask&EventBitDestroy != 0 {
		tb.send(c, EventDestroy, EventBitDestroy, now, min(now, c.deadline))
	}
	tb.destroyHelp(c, now)
	tb.unlink(c)
	tb.unexpectAll(c, now)
	return true
}

// unlink takes a confirmed connection's tuples out of the index.
func (tb *Table) unlink(c *Conn) {
	if c.Status&NATClash == 0 {
		tb.index.remove(tb.hash(&c.Tuple[Original]), makeRef(c.index, Original))
	}
	tb.index.remove(tb.hash(&c.Tuple[Reply]), makeRef(c.index, Reply))
}

// killAcct counts the packet and kills. Linux: nf_ct_kill_acct.
func (tb *Table) killAcct(c *Conn, info Info, p *packet.Packet, now int64) {
	tb.account(c, info, p)
	tb.Kill(c, now)
}

// Release ends a packet's traversal: a connection that Track created for it
// and that nobody confirmed is freed. Only the traversal that got the
// connection from Track calls it, not one that an answer to it makes.
func (tb *Table) Release(ref Ref) {
	c := ref.Conn
	if c != nil && c.Status&(Confirmed|Dying) == 0 && tb.keeps[c.index] == nil {
		tb.Kill(c, tb.visit.now)
	}
}

// Reap makes the slots of killed connections free for new ones. The engine
// calls it between packets, when nobody holds a *Conn.
func (tb *Table) Reap() {
	if len(tb.dead) == 0 && len(tb.held) == 0 {
		return
	}
	tb.reap()
	tb.letGo(0)
}

func (tb *Table) reap() {
	for _, slot := range tb.dead {
		c := tb.conn(slot)
		if k := tb.keeps[slot]; k != nil {
			k.waits = true
			continue
		}
		if h := tb.extOf(c); h != nil && h.kept {
			if h.children > 0 {
				h.waits = true
				continue
			}
			tb.count--
		}
		tb.orphan(c)
		tb.unlinkSource(c)
		if c.Tuple[Original].Zone != c.Tuple[Reply].Zone {
			tb.apart.Add(-1)
		}
		tb.release(c)
	}
	tb.dead = tb.dead[:0]
}
