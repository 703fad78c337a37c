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
