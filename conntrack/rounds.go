package conntrack

import (
	"encoding/binary"
	"hash/maphash"
	"unsafe"
)

// Rounds writes a table for another process while packets flow: first all of
// it, then, round by round, what changed since the round before. The last
// round is written when the packets have stopped. A Loading reads them.
type Rounds struct {
	tb   *Table
	seed maphash.Seed
	// seen is what each slot had in the round before.
	seen []seenSlot
}

// seenSlot is what was written of a slot: the connection's Seq, 0 for none, and
// a sum of its record. That two records have one sum happens once in 2^64 times.
type seenSlot struct{ seq, sum uint64 }

// Rounds begins with nothing written.
func (tb *Table) Rounds() *Rounds { return &Rounds{tb: tb, seed: maphash.MakeSeed()} }

// Begin begins a round at time now, to be written by Step. Nothing may touch
// the table from the beginning of the last round to its end.
func (r *Rounds) Begin(b []byte, now int64, last bool) (*Snapshot, []byte) {
	s := &Snapshot{rounds: r, kind: snapshotRound}
	if last {
		s.kind = snapshotLast
	}
	return r.tb.beginSnapshot(s, b, now)
}

// Changed is how many records of connections a round has so far.
func (s *Snapshot) Changed() int { return int(s.end.counts[recordConn] + s.end.counts[recordGone]) }

// at is what was seen of a slot.
func (r *Rounds) at(slot uint32) *seenSlot {
	if n := int(slot) + 1 - len(r.seen); n > 0 {
		r.seen = append(r.seen, make([]seenSlot, n)...)
	}
	return &r.seen[slot]
}

// gone writes that the connection ended which a slot had.
func (s *Snapshot) gone(c *coder, slot uint32) {
	if was := s.rounds.at(slot); was.seq != 0 {
		c.kind(recordGone)
		c.u64(&was.seq)
		s.end.counts[recordGone]++
		*was = seenSlot{}
	}
}

// news says that a record is to be written, as it always is in a whole snapshot.
func (s *Snapshot) news(c *coder, r *saved) bool {
	if s.rounds == nil {
		return true
	}
	was := s.rounds.at(r.c.index)
	if was.seq != r.c.Seq {
		s.gone(c, r.c.index)
	}
	sum := s.rounds.sum(&r.seen)
	if was.seq == r.c.Seq && was.sum == sum && !r.ext { // what is behind ext is not in the sum
		return false
	}
	*was = seenSlot{r.c.Seq, sum}
	return true
}

// sum is of all that changes in a record.
func (r *Rounds) sum(x *seen) uint64 {
	return maphash.Bytes(r.seed, (*[unsafe.Sizeof(*x)]byte)(unsafe.Pointer(x))[:])
}

// Loading fills an empty table from rounds. Until the last one it has no
// expectations, and is not used.
type Loading struct {
	// Shift is as in LoadSnapshot, to be set before the first round.
	Shift func(written int64) int64

	tb    *Table
	bySeq map[uint64]ID
	sides map[uint64]uint8 // of connections that have a mapping
	over  bool
	err   error
}

// Loading begins to fill a table, which has to be empty.
func (tb *Table) Loading() *Loading {
	l := &Loading{tb: tb, bySeq: map[uint64]ID{}, sides: map[uint64]uint8{}}
	if tb.count != 0 || tb.expects.count != 0 || tb.mappings.count != 0 {
		l.err = ErrNotEmpty
	}
	return l
}

// Round reads a round; over says that it was the last one, after which the
// table has exactly the connections of the other one. After an error the table
// is not to be used; Abandon empties it.
func (l *Loading) Round(b []byte) (now int64, over bool, err error) {
	if l.err == nil && l.over {
		l.err = ErrNotEmpty
	}
	if l.err != nil {
		return 0, false, l.err
	}
	x, now, kind, err := readSnapshot(b, l.Shift)
	if err == nil && kind == snapshotWhole {
		err = ErrSnapshotKind
	}
	if err != nil {
		l.err = err
		return 0, false, err
	}
	l.enter(&x, kind)
	l.over = kind == snapshotLast
	if l.over && !l.matches(&x.end) {
		l.err = ErrSnapshotApart
	}
	return now, l.over, l.err
}

// matches says that the connections are those of the other table.
func (l *Loading) matches(end *savedEnd) bool {
	sum := uint64(0)
	for seq := range l.bySeq {
		sum += seq
	}
	return len(l.bySeq) == int(end.total) && sum == end.seqs
}

// Abandon empties the table, for another beginning.
func (l *Loading) Abandon(now int64) *Loading {
	l.quietly(func() {
		l.tb.Flush(now)
		l.tb.greKeys = nil
		l.tb.Reap()
		l.tb.mappings = mappings{}
	})
	next := l.tb.Loading()
	next.Shift = l.Shift
	return next
}

// quietly calls f, of which nobody hears.
func (l *Loading) quietly(f func()) {
	was, heard := l.tb.listener, l.tb.expects.listener
	l.tb.listener, l.tb.expects.listener = nil, nil
	f()
	l.tb.listener, l.tb.expects.listener = was, heard
}

// enter enters what was read.
func (l *Loading) enter(x *loaded, kind uint8) {
	tb := l.tb
	l.quietly(func() {
		for _, seq := range x.gone {
			if k := l.find(seq); k != nil {
				tb.Kill(k, 0)
			}
			delete(l.bySeq, seq)
		}
		tb.Reap()
		l.enterAll(x.conns)
		if kind != snapshotRound {
			tb.enterExpects(x.expects, l.find)
			for _, k := range x.keys {
				if m := l.find(k.owner); m != nil {
					tb.greKeys = append(tb.greKeys, greKey{k.tuple, m.ID(), Dir(k.dir)})
				}
			}
			l.enterMappings(x.mappings)
			tb.expects.seq = x.end.expectSeq
		}
		tb.Reap()
	})
	tb.seq, tb.stats = x.end.seq, x.end.stats
	tb.publish()
	tb.letGo(0)
}

// find is the connection of a Seq, nil if it was not entered or has ended.
func (l *Loading) find(seq uint64) *Conn { return l.tb.ByID(l.bySeq[seq]) }

// readSnapshot reads a snapshot of any kind.
func readSnapshot(b []byte, shift func(int64) int64) (x loaded, now int64, kind uint8, err error) {
	head := len(snapshotMagic) + 4
	switch {
	case len(b) < head || string(b[:len(snapshotMagic)]) != snapshotMagic:
		return x, 0, 0, ErrSnapshotKind
	case binary.LittleEndian.Uint32(b[len(snapshotMagic):]) != snapshotVersion:
		return x, 0, 0, ErrSnapshotVersion
	case len(b) < head+4 || sumOf(b[:len(b)-4]) != binary.LittleEndian.Uint32(b[len(b)-4:]):
		return x, 0, 0, ErrSnapshotDamaged
	}
	c := coder{b: b[head : len(b)-4], reading: true}
	c.below(&kind, snapshotKinds)
	c.i64(&now)
	if shift != nil {
		c.shift = shift(now)
		now += c.shift
	}
	x, ok := c.records()
	if !ok || x.end.seq < x.lastSeq || x.end.expectSeq < x.lastExpect || kind == snapshotWhole && len(x.gone) > 0 {
		return x, 0, 0, ErrSnapshotDamaged
	}
	return x, now, kind, nil
}
