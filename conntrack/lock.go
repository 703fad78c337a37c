package conntrack

import (
	"runtime"
	"sync/atomic"
)

// Workers carry packets the short way side by side, while one goroutine at a
// time, who has the machine's lock, does all else (the long way). Between them
// stands the lock word of each record, as ct->lock does in Linux, only that it
// says a little more:
//
//   - closed: not in the table, or on its way in or out. The long way alone
//     touches it.
//   - open: in the table, free for whoever takes it.
//   - busy: a worker has it, for the time of one packet.
//   - kept: the long way has it, until its packet has run through.
//
// A worker takes open records only, looks whether it is the right one, and
// gives it back; it never waits, neither for a record nor for the machine,
// while it has one. The long way keeps every record of the table that it looks
// at closer than at tuples and status, which workers do not write.
const (
	closed uint32 = iota
	open
	busy
	kept
)

// Share opens the table for Lanes that run side by side. From then on all
// other methods belong to one goroutine at a time, and what they return is
// valid until that goroutine calls Reap.
func (tb *Table) Share() {
	if tb.index.shared {
		return
	}
	tb.index.shared = true
	for slot := uint32(1); slot < tb.used; slot++ {
		tb.settleLock(tb.conn(slot))
	}
}

// lockOf is what the lock of a record is that nobody has.
func (tb *Table) lockOf(c *Conn) uint32 {
	if tb.index.shared && c.flags&live != 0 && c.Status&(Confirmed|Dying) == Confirmed {
		return open
	}
	return closed
}

// settleLock opens the record of a connection in the table and closes others.
func (tb *Table) settleLock(c *Conn) { atomic.StoreUint32(&c.lock, tb.lockOf(c)) }

// hold keeps a record from workers until Reap.
func (tb *Table) hold(c *Conn) {
	if !tb.index.shared {
		return
	}
	for {
		switch atomic.LoadUint32(&c.lock) {
		case closed, kept:
			return
		case open:
			if atomic.CompareAndSwapUint32(&c.lock, open, kept) {
				tb.held = append(tb.held, c.index)
				return
			}
		default:
			runtime.Gosched() // for the time of one packet
		}
	}
}

// entered is for a connection that came into the table: workers see it there,
// and may have it when its packet has run through.
func (tb *Table) entered(c *Conn) {
	if tb.index.shared {
		atomic.StoreUint32(&c.lock, kept)
		tb.held = append(tb.held, c.index)
	}
}

// letGo gives back what was kept since so many records were.
func (tb *Table) letGo(since int) {
	if !tb.index.shared {
		return
	}
	for _, slot := range tb.held[since:] {
		tb.settleLock(tb.conn(slot))
	}
	tb.held = tb.held[:since]
}

// take is a worker's try for the record that was guessed.
func (l *Lane) take(c *Conn) bool {
	return !l.shared || atomic.CompareAndSwapUint32(&c.lock, open, busy)
}

// Done gives back the connection that Own has accepted.
func (l *Lane) Done(q *Probe) {
	if l.shared {
		atomic.StoreUint32(&q.Conn.lock, open)
	}
}
