package conntrack

import "testing"

func TestUDPLife(t *testing.T) {
	b := newBox(t, nil)
	out := func() string { return b.pass(udp(t, client4, server4, 4000, 53, 1)) }
	in := func() string { return b.pass(udp(t, server4, client4, 53, 4000, 1)) }
	want := func(state, got string, left int64, has, not Status) {
		t.Helper()
		c := b.only()
		if got != state || c.Expires(b.now) != left*second || !c.Has(has) || c.Status&not != 0 {
			t.Fatalf("%s, %d s left, status %#x; want %s, %d, %#x without %#x", got, c.Expires(b.now)/second, c.Status, state, left, has, not)
		}
	}
	want("NEW", out(), 30, Confirmed, SeenReply|Assured)
	want("ESTABLISHED", in(), 30, SeenReply, Assured)
	b.sleep(2200 * ms)
	want("ESTABLISHED", out(), 120, SeenReply|Assured, 0)
	b.sleep(120 * second)
	if got := out(); got != "NEW" {
		t.Fatalf("after expiry: %s", got)
	}
}
