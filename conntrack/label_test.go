package conntrack

import "testing"

// A connection in a slot that was used before has none of the labels of the
// one that had it.
func TestLabelsEndWithTheConnection(t *testing.T) {
	tb := New(DefaultConfig())
	c := tb.take()
	if tb.HasLabel(c, 0) || tb.labels != nil {
		t.Error("a new connection has labels")
	}
	for _, bit := range []uint8{0, 63, 64, 127, 128} {
		tb.SetLabel(c, bit)
		if tb.HasLabel(c, bit) != (bit < NumLabels) {
			t.Errorf("label %d: %v", bit, tb.HasLabel(c, bit))
		}
	}
	if tb.HasLabel(c, 1) || tb.HasLabel(c, 65) {
		t.Error("a neighbouring label is set")
	}
	slot := c.index
	tb.give(c)
	if c = tb.take(); c.index != slot {
		t.Fatal("another slot")
	}
	tb.SetLabel(c, 5)
	if tb.HasLabel(c, 0) || tb.HasLabel(c, 127) || !tb.HasLabel(c, 5) {
		t.Error("labels of the connection before")
	}
}
