package kernel_test

import (
	"errors"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"weir/internal/kernel"
	"weir/internal/wire"
)

var (
	client = netip.MustParseAddr("192.0.2.10")
	server = netip.MustParseAddr("198.51.100.10")
	wan    = netip.MustParseAddr("203.0.113.2")
)

const conntrackOn = "*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n" +
	"*mangle\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n" +
	"-A FORWARD -m conntrack --ctstate INVALID -j MARK --set-xmark 0x1\n" +
	"-A FORWARD -m conntrack --ctstate NEW -j MARK --set-xmark 0x2\n" +
	"-A FORWARD -m conntrack --ctstate ESTABLISHED -j MARK --set-xmark 0x3\n" +
	"-A FORWARD -m conntrack --ctstate RELATED -j MARK --set-xmark 0x4\nCOMMIT\n"

// open makes a machine or skips the test; where a kernel is required, its
// absence is a failure.
func open(t testing.TB, c kernel.Config) *kernel.Kernel {
	t.Helper()
	k, err := kernel.New(c)
	if errors.Is(err, kernel.ErrUnavailable) && os.Getenv("WEIR_REQUIRE_KERNEL") != "1" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k
}

func router(rules string) kernel.Config {
	return kernel.Config{
		Ifaces: []kernel.Iface{
			{Name: "lan0", Addrs: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("2001:db8:1::1/64")}},
			{Name: "wan0", Addrs: []netip.Prefix{netip.MustParsePrefix("203.0.113.2/24"), netip.MustParsePrefix("2001:db8:2::2/64")}},
		},
		Routes: []kernel.Route{
			{To: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("203.0.113.1"), Dev: "wan0"},
			{To: netip.MustParsePrefix("::/0"), Via: netip.MustParseAddr("2001:db8:2::1"), Dev: "wan0"},
		},
		Rules4: rules, Trace: true,
	}
}

func inject(t testing.TB, k *kernel.Kernel, dev string, pkt []byte) kernel.Result {
	t.Helper()
	r, err := k.Inject(dev, pkt)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func tcp(fromClient bool, seq, ack uint32, flags uint8) (dev string, pkt []byte) {
	src, dst, s := client, server, wire.Segment{Sport: 1000, Dport: 80, Seq: seq, Ack: ack, Flags: flags, Win: 65535}
	dev = "lan0"
	if !fromClient {
		src, dst, dev = server, client, "wan0"
		s.Sport, s.Dport = 80, 1000
	}
	return dev, wire.IP{Src: src, Dst: dst, Proto: wire.ProtoTCP, TTL: 64}.Packet(s.Bytes(src, dst))
}

// TestTCPVectors runs rows whose outcome is written down: they prove that
// the harness feeds packets, classes and states through unharmed.
func TestTCPVectors(t *testing.T) {
	const (
		S, A, F, R, P = wire.SYN, wire.ACK, wire.FIN, wire.RST, wire.PSH
		cs, ss        = 1000, 5000
	)
	type step struct {
		fromClient bool
		seq, ack   uint32
		flags      uint8
	}
	hs := []step{{true, cs - 1, 0, S}, {false, ss - 1, cs, S | A}, {true, cs, ss, A}}
	tests := []struct {
		name    string
		steps   []step
		class   string // of the last packet
		state   uint8  // 0: no entry
		timeout uint32
	}{
		{"SYN", hs[:1], "NEW", 1, 120},
		{"SYN, SYN/ACK", hs[:2], "ESTABLISHED", 2, 60},
		{"handshake", hs, "ESTABLISHED", 3, 432000},
		{"picked up in the middle", []step{{true, cs, ss, A}}, "NEW", 3, 300},
		{"SYN/ACK from nowhere", []step{{true, cs, ss, S | A}}, "INVALID", 0, 0},
		{"RST from nowhere", []step{{true, cs, 0, R}}, "INVALID", 0, 0},
		{"only PSH", append(slices.Clone(hs), step{true, cs, ss, P}), "INVALID", 3, 432000},
		{"simultaneous SYN", []step{hs[0], {false, ss - 1, 0, S}}, "ESTABLISHED", 9, 120},
		{"exact RST", append(slices.Clone(hs), step{false, ss, cs, R | A}), "ESTABLISHED", 8, 10},
		{"RST in window but not exact keeps the state for ten seconds", append(slices.Clone(hs), step{false, ss + 100, cs, R | A}), "ESTABLISHED", 3, 10},
		{"RST below the window", append(slices.Clone(hs), step{false, ss - 100, cs, R | A}), "INVALID", 3, 432000},
		{"FIN", append(slices.Clone(hs), step{true, cs, ss, F | A}), "ESTABLISHED", 4, 120},
		{"RST answers SYN", []step{hs[0], {false, 0, cs, R | A}}, "ESTABLISHED", 0, 0},
	}
	k := open(t, router(conntrackOn))
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := k.Flush(); err != nil {
				t.Fatal(err)
			}
			if err := k.Reload(conntrackOn, ""); err != nil {
				t.Fatal(err)
			}
			for _, s := range tt.steps[:len(tt.steps)-1] {
				dev, p := tcp(s.fromClient, s.seq, s.ack, s.flags)
				if r := inject(t, k, dev, p); len(r.Out) != 1 {
					t.Fatalf("%d packets left, want 1", len(r.Out))
				}
			}
			before := counters(t, k)
			last := tt.steps[len(tt.steps)-1]
			dev, p := tcp(last.fromClient, last.seq, last.ack, last.flags)
			if r := inject(t, k, dev, p); len(r.Out) != 1 {
				t.Fatalf("%d packets left, want 1", len(r.Out))
			}
			after := counters(t, k)
			for _, class := range []string{"INVALID", "NEW", "ESTABLISHED", "RELATED"} {
				if got, want := after[class] != before[class], class == tt.class; got != want {
					t.Errorf("counted as %s: %v, want %v", class, got, want)
				}
			}
			entries, err := k.Dump()
			if err != nil {
				t.Fatal(err)
			}
			if tt.state == 0 {
				if len(entries) != 0 {
					t.Fatalf("entries %+v, want none", entries)
				}
				return
			}
			if len(entries) != 1 {
				t.Fatalf("%d entries, want 1", len(entries))
			}
			e := entries[0]
			if e.State != tt.state || e.Timeout > tt.timeout || e.Timeout+1 < tt.timeout {
				t.Errorf("state %d timeout %d, want %d and %d", e.State, e.Timeout, tt.state, tt.timeout)
			}
		})
	}
}

// counters are the packet counters of the class rules.
func counters(t *testing.T, k *kernel.Kernel) map[string]string {
	t.Helper()
	text, err := k.Save(false)
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]string{}
	for _, l := range strings.Split(text, "\n") {
		if n, rest, ok := strings.Cut(l, "] -A FORWARD -m conntrack --ctstate "); ok {
			class, _, _ := strings.Cut(rest, " ")
			m[class] = n
		}
	}
	if len(m) != 4 {
		t.Fatalf("found %d class rules in\n%s", len(m), text)
	}
	return m
}

func udp(src, dst netip.Addr, sport, dport uint16) []byte {
	return wire.IP{Src: src, Dst: dst, Proto: wire.ProtoUDP, TTL: 64}.Packet(wire.Datagram(wire.ProtoUDP, src, dst, sport, dport, []byte("x")))
}

func TestMasqueradeEventsTraceAndDump(t *testing.T) {
	rules := "*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A PREROUTING -j TRACE\nCOMMIT\n" +
		"*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -o wan0 -j MASQUERADE\nCOMMIT\n"
	k := open(t, router(rules))
	r := inject(t, k, "lan0", udp(client, server, 5000, 53))
	if len(r.Out) != 1 || r.Out[0].Dev != "wan0" {
		t.Fatalf("out %v, want one packet by wan0", r.Out)
	}
	v, _ := wire.Parse(r.Out[0].Data)
	if v.Src != wan || v.TTL != 63 {
		t.Errorf("source %s ttl %d, want %s and 63", v.Src, v.TTL, wan)
	}
	if !slices.Contains(r.Trace, "nat:POSTROUTING:rule:1") {
		t.Errorf("trace %v lacks the MASQUERADE rule", r.Trace)
	}
	if len(r.Events) != 1 || r.Events[0].Type != kernel.EventNew {
		t.Fatalf("events %v, want one NEW", r.Events)
	}
	want := kernel.Tuple{Src: server, Dst: wan, Proto: wire.ProtoUDP, SrcPort: 53, DstPort: 5000}
	if got := r.Events[0].Entry.Reply; got != want {
		t.Errorf("reply tuple of the event %+v, want %+v", got, want)
	}
	r = inject(t, k, "wan0", udp(server, wan, 53, 5000))
	if len(r.Out) != 1 || r.Out[0].Dev != "lan0" {
		t.Fatalf("out %v, want the answer by lan0", r.Out)
	}
	entries, err := k.Dump()
	if err != nil || len(entries) != 1 {
		t.Fatalf("dump %v, %v; want one entry", entries, err)
	}
	if c := entries[0].Counters; c != [2]kernel.Counter{{1, 29}, {1, 29}} {
		t.Errorf("counters %v, want 1 packet of 29 bytes each way", c)
	}
}

func TestAdvanceEndsConnections(t *testing.T) {
	k := open(t, router(conntrackOn))
	inject(t, k, "lan0", udp(client, server, 5000, 53))
	dev, syn := tcp(true, 1, 0, wire.SYN)
	inject(t, k, dev, syn)
	if err := k.Advance(60*1e9, nil); err != nil {
		t.Fatal(err)
	}
	entries, err := k.Dump()
	if err != nil || len(entries) != 1 {
		t.Fatalf("dump %v, %v; want the SYN only", entries, err)
	}
	if e := entries[0]; e.Orig.Proto != wire.ProtoTCP || e.Timeout > 60 || e.Timeout < 58 {
		t.Errorf("protocol %d with %d s left, want TCP with 60", e.Orig.Proto, e.Timeout)
	}
}

func TestLocalPacketsEnterAtOutput(t *testing.T) {
	k := open(t, router("*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -p udp -m udp --dport 99 -j DROP\nCOMMIT\n"))
	r, err := k.SendLocal(udp(wan, server, 5000, 53), 0)
	if err != nil || r.Refused != nil || len(r.Out) != 1 || r.Out[0].Dev != "wan0" {
		t.Errorf("result %+v, %v; want one packet by wan0", r, err)
	}
	r, err = k.SendLocal(udp(wan, server, 5000, 99), 0)
	if err != nil || r.Refused == nil || len(r.Out) != 0 {
		t.Errorf("result %+v, %v; want a refusal", r, err)
	}
}

func TestInvalidPacketsHaveAReason(t *testing.T) {
	c := router(conntrackOn)
	c.Sysctl = map[string]string{"net.netfilter.nf_conntrack_log_invalid": "255"}
	k := open(t, c)
	p := udp(client, server, 5000, 53)
	p[len(p)-1] ^= 1
	r := inject(t, k, "lan0", p)
	if len(r.Invalid) != 1 || !strings.Contains(r.Invalid[0], "bad checksum") {
		t.Errorf("reasons %q, want a bad checksum", r.Invalid)
	}
	st, err := k.Stats()
	if err != nil || st.Invalid != 1 {
		t.Errorf("statistics %+v, %v; want one invalid", st, err)
	}
}

func BenchmarkInject(b *testing.B) {
	k := open(b, router(conntrackOn))
	p := udp(client, server, 5000, 53)
	for b.Loop() {
		if r := inject(b, k, "lan0", p); len(r.Out) != 1 {
			b.Fatal("the packet did not leave")
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "packets/s")
}

func BenchmarkReuse(b *testing.B) {
	k := open(b, router(conntrackOn))
	for b.Loop() {
		if err := k.Reload(conntrackOn, ""); err != nil {
			b.Fatal(err)
		}
		if err := k.Flush(); err != nil {
			b.Fatal(err)
		}
	}
}
