package linuxdiff

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"weir/internal/wire"
	"weir/xtables/rateest"
)

// TestRatesAsLinux sends a burst and then asks as long as it takes until the
// kernel has shown every rate that weir says follows, and nothing else.
func TestRatesAsLinux(t *testing.T) {
	k := extensionKernel(t)
	const burst, size = 40, 128
	packet := func(port uint16) []byte {
		src, dst := host(false, true, 10), host(false, false, 10)
		return wire.IP{Src: src, Dst: dst, Proto: 17, TTL: 64}.Packet(wire.Datagram(17, src, dst, 4000, port, make([]byte, size-28)))
	}
	for _, c := range []struct {
		ewma   string
		weight uint8
		steps  int
	}{{"500ms", 1, 5}, {"2s", 3, 6}} {
		// What weir knows in the intervals after the burst.
		est := rateest.Estimator{Weight: c.weight}
		for range burst {
			est.Add(size, 0)
		}
		b := "*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\n-A FORWARD -p udp --dport 1000 -j RATEEST --rateest-name NAME --rateest-interval 250ms --rateest-ewmalog " + c.ewma + "\n-A FORWARD -p udp --dport 1000 -j ACCEPT\n"
		for i := range c.steps {
			bps, pps := est.Rates(int64(i) * rateest.Quarter)
			b += fmt.Sprintf("-A FORWARD -m rateest --rateest NAME --rateest-eq --rateest-bps %d --rateest-pps %d -j ACCEPT\n", bps*8, pps)
		}
		bps, pps := est.Rates(int64(c.steps-1) * rateest.Quarter)
		b += fmt.Sprintf("-A FORWARD -m rateest --rateest NAME --rateest-lt --rateest-bps %d --rateest-pps %d -j ACCEPT\n-A FORWARD -j DROP\nCOMMIT\n", bps*8, pps)

		// A burst that an interval's end cuts in two says nothing: once more.
		ok := false
		var last string
		for try := 0; try < 6 && !ok; try++ {
			if err := k.Reload(strings.ReplaceAll(b, "NAME", fmt.Sprintf("e%d.%d", c.weight, try)), ""); err != nil {
				t.Fatal(err)
			}
			inject := func(port uint16) bool {
				r, err := k.Inject("lan0", packet(port))
				if err != nil {
					t.Fatal(err)
				}
				return len(r.Out) == 1
			}
			for range burst {
				inject(1000)
			}
			known := true
			for end := time.Now().Add(5 * time.Second); known && time.Now().Before(end); {
				known = inject(2000)
				save, err := k.Save(false)
				if err != nil {
					t.Fatal(err)
				}
				last = save
				if ok = known && strings.Count(save, "[0:0] -A FORWARD") == 1; ok {
					break
				}
			}
		}
		if !ok {
			t.Errorf("weight %d: Linux shows other rates than weir says\n%s", c.weight, last)
		}
	}
}
