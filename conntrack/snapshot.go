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
// pass. Each connection is in it as it was at one moment; of those that begin
// or end meanwhile some are in it. Expectations are as at the end.
type Snapshot struct {
	tb      *Table
	rounds  *Rounds // nil: of a whole snapshot
	kind    uint8
	slot    uint32
	sum     uint32
	end     savedEnd
	expects bool // the connections are written
	done    bool
	now     int64
	record  saved
}

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

// Step adds the records of up to so many slots to b. It is called by whoever has
// the table for himself, as often as it returns true. The last step writes all
// expectations.
func (s *Snapshot) Step(b []byte, slots int) ([]byte, bool) {
	tb, start := s.tb, len(b)
	if s.done {
		return b, false
	}
	c := coder{b: b}
	for ; slots > 0 && s.slot < tb.used; slots-- {
		k := tb.conn(s.slot)
		s.slot++
		if k.flags&live == 0 || k.Status&(Confirmed|Dying) != Confirmed {
			s.gone(&c, s.slot-1)
			continue
		}
		before := len(tb.held)
		tb.hold(k)
		if s.news(&c, k) {
			tb.record(k, &s.record)
			c.kind(recordConn)
			c.conn(&s.record)
			s.end.counts[recordConn]++
		}
		s.end.total++
		s.end.seqs += k.Seq
		tb.letGo(before)
	}
	if s.slot < tb.used || slots == 0 && !s.expects {
		s.expects = s.slot >= tb.used
		s.add(c.b[start:])
		return c.b, true
	}
	if s.kind != snapshotRound {
		s.rest(&c)
	}
	c.kind(recordEnd)
	s.end.seq, s.end.expectSeq, s.end.stats = tb.seq, tb.expects.seq, tb.stats
	c.end(&s.end)
	s.add(c.b[start:])
	s.done = true
	return binary.LittleEndian.AppendUint32(c.b, s.sum), false
}

// rest writes the expectations, keys and mappings.
func (s *Snapshot) rest(c *coder) {
	tb := s.tb
	tb.EachExpect(func(e *Expect) bool {
		if m := tb.ByID(e.Master); m != nil {
			x := savedExpect{Expect: *e, master: m.Seq, helper: tb.HelperName(e.Helper), assign: tb.helperKey(e.Assign)}
			c.kind(recordExpect)
			c.expect(&x)
			s.end.counts[recordExpect]++
		}
		return true
	})
	for i := range tb.greKeys {
		if m := tb.ByID(tb.greKeys[i].owner); m != nil {
			x := savedKey{tuple: tb.greKeys[i].tuple, owner: m.Seq, dir: uint8(tb.greKeys[i].dir)}
			c.kind(recordKey)
			c.key(&x)
			s.end.counts[recordKey]++
		}
	}
	s.saveMappings(c)
}

// AppendSnapshot writes a snapshot at once.
func (tb *Table) AppendSnapshot(b []byte, now int64) []byte {
	s, b := tb.BeginSnapshot(b, now)
	for more := true; more; {
		b, more = s.Step(b, 1<<20)
	}
	return b
}

// saved is a connection as a snapshot has it.
type saved struct {
	c        Conn
	master   uint64 // Seq
	masqIf   uint32
	policy   string
	sides    uint8 // that have a mapping, as bits
	counters [2]Counter
	start    int64
	labels   [NumLabels / 64]uint64
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

// record is what a snapshot says of a connection.
func (tb *Table) record(k *Conn, r *saved) {
	r.master, r.policy, r.ext, r.labels, r.start = 0, "", false, tb.Labels(k), tb.Started(k)
	k.copyTo(&r.c)
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
