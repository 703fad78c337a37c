package rfc

import (
	"net/netip"
	"testing"

	"weir/engine"
	"weir/hook"
	"weir/internal/wire"
	"weir/packet"
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
			if err := n.m.LoadSnapshot(data, nil); err != nil {
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

// TestTheWalkSaysWhy looks at what a trace shows of a mapping.
func TestTheWalkSaysWhy(t *testing.T) {
	k := newBed(t, setting{match: "-p udp", target: "MASQUERADE --to-ports 5000-5001", filtering: "address-dependent"}, true)
	k.m.Trace(true)
	const whose = "203.0.113.2:5000 is the mapping of 192.0.2.10:5000, "
	for _, c := range []struct {
		name     string
		data     []byte
		verdict  engine.Verdict
		reason   hook.Reason
		says     string
		howEnded string
	}{
		{"a new mapping", udp(at(a, 5000), at(r1, 80), ""), engine.Forwarded, 0, "192.0.2.10:5000 -> 203.0.113.2:5000", "port kept"},
		{"the same for another destination", udp(at(a, 5000), at(r2, 80), ""), engine.Forwarded, 0, "192.0.2.10:5000 -> 203.0.113.2:5000", "the mapping that this source has for all"},
		{"who was sent to is let in", udp(at(r1, 81), at(ext, 5000), ""), engine.Forwarded, 0, whose + "to which filtering lets 198.51.100.1 in: something was sent there", ""},
		{"who was not is dropped", udp(at(r1.Prev(), 81), at(ext, 5000), ""), engine.Dropped, hook.ReasonNATFiltered, whose + "to which filtering does not let 198.51.100.0 in: nothing was sent there", ""},
		{"one more host than there are even ports", udp(at(b, 5000), at(r1, 80), ""), engine.Dropped, hook.ReasonNATExhausted, "no mapping: every port that was tried is taken", ""},
		{"an odd one is left", udp(at(b, 5001), at(r1, 80), ""), engine.Forwarded, 0, "192.0.2.20:5001 -> 203.0.113.2:5001", "port kept"},
	} {
		k.now += 1e6
		in := k.lan
		if v, _ := wire.Parse(c.data); !k.lan.Addrs[0].Prefix.Contains(v.Src) {
			in = k.wan
		}
		r := k.m.Receive(in, packet.Link{}, c.data, k.now)
		if r.Verdict != c.verdict || r.Reason != c.reason {
			t.Errorf("%s: %s %s", c.name, r.Verdict, r.Reason)
		}
		found := false
		for _, s := range r.Steps {
			found = found || s.Text == c.says && (c.howEnded == "" || len(s.Detail) == 1 && s.Detail[0].Value == c.howEnded)
		}
		if !found {
			t.Errorf("%s: no step says %q, %q: %v", c.name, c.says, c.howEnded, r.Steps)
		}
	}
}

// TestRulesComeBeforeMappings forwards a port, and keeps one for the machine, that
// are a mapping's too.
func TestRulesComeBeforeMappings(t *testing.T) {
	k := newBed(t, setting{target: "MASQUERADE", filtering: "endpoint-independent", more: `-A PREROUTING -i wan -p udp --dport 5000 -j DNAT --to-destination 192.0.2.99
-A PREROUTING -i wan -p udp --dport 5002 -j REDIRECT
`}, true)
	for _, port := range []uint16{5000, 5002, 5004} {
		if outer := k.open(wire.ProtoUDP, at(a, port), at(r1, 80)); outer != at(ext, port) {
			t.Fatalf("%d is %v outside", port, outer)
		}
	}
	if !k.in(wire.ProtoUDP, at(r2, 9), at(ext, 5000), at(netip.MustParseAddr("192.0.2.99"), 5000)) {
		t.Error("the forwarded port went elsewhere")
	}
	k.now += 1e6
	if r := k.m.Receive(k.wan, packet.Link{}, udp(at(r2, 9), at(ext, 5002), ""), k.now); r.Verdict != engine.Delivered {
		t.Errorf("the machine's port: %s", r.Verdict)
	}
	if !k.in(wire.ProtoUDP, at(r2, 9), at(ext, 5004), at(a, 5004)) {
		t.Error("the mapping of a port without a rule does not let in")
	}
}

// TestMappingsComeWithRounds hands a machine over while mappings begin and end.
func TestMappingsComeWithRounds(t *testing.T) {
	s := setting{filtering: "address-dependent"}
	k, n := newBed(t, s, true), newBed(t, s, true)
	rounds, loading := k.m.Conntrack().Rounds(), n.m.Conntrack().Loading()
	var outer []end
	for i := range uint16(5) {
		h := at(b, 5000)
		h.addr = a
		for range i {
			h.addr = h.addr.Next()
		}
		outer = append(outer, k.open(wire.ProtoUDP, h, at(r1, 80)))
		k.wait(90)
		data, _ := k.m.AppendRound(nil, rounds, k.now, i == 4)
		if over, err := n.m.LoadRound(loading, data); err != nil || over != (i == 4) {
			t.Fatal(over, err)
		}
	}
	all, held := k.m.Conntrack().Mappings()
	if x, y := n.m.Conntrack().Mappings(); x != all || y != held || held == 0 || held == all {
		t.Errorf("%d mappings, %d held down; %d and %d came", all, held, x, y)
	}
	n.now = k.now
	if !n.in(wire.ProtoUDP, at(r1, 81), outer[4], at(a.Next().Next().Next().Next(), 5000)) || n.in(wire.ProtoUDP, at(r2, 80), outer[4], at(a, 5000)) {
		t.Error("filtering is not as it was")
	}
}

// TestOneMappingDoesNotOpenAnother hairpins between hosts whose rules filter
// differently: each keeps its own filtering.
func TestOneMappingDoesNotOpenAnother(t *testing.T) {
	k := newBed(t, setting{match: "-s 192.0.2.10", filtering: "endpoint-independent",
		more: "-A POSTROUTING -s 192.0.2.20 -o wan -j MASQUERADE --mapping endpoint-independent --filtering address-dependent\n"}, true)
	outer, strict := k.open(wire.ProtoUDP, at(a, 5000), at(r1, 80)), k.open(wire.ProtoUDP, at(b, 6000), at(r1, 80))
	if !k.in(wire.ProtoUDP, at(b, 6000), outer, at(a, 5000)) || !k.in(wire.ProtoUDP, at(b, 7000), outer, at(a, 5000)) {
		t.Fatal("no hairpin")
	}
	for _, c := range []struct{ outer, inside end }{{strict, at(b, 6000)}, {at(ext, 7000), at(b, 7000)}} {
		if k.in(wire.ProtoUDP, at(r2, 9), c.outer, c.inside) {
			t.Errorf("a stranger is let in to %v", c.inside)
		}
	}
	if !k.in(wire.ProtoUDP, at(r1, 81), strict, at(b, 6000)) || !k.in(wire.ProtoUDP, at(r2, 9), outer, at(a, 5000)) {
		t.Error("who may come in is not let in")
	}
}
