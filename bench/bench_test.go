package main

import (
	"encoding/binary"
	"encoding/xml"
	"io"
	"strings"
	"testing"
)

func TestFlowsDoNotMeetAfterMasquerading(t *testing.T) {
	type public struct {
		server uint32
		port   uint16
		tcp    bool
	}
	seen := map[public]uint32{}
	for i := range uint32(300_000) {
		f := FlowAt(i)
		p := public{f.Server, f.ClientPort, f.TCP}
		if j, ok := seen[p]; ok {
			t.Fatalf("flows %d and %d: %+v", j, i, p)
		}
		seen[p] = i
		if f.Client>>24 != 10 || f.Client == lanNet|1 || f.Server>>17 != serverNet>>17 || f.ClientPort < clientPortMin {
			t.Fatalf("flow %d: %+v", i, f)
		}
	}
}

// forward is a gateway by hand: it masquerades without changing the port.
func forward(f *Flow, w Way, in []byte) []byte {
	out := append([]byte(nil), in...)
	out[8]--
	if w == Outward {
		binary.BigEndian.PutUint32(out[12:], wanAddr)
	} else {
		binary.BigEndian.PutUint32(out[16:], f.Client)
	}
	at := 26
	if f.TCP {
		at = 36
	}
	out[10], out[11], out[at], out[at+1] = 0, 0, 0, 0
	binary.BigEndian.PutUint16(out[10:], ^fold(sum(out[:20])))
	binary.BigEndian.PutUint16(out[at:], ^fold(sum(out[12:])+uint64(out[9])+packetLen-20))
	return out
}

func TestVerify(t *testing.T) {
	for i := range uint32(64) {
		f := FlowAt(i)
		for w := Outward; w <= Inward; w++ {
			for k := Data; k <= Opening; k++ {
				var in [packetLen]byte
				f.Build(in[:], w, k, wanAddr, f.ClientPort, 3)
				out := forward(&f, w, in[:])
				port, err := verify(&f, w, in[:], out, true, f.ClientPort)
				if err != nil || port != f.ClientPort {
					t.Fatalf("flow %d: a good gateway is refused: %v", i, err)
				}
				// What was received, sent on as it is.
				if _, err := verify(&f, w, in[:], in[:], true, f.ClientPort); err == nil {
					t.Fatalf("flow %d: a gateway that does nothing passes", i)
				}
				for b := range out {
					out[b] ^= 0x10
					if _, err := verify(&f, w, in[:], out, true, f.ClientPort); err == nil {
						t.Fatalf("flow %d way %d kind %d: a wrong byte %d passes", i, w, k, b)
					}
					out[b] ^= 0x10
				}
			}
		}
	}
}

func TestMixedRulesAreAsManyAsAsked(t *testing.T) {
	for _, n := range []int{0, 1, 10, 100, 1000, 99_999} {
		text := GatewayText(MixedRules(n))
		if got := strings.Count(text, "\n-A FORWARD") + strings.Count(text, "\n-A zone"); got != n+2 {
			t.Errorf("%d rules for %d and the two that accept", got, n)
		}
		table := gvisorFilter(MixedRules(n))
		chains := strings.Count(text, ":zone")
		// INPUT, OUTPUT, policy, error; a head and a return a chain.
		if got := len(table.Rules); got != n+2+4+2*chains {
			t.Errorf("netstack: %d rules for %d", got, n)
		}
	}
}

func TestKernelShareIsTheDifferenceOfNeighbours(t *testing.T) {
	got := summarise(point{Workload: "established", Flows: 1000}, []*row{
		{subject: "linux", workload: "established", ns: []float64{300, 500, 410}},
		{subject: "linux-forwarding", workload: "established", ns: []float64{100, 350, 200}},
	})
	r := find(got, "linux-netfilter", column{"established", 1000, 0})
	if r == nil || *r.NsPerPacket != 200 || r.NsMin != 150 || r.NsMax != 210 {
		t.Errorf("%+v", r)
	}
}

func TestPlotIsXMLAndLabelsDoNotOverlap(t *testing.T) {
	p := &plot{title: "a < b & c", xTick: func(float64) string { return "x" }}
	for i := range 4 {
		p.series = append(p.series, series{name: "s", class: "weir", x: []float64{1000, 10000}, y: []float64{100, 100 + float64(i)}})
	}
	d := xml.NewDecoder(strings.NewReader(p.svg()))
	for {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	at := spread([]float64{100, 100, 101, 300}, 15, 0, 400)
	for i := range at {
		for j := range i {
			if d := at[i] - at[j]; d > -14.9 && d < 14.9 {
				t.Errorf("labels at %.1f and %.1f", at[i], at[j])
			}
		}
	}
}

func TestNumbersForPeople(t *testing.T) {
	for n, want := range map[int]string{7: "7", 1000: "1 k", 1500: "1.5 k", 100_000: "100 k", 1_000_000: "1 M", 1234: "1234"} {
		if got := count(n); got != want {
			t.Errorf("count(%d) = %q, want %q", n, got, want)
		}
	}
	for v, want := range map[float64]string{3.25: "3.2 ns", 99.4: "99 ns", 1262: "1262 ns", 27_000: "27 µs", 2.5e6: "2.5 ms"} {
		if got := duration(v); got != want {
			t.Errorf("duration(%v) = %q, want %q", v, got, want)
		}
	}
}
