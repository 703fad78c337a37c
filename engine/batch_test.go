package engine

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"weir/conntrack"
	"weir/packet"
)

// watch notes every event of a machine's connections.
func watch(m *Machine, to *[]string) {
	m.Conntrack().OnEvent(func(e conntrack.Event) {
		*to = append(*to, fmt.Sprintf("%s %x %d %v %v", e.Kind, e.Mask, e.Time, e.Conn.Tuple, e.Conn.Status))
	})
}

// TestABatchIsItsPacketsInOrder hands the same traffic to one machine packet
// by packet and to another in batches: fates, bytes, events, connections and
// counters must be equal.
func TestABatchIsItsPacketsInOrder(t *testing.T) {
	for name, rules := range ruleSets {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(20) {
				alone, batched := gateway(t, rules), gateway(t, rules)
				for _, m := range []*Machine{alone, batched} {
					m.Conntrack().Config().Acct = seed%2 == 0
					m.memory.on = seed%5 != 4
				}
				var a, b []string
				watch(alone, &a)
				watch(batched, &b)
				r := rand.New(rand.NewPCG(seed, 2))
				now := int64(1e18)
				var results []Result
				for range 40 {
					now += int64(r.Uint32N(3e9))
					var in []Arrival
					var copies [][]byte
					for range r.Uint32N(70) {
						dev, d := traffic(r)
						in = append(in, Arrival{In: batched.Ifaces().Name(dev), Data: d})
						if seed%3 == 0 { // times of their own
							now += int64(r.Uint32N(2e8))
							in[len(in)-1].Now = now
						}
						copies = append(copies, bytes.Clone(d))
					}
					var want []string
					for i := range in {
						want = append(want, resultText(alone.Receive(alone.Ifaces().Name(in[i].In.Name), packet.Link{}, copies[i], in[i].at(now))))
					}
					results = batched.ReceiveBatch(in, now, results)
					if len(results) != len(in) {
						t.Fatalf("%d results for %d packets", len(results), len(in))
					}
					for i := range results {
						if got := resultText(results[i]); got != want[i] {
							t.Fatalf("seed %d packet %d of %d:\nbatched %s\nalone   %s", seed, i, len(in), got, want[i])
						}
					}
				}
				if x, y := fmt.Sprint(a), fmt.Sprint(b); x != y {
					t.Fatalf("seed %d events: alone\n%s\nbatched\n%s", seed, x, y)
				}
				if x, y := state(alone, now), state(batched, now); x != y {
					t.Fatalf("seed %d: alone\n%s\nbatched\n%s", seed, x, y)
				}
				if alone.Drops() != batched.Drops() || alone.Conntrack().Stats() != batched.Conntrack().Stats() {
					t.Fatalf("seed %d: counters differ", seed)
				}
			}
		})
	}
}

func TestABatchDoesNotAllocate(t *testing.T) {
	m := gateway(t, gatewayRules)
	f := establish(t, m, 40, packet.TCP)
	lan := m.Ifaces().Name("lan0")
	in := make([]Arrival, len(f))
	for i := range in {
		in[i] = Arrival{In: lan, Data: make([]byte, 128)}
	}
	var results []Result
	run := func() {
		for i := range in {
			in[i].Data = in[i].Data[:copy(in[i].Data, f[i].there)]
		}
		results = m.ReceiveBatch(in, 1e18+1, results)
		for i := range results {
			if results[i].Verdict != Forwarded || len(results[i].Out) != 1 {
				t.Fatalf("packet %d: %+v", i, results[i])
			}
		}
	}
	run()
	if n := testing.AllocsPerRun(100, run); n != 0 {
		t.Errorf("%v allocations a batch", n)
	}
}
