package main

import (
	"fmt"
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"sync/atomic"
)

// loadWorker measures what only weir has rows for: several cores on one
// machine, pauses of the garbage collector, connections that end together, and
// established traffic beside a flood of new connections.
type loadWorker struct {
	g     []*gatewayWorker // by goroutine; on one machine but for the control
	apart []*gatewayWorker
}

// Workloads of a loadWorker.
const (
	loadCores  = "cores"
	loadPause  = "pause"
	loadExpiry = "expiry"
	loadFlood  = "flood"
)

// Rows of loadFlood. An empty loop takes what a busy core takes from its
// neighbour on this computer, whatever it does.
const (
	besideLoop  = "weir, beside an empty loop"
	besideFlood = "weir, beside a flood"
)

// loadVariants are the rows of each.
var loadVariants = map[string][]string{
	loadCores:  {"weir, one core", "weir, two cores", "weir, two machines"},
	loadPause:  {"weir, garbage collection"},
	loadExpiry: {"weir, half of the connections end"},
	loadFlood:  {"weir, no flood", besideLoop, besideFlood},
}

// opened is a gateway with established flows.
func opened(flows int) (*gatewayWorker, error) {
	g := &gatewayWorker{s: &weirSubject{}}
	if a := g.prepare(request{Workload: "established", Flows: flows}); a.Error != "" {
		return nil, fmt.Errorf("%s", a.Error)
	}
	return g, nil
}

// sharer is g with a worker of its own on g's machine.
func sharer(g *gatewayWorker, seed random) *gatewayWorker {
	s := *g.s.(*weirSubject)
	s.worker, s.in, s.done = s.m.Worker(), nil, nil
	c := *g
	c.s, c.r = &s, seed
	c.slab = make([]byte, batchMax*packetLen)
	c.batch, c.flows = make([]Packet, 0, batchMax), make([]uint32, 0, batchMax)
	return &c
}

func (l *loadWorker) prepare(q request) reply {
	g, err := opened(q.Flows)
	if err != nil {
		return reply{Error: err.Error()}
	}
	l.g = []*gatewayWorker{g}
	switch q.Workload {
	case loadCores:
		l.g = []*gatewayWorker{sharer(g, 1), sharer(g, 2)}
		for i := range 2 {
			a, err := opened(q.Flows / 2)
			if err != nil {
				return reply{Error: err.Error()}
			}
			l.apart = append(l.apart, sharer(a, random(i+1)))
		}
	case loadFlood:
		if err := l.assure(); err != nil {
			return reply{Error: err.Error()}
		}
		l.g = []*gatewayWorker{sharer(g, 1), sharer(g, 2)}
		l.g[1].q.Workload, l.g[1].next = "new", q.Flows
	}
	return reply{Version: g.s.Version(), Variants: loadVariants[q.Workload]}
}

// assure sends another packet of every flow, late enough for those of UDP to
// count as streams, which a flood does not evict.
func (l *loadWorker) assure() error {
	g := l.g[0]
	g.now += 3e9
	for i := range g.port {
		f := FlowAt(uint32(i))
		if _, err := g.push(uint32(i), &f, Outward, Data, g.port[i]); err != nil {
			return err
		}
	}
	return nil
}

func (l *loadWorker) measure(q request) reply {
	switch q.Variant {
	case "weir, one core":
		return sideBySide(l.g[:1], q.Budget)
	case "weir, two cores":
		return sideBySide(l.g, q.Budget)
	case "weir, two machines":
		return sideBySide(l.apart, q.Budget)
	case "weir, no flood":
		return sideBySide(l.g[:1], q.Budget)
	case besideLoop:
		return l.beside(q.Budget, func() {})
	case besideFlood:
		return l.beside(q.Budget, func() {
			fl := l.g[1]
			fl.fill(64)
			fl.s.Stage("", fl.batch)
			fl.run()
		})
	case "weir, garbage collection":
		return l.pause()
	}
	return l.expire()
}

// established lets a gateway take packets until it has had its time, and says
// how long one took.
func established(g *gatewayWorker, budget int64) (ns float64, packets int, err error) {
	var spent int64
	for spent < budget {
		g.fill(1024)
		g.s.Stage("", g.batch)
		t := threadTime()
		left := g.run()
		spent += threadTime() - t
		if left != len(g.batch) {
			return 0, 0, fmt.Errorf("%d of %d packets left", left, len(g.batch))
		}
		packets += left
	}
	return float64(spent) / float64(packets), packets, nil
}

// sideBySide lets gateways take packets side by side, each in a thread of its
// own. The time is that of a packet by all of them.
func sideBySide(gs []*gatewayWorker, budget int64) reply {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var a reply
	rate := 0.0
	for _, g := range gs {
		wg.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			ns, n, err := established(g, budget)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				a.Error = err.Error()
				return
			}
			rate += 1 / ns
			a.Packets += n
		})
	}
	wg.Wait()
	if a.Error == "" {
		a.NS = 1 / rate
	}
	return a
}

// beside measures established traffic while another thread does something again
// and again: a flood, say, by a worker that opens connections for which there is
// no room.
func (l *loadWorker) beside(budget int64, other func()) reply {
	var stop atomic.Bool
	var wg sync.WaitGroup
	before := footprint()
	wg.Go(func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for !stop.Load() {
			other()
		}
	})
	a := sideBySide(l.g[:1], budget)
	stop.Store(true)
	wg.Wait()
	grown := math.Max(0, float64(footprint()-before))
	a.Grown = &grown
	return a
}

// pause is the longest time for which the garbage collector stopped all.
func (l *loadWorker) pause() reply {
	debug.FreeOSMemory()
	before := pauses()
	ns, n, err := established(l.g[0], 50e6)
	for range 5 {
		runtime.GC()
	}
	if err != nil {
		return reply{Error: err.Error()}
	}
	longest := 0.0
	after := pauses()
	for i, c := range after.Counts {
		if c > before.Counts[i] {
			longest = after.Buckets[i+1]
		}
	}
	longest *= 1e9
	return reply{NS: ns, Packets: n, Worst: &longest}
}

func pauses() *metrics.Float64Histogram {
	m := []metrics.Sample{{Name: "/sched/pauses/total/gc:seconds"}}
	metrics.Read(m)
	h := m[0].Value.Float64Histogram()
	return &metrics.Float64Histogram{Counts: append([]uint64(nil), h.Counts...), Buckets: h.Buckets}
}

// expire lets the time of every TCP connection run out, of which each has data
// that nobody acknowledged, and measures packets of UDP, one by one, while
// those are collected. It can be done once.
func (l *loadWorker) expire() reply {
	g := l.g[0]
	g.now += 400e9
	var sum, worst int64
	n := 0
	for table := g.s.(*weirSubject).m.Conntrack(); table.Len() > len(g.port)*6/10 && n < 5e6; n++ {
		f, w := FlowAt(uint32(g.r.below(len(g.port)))), Way(g.r.next()>>63)
		for f.TCP {
			f = FlowAt(uint32(g.r.below(len(g.port))))
		}
		b := g.slab[:packetLen:packetLen]
		f.Build(b, w, Data, g.public(&f), f.ClientPort, 0)
		g.now += 1000
		t := threadTime()
		out := g.s.Push(w, b, g.now)
		t = threadTime() - t
		if out == nil {
			return reply{Error: "a packet was lost while connections ended"}
		}
		sum, worst = sum+t, max(worst, t)
	}
	if n == 0 {
		return reply{Error: "no connection was there to end"}
	}
	x := float64(worst)
	return reply{NS: float64(sum) / float64(n), Packets: n, Worst: &x}
}

func (l *loadWorker) close() {
	*l = loadWorker{}
	runtime.GC()
	runtime.GC()
}
