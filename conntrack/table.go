package conntrack

import (
	"cmp"
	"slices"
	"sync/atomic"

	"weir/internal/siphash"
	"weir/packet"
)

// Table is the connections of one machine (Linux: of one network namespace).
// Use New; one goroutine at a time, but for Lanes.
type Table struct {
	slab
	index   index
	sources sources
	cfg     Config
	key     siphash.Key
	hashKey hashKey
	stats   Stats
	// synproxy is what the SYN proxy counts.
	synproxy SynProxyStats

	count int          // connections, unconfirmed ones included, killed ones not
	held  []uint32     // slots of kept records, see lock.go
	apart atomic.Int64 // those whose directions are in two zones, killed ones included
	seq   uint64       // of the newest connection
	dead  []uint32
	gc    collector
	// dir and shape are where workers find the rest; shape is the index's mask
	// and number of buckets.
	dir   atomic.Pointer[directory]
	shape atomic.Uint64
	// pressure is set when a connection found no room.
	pressure bool

	listener func(Event)
	trackers [256]*tracker
	policies []TimeoutPolicy
	why      remark
	// outer and quoted are the addresses of a whyICMPOuter remark.
	outer, quoted packet.Addr
	outerL3       packet.Family
	visit         visit      // of the Track that runs
	vacancy       vacancy    // of the newest connection
	absent        absence    // of the packet that comes
	mapped        Tuple      // the reply that NAT chose last
	scratch       []entryRef // of the bucket that is walked

	// What plain connections do not need stands behind all else.
	exts    extSlab
	helpers []Helper
	expects expects
	greKeys []greKey
	// keeps is by slot the connections of packets that wait outside.
	keeps map[uint32]*keeping

	mappings mappings
}

// New makes an empty table.
func New(cfg Config) *Table {
	tb := &Table{cfg: cfg, key: cfg.HashKey, hashKey: newHashKey(cfg.HashKey)}
	r := newRegions(tb)
	tb.regions = &r
	tb.index = newIndex(tb.regions)
	tb.sources.regions = tb.regions
	list := trackers()
	generic := &tracker{proto: 0, clashOK: true, track: trackGeneric}
	for i := range tb.trackers {
		tb.trackers[i] = generic
	}
	for i := range list {
		tb.trackers[list[i].proto] = &list[i]
	}
	tb.publish()
	return tb
}

// Config is the sysctls in force. They may be changed between packets.
func (tb *Table) Config() *Config { return &tb.cfg }

// Len is the number of connections, with the unconfirmed ones
// (nf_conntrack_count).
func (tb *Table) Len() int { return tb.count }

// Stats is the counters so far.
func (tb *Table) Stats() Stats { return tb.stats }

// Lookup finds the confirmed connection that has t as the tuple of a
// direction, and that direction; nil if there is none. Expired connections
// that it meets are killed.
func (tb *Table) Lookup(t *Tuple, now int64) (*Conn, Dir) {
	return tb.lookup(t, tb.hash(t), anyDir, now)
}

// dirs is a set of directions.
type dirs uint8

const (
	onlyOriginal dirs = 1 << Original
	onlyReply    dirs = 1 << Reply
	anyDir            = onlyOriginal | onlyReply
)

// meeting is the directions whose tuples a tuple of direction d can meet, of
// one who has zone zo for originals and zr for replies: tuples of the two
// directions live apart when these differ. Linux: nf_ct_key_equal.
func meeting(d Dir, zo, zr uint16) dirs {
	if zo == zr {
		return anyDir
	}
	return 1 << d
}

// lookup is find for those to whom an expired connection is none.
func (tb *Table) lookup(t *Tuple, h uint64, allow dirs, now int64) (*Conn, Dir) {
	for {
		c, d := tb.find(t, h, allow)
		if c == nil || !c.expired(now) {
			return c, d
		}
		tb.Kill(c, now)
	}
}

// find looks among the tuples of some directions. h is the hash of t.
func (tb *Table) find(t *Tuple, h uint64, allow dirs) (best *Conn, dir Dir) {
	b, tag := tb.index.home(h)
	for spread := uint64(tag) * laneOnes; b != nil; b = tb.index.nextOf(b) {
		for m := matches(b.tags[0], b.tags[1], b.tags2, spread); m != 0; m &= m - 1 {
			r := b.ref[first(m)]
			if r == 0 || allow>>r.dir()&1 == 0 {
				continue
			}
			c := tb.conn(r.slot())
			if !c.equal(r.dir(), t) {
				continue
			}
			d := r.dir()
			if allow&onlyReply != 0 {
				d = c.found(d)
			}
			if tb.apart.Load() == 0 {
				tb.hold(c)
				return c, d
			}
			// A connection with two zones may have the tuple that another
			// has in the other direction. Linux's chains begin with the
			// latest.
			if best == nil || best.Seq < c.Seq {
				best, dir = c, d
			}
		}
	}
	if best != nil {
		tb.hold(best)
	}
	return best, dir
}

// LookupAs is Lookup in the zones of c.
func (tb *Table) LookupAs(c *Conn, t Tuple, now int64) (*Conn, Dir) {
	t.Zone = c.Tuple[Original].Zone
	return tb.lookupIn(&t, tb.hash(&t), t.Zone, c.Tuple[Reply].Zone, now)
}

// Taken reports whether a connection other than ignored has reply as the tuple
// of a direction, and counts it as found. A connection with the same original
// tuple as ignored does not count: it is the same flow seen twice, which the
// clash at confirmation settles. Linux: nf_conntrack_tuple_taken.
func (tb *Table) Taken(reply Tuple, ignored *Conn, now int64) bool {
	reply.Zone = ignored.Tuple[Reply].Zone
	c, _ := tb.lookup(&reply, tb.hash(&reply), meeting(Reply, ignored.Tuple[Original].Zone, reply.Zone), now)
	if c == nil || c == ignored || c.Tuple[Original] == ignored.Tuple[Original] {
		return false
	}
	tb.stats.Found++
	return true
}

// SetReply gives an unconfirmed connection another reply tuple, as NAT does.
// It does nothing to a confirmed one. The zone of the reply stays.
func (tb *Table) SetReply(c *Conn, reply Tuple) {
	if c.Status&Confirmed != 0 {
		return
	}
	reply.Zone = c.Tuple[Reply].Zone
	c.Tuple[Reply], tb.mapped = reply, reply
}

// SetMark sets the connection's mark.
func (tb *Table) SetMark(c *Conn, v uint32) {
	if c.Mark != v {
		c.Mark = v
		c.note(EventBitMark)
	}
}

// ByID finds a connection by its name; nil if it is gone.
func (tb *Table) ByID(id ID) *Conn {
	slot := uint32(id)
	if slot == 0 || slot >= tb.used {
		return nil
	}
	c := tb.conn(slot)
	if uint32(c.Seq) != uint32(id>>32) || c.flags&live == 0 {
		return nil
	}
	tb.hold(c)
	return c
}

// Each calls f with the confirmed connections in the order of their creation
// until it returns false. Expired ones are killed instead. The short-lived
// duplicates of clashes are not shown, as in Linux. f may kill the connection
// that it is given.
func (tb *Table) Each(now int64, f func(*Conn) bool) {
	tb.each(now, func(c *Conn) bool { return c.Status&NATClash != 0 || f(c) })
}

// each is Each with the duplicates.
func (tb *Table) each(now int64, f func(*Conn) bool) {
	list := make([]uint32, 0, tb.count)
	for slot := uint32(1); slot < tb.used; slot++ {
		if c := tb.conn(slot); c.flags&live != 0 && c.Status&(Confirmed|Dying) == Confirmed {
			list = append(list, slot)
		}
	}
	slices.SortFunc(list, func(a, b uint32) int { return cmp.Compare(tb.conn(a).Seq, tb.conn(b).Seq) })
	for _, slot := range list {
		c := tb.conn(slot)
		if c.Status&Dying != 0 {
			continue
		}
		before := len(tb.held)
		tb.hold(c)
		goOn := true
		if c.expired(now) {
			tb.Kill(c, now)
		} else {
			goOn = f(c)
		}
		tb.letGo(before)
		if !goOn {
			return
		}
	}
}

// Page calls f with the confirmed connections that stand in up to n slots behind
// the slot after, 0 for the first, in no order; expired ones and the
// duplicates of clashes are left out. It returns where the next page begins, 0
// behind the last one. Between pages packets may come: a connection that is
// there throughout is in one page. A long table is read so without keeping
// packets waiting.
func (tb *Table) Page(after uint32, n int, now int64, f func(*Conn)) (next uint32) {
	slot := after + 1
	for ; slot < tb.used && n > 0; n-- {
		c := tb.conn(slot)
		slot++
		if c.flags&live == 0 || c.Status&(Confirmed|Dying) != Confirmed || c.Status&NATClash != 0 {
			continue
		}
		before := len(tb.held)
		tb.hold(c)
		if !c.expired(now) {
			f(c)
		}
		tb.letGo(before)
	}
	if slot >= tb.used {
		return 0
	}
	return slot - 1
}

// Delete kills the confirmed connections for which match is true, duplicates
// of clashes too, and returns how many (conntrack -D).
func (tb *Table) Delete(now int64, match func(*Conn) bool) (n int) {
	tb.each(now, func(c *Conn) bool {
		if match(c) && tb.Kill(c, now) {
			n++
		}
		return true
	})
	return n
}

// Flush kills every confirmed connection (conntrack -F).
func (tb *Table) Flush(now int64) {
	tb.Delete(now, func(*Conn) bool { return true })
}

// Rediscover makes established TCP connections of a family learn their windows
// anew, as Linux does when the family's first rule that needs tracking comes
// late. Linux: nf_ct_tcp_fixup.
func (tb *Table) Rediscover(f packet.Family, now int64) {
	tb.each(now, func(c *Conn) bool {
		if t := c.TCP(); t != nil && c.Tuple[Original].L3 == f && t.State == TCPEstablished {
			t.Side[Original].MaxWin, t.Side[Reply].MaxWin = 0, 0
		}
		return true
	})
}
