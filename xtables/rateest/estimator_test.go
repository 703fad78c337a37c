package rateest

import (
	"math/rand/v2"
	"testing"
)

// TestDecayInOneStep compares many silent intervals at once with one by one.
func TestDecayInOneStep(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		w := uint8(1 + r.IntN(30))
		a := average{avg: r.Uint64() >> r.IntN(63)}
		b, n := a, uint64(r.IntN(3000))
		a.decay(n, w)
		for range n {
			b.avg += 0 - b.avg>>w
		}
		if a.avg != b.avg {
			t.Fatalf("weight %d, %d intervals: %d, want %d", w, n, a.avg, b.avg)
		}
	}
}

func TestRates(t *testing.T) {
	const ms = 1_000_000
	for _, c := range []struct {
		name        string
		log, weight uint8
		every       int64 // ms between packets of 100 bytes
		n           int
		after       int64 // ms after the first packet
		bps, pps    uint64
	}{
		{"nothing is known within the first interval", 0, 1, 10, 10, 249, 0, 0},
		// 10 packets in a quarter second are 40 a second, of which half counts.
		{"half of the first interval counts", 0, 1, 10, 10, 250, 2000, 20},
		{"and half of that after a silent one", 0, 1, 10, 10, 500, 1000, 10},
		{"an interval of eight seconds", 5, 2, 100, 80, 8000, 250, 2},
		{"silence for a century", 0, 30, 1, 250, 100 * 365 * 86400 * 1000, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := Estimator{Log: c.log, Weight: c.weight}
			const start = 1767225600_000_000_000
			for i := range c.n {
				e.Add(100, start+int64(i)*c.every*ms)
			}
			if b, p := e.Rates(start + c.after*ms); b != c.bps || p != c.pps {
				t.Errorf("%d bytes and %d packets a second, want %d and %d", b, p, c.bps, c.pps)
			}
		})
	}
}
