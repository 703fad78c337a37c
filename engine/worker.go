package engine

import (
	"slices"
	"sync"
	"sync/atomic"

	"weir/hook"
)

// Worker carries packets through a machine that it shares with other workers,
// each in its own goroutine. Established connections go the short way, for
// which workers wait for nobody; every other packet has the whole machine for
// itself while it is walked. Make one with Machine.Worker; one goroutine at a
// time.
type Worker struct {
	m *Machine
	// mu is held while packets go the short way: who takes it knows that none
	// is under way, and may read the tallies. Its owner never waits for
	// anything while he has it.
	mu   sync.Mutex
	lane lane

	out   []Output
	logs  []hook.LogRecord
	arena []byte // of packets that the machine made
}

// workers is what a machine has for them.
type workers struct {
	mu     sync.Mutex // the machine itself
	list   []*Worker
	shown  atomic.Pointer[paths] // nil: nothing goes the short way
	ticked atomic.Int64          // when time passed last
}

// tickEvery is how much time, in ns, workers let pass at once.
const tickEvery = 250_000

// Worker makes a worker. From the first on, the machine belongs to its
// workers: everything else that is done with it, and with its connections,
// is done within Do. Settings of connection tracking must not change any more, but
// for Max and Buckets, within Do.
func (m *Machine) Worker() *Worker {
	w := &Worker{m: m}
	m.Do(func() {
		m.env.CT.Share()
		w.lane.ct = m.env.CT.Lane()
		m.workers.list = append(m.workers.list, w)
		m.show()
	})
	return w
}

// Do calls f while no worker walks a packet, so that f may use the machine as
// if it were alone. Established connections go on meanwhile, all but those
// that f looks at. Connections that f was given must not be used after it.
func (m *Machine) Do(f func()) {
	m.workers.mu.Lock()
	defer m.workers.mu.Unlock()
	f()
	if m.ready {
		m.env.CT.Reap()
	}
}

// show lets the workers see which paths hold.
func (m *Machine) show() {
	if len(m.workers.list) == 0 {
		return
	}
	if !m.open() {
		m.workers.shown.Store(nil)
		return
	}
	y := m.memory.paths
	m.workers.shown.Store(&y)
}

// halt waits until no packet goes the short way and lets none begin, until
// goOn: for the time of a few dozen packets.
func (ws *workers) halt() {
	for _, w := range ws.list {
		w.mu.Lock()
	}
}

func (ws *workers) goOn() {
	for _, w := range ws.list {
		w.mu.Unlock()
	}
}

// settle adds what workers counted for paths to the counters of the rules.
func (ws *workers) settle(y *paths) {
	for _, w := range ws.list {
		w.lane.settle(y)
	}
}

// paths is the paths that hold, for the lane to use until w.mu is given back;
// nil if nothing goes the short way.
func (w *Worker) paths() *paths {
	y := w.m.workers.shown.Load()
	if y != nil {
		w.lane.begin(y)
	}
	return y
}

// ReceiveBatch is Machine.ReceiveBatch for a worker. Packets of one batch take
// effect in order, time passes once. Of a result's connection only the Info may be looked at
// outside of Machine.Do. Results are valid until the worker's next call.
func (w *Worker) ReceiveBatch(in []Arrival, now int64, results []Result) []Result {
	results = slices.Grow(results[:0], len(in))[:len(in)]
	w.out, w.logs, w.arena = slices.Grow(w.out[:0], len(in)), w.logs[:0], w.arena[:0]
	if len(in) == 0 {
		return results
	}
	before := w.pass(now)
	w.mu.Lock()
	y := w.paths()
	open := y != nil
	w.lane.start(y, in, open)
	for at := 0; at < len(in); at += stride {
		if open {
			w.lane.step(in, at)
		}
		group := w.lane.group(at)
		for i := at; i < min(at+stride, len(in)); i++ {
			a := &in[i]
			if q := &group[i%stride]; open && q.Ready && y != nil {
				if p := w.lane.short(y, q, a.In, a.at(now)); p != nil {
					w.out = p.send(w.out, q)
					last := len(w.out)
					results[i].forwarded(w.out[last-1:last:last], q.Conn, p.info)
					continue
				}
			}
			w.mu.Unlock()
			results[i] = w.walk(a, a.at(now))
			w.mu.Lock()
			y = w.paths()
		}
	}
	w.mu.Unlock()
	// What left because time passed goes with the first packet.
	if n := len(before.Out) + len(before.Logs); n > 0 {
		r := &results[0]
		r.Out = w.out[: len(before.Out)+len(r.Out) : len(before.Out)+len(r.Out)]
		r.Logs = w.logs[: len(before.Logs)+len(r.Logs) : len(before.Logs)+len(r.Logs)]
	}
	return results
}

// pass lets time pass, unless somebody walks a packet, who does it too.
func (w *Worker) pass(now int64) (r Result) {
	m := w.m
	if now-m.workers.ticked.Load() < tickEvery || !m.workers.mu.TryLock() {
		return r
	}
	defer m.workers.mu.Unlock()
	m.workers.ticked.Store(now)
	r = m.Tick(now)
	w.keep(&r, nil)
	if m.ready {
		m.env.CT.Reap()
	}
	return r
}

// walk carries one packet the long way.
func (w *Worker) walk(a *Arrival, now int64) (r Result) {
	m := w.m
	m.workers.mu.Lock()
	defer m.workers.mu.Unlock()
	m.begin(now)
	r = m.walk(a, false, now)
	w.keep(&r, a.Data)
	if m.ready {
		m.env.CT.Reap()
	}
	return r
}

// keep moves a result into the worker's own memory, all but the bytes that
// came in.
func (w *Worker) keep(r *Result, in []byte) {
	at := len(w.out)
	for _, o := range r.Out {
		if !sameArray(o.Data, in) {
			from := len(w.arena)
			w.arena = append(w.arena, o.Data...)
			o.Data = w.arena[from:len(w.arena):len(w.arena)]
		}
		w.out = append(w.out, o)
	}
	r.Out = w.out[at:len(w.out):len(w.out)]
	at = len(w.logs)
	w.logs = append(w.logs, r.Logs...)
	r.Logs = w.logs[at:len(w.logs):len(w.logs)]
	r.Steps = slices.Clone(r.Steps)
}

// sameArray reports that two slices end in the same array, as parts of one
// packet do.
func sameArray(a, b []byte) bool {
	return cap(a) > 0 && cap(b) > 0 && &a[:cap(a)][cap(a)-1] == &b[:cap(b)][cap(b)-1]
}
