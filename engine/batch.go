package engine

import (
	"slices"

	"weir/conntrack"
	"weir/hook"
	"weir/iface"
	"weir/packet"
)

// stride is how many packets of a batch take a step of the short way together.
// While a group is carried, memory that those behind it need is on its way:
// records of the next, buckets of the one after. More at a time would be asked
// for in vain, as a processor waits for a few dozen lines at most.
const (
	stride = 4
	groups = 3 // under way
)

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
	results = slices.Grow(results[:0], len(in))[:len(in)]
	s := &m.sink
	s.out, s.logs = slices.Grow(s.out[:0], len(in)), s.logs[:0]
	last := now
	if len(in) > 0 {
		s.from()
		last = in[0].at(now)
		m.tick(last)
	}
	y, l := &m.memory.paths, &m.lane
	open := m.open()
	l.start(y, in, open)
	for at := 0; at < len(in); at += stride {
		if open {
			l.step(in, at)
		}
		group := l.group(at)
		for i := at; i < min(at+stride, len(in)); i++ {
			a, r := &in[i], &results[i]
			if i > 0 {
				s.from()
				t := a.at(now)
				m.env.CT.Tick(t)
				if t != last {
					last = t
					m.router.Advance(t)
				}
			}
			fresh := false
			if q := &group[i%stride]; open && q.Ready {
				if w := l.short(y, q, a.In, last); w != nil {
					s.out = w.send(s.out, q)
					r.forwarded(s.sent(), q.Conn, w.info)
					m.env.CT.Reap()
					continue
				}
				fresh = q.Conn == nil && m.env.CT.Absent(q)
			}
			*r = m.walk(a, fresh, last)
			if r.Steps != nil {
				r.Steps = slices.Clone(r.Steps)
			}
			open = open && m.open()
			l.begin(y)
		}
	}
	return results
}

// start brings the first groups of a batch under way, if open.
func (l *lane) start(y *paths, in []Arrival, open bool) {
	if open {
		l.begin(y)
		l.step(in, -2*stride)
		l.step(in, -stride)
	}
}

// group is the packets on their way from number at of the batch on.
func (l *lane) group(at int) *[stride]conntrack.Probe { return &l.probes[uint(at)/stride%groups] }

// step brings the groups behind the one that is about to be carried, which
// begins at number at, a step further. Packets are read and connections guessed;
// nothing is decided.
func (l *lane) step(in []Arrival, at int) {
	if near := at + stride; near >= 0 && near < len(in) {
		list := l.group(near)[:min(stride, len(in)-near)]
		for i := range list {
			if list[i].Ready {
				l.ct.Guess(&list[i])
			}
		}
		l.ct.FetchRecords(list)
	}
	if far := at + 2*stride; far < len(in) {
		in = in[far:min(far+stride, len(in))]
		list := l.group(far)[:len(in)]
		for i := range in {
			a, q := &in[i], &list[i]
			q.Offload = a.Offload
			q.Ready = direct(a.In, &a.Link) && l.ct.Read(q, a.Data)
		}
		conntrack.FetchBuckets(list)
	}
}

// from begins the part of the sink that belongs to the next packet.
func (s *sink) from() { s.outAt, s.logAt = len(s.out), len(s.logs) }

// sent is what the packet made leave.
func (s *sink) sent() []Output { return s.out[s.outAt:len(s.out):len(s.out)] }

// said is what the packet made rules write to the log.
func (s *sink) said() []hook.LogRecord { return s.logs[s.logAt:len(s.logs):len(s.logs)] }
