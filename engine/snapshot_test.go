package engine

import (
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/conntrack"
)

// TestASnapshotIsWrittenWhileWorkersRun writes snapshots beside workers and reads
// each into a new machine, which must be whole; when the workers have stopped,
// the snapshot and the machine are equal.
func TestASnapshotIsWrittenWhileWorkersRun(t *testing.T) {
	for name, rules := range ruleSets {
		t.Run(name, func(t *testing.T) {
			m := gateway(t, rules)
			var clock atomic.Int64
			clock.Store(1e18)
			var wg sync.WaitGroup
			var stop atomic.Bool
			var batches atomic.Int64
			ifs := m.Ifaces()
			for i := range 3 {
				w := m.Worker()
				wg.Go(func() {
					r := rand.New(rand.NewPCG(uint64(i), 9))
					var results []Result
					for !stop.Load() {
						var in []Arrival
						for range 1 + r.Uint32N(40) {
							dev, d := traffic(r)
							in = append(in, Arrival{In: ifs.Name(dev), Data: d})
						}
						results = w.ReceiveBatch(in, clock.Add(int64(r.Uint32N(1e6))), results)
						batches.Add(1)
					}
				})
			}
			check := func(data []byte) *Machine {
				n := gateway(t, rules)
				if err := n.LoadSnapshot(data, nil); err != nil {
					t.Error(err)
				} else if err := n.Conntrack().Check(); err != nil {
					t.Error(err)
				}
				return n
			}
			for n := 0; n < 20 || batches.Load() < 30; n++ { // a busy computer lets the workers wait
				check(m.AppendSnapshot(nil, clock.Load()))
			}
			stop.Store(true)
			wg.Wait()
			n := check(m.AppendSnapshot(nil, clock.Load()))
			for _, x := range []*Machine{m, n} { // what ended is collected from both
				x.Do(func() { x.Conntrack().Each(clock.Load(), func(*conntrack.Conn) bool { return true }) })
			}
			if a, b := m.Conntrack(), n.Conntrack(); a.Len() != b.Len() || a.Stats() != b.Stats() || a.Len() == 0 {
				t.Errorf("%d connections, %d came back", a.Len(), b.Len())
			}
			if err := n.LoadSnapshot(nil, nil); !errors.Is(err, conntrack.ErrNotEmpty) {
				t.Error(err)
			}
		})
	}
}

// BenchmarkSnapshot writes snapshots of 200,000 connections and reports for how
// long packets that walk wait for a step, in µs: of a hundred steps the 50th and
// the 99th.
func BenchmarkSnapshot(b *testing.B) {
	m := gateway(b, gatewayRules)
	tb := m.Conntrack()
	tb.Config().Max = 0
	for i := range uint32(200_000) {
		e := &conntrack.Entry{Timeout: 1e12}
		o := conntrack.Tuple{SrcL4: uint16(i), DstL4: 53, Proto: 17, L3: 2}
		o.Src[0], o.Src[1], o.Dst[0] = 192, byte(i>>16), 198
		e.Tuple[0] = o
		e.Tuple[1], _ = o.Inverse()
		if _, err := tb.Insert(e, 1); err != nil {
			b.Fatal(err)
		}
	}
	var out []byte
	var steps []time.Duration
	for b.Loop() {
		s, buf := tb.BeginSnapshot(out[:0], 1)
		for more := true; more; {
			if cap(buf)-len(buf) < 1<<18 {
				buf = append(make([]byte, 0, 2*cap(buf)+1<<19), buf...)
			}
			at := time.Now()
			buf, more = s.Step(buf, snapshotSlots)
			steps = append(steps, time.Since(at))
		}
		out = buf
	}
	slices.Sort(steps)
	b.ReportMetric(float64(steps[len(steps)/2].Microseconds()), "median-µs")
	b.ReportMetric(float64(steps[len(steps)*99/100].Microseconds()), "p99-µs")
	b.ReportMetric(float64(len(out))/200_000, "bytes/connection")
}
