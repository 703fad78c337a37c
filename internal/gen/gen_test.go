package gen

import (
	"bytes"
	"errors"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"weir/internal/kernel"
	"weir/internal/wire"
)

// reflectAll sends every packet out of another interface: hosts to talk to
// without a kernel.
func reflectAll(p Packet) []kernel.Output {
	dev := wan
	if p.In == wan {
		dev = lan
	}
	return []kernel.Output{{Dev: dev, Data: p.Data}}
}

func TestTheSameSeedAndOutputsMakeTheSameCase(t *testing.T) {
	run := func(seed uint64) string {
		g := New(seed, Options{Wait: true})
		for range 300 {
			g.Observe(reflectAll(g.Next()))
		}
		var b strings.Builder
		if err := g.Case.Write(&b); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	if run(7) != run(7) {
		t.Error("seed 7 gave two cases")
	}
	if run(7) == run(8) {
		t.Error("seeds 7 and 8 gave the same case")
	}
}

func TestACaseIsReadAsItWasWritten(t *testing.T) {
	for seed := range uint64(20) {
		g := New(seed*machinesShared, Options{Wait: true})
		for range 50 {
			g.Observe(reflectAll(g.Next()))
		}
		var b bytes.Buffer
		if err := g.Case.Write(&b); err != nil {
			t.Fatal(err)
		}
		got, err := Read(&b)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(*got, g.Case) {
			t.Fatalf("seed %d: read another case than was written", seed)
		}
	}
}

func TestReadRefusesWhatIsNoCase(t *testing.T) {
	for _, text := range []string{"hello", "-- machine --\niface x", "-- machine --\nroute 1.2.3.4/99", "-- packets --\nlan0 zz", "-- packets --\nlan0", "-- what --\nx"} {
		if _, err := Read(strings.NewReader(text)); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}

func TestShrinkKeepsWhatTheFailureNeeds(t *testing.T) {
	g := New(3, Options{})
	for range 80 {
		g.Observe(reflectAll(g.Next()))
	}
	a, b := g.Case.Packets[17].Data, g.Case.Packets[60].Data
	calls := 0
	small := Shrink(&g.Case, func(c *Case) bool {
		calls++
		has := func(d []byte) bool {
			return slices.ContainsFunc(c.Packets, func(p Packet) bool { return bytes.Equal(p.Data, d) })
		}
		return has(a) && has(b) && strings.Contains(c.Rules6, "--ctstate NEW")
	})
	if len(small.Packets) != 2 {
		t.Errorf("%d packets are left, want 2", len(small.Packets))
	}
	if n := strings.Count(small.Rules4, "-A "); n != 0 {
		t.Errorf("%d IPv4 rules are left, want 0", n)
	}
	if n := strings.Count(small.Rules6, "-A "); n != 1 {
		t.Errorf("%d IPv6 rules are left, want 1", n)
	}
	if len(g.Case.Packets) != 80 {
		t.Error("the case itself was changed")
	}
	if calls > 2000 {
		t.Errorf("asked %d times", calls)
	}
}

// TestKernelTalksBack runs cases on Linux and checks that the traffic is
// worth it: packets of all fates, connections of all kinds.
func TestKernelTalksBack(t *testing.T) {
	count := map[string]int{}
	for seed := range uint64(24) {
		g := New(seed*16, Options{})
		c := g.Case.Machine.Config()
		c.Rules4, c.Rules6 = g.Case.Rules4, g.Case.Rules6
		k, err := kernel.New(c)
		if errors.Is(err, kernel.ErrUnavailable) && os.Getenv("WEIR_REQUIRE_KERNEL") != "1" {
			t.Skip(err)
		}
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for range 300 {
			p := g.Next()
			var r kernel.Result
			if p.In == Local {
				r, err = k.SendLocal(p.Data, 0)
			} else {
				r, err = k.Inject(p.In, p.Data)
			}
			if err != nil {
				t.Fatalf("seed %d: packet %x: %v", seed, p.Data, err)
			}
			g.Observe(r.Out)
			count["packets"]++
			if len(r.Out) > 0 {
				count["answered or forwarded"]++
			}
			if len(r.Invalid) > 0 {
				count["invalid"]++
			}
			for _, e := range r.Events {
				count[e.Type.String()]++
				if e.Type == kernel.EventUpdate && e.Entry.State == 3 {
					count["established"]++
				}
				if v, _ := wire.Parse(p.Data); e.Type == kernel.EventNew && v.Src != e.Entry.Reply.Dst {
					count["translated"]++
				}
			}
		}
		k.Close()
	}
	t.Log(count)
	for what, percent := range map[string]int{"answered or forwarded": 30, "NEW": 8, "UPDATE": 5, "established": 1, "invalid": 3, "DESTROY": 1, "translated": 1} {
		if count[what]*100 < percent*count["packets"] {
			t.Errorf("%s: %d of %d packets, want %d %% at least", what, count[what], count["packets"], percent)
		}
	}
}
