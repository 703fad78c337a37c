package journal

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weir/capture"
	"weir/engine"
	"weir/hook"
	"weir/iface"
	"weir/packet"
	"weir/scenario/line"
)

const rules = `*filter
-A INPUT -p udp -j LOG --log-prefix "dns "
-A INPUT -p udp -j NFLOG --nflog-group 5 --nflog-prefix five --nflog-size 40
-A INPUT -p udp -m comment --comment "behind" -j DROP
COMMIT
`

// feed makes a machine log two lines for each packet.
func feed(t *testing.T, j hook.Logger, n int) {
	t.Helper()
	m, errs := engine.New(engine.Config{
		Ifaces: []*iface.Iface{{Index: 2, Name: "lan0", MTU: 1500, Addrs: []iface.Addr{{Prefix: netip.MustParsePrefix("192.0.2.1/24")}}}},
		Rules4: engine.Text{Name: "rules.v4", Text: []byte(rules)}, Log: j,
	})
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	p, err := line.Parse("lan0 udp 192.0.2.10:4000 > 192.0.2.1:53 len=30")
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		m.Receive(m.Ifaces().Name("lan0"), packet.Link{}, bytes.Clone(p.Data[0]), 1_700_000_000_123_456_000)
	}
}

func TestLinesRecordsAndPackets(t *testing.T) {
	var text, pcap, log bytes.Buffer
	j := New(Options{Text: &text, Capture: &pcap, Host: "gw",
		Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == "time" {
				return slog.Attr{}
			}
			return a
		}}))})
	feed(t, j, 1)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(text.String(), "\n")
	if want := "2023-11-14T22:13:20.123456+00:00 gw kernel: dns IN=lan0 OUT= MAC= SRC=192.0.2.10 DST=192.0.2.1 LEN=58 "; !strings.HasPrefix(lines[0], want) {
		t.Errorf("got  %s\nwant %s…", lines[0], want)
	}
	if !strings.Contains(lines[1], "kernel: fiveIN=lan0 ") {
		t.Errorf("got %s", lines[1])
	}
	first, second, _ := strings.Cut(log.String(), "\n")
	if want := `source=LOG rule="filter INPUT 1: -p udp -j LOG --log-prefix \"dns \"" in=lan0`; !strings.HasPrefix(first, "level=WARN ") || !strings.HasSuffix(first, want) {
		t.Errorf("got  %s\nwant … %s", first, want)
	}
	if !strings.Contains(second, "level=INFO ") || !strings.Contains(second, "source=NFLOG ") || !strings.HasSuffix(second, "in=lan0 group=5\n") {
		t.Errorf("got %s", second)
	}
	r, err := capture.NewReader(bytes.NewReader(pcap.Bytes()), "pcap")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for {
		var f capture.Record
		err := r.Next(&f)
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if n++; len(f.Data) != []int{0, 58, 40}[n] || f.OrigLen != 58 || f.Time != 1_700_000_000_123_456_000 || f.IfName != "lan0" {
			t.Errorf("%+v", f)
		}
	}
	if n != 2 {
		t.Errorf("%d packets", n)
	}
	for _, c := range []string{`filter INPUT 1: -p udp -j LOG --log-prefix "dns "`, "filter INPUT 2: -p udp -j NFLOG --nflog-prefix five --nflog-group 5 --nflog-size 40"} {
		if !bytes.Contains(pcap.Bytes(), []byte(c)) {
			t.Errorf("no packet has the comment %s", c)
		}
	}
}

// stuck is a writer that waits until it is let go.
type stuck struct{ let chan struct{} }

func (s stuck) Write(b []byte) (int, error) { <-s.let; return len(b), nil }

func TestASlowWriterLosesLinesAndHoldsNobodyUp(t *testing.T) {
	s := stuck{make(chan struct{})}
	j := New(Options{Text: s, Queue: 10})
	feed(t, j, 100)
	if n := j.Lost(); n < 180 || n > 190 {
		t.Errorf("%d of 200 lines were lost with a queue of 10", n)
	}
	close(s.let)
	if err := j.Close(); err != nil {
		t.Error(err)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestAWriterThatFailsIsGivenUpAndTheOthersGoOn(t *testing.T) {
	var text bytes.Buffer
	j := New(Options{Text: &text, Capture: full{}})
	feed(t, j, 3)
	if err := j.Close(); err == nil || err.Error() != "no space left on device" {
		t.Errorf("%v", err)
	}
	if n := strings.Count(text.String(), "\n"); n != 6 {
		t.Errorf("%d lines", n)
	}
}

func TestFilesBeginAnew(t *testing.T) {
	dir := t.TempDir()
	pcap, err := Open(filepath.Join(dir, "p"), 1000)
	if err != nil {
		t.Fatal(err)
	}
	text, err := Open(filepath.Join(dir, "t"), 500)
	if err != nil {
		t.Fatal(err)
	}
	j := New(Options{Capture: pcap, Text: text.Lines()})
	feed(t, j, 50)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	pcap.Close()
	text.Close()
	for _, n := range []string{"p", "p.1"} {
		b, err := os.ReadFile(filepath.Join(dir, n))
		if err != nil {
			t.Fatal(err)
		}
		if len(b) > 1300 {
			t.Errorf("%s has %d bytes", n, len(b))
		}
		r, err := capture.NewReader(bytes.NewReader(b), n)
		if err != nil {
			t.Fatalf("%s: %v", n, err)
		}
		for {
			var f capture.Record
			if err := r.Next(&f); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", n, err)
			}
		}
	}
	b, err := os.ReadFile(filepath.Join(dir, "t.1"))
	if err != nil || !bytes.HasSuffix(b, []byte("\n")) || len(b) > 800 {
		t.Errorf("t.1: %v, %d bytes", err, len(b))
	}
}
