package main

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weir/capture"
)

// rulesOfChance chooses at random wherever a rule can.
const rulesOfChance = `*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A POSTROUTING -o wan0 -p udp -j MASQUERADE --random
-A POSTROUTING -o wan0 -p tcp -j MASQUERADE --to-ports 2000-60000 --random-fully
-A POSTROUTING -o wan0 -j MASQUERADE
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A FORWARD -m statistic --mode random --probability 0.5 -j ACCEPT
-A FORWARD -m conntrack --ctstate INVALID -j DROP
COMMIT
`

// replayed is every output of a replay, by option, and what trace says as text
// and as JSON.
func replayed(t *testing.T, dir, cap string, more ...string) map[string]string {
	t.Helper()
	got := map[string]string{}
	d := t.TempDir()
	args := append([]string{"replay", dir, cap}, more...)
	files := []string{"--json", "-w", "--conntrack", "--expect", "--events", "--save", "--save6", "--stats"}
	for _, o := range files {
		args = append(args, o, filepath.Join(d, strings.Trim(o, "-")))
	}
	if code, out, err := weir(t, args...); code != 0 || out != "" {
		t.Fatalf("exit %d: %s%s", code, out, err)
	}
	for _, o := range files {
		b, err := os.ReadFile(filepath.Join(d, strings.Trim(o, "-")))
		if err != nil {
			t.Fatal(err)
		}
		got["replay "+o] = string(b)
	}
	for name, args := range map[string][]string{
		"replay, summary": {"replay", dir, cap},
		"trace, text":     {"trace", dir, cap},
		"trace --show":    {"trace", dir, cap, "--show", "matched", "--only", "verdict==forward"},
		"trace --json":    {"trace", dir, cap, "--json", "-"},
	} {
		code, out, err := weir(t, append(args, more...)...)
		if code != 0 {
			t.Fatalf("%s: exit %d: %s", name, code, err)
		}
		got[name] = out
	}
	return got
}

// TestTheSameInputGivesTheSameBytes runs every example and a machine full of
// chance twice in every format, with one core and with several.
func TestTheSameInputGivesTheSameBytes(t *testing.T) {
	type machine struct{ dir, capture string }
	list := map[string]machine{
		"chance": {machineDir(t, map[string]string{"rules.v4": rulesOfChance, "sysctl.conf": "net.netfilter.nf_conntrack_acct = 1\nnet.netfilter.nf_conntrack_timestamp = 1\n"}), captureFile(t, traffic...)},
	}
	captures, err := filepath.Glob("../../examples/*/*.pcapng")
	if err != nil || len(captures) < 4 {
		t.Fatalf("%d examples, want four: %v", len(captures), err)
	}
	for _, c := range captures {
		list[filepath.Base(filepath.Dir(c))] = machine{filepath.Dir(c), c}
	}
	for name, m := range list {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first := replayed(t, m.dir, m.capture)
			for _, more := range [][]string{nil, {"--workers", "3"}} {
				for what, again := range replayed(t, m.dir, m.capture, more...) {
					if again != first[what] {
						t.Errorf("%v: %s: %d bytes, then %d others", more, what, len(first[what]), len(again))
					}
				}
			}
		})
	}
}

// TestAnotherSeedChoosesOtherwise shows that there was something to choose.
func TestAnotherSeedChoosesOtherwise(t *testing.T) {
	dir, cap := machineDir(t, map[string]string{"rules.v4": rulesOfChance}), captureFile(t, traffic...)
	a, b := replayed(t, dir, cap), replayed(t, dir, cap, "--seed", "2")
	for _, what := range []string{"replay --conntrack", "replay --events", "replay --json", "replay -w"} {
		if a[what] == b[what] {
			t.Errorf("%s is the same with another seed", what)
		}
	}
}

// TestTheFormOfACaptureDoesNotMatter runs the same packets as pcapng, as pcap of
// either byte order, and compressed.
func TestTheFormOfACaptureDoesNotMatter(t *testing.T) {
	dir, ng := machineDir(t, nil), captureFile(t, onlyLAN...)
	want := replayed(t, dir, ng)
	for name, data := range map[string][]byte{
		"pcap": pcapOf(t, ng, binary.LittleEndian), "big-endian pcap": pcapOf(t, ng, binary.BigEndian), "gzip": gzipped(t, mustRead(t, ng)),
	} {
		file := filepath.Join(t.TempDir(), "c")
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		for what, got := range replayed(t, dir, file, "--in", "lan0") {
			if got != want[what] {
				t.Errorf("%s: %s differs\n%s\n%s", name, what, want[what], got)
			}
		}
	}
}

// onlyLAN is traffic that comes by one interface.
var onlyLAN = []string{
	"lan0 udp 192.0.2.10:4000 > 198.51.100.1:53 len=4",
	"+1ms lan0 tcp 192.0.2.10:4000 > 198.51.100.1:80 S",
	"+1ms lan0 icmp 192.0.2.10 > 192.0.2.1 echo id=1 seq=1 len=8",
	"+3s lan0 udp 192.0.2.10:4001 > 198.51.100.1:53 len=2000 frag=7/1480",
}

// pcapOf writes the packets of a pcapng file as pcap with nanoseconds.
func pcapOf(t *testing.T, ng string, order binary.AppendByteOrder) []byte {
	t.Helper()
	r, err := capture.NewReader(bytes.NewReader(mustRead(t, ng)), ng)
	if err != nil {
		t.Fatal(err)
	}
	b := order.AppendUint32(nil, 0xa1b23c4d)
	b = order.AppendUint16(order.AppendUint16(b, 2), 4)
	b = append(b, make([]byte, 8)...)
	b = order.AppendUint32(order.AppendUint32(b, 65535), capture.LinkRaw)
	var rec capture.Record
	for r.Next(&rec) == nil {
		b = order.AppendUint32(order.AppendUint32(b, uint32(rec.Time/1e9)), uint32(rec.Time%1e9))
		b = order.AppendUint32(order.AppendUint32(b, uint32(len(rec.Data))), uint32(rec.OrigLen))
		b = append(b, rec.Data...)
	}
	return b
}

func mustRead(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
