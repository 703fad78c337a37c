package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
)

// request is what the first process asks of a subject's process, one JSON
// object a line.
type request struct {
	Op       string `json:"op"` // prepare, measure, close
	Workload string `json:"workload"`
	Variant  string `json:"variant"`
	Flows    int    `json:"flows"`
	Rules    int    `json:"rules"`
	Budget   int64  `json:"budget"` // ns that a measurement may take
}

// reply answers a request.
type reply struct {
	Skip      string   `json:"skip,omitempty"`
	Error     string   `json:"error,omitempty"`
	Version   string   `json:"version,omitempty"`
	Variants  []string `json:"variants,omitempty"`
	Bytes     *float64 `json:"bytes,omitempty"` // a connection
	NS        float64  `json:"ns"`              // a packet
	ProcessNS float64  `json:"process_ns"`      // of all threads
	Allocs    *float64 `json:"allocs,omitempty"`
	Packets   int      `json:"packets"`
	Worst     *float64 `json:"worst,omitempty"` // ns, of the longest pause or packet
	Grown     *float64 `json:"grown,omitempty"` // bytes
}

// worker is what runs in a subject's process.
type worker interface {
	prepare(request) reply
	measure(request) reply
	close()
}

// work serves requests until the first process is gone.
func work(name string) {
	runtime.LockOSThread()
	var w worker = &memoryWorker{}
	if s := newSubject(name); s != nil {
		w = &gatewayWorker{s: s}
	} else if name == "load" {
		w = &loadWorker{}
	} else if name == "replay" {
		w = &replayWorker{}
	}
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var q request
		if in.Decode(&q) != nil {
			w.close()
			return
		}
		var a reply
		switch q.Op {
		case "prepare":
			a = w.prepare(q)
		case "measure":
			a = w.measure(q)
		default:
			w.close()
		}
		if out.Encode(a) != nil {
			return
		}
	}
}

const (
	batchMax = 4096
	// step is the packet clock's: 5 million packets a second.
	step = 200
)

// gatewayWorker drives a Subject.
type gatewayWorker struct {
	s     Subject
	q     request
	port  []uint16 // by flow: the client's port as the servers see it
	now   int64
	round uint32
	r     random
	next  int // the next flow that is new
	rules []Rule

	slab    []byte
	batch   []Packet
	flows   []uint32 // of the batch, for checks
	perPush float64  // ns, a guess: how large a batch may be
}

func (g *gatewayWorker) prepare(q request) reply {
	g.q, g.r, g.next, g.round = q, 1, 0, 0
	g.now = 1_700_000_000e9
	g.slab = make([]byte, batchMax*packetLen)
	g.batch = make([]Packet, 0, batchMax)
	g.flows = make([]uint32, 0, batchMax)
	g.rules = MixedRules(q.Rules)
	var err error
	var bytes *float64
	if q.Workload == "new" {
		if err = g.s.Open(q.Flows, g.rules); err == nil {
			err = g.tryNew()
		}
	} else {
		g.port = make([]uint16, q.Flows)
		before := g.memory()
		err = g.s.Open(q.Flows, g.rules)
		if err == nil {
			err = g.establish()
		}
		if err == nil && g.s.Translates() {
			b := float64(g.memory() - before)
			if f, ok := g.s.(foreign); ok {
				b += float64(f.Fixed())
			}
			b /= float64(q.Flows)
			bytes = &b
		}
		if err == nil {
			err = g.check()
		}
	}
	if err != nil {
		g.close()
		if why, ok := skipReason(err); ok {
			return reply{Skip: why}
		}
		return reply{Error: err.Error()}
	}
	return reply{Version: g.s.Version(), Variants: g.s.Variants(), Bytes: bytes}
}

func (g *gatewayWorker) memory() int64 {
	if f, ok := g.s.(foreign); ok {
		return f.Memory()
	}
	return footprint()
}

func (g *gatewayWorker) close() {
	g.s.Close()
	g.port, g.slab, g.batch, g.flows, g.rules = nil, nil, nil, nil, nil
	runtime.GC()
}

// public is the client's address as the servers see it.
func (g *gatewayWorker) public(f *Flow) uint32 {
	if g.s.Translates() {
		return wanAddr
	}
	return f.Client
}

// push sends one packet of a flow and checks what comes out.
func (g *gatewayWorker) push(i uint32, f *Flow, w Way, k Kind, port uint16) (uint16, error) {
	b := g.slab[:packetLen:packetLen]
	f.Build(b, w, k, g.public(f), port, 0)
	var in [packetLen]byte
	copy(in[:], b)
	g.now += step
	out := g.s.Push(w, b, g.now)
	if out == nil {
		return 0, fmt.Errorf("flow %d: a packet did not leave", i)
	}
	port, err := verify(f, w, in[:], out, g.s.Translates(), port)
	if err != nil {
		return 0, fmt.Errorf("flow %d: %w", i, err)
	}
	return port, nil
}

// establish opens every flow in both directions. Each packet is checked; for
// subjects that take single packets slowly the first and the last flows only,
// and that none of the others is lost.
func (g *gatewayWorker) establish() error {
	_, bulk := g.s.(interface{ Bulk() bool })
	n := len(g.port)
	for i := 0; i < n; i++ {
		if bulk && i == 64 && n > 128 {
			if err := g.establishMany(i, n-64); err != nil {
				return err
			}
			i = n - 64
		}
		f := FlowAt(uint32(i))
		port, err := g.push(uint32(i), &f, Outward, Opening, 0)
		if err == nil {
			_, err = g.push(uint32(i), &f, Inward, Opening, port)
		}
		if err == nil {
			_, err = g.push(uint32(i), &f, Outward, Data, port)
		}
		if err != nil {
			return err
		}
		g.port[i] = port
	}
	return nil
}

// establishMany opens the flows from first to end in batches. It supposes
// that ports are kept: a reply to another would not be forwarded.
func (g *gatewayWorker) establishMany(first, end int) error {
	size := batchMax
	if g.q.Rules > 1000 {
		size = 64
	}
	for ; first < end; first += size {
		for _, k := range []struct {
			w Way
			k Kind
		}{{Outward, Opening}, {Inward, Opening}, {Outward, Data}} {
			g.batch = g.batch[:0]
			for i := first; i < min(first+size, end); i++ {
				at := len(g.batch) * packetLen
				b := g.slab[at : at+packetLen : at+packetLen]
				f := FlowAt(uint32(i))
				g.port[i] = f.ClientPort
				f.Build(b, k.w, k.k, g.public(&f), f.ClientPort, 0)
				g.batch = append(g.batch, Packet{b, k.w})
			}
			g.s.Stage(g.s.Variants()[0], g.batch)
			if left := g.run(); left != len(g.batch) {
				return fmt.Errorf("flows from %d: %d of %d packets left", first, left, len(g.batch))
			}
		}
	}
	return nil
}

// tryNew opens a few flows, checked, before new ones are timed.
func (g *gatewayWorker) tryNew() error {
	for range 32 {
		f := FlowAt(uint32(g.next))
		port, err := g.push(uint32(g.next), &f, Outward, Opening, 0)
		if err == nil {
			_, err = g.push(uint32(g.next), &f, Inward, Opening, port)
		}
		if err != nil {
			return err
		}
		g.next++
	}
	return nil
}

// check lets every variant take a batch and checks what the hooks alone made
// of it, which Push does not show.
func (g *gatewayWorker) check() error {
	for _, v := range g.s.Variants() {
		g.fill(64)
		in := append([]byte(nil), g.slab[:64*packetLen]...)
		g.s.Stage(v, g.batch)
		if left := g.run(); left != len(g.batch) {
			return fmt.Errorf("%s: %d of %d packets left", v, left, len(g.batch))
		}
		st, ok := g.s.(interface{ Staged(int) []byte })
		if !ok || v == g.s.Variants()[0] {
			continue
		}
		for i, p := range g.batch {
			f := FlowAt(g.flows[i])
			b := in[i*packetLen : (i+1)*packetLen]
			b[8]++ // the hooks leave the TTL alone
			if _, err := verify(&f, p.Way, b, st.Staged(i), true, 0); err != nil {
				return fmt.Errorf("%s: %w", v, err)
			}
		}
	}
	return nil
}

func (g *gatewayWorker) run() int {
	left := g.s.Run(g.now, step)
	g.now += int64(len(g.batch)) * step
	return left
}

// fill builds the next batch: established flows at random in both
// directions, or the next new ones.
func (g *gatewayWorker) fill(n int) {
	g.batch, g.flows = g.batch[:0], g.flows[:0]
	g.round++
	for i := range n {
		b := g.slab[i*packetLen : (i+1)*packetLen : (i+1)*packetLen]
		if g.q.Workload == "new" {
			f := FlowAt(uint32(g.next))
			f.Build(b, Outward, Opening, 0, 0, 0)
			g.batch = append(g.batch, Packet{b, Outward})
			g.next++
			continue
		}
		at := g.r.below(len(g.port))
		f := FlowAt(uint32(at))
		w := Way(g.r.next() >> 63)
		f.Build(b, w, Data, g.public(&f), g.port[at], g.round)
		g.batch = append(g.batch, Packet{b, w})
		g.flows = append(g.flows, uint32(at))
	}
}

func (g *gatewayWorker) measure(q request) reply {
	limit, isNew := 2<<20, g.q.Workload == "new"
	if isNew { // always from an empty table
		g.s.Close()
		runtime.GC()
		if err := g.s.Open(g.q.Flows, g.rules); err != nil {
			return reply{Error: err.Error()}
		}
		g.next, limit = 0, g.q.Flows
		q.Budget *= 2
	}
	g.perPush = 0
	var warm, ns, process int64
	var allocs uint64
	packets := 0
	for packets < limit {
		n := g.batchSize(limit - packets)
		g.fill(n)
		g.s.Stage(q.Variant, g.batch)
		a0, p0, t0 := mallocs(), processTime(), threadTime()
		left := g.run()
		t := threadTime() - t0
		p := processTime() - p0
		if left != n {
			return reply{Error: fmt.Sprintf("%d of %d packets left", left, n)}
		}
		g.perPush = float64(t) / float64(n)
		// New connections count from the first; established ones when the
		// caches know them again.
		if !isNew && warm < q.Budget/8 {
			warm += t
			continue
		}
		ns, process, packets = ns+t, process+p, packets+n
		allocs += mallocs() - a0
		if ns > q.Budget && (!isNew || g.q.Rules > 0) {
			break
		}
	}
	if packets == 0 {
		return reply{Error: "nothing was measured"}
	}
	a := reply{NS: float64(ns) / float64(packets), ProcessNS: float64(process) / float64(packets), Packets: packets}
	if _, ok := g.s.(foreign); !ok {
		x := float64(allocs) / float64(packets)
		a.Allocs = &x
	}
	return a
}

// batchSize keeps a batch under some 20 ms.
func (g *gatewayWorker) batchSize(left int) int {
	n := 32
	if g.perPush > 0 {
		n = max(32, min(batchMax, int(20e6/g.perPush)))
	}
	return min(n, left)
}
