package engine

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"weir/conntrack"
	"weir/packet"
)

// TestWorkersOnFewTuples lets workers fight for a few connections while others
// delete them, let them expire and swap the rules; the table must be whole all
// the time, and no packet may vanish uncounted. The race detector watches.
func TestWorkersOnFewTuples(t *testing.T) {
	for name, rules := range ruleSets {
		t.Run(name, func(t *testing.T) {
			m := gateway(t, rules)
			m.Conntrack().Config().Acct = true
			var clock atomic.Int64
			clock.Store(1e18)
			var wg, others sync.WaitGroup
			var stop atomic.Bool
			var handled, short atomic.Int64
			ifs := m.Ifaces()
			var list []*Worker
			for range 4 {
				list = append(list, m.Worker())
			}
			for i, w := range list {
				wg.Go(func() {
					r := rand.New(rand.NewPCG(uint64(i), 3))
					var results []Result
					for range 150 {
						var in []Arrival
						for range 1 + r.Uint32N(60) {
							dev, d := traffic(r)
							in = append(in, Arrival{In: ifs.Name(dev), Data: d})
						}
						results = w.ReceiveBatch(in, clock.Add(int64(r.Uint32N(2e7))), results)
						for j := range results {
							v := results[j].Verdict
							if v != Forwarded && v != Dropped && v != Delivered {
								t.Errorf("verdict %q", v)
							}
							if v == Forwarded && len(results[j].Out) == 1 {
								short.Add(1)
							}
						}
						handled.Add(int64(len(results)))
					}
				})
			}
			others.Go(func() {
				r := rand.New(rand.NewPCG(9, 3))
				tb := m.Conntrack()
				for !stop.Load() {
					now := clock.Load()
					m.Do(func() {
						switch r.Uint32N(6) {
						case 0:
							n := uint64(0)
							tb.Delete(now, func(c *conntrack.Conn) bool { n++; return n%3 == 0 })
						case 1:
							tb.Each(now, func(c *conntrack.Conn) bool { tb.SetMark(c, uint32(r.Uint32N(2))*7); return true })
						case 2:
							swap(t, m, rules)
						case 3:
							m.Rules(packet.IPv4)
						case 4:
							clock.Add(int64(r.Uint32N(2e9))) // some expire
							m.Tick(clock.Load())
						case 5:
							tb.Reap()
							if err := tb.Check(); err != nil {
								t.Error(err)
								stop.Store(true)
							}
						}
					})
				}
			})
			wg.Wait()
			stop.Store(true)
			others.Wait()
			if short.Load() == 0 || handled.Load() == 0 {
				t.Error("nothing was forwarded")
			}
			m.Do(func() {
				m.Tick(clock.Load())
				m.Conntrack().Reap()
				if err := m.Conntrack().Check(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestAWorkerIsAMachine hands the same traffic to a machine and to the only
// worker of another.
func TestAWorkerIsAMachine(t *testing.T) {
	for name, rules := range ruleSets {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(10) {
				alone, shared := gateway(t, rules), gateway(t, rules)
				var a, b []string
				watch(alone, &a)
				watch(shared, &b)
				w := shared.Worker()
				r := rand.New(rand.NewPCG(seed, 4))
				now := int64(1e18)
				var x, y []Result
				for range 40 {
					now += tickEvery + int64(r.Uint32N(3e9))
					var in, copies []Arrival
					for range r.Uint32N(70) {
						dev, d := traffic(r)
						in = append(in, Arrival{In: shared.Ifaces().Name(dev), Data: d})
						copies = append(copies, Arrival{In: alone.Ifaces().Name(dev), Data: append([]byte(nil), d...)})
					}
					x, y = alone.ReceiveBatch(copies, now, x), w.ReceiveBatch(in, now, y)
					for i := range x {
						if p, q := resultText(x[i]), resultText(y[i]); p != q {
							t.Fatalf("seed %d packet %d:\nmachine %s\nworker  %s", seed, i, p, q)
						}
					}
				}
				shared.Do(func() {
					if p, q := state(alone, now), state(shared, now); p != q {
						t.Fatalf("seed %d: machine\n%s\nworker\n%s", seed, p, q)
					}
					shared.Conntrack().Reap()
					if err := shared.Conntrack().Check(); err != nil {
						t.Error(err)
					}
				})
				if len(a) != len(b) {
					t.Errorf("%d events, %d with a worker", len(a), len(b))
				}
			}
		})
	}
}
