package conntrack

import (
	"runtime"
	"testing"
)

// TestRegions takes more than the first regions hold and looks whether each
// piece is zero and its own.
func TestRegions(t *testing.T) {
	type piece [300 << 10]byte
	tb := New(Config{})
	r := newRegions(tb)
	var all []*piece
	for i := range 60 {
		p := alloc[piece](&r)
		if *p != (piece{}) {
			t.Fatalf("piece %d is not zero", i)
		}
		for k := range p {
			p[k] = byte(i)
		}
		all = append(all, p)
	}
	for i, p := range all {
		for k := range p {
			if p[k] != byte(i) {
				t.Fatalf("piece %d: byte %d is of piece %d", i, k, p[k])
			}
		}
	}
	if mapped && len(*r.owned) < 2 {
		t.Errorf("%d regions", len(*r.owned))
	}
	runtime.KeepAlive(tb) // its memory goes with it
}
