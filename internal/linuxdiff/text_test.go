package linuxdiff

import (
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"weir/conntrack"
	"weir/conntrack/show"
	"weir/internal/gen"
	"weir/internal/kernel"
	"weir/internal/wire"
)

// labelNames is the connlabel.conf of these tests.
const labelNames = "# of tests\n1 first\n5 five\n127 last\n"

// withLabels makes a conntrack(8) see labelNames: in a mount namespace of its
// own, with an /etc that holds nothing else.
func withLabels(t *testing.T) (name string, args []string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "xtables"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "xtables", "connlabel.conf"), []byte(labelNames), 0o644); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile("/etc/protocols"); err == nil {
		if err := os.WriteFile(filepath.Join(dir, "protocols"), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return "unshare", []string{"-m", "sh", "-c", `mount --bind "$0" /etc && exec conntrack "$@"`, dir}
}

// textRules put connections into zones, mark and label them.
const textRules = "*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n" +
	"-A PREROUTING -p udp --dport 1001 -j CT --zone 5\n-A PREROUTING -p udp --sport 1001 -j CT --zone 5\n" +
	"-A PREROUTING -p udp --dport 1002 -j CT --zone-orig 6\n-A PREROUTING -p udp --dport 1003 -j CT --zone-reply 7\n" +
	"-A PREROUTING -p tcp --dport 21 -j CT --helper ftp\nCOMMIT\n" +
	"*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n" +
	"-A PREROUTING -p tcp --dport 8080 -j REDIRECT --to-ports 80\n-A POSTROUTING -o wan0 -p tcp --dport 443 -j MASQUERADE --to-ports 40000-40010\nCOMMIT\n" +
	"*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n" +
	"-A FORWARD -p udp --dport 1004 -j CONNMARK --set-mark 0xffffffff\n-A FORWARD -p udp -m connlabel --label 5 --set\n" +
	"-A FORWARD -p tcp -m connlabel --label 127 --set\n-A FORWARD -p tcp --dport 443 -m connlabel --label 99 --set\nCOMMIT\n"

// textPackets begin connections of every protocol and answer some.
func textPackets(v6 bool) (list []gen.Packet) {
	cl, sv := host(v6, true, 20), host(v6, false, 20)
	ip := func(in string, src, dst netip.Addr, proto uint8, body []byte) {
		list = append(list, gen.Packet{In: in, Data: wire.IP{Src: src, Dst: dst, Proto: proto, TTL: 64}.Packet(body)})
	}
	both := func(proto uint8, ask, answer []byte) {
		ip("lan0", cl, sv, proto, ask)
		if answer != nil {
			ip("wan0", sv, cl, proto, answer)
		}
	}
	tcp := func(src, dst netip.Addr, sp, dp uint16, seq, ack uint32, flags uint8) []byte {
		return wire.Segment{Sport: sp, Dport: dp, Seq: seq, Ack: ack, Flags: flags, Win: 1000}.Bytes(src, dst)
	}
	for _, port := range []uint16{1000, 1001, 1002, 1003, 1004} {
		both(17, wire.Datagram(17, cl, sv, 4000, port, []byte("a")), wire.Datagram(17, sv, cl, port, 4000, []byte("bc")))
	}
	both(136, wire.Datagram(136, cl, sv, 4000, 9, []byte("a")), nil)
	for _, port := range []uint16{21, 80, 443, 8080} {
		ip("lan0", cl, sv, 6, tcp(cl, sv, 5000, port, 100, 0, wire.SYN))
	}
	ip("wan0", sv, cl, 6, tcp(sv, cl, 80, 5000, 500, 101, wire.SYN|wire.ACK))
	ip("lan0", cl, sv, 6, tcp(cl, sv, 5000, 80, 101, 501, wire.ACK))
	ip("wan0", sv, cl, 6, tcp(sv, cl, 21, 5000, 500, 101, wire.SYN|wire.ACK))
	both(47, []byte{0x20, 1, 0x88, 0x0b, 0, 4, 0x12, 0x34, 'd', 'a', 't', 'a'}, nil)
	both(50, []byte("12345678abcd"), []byte("12345678abcd"))
	both(33, []byte("12345678abcd"), nil)
	sctp := []byte{3, 0x84, 3, 0x85, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 20, 0, 0, 0, 7, 0, 0, 3, 232, 0, 1, 0, 1, 0, 0, 0, 1}
	binary.LittleEndian.PutUint32(sctp[8:], crc32.Checksum(sctp, crc32.MakeTable(crc32.Castagnoli)))
	both(132, sctp, nil)
	if v6 {
		ip("lan0", cl, sv, 58, wire.ICMP(cl, sv, 128, 0, 9<<16|1, nil))
		ip("lan0", cl, netip.MustParseAddr("2001:db8:2:0:1::7"), 17, wire.Datagram(17, cl, netip.MustParseAddr("2001:db8:2:0:1::7"), 1, 2, nil))
	} else {
		both(1, wire.ICMP(cl, sv, 8, 0, 77<<16|1, []byte("ab")), wire.ICMP(sv, cl, 0, 0, 77<<16|1, []byte("ab")))
	}
	return list
}

// tool is conntrack(8) beside one kernel.
type tool struct {
	k    *kernel.Kernel
	name string
	args []string
}

// run runs it and returns the lines that it wrote, sorted, and what it said.
func (c *tool) run(t *testing.T, args ...string) (lines []string, said string, status int) {
	t.Helper()
	out, said, status, err := c.k.Program("", c.name, append(slices.Clone(c.args), args...)...)
	if err != nil {
		t.Fatal(err)
	}
	return sorted(out), said, status
}

func sorted(text string) []string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	slices.Sort(lines)
	return lines
}

// vague is what two machines do not agree about: names, times and seconds that
// pass.
var vague = regexp.MustCompile(`(\bid=|<id>|start=|stop=|<start>|<stop>|<min>|<hour>|<sec>|^\[)[^\]<" ]+ *|(-t |<timeout>|delta-time=|<deltatime>|(?:^|\] )(?:ipv[46] +\d+ )?\w+ +\d+ |^|\] )(\d+)\b`)

// settle replaces what is vague: names and times by a word, seconds by those of
// the other side if they are few apart.
func settleText(mine, theirs string, slack int) string {
	var seconds []int
	for _, m := range vague.FindAllStringSubmatch(theirs, -1) {
		if m[3] != "" {
			n, _ := strconv.Atoi(m[3])
			seconds = append(seconds, n)
		}
	}
	return vague.ReplaceAllStringFunc(mine, func(s string) string {
		m := vague.FindStringSubmatch(s)
		if m == nil {
			return s
		}
		if m[1] != "" {
			return m[1] + "*"
		}
		n, _ := strconv.Atoi(m[3])
		if len(seconds) > 0 {
			if d := seconds[0] - n; d <= slack && d >= -slack {
				n = seconds[0]
			}
			seconds = seconds[1:]
		}
		return m[2] + strconv.Itoa(n)
	})
}

// sameLines compares two lists without order.
func sameLines(t *testing.T, what string, linux, weir []string, slack int) {
	t.Helper()
	hide := func(s string) string { return vague.ReplaceAllString(s, "$1$2*") }
	by := func(a, b string) int { return strings.Compare(hide(a), hide(b)) }
	slices.SortFunc(linux, by)
	slices.SortFunc(weir, by)
	for i := range max(len(linux), len(weir)) {
		a, b := "", ""
		if i < len(linux) {
			a = linux[i]
		}
		if i < len(weir) {
			b = weir[i]
		}
		if x, y := settleText(a, b, 0), settleText(b, a, slack); x != y {
			t.Errorf("%s\nLinux %s\nweir  %s\nof %d and %d lines", what, a, b, len(linux), len(weir))
			return
		}
	}
}

// textOptions are the combinations of -o that are compared.
func textOptions() map[string]show.Options {
	return map[string]show.Options{
		"": 0, "extended": show.Extended, "id": show.ID, "timestamp": show.Timestamp, "ktimestamp": show.KTimestamp,
		"labels": show.Labels, "xml": show.XML, "save": show.Save,
		"extended,id,ktimestamp,labels":               show.Extended | show.ID | show.KTimestamp | show.Labels,
		"xml,extended,id,timestamp,ktimestamp,labels": show.XML | show.Extended | show.ID | show.Timestamp | show.KTimestamp | show.Labels,
	}
}

// listText is a table as weir lists it.
func listText(w *subject, p *show.Printer) []string {
	tb := w.m.Conntrack()
	var b []byte
	tb.Each(w.now, func(c *conntrack.Conn) bool {
		b = append(p.Entry(b, tb, c, w.now), '\n')
		return true
	})
	return sorted(p.Head("conntrack") + string(b) + p.Tail("conntrack"))
}

// TestTextsAsConntrack compares what conntrack(8) prints of a table with what
// weir prints: every protocol, zones, marks, labels, NAT, a helper.
func TestTextsAsConntrack(t *testing.T) {
	needKernel(t)
	c := &gen.Case{Machine: extensionMachine(), Seed: 1, Rules4: textRules, Rules6: textRules}
	c.Machine.Sysctl["net.netfilter.nf_conntrack_timestamp"] = "1"
	c.Machine.Sysctl["net.netfilter.nf_conntrack_checksum"] = "0" // for UDP-Lite, see docs/differences.md
	k, w := textMachine(t, c)
	tl := &tool{k: k}
	tl.name, tl.args = withLabels(t)
	names := show.ParseLabels([]byte(labelNames))
	for o, opts := range textOptions() {
		args := []string{"-L"}
		if o != "" {
			args = append(args, "-o", o)
		}
		linux, _, status := tl.run(t, args...)
		if status != 0 {
			t.Fatalf("conntrack %v ended with %d", args, status)
		}
		w.now = max(w.now, time.Now().UnixNano())
		sameLines(t, "-o "+o, linux, listText(w, &show.Printer{Options: opts, Names: names}), 2)
	}
	proc, _, _, err := k.Program("", "cat", "/proc/net/nf_conntrack")
	if err != nil {
		t.Fatal(err)
	}
	sameLines(t, "/proc/net/nf_conntrack", sorted(proc), listText(w, &show.Printer{Options: show.Proc}), 2)
}

// textMachine is both machines of a case after textPackets.
func textMachine(t *testing.T, c *gen.Case) (*kernel.Kernel, *subject) {
	t.Helper()
	cfg := c.Machine.Config()
	cfg.Rules4, cfg.Rules6 = c.Rules4, c.Rules6
	k, err := kernel.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	w, err := newSubject(c, BySeed)
	if err != nil {
		t.Fatal(err)
	}
	for _, v6 := range []bool{false, true} {
		playBoth(t, k, w, textPackets(v6))
	}
	return k, w
}

// playBoth gives packets to both.
func playBoth(t *testing.T, k *kernel.Kernel, w *subject, list []gen.Packet) {
	t.Helper()
	for _, p := range list {
		res, err := k.Inject(p.In, p.Data)
		if err != nil {
			t.Fatal(err)
		}
		w.follow(p.Data, &res)
		w.run(p, time.Now().UnixNano())
	}
}

// TestHelpersTextsAsConntrack compares the texts of connections and expectations
// after dialogues of helpers.
func TestHelpersTextsAsConntrack(t *testing.T) {
	k := dialogueKernel(t)
	tl := &tool{k: k, name: "conntrack"}
	for _, d := range dialogues() {
		if d.quiet || strings.Contains(d.name, "of the machine") {
			continue
		}
		s := settings()[4]
		if d.name == "ftp in a zone" {
			s = settings()[0]
		}
		if err := k.Reload(d.rulesIn(&s)); err != nil {
			t.Fatal(err)
		}
		p := &player{r: rand.New(rand.NewPCG(1, 1))}
		if diff, err := d.playIn(&s, k, p, 1); err != nil || diff != nil {
			t.Fatal(d.name, diff, err)
		}
		w := p.w
		for o, opts := range textOptions() {
			if opts&show.Labels != 0 || opts == show.Extended || opts == show.ID || opts == show.KTimestamp {
				continue // others tell that already
			}
			args := []string{"-L"}
			expect := []string{"-L", "expect"}
			if d.v6 {
				expect = append(expect, "-f", "ipv6")
			}
			if o != "" {
				args, expect = append(args, "-o", o), append(expect, "-o", o)
			}
			linux, _, _ := tl.run(t, args...)
			w.now = max(w.now, time.Now().UnixNano())
			pr := &show.Printer{Options: opts}
			sameLines(t, d.name+" -o "+o, linux, listText(w, pr), 2)
			linux, _, _ = tl.run(t, expect...)
			var b []byte
			tb := w.m.Conntrack()
			tb.EachExpect(func(e *conntrack.Expect) bool {
				b = append(pr.Expect(b, tb, e, w.now), '\n')
				return true
			})
			text := string(b)
			if len(b) > 0 {
				text = pr.Head("expect") + text + pr.Tail("expect")
			}
			sameLines(t, d.name+" expect -o "+o, linux, sorted(text), 2)
		}
	}
}

// listeners is how many sockets hear events of connections or expectations.
func listeners(t *testing.T, k *kernel.Kernel) (n int) {
	t.Helper()
	text, _, _, err := k.Program("", "cat", "/proc/net/netlink")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range strings.Split(text, "\n") {
		if w := strings.Fields(l); len(w) > 3 && w[1] == "12" && w[3] != "00000000" {
			n++
		}
	}
	return n
}

// eventually waits until f is true.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain for ", what)
		}
	}
}

// TestEventsAsConntrack compares what conntrack -E prints with what weir prints.
func TestEventsAsConntrack(t *testing.T) {
	needKernel(t)
	c := &gen.Case{Machine: extensionMachine(), Seed: 1, Rules4: textRules, Rules6: textRules}
	c.Machine.Sysctl["net.netfilter.nf_conntrack_timestamp"] = "1"
	c.Machine.Sysctl["net.netfilter.nf_conntrack_checksum"] = "0"
	cfg := c.Machine.Config()
	cfg.Rules4, cfg.Rules6 = c.Rules4, c.Rules6
	k, err := kernel.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	w, err := newSubject(c, BySeed)
	if err != nil {
		t.Fatal(err)
	}
	name, args := withLabels(t)
	names := show.ParseLabels([]byte(labelNames))
	type listener struct {
		o     string
		p     show.Printer
		file  string
		stop  func() (string, error)
		lines []byte
	}
	var all []*listener
	before := listeners(t, k)
	for o, opts := range textOptions() {
		l := &listener{o: o, p: show.Printer{Options: opts, Names: names}, file: filepath.Join(t.TempDir(), "events")}
		if o == "" {
			o = "userspace"
		}
		a := append(slices.Clone(args), "-E", "-o", o)
		l.stop, err = k.Start("sh", append([]string{"-c", `f=$1; shift; exec "$@" > $f`, "sh", l.file, name}, a...)...)
		if err != nil {
			t.Fatal(err)
		}
		l.lines = append(l.lines, l.p.Head("conntrack")...)
		all = append(all, l)
	}
	eventually(t, "listeners", func() bool { return listeners(t, k) == before+len(all) })
	tb := w.m.Conntrack()
	w.m.Conntrack().OnEvent(func(e conntrack.Event) {
		for _, l := range all {
			l.lines = append(l.p.Event(l.lines, &e), '\n')
		}
	})
	for _, v6 := range []bool{false, true} {
		playBoth(t, k, w, textPackets(v6))
	}
	tb.Flush(time.Now().UnixNano())
	if err := k.Flush(); err != nil {
		t.Fatal(err)
	}
	const last = "192.0.2.250"
	if _, err := k.Conntrack("-I", "-s", last, "-d", last, "-p", "50", "-t", "60"); err != nil {
		t.Fatal(err)
	}
	for _, l := range all {
		eventually(t, "the last event", func() bool {
			text, _ := os.ReadFile(l.file)
			return strings.Contains(string(text), last)
		})
		if _, err := l.stop(); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(l.file)
		if err != nil {
			t.Fatal(err)
		}
		linux := slices.DeleteFunc(sorted(string(text)), func(s string) bool { return strings.Contains(s, last) })
		for i := range linux { // who flushed the table
			linux[i], _, _ = strings.Cut(linux[i], " [USERSPACE]")
		}
		sameLines(t, "-E -o "+l.o, linux, sorted(string(l.lines)+l.p.Tail("conntrack")), 2)
	}
}
