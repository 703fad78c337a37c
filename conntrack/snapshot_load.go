package conntrack

import (
	"cmp"
	"encoding/binary"
	"hash/crc32"
	"slices"
)

// LoadSnapshot fills an empty table from a snapshot and returns when that was
// written. Of two connections that have a tuple the younger is taken. Helpers
// and timeout policies that the table does not know are left out. After an
// error the table is as it was.
func (tb *Table) LoadSnapshot(b []byte) (now int64, err error) {
	head := len(snapshotMagic) + 4
	switch {
	case tb.count != 0 || tb.expects.count != 0:
		return 0, ErrNotEmpty
	case len(b) < head || string(b[:len(snapshotMagic)]) != snapshotMagic:
		return 0, ErrSnapshotKind
	case binary.LittleEndian.Uint32(b[len(snapshotMagic):]) != snapshotVersion:
		return 0, ErrSnapshotVersion
	case len(b) < head+4 || crc32.Checksum(b[:len(b)-4], crc32.MakeTable(crc32.Castagnoli)) != binary.LittleEndian.Uint32(b[len(b)-4:]):
		return 0, ErrSnapshotDamaged
	}
	c := coder{b: b[head : len(b)-4], reading: true}
	c.i64(&now)
	l, ok := c.records()
	if !ok || l.end.seq < l.lastSeq || l.end.expectSeq < l.lastExpect {
		return 0, ErrSnapshotDamaged
	}
	tb.seq, tb.stats = l.end.seq, l.end.stats
	bySeq := tb.enterAll(l.conns)
	tb.enterExpects(l.expects, bySeq)
	for _, k := range l.keys {
		if m := bySeq[k.owner]; m != nil {
			tb.greKeys = append(tb.greKeys, greKey{k.tuple, m.ID(), Dir(k.dir)})
		}
	}
	tb.expects.seq = l.end.expectSeq
	tb.publish()
	tb.letGo(0)
	return now, nil
}

// loaded is the records of a snapshot.
type loaded struct {
	conns               []*saved
	expects             []*savedExpect
	keys                []savedKey
	end                 savedEnd
	lastSeq, lastExpect uint64
}

// records reads all records; false when one is broken.
func (c *coder) records() (l loaded, ok bool) {
	var found [4]uint32
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

// enterAll enters connections and finds their masters.
func (tb *Table) enterAll(list []*saved) map[uint64]*Conn {
	// The youngest first, since it may have taken an older one's tuple.
	slices.SortStableFunc(list, func(a, b *saved) int { return cmp.Compare(b.c.Seq, a.c.Seq) })
	bySeq := make(map[uint64]*Conn, len(list))
	for _, r := range list {
		if c := tb.enterSaved(r); c != nil && bySeq[r.c.Seq] == nil {
			bySeq[r.c.Seq] = c
		}
	}
	for _, r := range slices.Backward(list) {
		c := bySeq[r.c.Seq]
		if c == nil {
			continue
		}
		if m := bySeq[r.master]; m != nil && r.master < r.c.Seq && tb.Master(c) == 0 {
			tb.setMaster(c, m.ID())
			tb.extend(m).children++
		}
		if r.c.flags&inSources != 0 {
			tb.LinkSource(c)
		}
	}
	return bySeq
}

// enterSaved enters one connection; nil if a tuple of it is taken.
func (tb *Table) enterSaved(r *saved) *Conn {
	s := &r.c
	o, p := &s.Tuple[Original], &s.Tuple[Reply]
	ho, hr := tb.hash(o), tb.hash(p)
	if s.Status&NATClash == 0 {
		if other, _ := tb.find(o, ho, meeting(Original, o.Zone, p.Zone)); other != nil {
			return nil
		}
	}
	if other, _ := tb.find(p, hr, meeting(Reply, o.Zone, p.Zone)); other != nil {
		return nil
	}
	c := tb.take()
	tb.count++
	c.Tuple, c.deadline, c.Seq, c.Mark = s.Tuple, s.deadline, s.Seq, s.Mark
	c.eventMask, c.proto = s.eventMask, s.proto
	tb.SetMasqIf(c, r.masqIf)
	c.flags = live
	if o.Zone != p.Zone {
		tb.apart.Add(1)
	}
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
	for i := range tb.policies {
		if q := &tb.policies[i]; r.policy != "" && q.Name == r.policy && q.Family == o.L3 && q.Proto == o.Proto {
			c.policy = uint8(i + 1)
		}
	}
	if r.ext {
		e := tb.extend(c)
		e.attached, e.id, e.expMask, e.data, e.seq = r.attached, tb.findHelper(r.helper, o), r.expMask, r.data, r.seq
	}
	if s.Status&NATClash != 0 {
		tb.index.insert(tb, hr, makeRef(c.index, Reply))
		tb.publish()
		tb.entered(c)
	} else {
		tb.link(c, ho, hr)
	}
	c.Status = s.Status
	return c
}

// enterExpects enters expectations, the oldest first.
func (tb *Table) enterExpects(list []*savedExpect, bySeq map[uint64]*Conn) {
	x := &tb.expects
	slices.SortStableFunc(list, func(a, b *savedExpect) int { return cmp.Compare(a.Seq, b.Seq) })
	last := uint64(0)
	for _, r := range list {
		m := bySeq[r.master]
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
		tb.place(&e, h)
	}
}
