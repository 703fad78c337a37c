package rfc

import (
	"testing"

	"weir/internal/wire"
)

// TestAMappingOpensAndCloses follows one mapping from its first packet to the end
// of the time for which its endpoint is held down.
func TestAMappingOpensAndCloses(t *testing.T) {
	k := newBed(t, setting{filtering: "endpoint-independent"}, true)
	outer := k.open(wire.ProtoUDP, at(a, 5000), at(r1, 80))
	if outer != at(ext, 5000) {
		t.Fatalf("the first mapping is %v", outer)
	}
	if !k.in(wire.ProtoUDP, at(r2, 9), outer, at(a, 5000)) {
		t.Fatal("a stranger is not let in")
	}
	k.wait(301 + 61)
	if all, held := k.m.Conntrack().Mappings(); all != 1 || held != 1 {
		t.Fatalf("%d mappings, %d held down", all, held)
	}
	if k.in(wire.ProtoUDP, at(r2, 9), outer, at(a, 5000)) {
		t.Fatal("a mapping that ended lets in")
	}
	if other := k.open(wire.ProtoUDP, at(b, 5000), at(r1, 80)); other == outer || other.port%2 != 0 {
		t.Fatalf("another host got %v at once", other)
	}
	if again := k.open(wire.ProtoUDP, at(a, 5000), at(r2, 80)); again != outer {
		t.Fatalf("the source came back and got %v", again)
	}
	k.wait(301 + 61 + 121) // the collector comes once a minute
	if other := k.open(wire.ProtoUDP, at(b, 5000), at(r1, 80)); other != outer {
		t.Fatalf("after the hold-down another host got %v", other)
	}
}

// TestMappingsComeBackFromASnapshot goes on with a snapshot in a new machine as if
// nothing had happened, and as one that lost all.
func TestMappingsComeBackFromASnapshot(t *testing.T) {
	s := setting{filtering: "address-dependent"}
	k := newBed(t, s, true)
	gone := k.open(wire.ProtoUDP, at(b, 9000), at(r2, 80))
	k.wait(301 + 61)
	outer := k.open(wire.ProtoUDP, at(a, 5000), at(r1, 80))
	inner := k.open(wire.ProtoUDP, at(b, 6000), at(r2, 80))
	k.send(udp(at(b, 6000), outer, "hairpin"))
	k.send(udp(at(a, 5000), inner, "opens"))
	k.send(udp(at(b, 6000), outer, "hairpin"))
	query := k.open(wire.ProtoICMP, at(a, 7), at(r1, 0))
	data := k.m.AppendSnapshot(nil, k.now)

	for _, restored := range []bool{true, false} {
		n := newBed(t, s, true)
		n.now = k.now
		if restored {
			if err := n.m.LoadSnapshot(data); err != nil {
				t.Fatal(err)
			}
			all, held := k.m.Conntrack().Mappings()
			if x, y := n.m.Conntrack().Mappings(); x != all || y != held {
				t.Errorf("%d mappings, %d held down; %d and %d came back", all, held, x, y)
			}
		}
		for _, c := range []struct {
			name string
			got  bool
		}{
			{"the server's other port is let in", n.in(wire.ProtoUDP, at(r1, 81), outer, at(a, 5000))},
			{"a hairpinned answer comes back", n.arrives(udp(at(a, 5000), inner, "answer"), at(b, 6000))},
			{"a third host gets another port", n.open(wire.ProtoUDP, at(b.Next(), 5000), at(r2, 81)) != outer},
			{"what is held down is not given away", n.open(wire.ProtoUDP, at(a, 9000), at(r2, 81)) != gone},
			{"the id of a query is the same", n.open(wire.ProtoICMP, at(b, 7), at(r2, 0)) != query},
		} {
			if c.got != restored {
				t.Errorf("restored %v: %s: %v", restored, c.name, c.got)
			}
		}
		if n.in(wire.ProtoUDP, at(r2.Next(), 81), outer, at(a, 5000)) {
			t.Error("a stranger is let in")
		}
		n.wait(301 + 61 + 121)
		n.open(wire.ProtoUDP, at(a, 1), at(r1, 1))
		if all, held := n.m.Conntrack().Mappings(); all != 1 || held != 0 {
			t.Errorf("at the end there are %d mappings, %d held down", all, held)
		}
	}
}

// TestTwoBehindTheMachineOpenForEachOther sends from each of two hosts inside to
// the other's outer endpoint, as calls do: the first packet opens for the second.
func TestTwoBehindTheMachineOpenForEachOther(t *testing.T) {
	k := newBed(t, setting{filtering: "address-dependent"}, true)
	outer, inner := k.open(wire.ProtoUDP, at(a, 5000), at(r1, 80)), k.open(wire.ProtoUDP, at(b, 6000), at(r1, 80))
	if k.in(wire.ProtoUDP, at(a, 5000), inner, at(b, 6000)) {
		t.Fatal("let in before anything was sent")
	}
	if !k.in(wire.ProtoUDP, at(b, 6000), outer, at(a, 5000)) {
		t.Fatal("not let in though it was sent to")
	}
	if !k.in(wire.ProtoUDP, at(a, 5000), inner, at(b, 6000)) {
		t.Fatal("the answer is not let in")
	}
	k.send(udp(at(a, 5001), at(ext, 6000), "a new source"))
	k.wait(301 + 61 + 121)
	k.open(wire.ProtoUDP, at(a, 1), at(r1, 1))
	if all, held := k.m.Conntrack().Mappings(); all != 1 || held != 0 {
		t.Errorf("at the end there are %d mappings, %d held down", all, held)
	}
}
