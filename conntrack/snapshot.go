package conntrack

import (
	"encoding/binary"
	"hash/crc32"
)

// A snapshot is a table as bytes: a head, a record for each connection,
// expectation, PPTP key and mapping, an end that counts them, and the CRC-32C of all
// that. Numbers are little-endian; times are ns since the Unix epoch. Other
// connections are named by their Seq, helpers and timeout policies by name.
const (
	snapshotMagic   = "weir-ct\n"
	snapshotVersion = 3
)

// The kinds of snapshots, a byte behind the version: whole ones, rounds of
// Rounds, and the last of these.
const (
	snapshotWhole uint8 = iota
	snapshotRound
	snapshotLast
	snapshotKinds
)

// The kinds of records.
const (
	recordEnd uint8 = iota
	recordConn
	recordExpect
	recordKey
	recordGone // of a round: the Seq of a connection that ended
	recordMapping
	recordKinds
)

// SnapshotError is why a snapshot was not loaded.
type SnapshotError string

// The errors of LoadSnapshot.
const (
	ErrSnapshotKind    SnapshotError = "no snapshot of connections"
	ErrSnapshotVersion SnapshotError = "a snapshot of another version"
	ErrSnapshotDamaged SnapshotError = "the snapshot is damaged or cut off"
	ErrNotEmpty        SnapshotError = "the table is not empty"
	ErrSnapshotApart   SnapshotError = "the rounds do not make the table that they come from"
)

// Error is the text.
func (e SnapshotError) Error() string { return string(e) }

// Snapshot is the writing of a snapshot in steps, between which packets may
// pass: Read copies a few records from the table, for whose time packets wait,
// and Write makes bytes of them, for which none does. Each connection,
// expectation and mapping is in it as it was at one moment; of those that begin
// or end meanwhile some are in it.
type Snapshot struct {
	tb     *Table
	rounds *Rounds // nil: of a whole snapshot
	kind   uint8
	part   snapshotPart
	slot   uint32 // the next one of the part
	sum    uint32
	end    savedEnd

	// What was read and not written yet.
	conns    []saved
	empty    []uint32 // slots
	expects  []savedExpect
	copied   []greKey // all keys, as they were when their part began
	keys     []savedKey
	mappings []Mapping
	now      int64
}

// snapshotPart is what is read: one kind of record after the other.
type snapshotPart uint8

const (
	partConns snapshotPart = iota
	partExpects
	partKeys
	partMappings
	partEnd
	partDone
)

// snapshotDear is how many slots of connections an expectation, a key or a mapping
// counts for: reading it takes several looks at the table.
const snapshotDear = 4

// BeginSnapshot begins a snapshot at time now.
func (tb *Table) BeginSnapshot(b []byte, now int64) (*Snapshot, []byte) {
	return tb.beginSnapshot(&Snapshot{}, b, now)
}

func (tb *Table) beginSnapshot(s *Snapshot, b []byte, now int64) (*Snapshot, []byte) {
	s.tb, s.slot, s.now = tb, 1, now
	start := len(b)
	b = append(b, snapshotMagic...)
	b = binary.LittleEndian.AppendUint32(b, snapshotVersion)
	c := coder{b: append(b, s.kind)}
	c.i64(&now)
	s.add(c.b[start:])
	return s, c.b
}

func (s *Snapshot) add(b []byte) { s.sum = crc32.Update(s.sum, crc32.MakeTable(crc32.Castagnoli), b) }

// Read copies what up to so many slots of the table have, and returns false when
// nothing is left. It is called by whoever has the table for himself, and
// followed by Write.
func (s *Snapshot) Read(slots int) bool {
	tb := s.tb
	for slots > 0 && s.part < partDone {
		switch s.part {
		case partConns:
			for ; slots > 0 && s.slot < tb.used; slots-- {
				s.readConn(s.slot)
				s.slot++
			}
			s.next(s.slot >= tb.used)
			if s.part == partExpects && s.kind == snapshotRound {
				s.part = partEnd
			}
		case partExpects:
			for ; slots > 0 && s.slot < tb.expects.used; slots -= snapshotDear {
				s.readExpect(tb.expects.at(s.slot))
				s.slot++
			}
			if s.next(s.slot >= tb.expects.used); s.part == partKeys {
				s.copied = append([]greKey(nil), tb.greKeys...)
			}
		case partKeys:
			for ; slots > 0 && int(s.slot) <= len(s.copied); slots -= snapshotDear {
				s.readKey(&s.copied[s.slot-1])
				s.slot++
			}
			s.next(int(s.slot) > len(s.copied))
		case partMappings:
			all := &tb.mappings
			for ; slots > 0 && s.slot < all.used; slots -= snapshotDear {
				if m := all.at(s.slot); m.slot != 0 {
					s.mappings = append(s.mappings, *m)
				}
				s.slot++
			}
			s.next(s.slot >= all.used)
		case partEnd:
			s.end.seq, s.end.expectSeq, s.end.stats = tb.seq, tb.expects.seq, tb.stats
			s.part = partDone
		}
	}
	return s.part < partDone
}

// next goes on to the next part if this one is read.
func (s *Snapshot) next(read bool) {
	if read {
		s.part++
		s.slot = 1
	}
}

func (s *Snapshot) readConn(slot uint32) {
	tb := s.tb
	k := tb.conn(slot)
	if k.flags&live == 0 || k.Status&(Confirmed|Dying) != Confirmed {
		if s.rounds != nil {
			s.empty = append(s.empty, slot)
		}
		return
	}
	before := len(tb.held)
	tb.hold(k)
	s.conns = extended(s.conns)
	tb.record(k, &s.conns[len(s.conns)-1])
	tb.letGo(before)
}

func (s *Snapshot) readExpect(e *Expect) {
	if !e.used {
		return
	}
	if m := s.tb.ByID(e.Master); m != nil {
		s.expects = append(s.expects, savedExpect{
			Expect: *e, master: m.Seq, helper: s.tb.HelperName(e.Helper), assign: s.tb.helperKey(e.Assign),
		})
	}
}

func (s *Snapshot) readKey(k *greKey) {
	if m := s.tb.ByID(k.owner); m != nil {
		s.keys = append(s.keys, savedKey{tuple: k.tuple, owner: m.Seq, dir: uint8(k.dir)})
	}
}

// Write appends the records that were read to b. It does not look at the table.
func (s *Snapshot) Write(b []byte) []byte {
	start := len(b)
	c := coder{b: b}
	for _, slot := range s.empty {
		s.gone(&c, slot)
	}
	for i := range s.conns {
		r := &s.conns[i]
		if s.news(&c, r) {
			c.kind(recordConn)
			c.conn(r)
			s.end.counts[recordConn]++
		}
		s.end.total++
		s.end.seqs += r.c.Seq
	}
	for i := range s.expects {
		c.kind(recordExpect)
		c.expect(&s.expects[i])
	}
	for i := range s.keys {
		c.kind(recordKey)
		c.key(&s.keys[i])
	}
	for i := range s.mappings {
		c.kind(recordMapping)
		s.writeMapping(&c, &s.mappings[i])
	}
	s.end.counts[recordExpect] += uint32(len(s.expects))
	s.end.counts[recordKey] += uint32(len(s.keys))
	s.end.counts[recordMapping] += uint32(len(s.mappings))
	s.conns, s.empty, s.expects, s.keys, s.mappings = s.conns[:0], s.empty[:0], s.expects[:0], s.keys[:0], s.mappings[:0]
	if s.part == partDone {
		c.kind(recordEnd)
		c.end(&s.end)
	}
	s.add(c.b[start:])
	if s.part == partDone {
		return binary.LittleEndian.AppendUint32(c.b, s.sum)
	}
	return c.b
}

// extended is a list with one more, which may have anything in it.
func extended(list []saved) []saved {
	if len(list) < cap(list) {
		return list[:len(list)+1]
	}
	return append(list, saved{})
}

// AppendSnapshot writes a snapshot at once.
func (tb *Table) AppendSnapshot(b []byte, now int64) []byte {
	s, b := tb.BeginSnapshot(b, now)
	for more := true; more; {
		more = s.Read(1 << 10)
		b = s.Write(b)
	}
	return b
}

// saved is a connection as a snapshot has it.
type saved struct {
	seen
	master uint64 // Seq
	masqIf uint32
	policy string
	sides  uint8 // that have a mapping, as bits
	start  int64
	// ext: the rest is there.
	ext      bool
	attached bool
	helper   string
	expMask  ExpectEventMask
	data     [helpWords]uint32
	seq      [2]seqAdj
	proxied  bool
	proxy    SynProxy
}

// seen is what of a record changes while its connection lives. It has no
// pointers.
type seen struct {
	c        Conn
	counters [2]Counter
	labels   [NumLabels / 64]uint64
}

// record is what a snapshot says of a connection.
func (tb *Table) record(k *Conn, r *saved) {
	r.master, r.policy, r.ext, r.labels, r.start = 0, "", false, tb.Labels(k), tb.Started(k)
	r.counters = [2]Counter{}
	k.copyTo(&r.c)
	r.c.Path, r.c.pending = [2]uint32{}, 0 // the engine's own, and what goes with this packet
	r.masqIf, r.sides = tb.MasqIf(k), tb.savedSides(k)
	if k.policy == longPolicy {
		r.policy = longPolicyName
	} else if k.policy != 0 {
		r.policy = tb.policies[k.policy-1].Name
	}
	if n := tb.Counters(k); n != nil {
		r.counters = *n
	}
	if m := tb.ByID(tb.Master(k)); m != nil && m.Status&Dying == 0 {
		r.master = m.Seq
	}
	if e := tb.extOf(k); e != nil {
		r.ext, r.attached, r.helper, r.expMask, r.data, r.seq = true, e.attached, tb.HelperName(e.id), e.expMask, e.data, e.seq
		r.proxied, r.proxy = e.proxied, e.proxy
	}
}

// savedExpect is an expectation as a snapshot has it.
type savedExpect struct {
	Expect
	master         uint64
	helper, assign string
}

// savedKey is a key of PPTP as a snapshot has it.
type savedKey struct {
	tuple Tuple
	owner uint64
	dir   uint8
}

// savedEnd is what stands at the end: how many records there are of each kind,
// and the table's own numbers.
type savedEnd struct {
	counts         [recordKinds]uint32
	total          uint32 // connections that there are
	seqs           uint64 // the sum of their Seq
	seq, expectSeq uint64
	stats          Stats
}

// helperKey names a helper with its family and protocol, which an expectation's
// own need not be.
func (tb *Table) helperKey(id HelperID) string {
	if id == 0 || int(id) > len(tb.helpers) {
		return ""
	}
	h := &tb.helpers[id-1]
	return string([]byte{byte(h.Family), h.Proto}) + h.Name
}

// findHelper is the helper of a name, or 0.
func (tb *Table) findHelper(name string, t *Tuple) HelperID {
	for i := range tb.helpers {
		if h := &tb.helpers[i]; name != "" && h.Name == name && h.Family == t.L3 && h.Proto == t.Proto {
			return HelperID(i + 1)
		}
	}
	return 0
}
