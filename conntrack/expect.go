package conntrack

import (
	"cmp"
	"slices"

	"weir/packet"
)

// Expect is a connection that a helper expects: the tuple that its first packet
// will have, as far as the mask says (Linux: struct nf_conntrack_expect). It
// holds no Go pointer.
type Expect struct {
	// Tuple is what is expected. The destination counts whole, the source
	// where SrcMask and SrcL4Mask have bits. Its zone is that of the master.
	Tuple     Tuple
	SrcMask   packet.Addr
	SrcL4Mask uint16

	// Master is the connection whose helper expects this one.
	Master ID
	// Helper is the helper that expects, Assign the one that the expected
	// connection gets, 0 for none.
	Helper, Assign HelperID
	Class          uint8
	Flags          ExpectFlags

	// Fn says what NAT does with the expected connection, with SavedAddr and
	// SavedL4 as the destination before translation and Dir the direction,
	// seen from the master, in which the connection will come.
	Fn        ExpectFn
	Dir       Dir
	SavedL4   uint16
	SavedAddr packet.Addr

	// Seq counts expectations from 1.
	Seq uint64

	deadline int64 // ns since the Unix epoch
	slot     uint32
	// hashNext and hashPrev chain the expectations of one bucket, ofNext and
	// ofPrev those of one master, the newest first.
	hashNext, hashPrev, ofNext, ofPrev uint32
	used                               bool
}

// ExpectFlags are properties of an expectation, with Linux's values.
type ExpectFlags uint8

// The flags (NF_CT_EXPECT_*).
const (
	ExpectPermanent ExpectFlags = 1 << iota // may be met more than once
	ExpectInactive                          // not met until the helper says so
	ExpectUserspace                         // made from outside
)

// ExpectFn is what NAT does with an expected connection. The numbers mean
// something to the layer of helpers only; 0 is nothing.
type ExpectFn uint8

// ExpectEventMask is a set of events of expectations (IPEXP_*).
type ExpectEventMask uint8

// The events of expectations.
const (
	ExpectBitNew ExpectEventMask = 1 << iota
	ExpectBitDestroy
)

// ExpectEvent is a message to the listener of expectations.
type ExpectEvent struct {
	Kind   EventKind // EventNew or EventDestroy
	Time   int64     // ns since the Unix epoch
	Expect Expect
	// Master is the original tuple of the master, Helper the helper's name,
	// Left the time left in ns.
	Master Tuple
	Helper string
	Left   int64
}

// ExpectResult says what became of an expectation that a helper wanted.
type ExpectResult uint8

// The results, with Linux's error beside each.
const (
	ExpectOK      ExpectResult = iota
	ExpectBusy                 // another one would be met by the same packet (EBUSY)
	ExpectAlready              // the same is expected by another connection or class (EALREADY)
	ExpectFull                 // too many (EMFILE)
	ExpectNoHelp               // the master has no helper (ESHUTDOWN)
)

// expects is the expectations of a table.
type expects struct {
	count int
	// isMet: met is the expectation that the last packet met.
	isMet    bool
	chunks   []*[chunkExpects]Expect
	used     uint32 // slots handed out so far, slot 0 included
	free     uint32 // chain through hashNext
	seq      uint64
	next     int64 // no deadline is earlier
	buckets  []uint32
	listener func(ExpectEvent)
	met      Expect
}

const (
	chunkExpects  = 32
	expectBuckets = 1024 // Linux: nf_ct_expect_hsize
)

func (x *expects) at(slot uint32) *Expect { return &x.chunks[slot/chunkExpects][slot%chunkExpects] }

func (x *expects) take() *Expect {
	slot := x.free
	if slot != 0 {
		x.free = x.at(slot).hashNext
	} else {
		x.used = max(x.used, 1)
		slot = x.used
		if slot/chunkExpects == uint32(len(x.chunks)) {
			x.chunks = append(x.chunks, new([chunkExpects]Expect))
		}
		x.used++
	}
	e := x.at(slot)
	*e = Expect{slot: slot, used: true}
	return e
}

// bucketOf is where an expectation of a destination stands. Those that one
// packet can meet stand in one bucket.
func (tb *Table) expectBucket(t *Tuple) *uint32 {
	d := Tuple{Dst: t.Dst, DstL4: t.DstL4, Proto: t.Proto, L3: t.L3}
	return &tb.expects.buckets[tb.hash(&d)%expectBuckets]
}

// zoneID is the number of a connection's zone, whatever direction it is for.
func (c *Conn) zoneID() uint16 { return max(c.Tuple[Original].Zone, c.Tuple[Reply].Zone) }

// covers reports whether a tuple is what e expects, the zone aside.
// Linux: nf_ct_tuple_mask_cmp.
func (e *Expect) covers(t *Tuple, mask *packet.Addr, l4 uint16) bool {
	u := &e.Tuple
	if u.Dst != t.Dst || u.DstL4 != t.DstL4 || u.Proto != t.Proto || u.L3 != t.L3 || (u.SrcL4^t.SrcL4)&l4 != 0 {
		return false
	}
	for i := range mask {
		if (u.Src[i]^t.Src[i])&mask[i] != 0 {
			return false
		}
	}
	return true
}

// clashes reports that one packet could meet both.
// Linux: expect_clash.
func (e *Expect) clashes(o *Expect) bool {
	mask := e.SrcMask
	for i := range mask {
		mask[i] &= o.SrcMask[i]
	}
	return e.Tuple.Zone == o.Tuple.Zone && e.covers(&o.Tuple, &mask, e.SrcL4Mask&o.SrcL4Mask)
}

// FindExpect is the expectation, active or not, that a packet of the tuple in
// the zone would meet, nil if there is none. Linux: __nf_ct_expect_find.
func (tb *Table) FindExpect(t *Tuple, zone uint16) *Expect {
	return tb.findExpect(t, zone, 0)
}

func (tb *Table) findExpect(t *Tuple, zone uint16, without ExpectFlags) *Expect {
	x := &tb.expects
	if x.count == 0 {
		return nil
	}
	for slot := *tb.expectBucket(t); slot != 0; {
		e := x.at(slot)
		if e.Flags&without == 0 && e.Tuple.Zone == zone && e.covers(t, &e.SrcMask, e.SrcL4Mask) {
			return e
		}
		slot = e.hashNext
	}
	return nil
}

// meet looks for the expectation that a new connection meets, and makes it the
// child of its master. Linux: nf_ct_find_expectation and init_conntrack.
func (tb *Table) meet(c *Conn, now int64) bool {
	x := &tb.expects
	e := tb.findExpect(&c.Tuple[Original], c.zoneID(), ExpectInactive)
	if e == nil {
		return false
	}
	master := tb.ByID(e.Master)
	if master == nil || master.Status&(Confirmed|Dying) != Confirmed {
		return false
	}
	x.met, x.isMet = *e, true
	if e.Flags&ExpectPermanent == 0 {
		tb.Unexpect(e, now)
	}
	tb.adopt(c, master)
	if x.met.Assign != 0 {
		tb.attach(c, x.met.Assign)
	}
	tb.stats.ExpectNew++
	return true
}

// Met is the expectation that the new connection of the last Track met, as it
// was; nil if there is none, or if it was asked for already.
func (tb *Table) Met() *Expect {
	if !tb.expects.isMet {
		return nil
	}
	tb.expects.isMet = false
	return &tb.expects.met
}

// Expect enters a copy of e, of which Master, Tuple, masks, class, flags and
// what is for NAT are set. An equal one is replaced. With anyMaster an equal
// one of another master counts too. Linux: nf_ct_expect_related.
func (tb *Table) Expect(e *Expect, anyMaster bool, now int64) (*Expect, ExpectResult) {
	x := &tb.expects
	master := tb.ByID(e.Master)
	var h *extension
	if master != nil {
		h = tb.extOf(master)
	}
	if h == nil || !h.attached || int(e.Class) >= maxClasses {
		return nil, ExpectNoHelp
	}
	e.Tuple.Zone = master.zoneID()
	if x.buckets == nil {
		x.buckets = make([]uint32, expectBuckets)
	}
	bucket := tb.expectBucket(&e.Tuple)
	for slot := *bucket; slot != 0; {
		o := x.at(slot)
		slot = o.hashNext
		if (anyMaster || o.Master == e.Master) && o.Tuple == e.Tuple && o.SrcMask == e.SrcMask && o.SrcL4Mask == e.SrcL4Mask {
			if o.Class != e.Class || o.Master != e.Master {
				return nil, ExpectAlready
			}
			tb.Unexpect(o, now)
			break
		}
		if o.clashes(e) {
			return nil, ExpectBusy
		}
	}
	timeout := int64(0)
	if h.id != 0 {
		p := &tb.helpers[h.id-1].Classes[min(int(e.Class), len(tb.helpers[h.id-1].Classes)-1)]
		timeout = p.Timeout
		if p.Max != 0 && int(h.count[e.Class]) >= p.Max {
			tb.evict(h, e.Class, now)
		}
	}
	if x.count >= tb.cfg.ExpectMax {
		return nil, ExpectFull
	}
	x.seq++
	c := *e
	c.Seq, c.deadline, c.Helper = x.seq, now+timeout, h.id
	n := tb.place(&c, h)
	tb.stats.ExpectCreate++
	tb.sendExpect(n, EventNew, ExpectBitNew, now)
	return n, ExpectOK
}

// place enters a copy of an expectation whose master has the extension h.
func (tb *Table) place(e *Expect, h *extension) *Expect {
	x := &tb.expects
	if x.buckets == nil {
		x.buckets = make([]uint32, expectBuckets)
	}
	bucket := tb.expectBucket(&e.Tuple)
	n := x.take()
	slot := n.slot
	*n = *e
	n.slot, n.used = slot, true
	n.hashNext, n.hashPrev, n.ofNext, n.ofPrev = *bucket, 0, h.first, 0
	if n.hashNext != 0 {
		x.at(n.hashNext).hashPrev = slot
	}
	if n.ofNext != 0 {
		x.at(n.ofNext).ofPrev = slot
	}
	*bucket, h.first = slot, slot
	h.count[n.Class]++
	x.count++
	if x.count == 1 || n.deadline < x.next {
		x.next = n.deadline
	}
	return n
}

// evict removes the oldest expectation of a class.
func (tb *Table) evict(h *extension, class uint8, now int64) {
	var last *Expect
	for slot := h.first; slot != 0; {
		e := tb.expects.at(slot)
		if e.Class == class {
			last = e
		}
		slot = e.ofNext
	}
	if last != nil {
		tb.Unexpect(last, now)
	}
}

// Unexpect removes an expectation of the table. It does nothing to one that is
// gone. Linux: nf_ct_unexpect_related.
func (tb *Table) Unexpect(e *Expect, now int64) {
	x := &tb.expects
	if !e.used {
		return
	}
	slot := e.slot
	if e.hashNext != 0 {
		x.at(e.hashNext).hashPrev = e.hashPrev
	}
	if e.hashPrev != 0 {
		x.at(e.hashPrev).hashNext = e.hashNext
	} else {
		*tb.expectBucket(&e.Tuple) = e.hashNext
	}
	h := tb.extOf(tb.ByID(e.Master))
	if e.ofNext != 0 {
		x.at(e.ofNext).ofPrev = e.ofPrev
	}
	if e.ofPrev != 0 {
		x.at(e.ofPrev).ofNext = e.ofNext
	} else {
		h.first = e.ofNext
	}
	h.count[e.Class]--
	x.count--
	tb.stats.ExpectDelete++
	tb.sendExpect(e, EventDestroy, ExpectBitDestroy, now)
	*e = Expect{slot: slot, hashNext: x.free}
	x.free = slot
}

// unexpectAll removes the expectations of a connection.
// Linux: nf_ct_remove_expectations.
func (tb *Table) unexpectAll(c *Conn, now int64) {
	if h := tb.extOf(c); h != nil {
		for h.first != 0 {
			tb.Unexpect(tb.expects.at(h.first), now)
		}
	}
}

// FlushExpects removes all expectations (conntrack -F expect).
func (tb *Table) FlushExpects(now int64) {
	x := &tb.expects
	for slot := uint32(1); slot < x.used; slot++ {
		tb.Unexpect(x.at(slot), now)
	}
}

// ExpectedBy calls f with the expectations of a connection, the newest first,
// until it returns false. f may remove the one that it is given.
func (tb *Table) ExpectedBy(c *Conn, f func(*Expect) bool) {
	h := tb.extOf(c)
	if h == nil {
		return
	}
	for slot := h.first; slot != 0; {
		e := tb.expects.at(slot)
		slot = e.ofNext
		if !f(e) {
			return
		}
	}
}

// RenewExpect gives an expectation another time to live.
func (tb *Table) RenewExpect(e *Expect, timeout, now int64) {
	e.deadline = now + timeout
	tb.expects.next = min(tb.expects.next, e.deadline)
}

// tickExpects removes the expectations whose time is over.
func (tb *Table) tickExpects(now int64) {
	x := &tb.expects
	if now < x.next {
		return
	}
	x.next = 1<<63 - 1
	for slot := uint32(1); slot < x.used; slot++ {
		e := x.at(slot)
		switch {
		case !e.used:
		case e.deadline <= now:
			tb.Unexpect(e, now)
		default:
			x.next = min(x.next, e.deadline)
		}
	}
}

// Expects is the number of expectations.
func (tb *Table) Expects() int { return tb.expects.count }

// EachExpect calls f with the expectations in the order of their making until
// it returns false. f must not change the table.
func (tb *Table) EachExpect(f func(*Expect) bool) {
	list := make([]*Expect, 0, tb.expects.count)
	for slot := uint32(1); slot < tb.expects.used; slot++ {
		if e := tb.expects.at(slot); e.used {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(a, b *Expect) int { return cmp.Compare(a.Seq, b.Seq) })
	for _, e := range list {
		if !f(e) {
			return
		}
	}
}

// Left is the time that an expectation has left, ns.
func (e *Expect) Left(now int64) int64 { return max(0, e.deadline-now) }

// OnExpect sets the listener of expectations; nil for none. The listener must
// not call into the table.
func (tb *Table) OnExpect(f func(ExpectEvent)) { tb.expects.listener = f }

// sendExpect tells the listener. Linux: nf_ct_expect_event_report.
func (tb *Table) sendExpect(e *Expect, kind EventKind, bit ExpectEventMask, now int64) {
	x := &tb.expects
	if x.listener == nil {
		return
	}
	m := tb.ByID(e.Master)
	if tb.extOf(m).expMask&bit == 0 {
		return
	}
	x.listener(ExpectEvent{
		Kind: kind, Time: now, Expect: *e, Master: m.Tuple[Original],
		Helper: tb.HelperName(e.Helper), Left: e.Left(now),
	})
}
