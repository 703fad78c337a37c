package conntrack

import (
	"cmp"
	"hash/crc32"
	"slices"
)

// LoadSnapshot fills an empty table from a snapshot and returns when that was
// written, by the reader's clock. shift says for that time how many ns timeouts have to run on for, because
// the clocks of writer and reader differ; nil for clocks that are one. Of two connections that have a tuple the younger is taken. Helpers
// and timeout policies that the table does not know are left out. After an
// error the table is as it was.
func (tb *Table) LoadSnapshot(b []byte, shift func(written int64) int64) (now int64, err error) {
	l := tb.Loading()
	if l.err != nil {
		return 0, l.err
	}
	x, now, kind, err := readSnapshot(b, shift)
	if err == nil && kind != snapshotWhole {
		err = ErrSnapshotKind
	}
	if err != nil {
		return 0, err
	}
	l.enter(&x, kind)
	return now, nil
}

func sumOf(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// loaded is the records of a snapshot.
type loaded struct {
	conns               []*saved
	expects             []*savedExpect
	keys                []savedKey
	gone                []uint64
	mappings            []Mapping
	end                 savedEnd
	lastSeq, lastExpect uint64
}

// records reads all records; false when one is broken.
func (c *coder) records() (l loaded, ok bool) {
	var found [recordKinds]uint32
	for !c.bad {
		var kind uint8
		switch c.u8(&kind); kind {
		case recordConn:
			r := &saved{}
			c.conn(r)
			l.conns = append(l.conns, r)
			l.lastSeq = max(l.lastSeq, r.c.Seq)
			c.bad = c.bad || r.c.Seq == 0
		case recordExpect:
			x := &savedExpect{}
			c.expect(x)
			l.expects = append(l.expects, x)
			l.lastExpect = max(l.lastExpect, x.Seq)
			c.bad = c.bad || x.Seq == 0
		case recordKey:
			x := savedKey{}
			c.key(&x)
			l.keys = append(l.keys, x)
		case recordGone:
			seq := uint64(0)
			c.u64(&seq)
			l.gone = append(l.gone, seq)
		case recordMapping:
			x := Mapping{}
			c.mapping(&x)
			l.mappings = append(l.mappings, x)
		case recordEnd:
			c.end(&l.end)
			return l, !c.bad && len(c.b) == 0 && l.end.counts == found
		default:
			c.bad = true
		}
		if int(kind) < len(found) {
			found[kind]++
		}
	}
	return l, false
}

// enterAll enters connections, or brings them up to date, and finds their
// masters.
func (l *Loading) enterAll(list []*saved) {
	tb := l.tb
	// The youngest first, since it may have taken an older one's tuple.
	slices.SortStableFunc(list, func(a, b *saved) int { return cmp.Compare(b.c.Seq, a.c.Seq) })
	last := uint64(0)
	for _, r := range list {
		if r.c.Seq == last {
			continue
		}
		last = r.c.Seq
		c := l.find(r.c.Seq)
		if c != nil && c.Tuple != r.c.Tuple { // only what is damaged says so
			tb.Kill(c, 0)
			tb.Reap()
			c = nil
		}
		if c != nil {
			tb.bring(c, r)
			continue
		}
		if c := l.enterSaved(r); c != nil {
			l.bySeq[r.c.Seq] = c.ID()
			if r.sides != 0 {
				l.sides[r.c.Seq] = r.sides
			}
		}
	}
	for _, r := range slices.Backward(list) {
		c := l.find(r.c.Seq)
		if c == nil {
			continue
		}
		if m := l.find(r.master); m != nil && r.master < r.c.Seq && tb.Master(c) == 0 {
			tb.setMaster(c, m.ID())
			tb.extend(m).children++
		}
		if r.c.flags&inSources != 0 {
			tb.LinkSource(c)
		}
	}
}

// enterSaved enters one connection; nil if a younger one has a tuple of it.
func (l *Loading) enterSaved(r *saved) *Conn {
	tb, s := l.tb, &r.c
	o, p := &s.Tuple[Original], &s.Tuple[Reply]
	ho, hr := tb.hash(o), tb.hash(p)
	if s.Status&NATClash == 0 && !l.room(o, ho, meeting(Original, o.Zone, p.Zone), s.Seq) {
		return nil
	}
	if !l.room(p, hr, meeting(Reply, o.Zone, p.Zone), s.Seq) {
		return nil
	}
	c := tb.take()
	tb.count++
	c.Tuple, c.Seq = s.Tuple, s.Seq
	c.flags = live
	if o.Zone != p.Zone {
		tb.apart.Add(1)
	}
	tb.bring(c, r)
	if s.Status&NATClash != 0 {
		tb.index.insert(tb, hr, makeRef(c.index, Reply))
		tb.publish()
		tb.entered(c)
	} else {
		tb.link(c, ho, hr)
	}
	return c
}

// room says that no younger connection has a tuple. An older one that does has
// ended since the round in which it came, and goes.
func (l *Loading) room(t *Tuple, h uint64, allow dirs, seq uint64) bool {
	other, _ := l.tb.find(t, h, allow)
	if other == nil {
		return true
	}
	if other.Seq >= seq {
		return false
	}
	delete(l.bySeq, other.Seq)
	l.tb.Kill(other, 0)
	return true
}

// bring makes a connection that has its tuples what a record says.
func (tb *Table) bring(c *Conn, r *saved) {
	s := &r.c
	c.deadline, c.Mark, c.Status = s.deadline, s.Mark, s.Status
	c.eventMask, c.proto = s.eventMask, s.proto
	tb.SetMasqIf(c, r.masqIf)
	if s.flags&counted != 0 {
		tb.addCounters(c)
		*tb.Counters(c) = r.counters
	}
	if s.flags&stamped != 0 {
		tb.addStart(c)
		tb.start(c, r.start)
	}
	if s.flags&labelled != 0 {
		tb.makeLabels(c)
		tb.labels[c.index/chunkConns][c.index%chunkConns] = r.labels
	}
	c.policy = 0
	if r.policy == longPolicyName {
		c.policy = longPolicy
	}
	o := &c.Tuple[Original]
	for i := range tb.policies {
		if q := &tb.policies[i]; r.policy != "" && q.Name == r.policy && q.Family == o.L3 && q.Proto == o.Proto {
			c.policy = uint8(i + 1)
		}
	}
	if r.ext {
		e := tb.extend(c)
		e.attached, e.id, e.expMask, e.data, e.seq = r.attached, tb.findHelper(r.helper, o), r.expMask, r.data, r.seq
		e.proxied, e.proxy = r.proxied, r.proxy
	}
}

// enterExpects enters expectations, the oldest first.
func (tb *Table) enterExpects(list []*savedExpect, find func(seq uint64) *Conn) {
	x := &tb.expects
	slices.SortStableFunc(list, func(a, b *savedExpect) int { return cmp.Compare(a.Seq, b.Seq) })
	last := uint64(0)
	for _, r := range list {
		m := find(r.master)
		if m == nil || r.Seq == last || x.count >= tb.cfg.ExpectMax {
			continue
		}
		h := tb.extOf(m)
		if h == nil || !h.attached {
			continue
		}
		last = r.Seq
		e := r.Expect
		e.Master, e.Helper, e.Assign = m.ID(), tb.findHelper(r.helper, &m.Tuple[Original]), 0
		if h.id == 0 {
			e.Helper = 0
		}
		if len(r.assign) > 2 {
			e.Assign = tb.findHelper(r.assign[2:], &Tuple{L3: e.Tuple.L3, Proto: r.assign[1]})
		}
		e.Tuple.Zone = m.zoneID()
		tb.unexpectClashing(&e)
		tb.place(&e, h)
	}
}

// unexpectClashing removes the older ones in the place of which e came while a
// snapshot was written.
func (tb *Table) unexpectClashing(e *Expect) {
	x := &tb.expects
	if x.count == 0 {
		return
	}
	for slot := *tb.expectBucket(&e.Tuple); slot != 0; {
		o := x.at(slot)
		slot = o.hashNext
		if o.clashes(e) {
			tb.Unexpect(o, 0)
		}
	}
}
