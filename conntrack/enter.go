package conntrack

import "math"

// Entry is a connection that is entered from outside, not by a packet (Linux:
// what ctnetlink is told).
type Entry struct {
	// Tuple is both directions with their zones.
	Tuple   [2]Tuple
	Timeout int64 // ns; Linux keeps no more than some 99 days
	// Status may have SeenReply, Assured and FixedTimeout; other bits are
	// refused or ignored as Linux does.
	Status Status
	Mark   uint32
	Labels [NumLabels / 64]uint64
	Helper HelperID
	// State is that of TCP or SCTP, if HasState, Tag those of SCTP.
	State    uint8
	HasState bool
	Tag      [2]uint32
	// Restored says that the connection comes back from a saved state: it may
	// be an expected one though its master is not told, and GRE's timeouts are
	// those of the sysctls (Linux leaves them at 0).
	Restored bool
	// Bind, if set, settles NAT of the new connection, which is not in the table
	// yet; false refuses it.
	Bind func(*Conn) bool
}

// EntryError is why a connection was not entered or changed, with the number
// that Linux has for it.
type EntryError uint8

// The errors.
const (
	ErrPermission  EntryError = 1  // EPERM: the timeout is fixed
	ErrNotFound    EntryError = 2  // ENOENT: there is no such connection
	ErrNoRoom      EntryError = 12 // ENOMEM: the table is full
	ErrBusy        EntryError = 16 // EBUSY: a status bit that cannot be set or cleared
	ErrExists      EntryError = 17 // EEXIST: a tuple is taken
	ErrInvalid     EntryError = 22 // EINVAL: something does not fit
	ErrTooLong     EntryError = 28 // ENOSPC: the bucket is crowded
	ErrUnsupported EntryError = 95 // EOPNOTSUPP
)

// Error is the text that Linux programs have for the number.
func (e EntryError) Error() string {
	switch e {
	case ErrPermission:
		return "Operation not permitted"
	case ErrNotFound:
		return "No such file or directory"
	case ErrNoRoom:
		return "Cannot allocate memory"
	case ErrBusy:
		return "Device or resource busy"
	case ErrExists:
		return "File exists"
	case ErrInvalid:
		return "Invalid argument"
	case ErrTooLong:
		return "No space left on device"
	default:
		return "Operation not supported"
	}
}

// maxTimeout is the longest timeout of an entry: 2^31-1 ticks.
const maxTimeout = math.MaxInt32 * (second / hz)

// settable is the bits that may be set from outside.
const settable = SeenReply | Assured | FixedTimeout

// Insert enters a connection. Linux: ctnetlink_create_conntrack.
func (tb *Table) Insert(e *Entry, now int64) (*Conn, error) {
	o, r := &e.Tuple[Original], &e.Tuple[Reply]
	ho, hr := tb.hash(o), tb.hash(r)
	if c, _ := tb.lookup(o, ho, meeting(Original, o.Zone, r.Zone), now); c != nil {
		return c, ErrExists
	}
	if c, _ := tb.lookup(r, hr, meeting(Reply, o.Zone, r.Zone), now); c != nil {
		return c, ErrExists
	}
	if tb.cfg.Max > 0 && tb.count+1 > tb.cfg.Max && !tb.earlyDrop(uint32(ho), now) {
		return nil, ErrNoRoom
	}
	c := tb.newConn(o, r)
	tb.initEvents(c, nil)
	c.deadline = min(max(e.Timeout, 0), maxTimeout)
	if e.Helper != 0 {
		tb.attach(c, e.Helper)
		tb.extOf(c).expMask = tb.expectMask(nil)
	}
	if err := tb.fill(c, e); err != nil {
		tb.Kill(c, now)
		return nil, err
	}
	tb.publish()
	r = &c.Tuple[Reply]
	hr = tb.hash(r)
	if other, _ := tb.find(o, ho, meeting(Original, o.Zone, r.Zone)); other != nil {
		tb.Kill(c, now)
		return other, ErrExists
	}
	if other, _ := tb.find(r, hr, meeting(Reply, o.Zone, r.Zone)); other != nil {
		tb.Kill(c, now)
		return other, ErrExists
	}
	if tb.crowded(uint32(ho)) || tb.crowded(uint32(hr)) {
		tb.stats.ChainTooLong++
		tb.Kill(c, now)
		return nil, ErrTooLong
	}
	c.deadline += now
	tb.start(c, now)
	tb.link(c, ho, hr)
	tb.stats.Insert++
	m := EventBitNew | EventBitReply | EventBitAssured | EventBitHelper | EventBitProtoInfo | EventBitSeqAdj | EventBitMark | EventBitSynproxy
	for bit := range uint8(NumLabels) {
		if e.Labels[bit/64]>>(bit%64)&1 != 0 {
			tb.SetLabel(c, bit)
			m |= EventBitLabel
		}
	}
	c.pending = 0
	if c.eventMask&m != 0 {
		tb.send(c, EventNew, m, now, 0)
	}
	return c, nil
}

// fill sets what a new connection is told beside its tuples.
func (tb *Table) fill(c *Conn, e *Entry) error {
	if e.Bind != nil && !e.Bind(c) {
		return ErrInvalid
	}
	s := e.Status
	if e.Restored {
		c.Status |= s & Expected
		s &^= Expected
	}
	if s&(Expected|Dying) != 0 {
		return ErrBusy
	}
	c.Status |= s & settable
	c.Mark = e.Mark
	if e.HasState {
		if err := c.setState(e.State, e.Tag); err != nil {
			return err
		}
	}
	if !e.Restored {
		return nil
	}
	if g := c.GRE(); g != nil {
		g.Timeout, g.StreamTimeout = tb.cfg.GRETimeout, tb.cfg.GREStreamTimeout
	}
	return nil
}

// setState sets the state of TCP or SCTP. The windows of TCP and their scale are
// unknown: the next segment of each direction begins them, and conntrack(8) asks
// that they are not enforced. Linux: nlattr_to_tcp, nlattr_to_sctp.
func (c *Conn) setState(state uint8, tag [2]uint32) error {
	if t := c.TCP(); t != nil {
		if state >= uint8(numTCPStates) {
			return ErrInvalid
		}
		t.State = TCPStateName(state)
		for d := range t.Side {
			t.Side[d].Flags |= TCPSackPerm | TCPBeLiberal
			if t.State >= TCPTimeWait { // a SYN may begin it anew
				t.Side[d].Flags |= TCPCloseInit
			}
		}
	}
	if s := c.SCTP(); s != nil {
		if state >= uint8(NumSCTPStates) {
			return ErrInvalid
		}
		s.State, s.Tag = SCTPStateName(state), tag
	}
	return nil
}

// Change is what is changed of a connection from outside.
type Change struct {
	Timeout    int64 // ns
	SetTimeout bool
	// Status is the new bits, all of them, if SetStatus.
	Status    Status
	SetStatus bool
	// Mark replaces the bits of MarkMask.
	Mark, MarkMask uint32
	State          uint8
	HasState       bool
	// Labels replaces those of LabelMask.
	Labels, LabelMask [NumLabels / 64]uint64
}

// Change changes a connection of the table. What comes before an error stays
// changed. Linux: ctnetlink_change_conntrack.
func (tb *Table) Change(c *Conn, x *Change, now int64) error {
	if x.SetTimeout {
		if c.Status&FixedTimeout != 0 {
			return ErrPermission
		}
		tb.setTimeout(c, min(max(x.Timeout, 0), maxTimeout), now)
	}
	if x.SetStatus {
		s := x.Status | Confirmed
		if (c.Status^s)&(Expected|Confirmed|Dying) != 0 || c.Status&^s&(SeenReply|Assured) != 0 {
			return ErrBusy
		}
		c.Status = c.Status&^settable | s&settable
	}
	if x.HasState {
		tag := [2]uint32{}
		if s := c.SCTP(); s != nil {
			tag = s.Tag
		}
		if err := c.setState(x.State, tag); err != nil {
			return err
		}
	}
	c.Mark = c.Mark&^x.MarkMask | x.Mark&x.MarkMask
	for bit := range uint8(NumLabels) {
		if x.LabelMask[bit/64]>>(bit%64)&1 != 0 {
			tb.putLabel(c, bit, x.Labels[bit/64]>>(bit%64)&1 != 0)
		}
	}
	c.pending = 0
	m := EventBitReply | EventBitAssured | EventBitHelper | EventBitLabel | EventBitProtoInfo | EventBitSeqAdj | EventBitMark | EventBitSynproxy
	if c.eventMask&m != 0 {
		tb.send(c, EventUpdate, m, now, 0)
	}
	return nil
}

// ZeroCounters sets the counters of a connection to 0. Linux:
// IPCTNL_MSG_CT_GET_CTRZERO.
func (tb *Table) ZeroCounters(c *Conn) {
	if n := tb.Counters(c); n != nil {
		*n = [2]Counter{}
	}
}

// Shift moves the times of a table that was filled before its clock was known.
func (tb *Table) Shift(by int64) {
	for slot := uint32(1); slot < tb.used; slot++ {
		c := tb.conn(slot)
		if c.flags&live == 0 {
			continue
		}
		if c.Status&Confirmed != 0 {
			c.deadline += by
		}
		if c.flags&stamped != 0 {
			tb.starts[slot/chunkConns][slot%chunkConns] += by
		}
	}
	x := &tb.expects
	for slot := uint32(1); slot < x.used; slot++ {
		x.at(slot).deadline += by
	}
	x.next += by
}
