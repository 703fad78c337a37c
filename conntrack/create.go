package conntrack

import "math/bits"

// create makes an unconfirmed connection; nil when there is no room.
// Linux: init_conntrack, __nf_conntrack_alloc.
func (tb *Table) create(orig, reply *Tuple, hash uint32, tmpl *Template, now int64) *Conn {
	if tb.cfg.Max > 0 && tb.count+1 > tb.cfg.Max && !tb.earlyDrop(hash, now) {
		tb.pressure = true
		return nil
	}
	c := tb.newConn(orig, reply)
	c.policy = tb.policyFor(tmpl, orig)
	tb.initEvents(c, tmpl)
	if met := tb.expects.count != 0 && tb.meet(c, now); !met && tmpl != nil && tmpl.HelperID != 0 {
		tb.attach(c, tmpl.HelperID)
		c.Status |= HelperSet
	}
	if tmpl != nil && tmpl.SynProxy {
		tb.extend(c).proxied = true
	}
	if c.ext != 0 {
		tb.extOf(c).expMask = tb.expectMask(tmpl)
	}
	tb.publish()
	return c
}

// newConn takes a slot for a connection that is not in the table yet.
func (tb *Table) newConn(orig, reply *Tuple) *Conn {
	tb.count++
	tb.seq++
	c := tb.take()
	c.Tuple[Original], c.Tuple[Reply] = *orig, *reply
	if orig.Zone != reply.Zone {
		tb.apart.Add(1)
	}
	c.Seq = tb.seq
	c.flags = live
	if tb.cfg.Acct {
		tb.addCounters(c)
	}
	if tb.cfg.Timestamp {
		tb.addStart(c)
	}
	return c
}

// earlyDropBuckets is how many of Linux's buckets are looked at for victims.
const earlyDropBuckets = 8

// earlyDrop makes room: beginning at the bucket that the new connection would
// have in Linux's table, it kills every connection that is not assured in the
// first bucket that has one. Linux: early_drop.
func (tb *Table) earlyDrop(hash uint32, now int64) bool {
	size := tb.cfg.buckets()
	first := uint64(bits.Reverse32(hash)) * size >> 32
	for i := uint64(0); i < earlyDropBuckets && i < size; i++ {
		lo, hi := bucketRange((first+i)%size, size)
		n := 0
		tb.index.inRange(tb, lo, hi, func(r entryRef) bool {
			if tb.spared(r.slot()) {
				return true
			}
			c := tb.conn(r.slot())
			if tb.index.shared && c.Status&Assured != 0 {
				tb.spare(c.index) // the collector's, should it have expired
				return true
			}
			tb.hold(c)
			switch {
			case c.Status&Dying != 0:
			case c.expired(now):
				tb.Kill(c, now)
			case c.Status&Assured == 0 && tb.Kill(c, now):
				n++
			}
			return true
		})
		if n > 0 {
			tb.stats.EarlyDrop += uint64(n)
			return true
		}
	}
	return false
}

// spare remembers that a connection is assured, for as long as it lives. Who
// floods a full table looks at the same few again and again, and to read their
// records is to take them away from the workers' caches.
func (tb *Table) spare(slot uint32) {
	for uint32(len(tb.assured)) <= slot/64 {
		tb.assured = append(tb.assured, 0)
	}
	tb.assured[slot/64] |= 1 << (slot % 64)
}

func (tb *Table) spared(slot uint32) bool {
	return uint32(len(tb.assured)) > slot/64 && tb.assured[slot/64]>>(slot%64)&1 != 0
}

// bucketRange is the hashes, read from the lowest bit, that fall into bucket
// i of a table of the size: those with hash*size>>32 = i.
func bucketRange(i, size uint64) (lo, hi uint32) {
	lo64 := (i<<32 + size - 1) / size
	hi64 := ((i+1)<<32 + size - 1) / size
	return uint32(lo64), uint32(hi64 - 1)
}
