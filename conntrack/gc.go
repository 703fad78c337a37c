package conntrack

// collector scans the table for expired connections in the rhythm of Linux's
// worker: after a scan it waits for the average time that connections have
// left, between one second and one minute. Linux: gc_worker.
type collector struct {
	started bool
	next    int64  // start of the next scan
	cursor  uint32 // next slot of a scan that is under way, 0 if none is
	begun   int64  // start of the scan that is under way
	sum     int64  // of the remaining times, each clamped
	n       int64
}

const (
	gcFirst  = second
	gcMin    = second
	gcMax    = 60 * second
	gcClamp  = 300 * second
	gcWeight = 100 // the initial average counts as so many connections
	gcSmall  = 8192
	gcAtMost = 128 // slots of a big table that one Tick looks at
)

// Tick lets time pass: expired connections are collected as Linux's worker
// would. In a big table a scan takes a second of the packet clock, spread over
// the calls, and no call looks at more than a few hundred connections, so that
// no packet waits long. The engine calls it before each packet and when the
// clock moves.
func (tb *Table) Tick(now int64) {
	if now < tb.gc.next && tb.gc.cursor == 0 && now < tb.expects.next {
		return
	}
	tb.tick(now)
}

// tick is Tick when something is to be done.
func (tb *Table) tick(now int64) {
	tb.tickExpects(now)
	g := &tb.gc
	if !g.started {
		g.started, g.next = true, now+gcFirst
		return
	}
	for g.cursor == 0 {
		if g.next > now {
			return
		}
		if tb.count == 0 {
			g.next = now + gcMax
			return
		}
		g.cursor, g.begun, g.sum, g.n = 1, g.next, gcMax*gcWeight, gcWeight
		if tb.used <= gcSmall {
			tb.scan(g.begun, tb.used)
		} else {
			g.begun = max(g.begun, now-second)
		}
	}
	// So many are to be done by now.
	due := uint64(tb.used) * uint64(min(max(now-g.begun, 0), second)) / uint64(second)
	if done := uint64(g.cursor); due >= done {
		tb.scan(now, uint32(min(due-done+1, gcAtMost)))
	}
}

// scan looks at up to budget slots.
func (tb *Table) scan(now int64, budget uint32) {
	g := &tb.gc
	crowded := tb.cfg.Max / 100 * 95
	for ; budget > 0 && g.cursor < tb.used; budget-- {
		c := tb.conn(g.cursor)
		g.cursor++
		if c.flags&live == 0 || c.Status&(Confirmed|Dying) != Confirmed {
			continue
		}
		before := len(tb.held)
		tb.hold(c)
		if c.expired(now) {
			tb.Kill(c, now)
		} else {
			g.sum += min(max(c.deadline-now, gcMin), gcClamp)
			g.n++
			if tb.pressure && tb.cfg.Max > 0 && tb.count >= crowded && tb.mayDropEarly(c) {
				tb.Kill(c, now)
			}
		}
		tb.letGo(before)
	}
	if g.cursor < tb.used {
		return
	}
	g.cursor = 0
	wait := min(max(g.sum/g.n, gcMin), gcMax)
	g.next = max(g.begun+wait, now+second/hz)
	tb.pressure = false
}

// hz is the tick of the Linux that is imitated: times that it rounds to ticks
// are rounded to 1/hz of a second.
const hz = 250

// mayDropEarly reports a connection that pressure may end: not assured, or
// about to end anyway. Linux: gc_worker_can_early_drop.
func (tb *Table) mayDropEarly(c *Conn) bool {
	if c.Status&Assured == 0 {
		return true
	}
	if t := c.TCP(); t != nil {
		switch t.State {
		case TCPFinWait, TCPCloseWait, TCPLastAck, TCPTimeWait, TCPClose:
			return true
		}
	}
	if s := c.SCTP(); s != nil {
		switch s.State {
		case SCTPShutdownSent, SCTPShutdownRecd, SCTPShutdownAckSent:
			return true
		}
	}
	return false
}
