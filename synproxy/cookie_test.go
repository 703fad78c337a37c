package synproxy

import (
	"testing"

	"weir/hook"
	"weir/packet"
)

func TestCookiesAreGoodForTwoMinutes(t *testing.T) {
	n := uint32(7)
	c := NewCookies(func() uint32 { n = n*1664525 + 1013904223; return n })
	e := hook.Ends{Src: packet.Addr{192, 0, 2, 10}, Dst: packet.Addr{198, 51, 100, 80}, SrcPort: 4000, DstPort: 80}
	other := e
	other.SrcPort++
	const minute = int64(60e9)
	const now = 16_666_667 * minute
	for size := range uint32(4) {
		k := c.Make(&e, 1000, size, now)
		for _, x := range []struct {
			name   string
			ends   *hook.Ends
			seq    uint32
			cookie uint32
			at     int64
			ok     bool
		}{
			{"at once", &e, 1000, k, now, true},
			{"in the next minute", &e, 1000, k, now + minute, true},
			{"after two minutes", &e, 1000, k, now + 2*minute, false},
			{"in the minute before", &e, 1000, k, now - 1, false},
		} {
			got, ok := c.Check(x.ends, x.seq, x.cookie, x.at)
			if ok != x.ok || ok && got != size {
				t.Errorf("size %d, %s: %d %v, want %v", size, x.name, got, ok, x.ok)
			}
		}
		if got, ok := c.Check(&other, 1000, k, now); ok && got < 4 {
			t.Errorf("size %d: good for another port, too", size)
		}
		if got, ok := c.Check(&e, 1000, k+0x5a5a5a, now); ok && got < 4 {
			t.Errorf("size %d: another number is good, too", size)
		}
	}
}

func TestOptionsOfBrokenHeaders(t *testing.T) {
	for name, c := range map[string]struct {
		b    []byte
		want Option
	}{
		"nothing":                  {nil, 0},
		"cut off after the kind":   {[]byte{2}, 0},
		"a length of nothing":      {[]byte{2, 0, 1, 1}, 0},
		"longer than the header":   {[]byte{1, 1, 2, 4, 5}, 0},
		"behind the end":           {[]byte{0, 4, 2}, 0},
		"a wrong length":           {[]byte{4, 3, 0, 3, 3, 7}, WScale},
		"what came before is kept": {[]byte{4, 2, 8, 9}, SackPerm},
	} {
		if got := parse(c.b).has; got != c.want {
			t.Errorf("%s: %b, want %b", name, got, c.want)
		}
	}
}
