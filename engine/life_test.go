package engine

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"weir/conntrack"
)

// TestResizeAndFlushWhileWorkersRun changes how many buckets and connections the
// table may have, deletes by a filter and flushes while workers carry packets.
// Every connection that began and is gone was told to have ended, once.
func TestResizeAndFlushWhileWorkersRun(t *testing.T) {
	m := gateway(t, gatewayRules)
	tb := m.Conntrack()
	began, ended := map[uint64]int{}, map[uint64]int{}
	tb.OnEvent(func(e conntrack.Event) { // while the machine is held
		switch e.Kind {
		case conntrack.EventNew:
			began[e.Conn.Seq]++
		case conntrack.EventDestroy:
			ended[e.Conn.Seq]++
		}
	})
	var clock atomic.Int64
	clock.Store(1e18)
	var wg sync.WaitGroup
	var stop atomic.Bool
	var handled atomic.Int64
	ifs := m.Ifaces()
	for i := range 3 {
		w := m.Worker()
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 11))
			var results []Result
			for !stop.Load() {
				var in []Arrival
				for range 1 + r.Uint32N(40) {
					dev, d := traffic(r)
					in = append(in, Arrival{In: ifs.Name(dev), Data: d})
				}
				results = w.ReceiveBatch(in, clock.Add(int64(r.Uint32N(1e6))), results)
				handled.Add(int64(len(in)))
			}
		})
	}
	r := rand.New(rand.NewPCG(12, 12))
	for i := range 300 {
		for more := handled.Load() + 30; handled.Load() < more; {
			runtime.Gosched() // some packets between the changes
		}
		m.Do(func() {
			now := clock.Load()
			switch i % 6 {
			case 0:
				tb.Config().Buckets = 1 << r.IntN(10) // early drop and the limit of chains look there
			case 1:
				tb.Config().Max = 1 + r.IntN(20)
			case 2:
				tb.Config().Max = 0
			case 3:
				tb.Delete(now, func(c *conntrack.Conn) bool { return c.Tuple[conntrack.Original].SrcL4%2 == 0 })
			case 4:
				tb.Flush(now)
			case 5:
				tb.Reap()
				if err := tb.Check(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	stop.Store(true)
	wg.Wait()
	m.Do(func() {
		tb.Reap()
		if err := tb.Check(); err != nil {
			t.Error(err)
		}
		here := 0
		tb.Each(clock.Load(), func(c *conntrack.Conn) bool {
			here++
			if ended[c.Seq] != 0 {
				t.Errorf("#%d was told to have ended", c.Seq)
			}
			return true
		})
		if len(ended) == 0 || len(began) != len(ended)+here {
			t.Errorf("%d began, %d ended, %d are there", len(began), len(ended), here)
		}
		for seq, n := range ended {
			if n != 1 || began[seq] != 1 {
				t.Errorf("#%d began %d times and ended %d times", seq, began[seq], n)
			}
		}
	})
}
