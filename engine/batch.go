package engine

import (
	"math/bits"
	"slices"

	"weir/hook"
	"weir/iface"
	"weir/packet"
)

// stride is how many packets of a batch go through the steps of the short way
// together: enough for reads of memory to overlap, few enough for what they
// read to stay in the nearest cache.
const stride = 32

// Arrival is a packet that arrived: on which interface, how the frame was
// addressed, and its bytes from the IP header on, which may be rewritten.
type Arrival struct {
	In   *iface.Iface
	Link packet.Link
	Data []byte
	// Offload is what the device left to do.
	Offload packet.Offload
	// Now is when it arrived; 0 stands for the time of the batch.
	Now int64
}

// at is the time of the arrival in a batch of that time.
func (a *Arrival) at(now int64) int64 {
	if a.Now != 0 {
		return a.Now
	}
	return now
}

// ReceiveBatch is Receive for packets that are there together: what it does,
// and in which order, is what Receive would for one after the other, at now or
// at times of their own; but it is faster, from some 16 packets on, since the reads of
// memory of a few dozen packets go on at once. It appends their results to
// results[:0], which may be those of an earlier batch; what they hold is valid
// until the next call to the machine.
func (m *Machine) ReceiveBatch(in []Arrival, now int64, results []Result) []Result {
	all := slices.Grow(results[:0], len(in))[:len(in)]
	results = all
	s := &m.sink
	s.out, s.logs = slices.Grow(s.out[:0], len(in)), s.logs[:0]
	ticked := false
	last := now
	for len(in) > 0 {
		n := min(stride, len(in))
		if !ticked {
			s.from()
			last = in[0].at(now)
			m.tick(last)
		}
		y, l := &m.memory.paths, &m.lane
		var todo uint64
		if m.open() {
			todo = l.prepare(y, in[:n])
		}
		for i := range n {
			a, r := &in[i], &results[i]
			if i > 0 || ticked {
				s.from()
				t := a.at(now)
				m.env.CT.Tick(t)
				if t != last {
					last = t
					m.router.Advance(t)
				}
			}
			if todo>>i&1 != 0 {
				q := &l.probes[i]
				if w := l.short(y, q, a.In, last); w != nil {
					s.out = w.send(s.out, q)
					r.forwarded(s.sent(), q.Conn, w.info)
					m.env.CT.Reap()
					continue
				}
			}
			*r = m.walk(a, last)
			if r.Steps != nil {
				r.Steps = slices.Clone(r.Steps)
			}
			l.begin(y)
		}
		ticked = true
		in, results = in[n:], results[n:]
	}
	return all
}

// prepare reads packets and guesses their connections; the result has a bit
// for each that may go the short way. Each step is taken for all packets
// before the next, and reads of memory have loops of their own, in which they
// wait for each other least.
func (l *lane) prepare(y *paths, in []Arrival) (todo uint64) {
	l.begin(y)
	for i := range in {
		a := &in[i]
		l.probes[i].Offload = a.Offload
		if direct(a.In, &a.Link) && l.ct.Read(&l.probes[i], a.Data) {
			todo |= 1 << i
		}
	}
	for i := range in {
		if todo>>i&1 != 0 {
			l.ct.WarmBucket(&l.probes[i])
		}
	}
	for i := range in {
		if todo>>i&1 != 0 {
			l.ct.Guess(&l.probes[i])
		}
	}
	fresh := uint64(0)
	for i := range in {
		if todo>>i&1 == 0 {
			continue
		}
		if l.probes[i].Conn != nil {
			l.ct.WarmConn(&l.probes[i])
		} else if l.ct.Foresee(&l.probes[i], &l.sights[i]) {
			fresh |= 1 << i
		}
	}
	for ; fresh != 0; fresh &= fresh - 1 {
		l.ct.Look(&l.sights[bits.TrailingZeros64(fresh)])
	}
	return todo
}

// from begins the part of the sink that belongs to the next packet.
func (s *sink) from() { s.outAt, s.logAt = len(s.out), len(s.logs) }

// sent is what the packet made leave.
func (s *sink) sent() []Output { return s.out[s.outAt:len(s.out):len(s.out)] }

// said is what the packet made rules write to the log.
func (s *sink) said() []hook.LogRecord { return s.logs[s.logAt:len(s.logs):len(s.logs)] }
