// Package examples proves that weir's replay of each example is what the
// kernel did when it was recorded: the same packets on the same interfaces in
// the same order, the same connections, the same counters.
package examples

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"testing"

	"weir/capture"
	"weir/conntrack"
	"weir/conntrack/show"
	"weir/defrag"
	"weir/engine"
	"weir/machine"
	"weir/packet"
	"weir/replay"
	"weir/trace/render"
	"weir/xtables/save"
)

// names lists the examples and their captures.
var names = map[string]string{
	"home-router":     "browse.pcapng",
	"published-ports": "publish.pcapng",
	"ipv6-router":     "sixes.pcapng",
	"attack":          "attack.pcapng",
	"helpers":         "office.pcapng",
	"customers":       "customers.pcapng",
}

// left is a packet that left a machine.
type left struct {
	dev  string
	data []byte
}

// run replays an example and lets the clock run on to end.
func run(t *testing.T, dir, file string, end int64, forgetful bool) (*engine.Machine, []left, int64) {
	t.Helper()
	m, errs := machine.Load(dir)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	cfg := replay.Config(m, 1)
	cfg.Forgetful = forgetful
	eng, errs := engine.New(cfg)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	f, err := os.Open(filepath.Join(dir, file))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	src, err := replay.NewCapture(f, file, m)
	if err != nil {
		t.Fatal(err)
	}
	var out []left
	r := replay.Runner{Machine: eng, Each: func(p *render.Packet) error {
		for _, o := range p.Out {
			out = append(out, left{o.Dev, bytes.Clone(o.Data)})
		}
		return nil
	}}
	if err := r.Run(src); err != nil {
		t.Fatal(err)
	}
	now := max(end, r.Last)
	eng.Tick(now)
	return eng, out, now
}

// kernelOut reads what left the kernel.
func kernelOut(t *testing.T, file string) (out []left) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := capture.NewReader(f, file)
	if err != nil {
		t.Fatal(err)
	}
	var rec capture.Record
	var fr capture.Frame
	for {
		err := r.Next(&rec)
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		rec.Decode(&fr)
		var p packet.Packet
		if err := packet.Parse(fr.IP, &p); err != nil {
			t.Fatalf("%s: packet %d: %v", file, rec.N, err)
		}
		out = append(out, left{rec.IfName, bytes.Clone(p.Data)})
	}
}

// normal takes out what Linux chooses at random in packets that the machine
// itself makes: the identification of ICMP over IPv4, the flow label of IPv6.
// own tells that the packet has an address of the machine as its source.
func normal(d []byte, own bool) []byte {
	var p packet.Packet
	d = bytes.Clone(d)
	if !own || packet.Parse(d, &p) != nil {
		return d
	}
	if p.Family == packet.IPv6 {
		d[1], d[2], d[3] = d[1]&0xf0, 0, 0
	} else if p.Proto == packet.ICMP {
		d[4], d[5], d[10], d[11] = 0, 0, 0, 0
	}
	return d
}

// equal compares packets that left the machine.
func equal(eng *engine.Machine, got, want left) bool {
	var p packet.Packet
	if got.dev != want.dev || packet.Parse(bytes.Clone(want.data), &p) != nil {
		return false
	}
	own := eng.Routes().IsLocal(p.Family, p.Src())
	return bytes.Equal(normal(got.data, own), normal(want.data, own))
}

// whole puts fragments together. The recording's tap makes the kernel share
// the buffers of packets with it, which then cuts reassembled datagrams afresh
// where it would otherwise send them as they came; and the identification of
// IPv6 fragments is random. The comparison with a kernel that nobody taps
// looks at fragments themselves (internal/linuxdiff).
func whole(t *testing.T, in []left) (out []left) {
	t.Helper()
	q := defrag.New(defrag.DefaultConfig())
	for _, l := range in {
		var p packet.Packet
		if err := packet.Parse(bytes.Clone(l.data), &p); err != nil {
			t.Fatalf("a packet that left is malformed: %v: %x", err, l.data)
		}
		switch st, cause := q.Add(&p, defrag.ConntrackIn, 0, nil, 0); st {
		case defrag.Waiting:
		case defrag.Dropped:
			t.Fatalf("a fragment that left is bad: %v: %x", cause, l.data)
		default:
			out = append(out, left{l.dev, p.Data})
		}
	}
	if n := q.Len(); n != 0 {
		t.Errorf("%d datagrams left in part", n)
	}
	return out
}

func TestLinuxDidTheSame(t *testing.T) {
	for name, file := range names {
		for mode, forgetful := range map[string]bool{"remembering": false, "walking": true} {
			t.Run(name+"/"+mode, func(t *testing.T) {
				end := endOf(t, filepath.Join(name, "kernel", "end.txt"))
				eng, got, now := run(t, name, file, end, forgetful)
				want := kernelOut(t, filepath.Join(name, "kernel", "out.pcapng"))
				comparePackets(t, eng, whole(t, got), whole(t, want))
				compareTables(t, eng, name)
				compareConnections(t, eng, name, now)
				compareStats(t, eng, name)
			})
		}
	}
}

func comparePackets(t *testing.T, eng *engine.Machine, got, want []left) {
	t.Helper()
	bad := 0
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			t.Errorf("packet %d did not leave: %s %x", i+1, want[i].dev, want[i].data)
		case i >= len(want):
			t.Errorf("packet %d left and should not have: %s %x", i+1, got[i].dev, got[i].data)
		case !equal(eng, got[i], want[i]):
			t.Errorf("packet %d:\n got %s %x\nwant %s %x", i+1, got[i].dev, got[i].data, want[i].dev, want[i].data)
		default:
			continue
		}
		if bad++; bad == 5 {
			t.Fatalf("%d packets left, %d should have", len(got), len(want))
		}
	}
}

func endOf(t *testing.T, file string) int64 {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	f, err := strconv.ParseFloat(strings.TrimSpace(string(b)), 64)
	if err != nil {
		t.Fatal(err)
	}
	return int64(f * 1e9)
}

// compareTables compares rules and counters. Comments of iptables-save have
// the time and are left out, and so are tables that only the kernel lists:
// empty ones that nobody named.
func compareTables(t *testing.T, eng *engine.Machine, dir string) {
	t.Helper()
	for file, f := range map[string]packet.Family{"rules.v4": packet.IPv4, "rules.v6": packet.IPv6} {
		b, err := os.ReadFile(filepath.Join(dir, "kernel", file))
		if err != nil {
			t.Fatal(err)
		}
		want := byTable(string(b), f)
		for name, g := range byTable(string(save.Append(nil, eng.Rules(f), true)), f) {
			if g != want[name] {
				t.Errorf("%s %s: %s", file, name, firstDifference(g, want[name]))
			}
		}
	}
}

// ndChains are the chains whose policies also count the neighbour discovery of
// the kernel's IPv6, which the captures leave out.
var ndChains = regexp.MustCompile(`^(:(?:PREROUTING|INPUT|OUTPUT|POSTROUTING) \S+) \[.*`)

func byTable(text string, f packet.Family) map[string]string {
	m := map[string]string{}
	name := ""
	for _, l := range strings.Split(text, "\n") {
		if strings.HasPrefix(l, "#") || l == "" {
			continue
		}
		if l[0] == '*' {
			name = l[1:]
		}
		if f == packet.IPv6 {
			l = ndChains.ReplaceAllString(l, "$1")
		}
		m[name] += l + "\n"
	}
	return m
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	var b strings.Builder
	for i := range max(len(g), len(w)) {
		a, c := "", ""
		if i < len(g) {
			a = g[i]
		}
		if i < len(w) {
			c = w[i]
		}
		if a != c {
			fmt.Fprintf(&b, "\n got %s\nwant %s", a, c)
		}
	}
	return b.String()
}

var timeout = regexp.MustCompile(`^(ipv[46]\s+\d+ \S+\s+\d+) (\d+) (.*)$`)

// compareConnections compares the tables at the end; timeouts may differ by a
// second, since the kernel's listing took its time.
func compareConnections(t *testing.T, eng *engine.Machine, dir string, now int64) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "kernel", "conntrack.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var lines []byte
	tb := eng.Conntrack()
	tb.Each(now, func(c *conntrack.Conn) bool {
		lines = append(show.AppendEntry(lines, tb, c, now, show.Extended), '\n')
		return true
	})
	split := func(s string) (keys []string, left map[string]float64) {
		left = map[string]float64{}
		for _, l := range strings.Split(s, "\n") {
			m := timeout.FindStringSubmatch(strings.TrimRight(l, " "))
			if m == nil {
				continue
			}
			k := m[1] + " " + m[3]
			n, _ := strconv.ParseFloat(m[2], 64)
			keys, left[k] = append(keys, k), n
		}
		sort.Strings(keys)
		return keys, left
	}
	gk, gl := split(strings.ReplaceAll(string(lines), "\n\n", "\n"))
	wk, wl := split(string(b))
	if g, w := strings.Join(gk, "\n"), strings.Join(wk, "\n"); g != w {
		t.Errorf("connections differ: %s", firstDifference(g, w))
	}
	for k, w := range wl {
		if g, ok := gl[k]; ok && math.Abs(g-w) > 1 {
			t.Errorf("%s: %v s left, want %v", k, g, w)
		}
	}
	if len(wk) == 0 {
		t.Error("the kernel had no connection: nothing was compared")
	}
}

// compareStats compares the counters of conntrack -S, summed over CPUs.
func compareStats(t *testing.T, eng *engine.Machine, dir string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "kernel", "stats.txt"))
	if err != nil {
		t.Fatal(err)
	}
	sums := func(s string) map[string]uint64 {
		m := map[string]uint64{}
		for _, w := range strings.Fields(s) {
			if k, v, ok := strings.Cut(w, "="); ok && k != "cpu" {
				n, _ := strconv.ParseUint(v, 10, 64)
				m[k] += n
			}
		}
		return m
	}
	want := sums(string(b))
	st := eng.Conntrack().Stats()
	got := sums(string(show.AppendStats(nil, st)))
	for k, w := range want {
		if got[k] != w {
			t.Errorf("conntrack -S: %s=%d, want %d", k, got[k], w)
		}
	}
}
