package gateway

import (
	"testing"
	"time"

	"weir/packet"
)

func TestNeighboursAreBounded(t *testing.T) {
	var n neighbours
	n.init()
	now := int64(time.Hour)
	b := Packet{Data: udp4("192.0.2.1:1", "198.51.100.1:2", "x")}
	asked := 0
	for i := range 3 * neighMax {
		h := hop{packet.Addr{10, 0, byte(i >> 8), byte(i)}, packet.IPv4}
		if _, ok, ask := n.use(h, &b, now); ok {
			t.Fatal("known without an answer")
		} else if ask != nil {
			asked++
		}
	}
	if len(n.list) != neighMax || asked != neighMax || n.lost != 2*neighMax {
		t.Errorf("%d neighbours, %d asked, %d lost", len(n.list), asked, n.lost)
	}
	h := hop{packet.Addr{10, 0, 0, 0}, packet.IPv4}
	for range 3 * neighWaiting {
		n.use(h, &b, now)
	}
	if w := n.learn(h, MAC{1}, false, true, true, now); len(w) != neighWaiting {
		t.Errorf("%d packets waited", len(w))
	}
	for range 2 * (neighProbes + 2) {
		now += int64(neighRetry) + 1
		n.tick(now)
	}
	if len(n.list) != 1 {
		t.Errorf("%d neighbours are left; one answered", len(n.list))
	}
}

func TestANeighbourThatMovedIsFoundAgain(t *testing.T) {
	var n neighbours
	n.init()
	now := int64(time.Hour)
	b := Packet{Data: udp4("192.0.2.1:1", "198.51.100.1:2", "x")}
	h := hop{packet.Addr{192, 0, 2, 9}, packet.IPv4}
	n.use(h, &b, now)
	n.learn(h, MAC{1}, false, true, true, now)
	use := func() (MAC, bool, *question) { return n.use(h, &b, now) }
	now += int64(neighReachable) - 1
	if mac, ok, ask := use(); mac != (MAC{1}) || !ok || ask != nil {
		t.Errorf("confirmed lately: %v %v %v", mac, ok, ask)
	}
	now += int64(2 * time.Second)
	if _, ok, ask := use(); !ok || ask == nil || !ask.uni {
		t.Errorf("not confirmed lately: it is used and asked by itself: %v %+v", ok, ask)
	}
	probes := 1
	for range 5 {
		now += int64(neighRetry) + 1
		probes += len(n.tick(now))
	}
	if _, ok, ask := use(); ok || ask == nil || ask.uni || probes != neighProbes {
		t.Errorf("it did not answer %d probes: all are asked: %v %+v", probes, ok, ask)
	}
	if w := n.learn(h, MAC{2}, false, true, true, now); len(w) != 1 {
		t.Errorf("%d packets waited", len(w))
	}
	if mac, ok, _ := use(); mac != (MAC{2}) || !ok {
		t.Errorf("%v %v", mac, ok)
	}
	if n.learn(h, MAC{3}, false, false, true, now); n.list[h].mac != (MAC{2}) {
		t.Error("an advertisement without override replaced an address")
	}
	if n.learn(hop{packet.Addr{192, 0, 2, 8}, packet.IPv4}, MAC{4}, false, true, true, now); len(n.list) != 1 {
		t.Error("an answer that nobody asked for made a neighbour")
	}
}
