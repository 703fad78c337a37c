package linuxdiff

import (
	"errors"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"weir/internal/gen"
	"weir/internal/kernel"
	"weir/internal/wire"
)

// setting reads a number that steers the test from the environment.
func setting(t *testing.T, name string, standard uint64) uint64 {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return standard
	}
	v, err := strconv.ParseUint(s, 0, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return v
}

// needKernel skips where there is no kernel to ask, and fails where there
// must be one.
func needKernel(t *testing.T) {
	t.Helper()
	k, err := kernel.New(kernel.Config{})
	if errors.Is(err, kernel.ErrUnavailable) && os.Getenv("WEIR_REQUIRE_KERNEL") != "1" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	k.Close()
}

// TestWeirDoesWhatLinuxDoes is a small campaign over 640 scenarios in all modes:
// remembered walks, compiled chains, rule by rule. WEIR_DIFF_SEED,
// WEIR_DIFF_BLOCKS, WEIR_DIFF_SECONDS and WEIR_DIFF_PARALLEL change it, and
// WEIR_DIFF_DIR keeps failing cases.
func TestWeirDoesWhatLinuxDoes(t *testing.T) {
	needKernel(t)
	blocks := uint64(10)
	if testing.Short() {
		blocks = 1
	}
	var log strings.Builder
	c := Campaign{
		Seed:       setting(t, "WEIR_DIFF_SEED", 0),
		Blocks:     setting(t, "WEIR_DIFF_BLOCKS", blocks),
		Duration:   time.Duration(setting(t, "WEIR_DIFF_SECONDS", 0)) * time.Second,
		Parallel:   int(setting(t, "WEIR_DIFF_PARALLEL", uint64(runtime.NumCPU()))),
		Dir:        os.Getenv("WEIR_DIFF_DIR"),
		PerCase:    150,
		MaxFailing: 4, Shrink: true, Log: &log,
	}
	tally, err := c.Run()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d scenarios, %d packets, %s", tally.Scenarios, tally.Packets, tally.Elapsed)
	if tally.Packets == 0 {
		t.Error("nothing was compared")
	}
	if tally.Failing > 0 {
		t.Errorf("%d scenarios differ %v\n%s", tally.Failing, tally.Kinds, log.String())
	}
}

// TestADifferenceIsSeen proves that the comparison can fail: the two sides
// get different rules.
func TestADifferenceIsSeen(t *testing.T) {
	needKernel(t)
	g := gen.New(1, gen.Options{})
	c := g.Case
	const head = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
	c.Machine.Sysctl = map[string]string{}
	src, dst := netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("198.51.100.10")
	c.Packets = []gen.Packet{{In: "lan0", Data: wire.IP{Src: src, Dst: dst, Proto: wire.ProtoUDP, TTL: 64}.Packet(wire.Datagram(wire.ProtoUDP, src, dst, 5000, 53, nil))}}
	c.Rules6 = ""
	for _, tt := range []struct{ name, kernel, weir, what string }{
		{"the same rules", "-A FORWARD -p udp -j ACCEPT\n", "-A FORWARD -p udp -j ACCEPT\n", ""},
		{"one side drops", "-A FORWARD -p udp -j ACCEPT\n", "-A FORWARD -p udp -j DROP\n", "output"},
		{"one side counts", "-A FORWARD -p udp\n", "-A FORWARD -p tcp\n", "counters4"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := NewRunner()
			defer r.Close()
			r.other = head + tt.weir + "COMMIT\n"
			try := c
			try.Rules4 = head + tt.kernel + "COMMIT\n"
			rep, err := r.Replay(&try)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if rep.Diff != nil {
				got = rep.Diff.What
			}
			if got != tt.what {
				t.Errorf("difference %q, want %q: %v", got, tt.what, rep.Diff)
			}
		})
	}
}

func TestOnlyWhatLinuxChoosesAtRandomIsHidden(t *testing.T) {
	src, dst := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.10")
	packet := func(proto uint8, id uint16, body []byte) []byte {
		return wire.IP{Src: src, Dst: dst, Proto: proto, TTL: 64, ID: id}.Packet(body)
	}
	msg := wire.ICMP(src, dst, 3, 3, 0, []byte("x"))
	out := func(p []byte) []kernel.Output { return []kernel.Output{{Dev: "lan0", Data: p}} }
	in := packet(wire.ProtoICMP, 7, msg)
	for _, tt := range []struct {
		name string
		a, b []byte
		same bool
	}{
		{"ids of ICMP that the machine made", packet(wire.ProtoICMP, 100, msg), packet(wire.ProtoICMP, 1, msg), true},
		{"the id of the packet that came in", packet(wire.ProtoICMP, 7, msg), packet(wire.ProtoICMP, 8, msg), false},
		{"ids of other protocols", packet(wire.ProtoTest, 100, nil), packet(wire.ProtoTest, 1, nil), false},
		{"another message", packet(wire.ProtoICMP, 100, msg), packet(wire.ProtoICMP, 100, wire.ICMP(src, dst, 3, 2, 0, []byte("x"))), false},
	} {
		if _, _, same := sameOutputs(in, out(tt.a), out(tt.b), 0); same != tt.same {
			t.Errorf("%s: same %v, want %v", tt.name, same, tt.same)
		}
	}
}

func TestASteeredPortStaysInRange(t *testing.T) {
	s := &steer{wanted: [2][]wanted{{{port: 8080}}, {{port: 80}, {port: 5000}}}}
	if got := s.PortOffset(1024, 64512, true); got != 5000-1024 {
		t.Errorf("offset %d, want that of port 5000", got)
	}
	if len(s.wanted[1]) != 1 || s.wanted[1][0].port != 80 || len(s.wanted[0]) != 1 {
		t.Errorf("left %v, want ports 8080 and 80", s.wanted)
	}
}
