package linuxdiff

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"weir/engine"
	"weir/internal/gen"
	"weir/internal/kernel"
	"weir/internal/wire"
	"weir/packet"
	"weir/xtables/save"
)

// stateRules name state of every kind, with rates so low that nothing comes
// back while the test runs, and one that does.
const stateRules = `*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A FORWARD -m recent --name r1 --set
-A FORWARD -m recent --name r2 --update --seconds 1000 --hitcount 3 --rdest
-A FORWARD -p udp -m recent --name r2 --set --rdest --mask 255.255.255.0
-A FORWARD -p udp --sport 1001 -m recent --name r1 --update --hitcount 2 --rttl
-A FORWARD -m hashlimit --hashlimit-upto 1/hour --hashlimit-burst 3 --hashlimit-name h1 --hashlimit-mode srcip,srcport,dstip,dstport
-A FORWARD -m hashlimit --hashlimit-above 100b/s --hashlimit-burst 500b --hashlimit-name h2 --hashlimit-mode srcip
-A FORWARD -m hashlimit --hashlimit-upto 3/hour --hashlimit-burst 2 --hashlimit-name h3 --hashlimit-rate-match --hashlimit-mode dstport
-A FORWARD -m hashlimit --hashlimit-upto 1/min --hashlimit-name h4 --hashlimit-mode srcip --hashlimit-srcmask 24
COMMIT
`

// procOf reads the files of the kernel.
func procOf(t *testing.T, k *kernel.Kernel) (files []engine.ProcFile, jiffies int64) {
	t.Helper()
	out, said, status, err := k.Program("", "sh", "-c", `grep -m1 ^jiffies: /proc/timer_list; cd /proc/net; for f in ip6t_hashlimit/* ipt_hashlimit/* xt_recent/*; do [ -e "$f" ] && echo "== $f" && cat "$f"; done; true`)
	if err != nil || status != 0 {
		t.Fatal(err, said)
	}
	for l := range strings.Lines(out) {
		if n, ok := strings.CutPrefix(l, "jiffies: "); ok {
			jiffies, _ = strconv.ParseInt(strings.TrimSpace(n), 10, 64)
			continue
		}
		if n, ok := strings.CutPrefix(l, "== "); ok {
			dir, name, _ := strings.Cut(strings.TrimSpace(n), "/")
			files = append(files, engine.ProcFile{Dir: dir, Name: name, Text: engine.Text{Name: strings.TrimSpace(n), Text: []byte{}}})
			continue
		}
		f := &files[len(files)-1]
		f.Text.Text = append(f.Text.Text, l...)
	}
	return files, jiffies
}

// procText is files as one text, the lines of each sorted.
func procText(files []engine.ProcFile) string {
	var b strings.Builder
	for _, f := range files {
		lines := strings.Split(strings.TrimSuffix(string(f.Text.Text), "\n"), "\n")
		slices.Sort(lines)
		fmt.Fprintf(&b, "%s/%s\n%s\n", f.Dir, f.Name, strings.Join(lines, "\n"))
	}
	return b.String()
}

// grown is how many packets each rule matched between two outputs of
// iptables-save -c.
func grown(before, after string) string {
	was := map[string]int{}
	var b strings.Builder
	for i, text := range []string{before, after} {
		for l := range strings.Lines(text) {
			var packets, bytes int
			if n, _ := fmt.Sscanf(l, "[%d:%d]", &packets, &bytes); n != 2 {
				continue
			}
			_, rule, _ := strings.Cut(l, "] ")
			if i == 0 {
				was[rule] = packets
			} else {
				fmt.Fprintf(&b, "%d %s", packets-was[rule], rule)
			}
		}
	}
	return b.String()
}

// rough leaves away what two clocks do not agree about.
func rough(text string) string {
	var b strings.Builder
	for l := range strings.Lines(text) {
		w := strings.Fields(l)
		for i := range w {
			n, err := strconv.ParseUint(strings.TrimSuffix(w[i], ","), 10, 64)
			switch {
			case err != nil:
			case w[0][0] == 's' && n > 1<<20, w[0][0] != 's' && (i == 0 || i == 2 && n > 1<<20):
				w[i] = "*" // a time, seconds left, a credit
			}
		}
		b.WriteString(strings.Join(w, " ") + "\n")
	}
	lines := strings.Split(b.String(), "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// TestStateOfRulesAsLinux lets the kernel run packets, loads what it shows into
// weir, which must show the same to the byte, and lets both go on.
func TestStateOfRulesAsLinux(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		t.Run(fmt.Sprint("IPv6 ", v6), func(t *testing.T) {
			k := extensionKernel(t)
			c := &gen.Case{Machine: extensionMachine(), Seed: 1, Rules4: stateRules}
			family := packet.IPv4
			if v6 {
				c.Rules4, c.Rules6, family = "", strings.ReplaceAll(stateRules, "255.255.255.0", "ffff:ffff:ffff:ffff::"), packet.IPv6
			}
			if err := k.Reload(c.Rules4, c.Rules6); err != nil {
				t.Fatal(err)
			}
			if k.Flush() != nil {
				t.Fatal("flush")
			}
			send := func(n int, w *subject) {
				for i := range n {
					src, dst := host(v6, true, 10+i%4), host(v6, false, 10+i%3)
					p := gen.Packet{In: "lan0", Data: wire.IP{Src: src, Dst: dst, Proto: 17, TTL: uint8(64 - i%2)}.Packet(wire.Datagram(17, src, dst, uint16(1000+i%3), 53, make([]byte, i*13%90)))}
					if _, err := k.Inject(p.In, p.Data); err != nil {
						t.Fatal(err)
					}
					if w != nil {
						w.run(p, time.Now().UnixNano())
					}
				}
			}
			send(45, nil)
			files, jiffies := procOf(t, k)
			if len(files) != 6 || jiffies == 0 {
				t.Fatal(len(files), "files at", jiffies)
			}
			before, err := k.Save(v6)
			if err != nil {
				t.Fatal(err)
			}
			w, err := newSubject(c, Forgetful, func(cfg *engine.Config) { cfg.Proc, cfg.Jiffies = files, jiffies })
			if err != nil {
				t.Fatal(err)
			}
			if got, want := procText(w.m.Proc(w.start)), procText(files); got != want {
				t.Fatalf("weir shows\n%s\nLinux shows\n%s", got, want)
			}
			send(30, w)
			after, err := k.Save(v6)
			if err != nil {
				t.Fatal(err)
			}
			got := string(save.Append(nil, w.m.Rules(family), true))
			if x, y := grown(before, after), grown("", got); x != y || x == "" {
				t.Errorf("Linux matched\n%s\nweir matched\n%s", x, y)
			}
			files, _ = procOf(t, k)
			if got, want := rough(procText(w.m.Proc(time.Now().UnixNano()))), rough(procText(files)); got != want {
				t.Errorf("weir shows\n%s\nLinux shows\n%s", got, want)
			}
		})
	}
}
