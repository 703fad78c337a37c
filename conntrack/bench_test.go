package conntrack

import (
	"fmt"
	"testing"
)

func benchTable(b *testing.B, n int) *Table {
	cfg := DefaultConfig()
	cfg.Checksum, cfg.Max = false, 0
	tb := New(cfg)
	many(b, tb, n, false)
	return tb
}

// BenchmarkEstablishedUDP is Track and Confirm of a known flow.
func BenchmarkEstablishedUDP(b *testing.B) {
	for _, n := range []int{1000, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("flows=%d", n), func(b *testing.B) {
			tb := benchTable(b, n)
			p := udp(b, client4, server4, 0, 53, 0)
			b.ReportAllocs()
			b.ResetTimer()
			f := uint32(1)
			for range b.N {
				f = f*1664525 + 1013904223
				setFlow(p, int(uint64(f)*uint64(n)>>32))
				var ref Ref
				tb.Track(p, nil, &ref, 0, false, epoch)
				if ref.Info != InfoNew || ref.Conn.Status&Confirmed == 0 {
					b.Fatal("not found")
				}
				tb.Confirm(&ref, p, epoch)
			}
		})
	}
}

// BenchmarkEstablishedTCP is Track and Confirm of acknowledgements.
func BenchmarkEstablishedTCP(b *testing.B) {
	for _, n := range []int{1000, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("flows=%d", n), func(b *testing.B) {
			cfg := DefaultConfig()
			cfg.Checksum, cfg.Max = false, 0
			tb := New(cfg)
			p := tcp(b, client4, server4, 0, 80, seg{flags: "A", seq: cs, ack: ss})
			for i := range n {
				setFlow(p, i)
				var ref Ref
				tb.Track(p, nil, &ref, 0, false, epoch)
				tb.Confirm(&ref, p, epoch)
			}
			b.ReportAllocs()
			b.ResetTimer()
			f := uint32(1)
			for range b.N {
				f = f*1664525 + 1013904223
				setFlow(p, int(uint64(f)*uint64(n)>>32))
				var ref Ref
				tb.Track(p, nil, &ref, 0, false, epoch)
				if ref.Conn == nil || ref.Conn.Status&Confirmed == 0 {
					b.Fatal("not found")
				}
				tb.Confirm(&ref, p, epoch)
			}
		})
	}
}

// BenchmarkNewUDP is a connection's whole life without a reply.
func BenchmarkNewUDP(b *testing.B) {
	tb := benchTable(b, 10_000)
	p := udp(b, client4, server4, 0, 53, 0)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		setFlow(p, 1<<24+i%(1<<22))
		var ref Ref
		tb.Track(p, nil, &ref, 0, false, epoch)
		tb.Confirm(&ref, p, epoch)
		tb.Kill(ref.Conn, epoch)
		tb.Reap()
	}
}

var sinkTuple Tuple

func BenchmarkTupleOf(b *testing.B) {
	p := udp(b, client4, server4, 1, 2, 0)
	for range b.N {
		sinkTuple, _ = TupleOf(p, 0)
	}
}
