package engine

import (
	"fmt"
	"testing"
)

// BenchmarkNewTogether is BenchmarkNew for packets that come in batches.
func BenchmarkNewTogether(b *testing.B) {
	for _, c := range []struct{ rules, conns int }{{10, 100_000}, {10_000, 100_000}, {2, 1_000_000}} {
		b.Run(fmt.Sprintf("rules=%d/conns=%d", c.rules, c.conns), func(b *testing.B) {
			const batch = 50
			m := bigGateway(b, mixedRules(c.rules-2), c.conns, false)
			lan := m.Ifaces().Name("lan0")
			all := newPackets(c.conns)
			buf := make([]byte, batch*64)
			in := make([]Arrival, batch)
			var out []Result
			now, i := int64(1e18), 0
			for b.Loop() {
				if i == c.conns {
					b.StopTimer()
					m = bigGateway(b, mixedRules(c.rules-2), c.conns, false)
					lan = m.Ifaces().Name("lan0")
					i = 0
					b.StartTimer()
				}
				now += batch * 1000
				copy(buf, all[i*64:])
				for j := range in {
					in[j] = Arrival{In: lan, Data: buf[j*64 : j*64+64]}
				}
				out = m.ReceiveBatch(in, now, out)
				for j := range out {
					if len(out[j].Out) != 1 {
						b.Fatalf("connection %d: %s %s", i+j, out[j].Verdict, out[j].Reason)
					}
				}
				i += batch
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/batch, "ns/conn")
		})
	}
}
