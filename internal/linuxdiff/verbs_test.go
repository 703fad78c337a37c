package linuxdiff

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"weir/conntrack"
	"weir/conntrack/show"
	"weir/conntrack/verbs"
	"weir/engine"
	"weir/internal/gen"
	"weir/internal/kernel"
	"weir/internal/wire"
)

// commander gives command lines to conntrack(8) beside a kernel and to weir.
type commander struct {
	tool
	w     *subject
	names *show.LabelNames
	slack int
}

func newCommander(t *testing.T) *commander {
	t.Helper()
	needKernel(t)
	rules := "*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\nCOMMIT\n" +
		"*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A FORWARD -m connlabel --label 127\nCOMMIT\n"
	c := &gen.Case{Machine: extensionMachine(), Seed: 1, Rules4: rules, Rules6: rules}
	cfg := c.Machine.Config()
	cfg.Rules4, cfg.Rules6 = rules, rules
	k, err := kernel.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	w, err := newSubject(c, BySeed)
	if err != nil {
		t.Fatal(err)
	}
	x := &commander{tool: tool{k: k}, w: w, names: show.ParseLabels([]byte(labelNames)), slack: 2}
	x.name, x.args = withLabels(t)
	return x
}

// run gives a command line to both and compares; it returns how the real one
// ended.
func (x *commander) run(t *testing.T, line string) int {
	t.Helper()
	args := strings.Fields(line)
	name, first := "conntrack", []string(nil)
	if strings.Contains(line, "-l") || strings.Contains(line, "label") { // the others are faster so
		name, first = x.name, x.args
	}
	out, said, status, err := x.k.Program("", name, append(first[:len(first):len(first)], args...)...)
	if err != nil {
		t.Fatal(err)
	}
	x.w.now = max(x.w.now, time.Now().UnixNano())
	var res verbs.Result
	cmd, bad := verbs.Parse(args, x.names)
	if bad != nil {
		res.Stderr, res.Status = bad.Output(), bad.Status
	} else {
		res = cmd.Run(verbs.Machine{Table: x.w.m.Conntrack(), Rand: engine.NewRand(1)}, x.w.now)
	}
	x.w.m.Conntrack().Reap()
	if res.Status != status || string(res.Stderr) != said {
		t.Errorf("conntrack %s\nLinux ends with %d and says\n%s%sweir  ends with %d and says\n%s%s", line, status, said, head(out), res.Status, res.Stderr, head(string(res.Stdout)))
		return status
	}
	if strings.HasPrefix(line, "-h") || line == "" || strings.HasPrefix(line, "-U") && !strings.Contains(said, ": 1 flow") {
		return status // weir's own help; and of several that -U changes conntrack shows some by chance
	}
	sameLines(t, "conntrack "+line, sorted(out), sorted(string(res.Stdout)), x.slack)
	return status
}

// head is the beginning of a long text.
func head(s string) string { return s[:min(len(s), 2000)] }

// TestCommandsAsConntrack runs command lines one after the other on both.
func TestCommandsAsConntrack(t *testing.T) {
	x := newCommander(t)
	for _, line := range strings.Split(commandLines, "\n") {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			x.run(t, line)
		}
	}
}

// TestRandomFiltersAsConntrack makes the same connections on both and asks for
// some of them, changes and removes some.
func TestRandomFiltersAsConntrack(t *testing.T) {
	x := newCommander(t)
	r := rand.New(rand.NewPCG(7, 7))
	oneOf := func(l ...string) string { return l[r.IntN(len(l))] }
	port := func() string { return oneOf("1", "80", "443", "5000") }
	four := func() string { return oneOf("192.0.2.1", "192.0.2.2", "198.51.100.9", "203.0.113.77") }
	six := func() string { return oneOf("2001:db8::1", "2001:db8::2", "2001:db8:1::9") }
	proto := func(make bool) string {
		switch p := oneOf("tcp", "tcp", "udp", "icmp", "sctp", "gre", "50"); p {
		case "tcp", "sctp":
			s := ""
			if make || r.IntN(3) == 0 {
				s = " --state " + oneOf("ESTABLISHED", "CLOSED", "NONE")
				if p == "tcp" {
					s = " --state " + oneOf("ESTABLISHED", "SYN_SENT", "TIME_WAIT")
				} else if make {
					s += " --orig-vtag 5 --reply-vtag " + port()
				}
			}
			if make || r.IntN(3) == 0 {
				s += " --sport " + port()
			}
			if make || r.IntN(3) == 0 {
				s += " --dport " + port()
			}
			return " -p " + p + s
		case "udp":
			if make {
				return " -p udp --sport " + port() + " --dport " + port()
			}
			return " -p udp" + oneOf("", " --sport "+port(), " --reply-port-src "+port(), " --reply-port-dst "+port())
		case "icmp":
			if make {
				return " -p icmp --icmp-type " + oneOf("8", "13") + " --icmp-code 0 --icmp-id " + port()
			}
			return " -p icmp" + oneOf("", " --icmp-type 8", " --icmp-id "+port())
		case "gre":
			if make {
				return " -p gre --srckey " + port() + " --dstkey " + port()
			}
			return " -p gre" + oneOf("", " --dstkey "+port())
		default:
			return " -p " + p
		}
	}
	maybe := func(s string) string {
		if r.IntN(4) > 0 {
			return ""
		}
		return " " + s
	}
	made := func(verb string) string {
		a := four
		if r.IntN(3) == 0 {
			a = six
		}
		return verb + " -s " + a() + " -d " + a() + proto(true) + " -t " + oneOf("1000", "5000") +
			maybe("-u "+oneOf("ASSURED", "SEEN_REPLY", "SEEN_REPLY,ASSURED", "FIXED_TIMEOUT")) + maybe("-m "+oneOf("1", "0x10", "255")) +
			maybe(oneOf("-w 3", "--orig-zone 3", "--reply-zone 4", "-w 0")) + maybe("--label-add "+oneOf("first", "five,last")) +
			maybe("-"+oneOf("n", "g")+" "+oneOf(a(), a()+"0", "203.0.113.5:99"))
	}
	filter := func() string {
		a := four
		if r.IntN(3) == 0 {
			a = six
		}
		return maybe("-s "+a()+oneOf("", "/24", "/31", "/0")) + maybe("-d "+a()) + maybe("-r "+a()) + maybe("-q "+a()) +
			maybe(strings.TrimSpace(proto(false))) + maybe("-f "+oneOf("ipv4", "ipv6")) +
			maybe("-u "+oneOf("ASSURED", "SEEN_REPLY", "SEEN_REPLY,ASSURED", "!ASSURED", "UNREPLIED", "ASSURED,!SEEN_REPLY")) +
			maybe("-m "+oneOf("1", "0x10/0xf0", "0/1", "255/0x7f")) +
			maybe(oneOf("-w 3", "-w 0", "--orig-zone 3", "--reply-zone 4", "--orig-zone 0")) + maybe("-l "+oneOf("first", "five", "five,first")) +
			maybe(oneOf("-n", "-g", "-j", "-n "+a(), "-g "+a(), "-j 203.0.113.5:99", "-n 203.0.113.5:99"))
	}
	rounds := 1
	if *commandRounds > 0 {
		rounds = *commandRounds
	}
	for range rounds {
		var ports []string
		for i := range 25 {
			line := made(oneOf("-I", "-A"))
			if i%3 == 0 { // one that -U will find alone
				p := strconv.Itoa(6000 + len(ports))
				ports = append(ports, p)
				line = "-I -s 192.0.2.1 -d 198.51.100.9 -p udp --dport 53 -t 1000 --sport " + p + maybe("-u ASSURED") + maybe("--label-add five")
			}
			x.run(t, line)
		}
		for range 40 {
			x.run(t, oneOf("-L", "-L", "-L", "-L -o extended", "-L -o save", "-L -o xml")+filter())
		}
		for _, p := range ports {
			x.run(t, "-G -o id -s 192.0.2.1 -d 198.51.100.9 -p udp --dport 53 --sport "+p)
			x.run(t, "-U -s 192.0.2.1 -p udp --sport "+p+maybe("-u SEEN_REPLY")+maybe("-t 99")+maybe("-m 3/7")+maybe(oneOf("--label-add first,five", "--label-del", "--label-del five"))+maybe("-o save"))
		}
		for range 8 {
			x.run(t, "-D"+filter())
		}
		x.run(t, "-L -o extended,labels")
		if t.Failed() {
			return
		}
	}
}

// commandRounds makes TestRandomFiltersAsConntrack longer.
var commandRounds = flag.Int("commands", 0, "rounds of random conntrack commands")

// TestPacketsOfEnteredConnectionsAsLinux makes connections by command and sends
// packets of theirs through both: what is known of them, and what is not.
func TestPacketsOfEnteredConnectionsAsLinux(t *testing.T) {
	x := newCommander(t)
	for _, v6 := range []bool{false, true} {
		cl, sv, mid := host(v6, true, 20), host(v6, false, 20), host(v6, false, 77)
		ends := " -s " + cl.String() + " -d " + sv.String()
		out := func(src, dst netip.Addr, proto uint8, body []byte) gen.Packet {
			in := "lan0"
			if src == sv {
				in = "wan0"
			}
			return gen.Packet{In: in, Data: wire.IP{Src: src, Dst: dst, Proto: proto, TTL: 64}.Packet(body)}
		}
		tcp := func(src, dst netip.Addr, sp, dp uint16, seq, ack uint32, flags uint8, n int) gen.Packet {
			return out(src, dst, 6, wire.Segment{Sport: sp, Dport: dp, Seq: seq, Ack: ack, Flags: flags, Win: 500, Data: make([]byte, n)}.Bytes(src, dst))
		}
		both := func(port uint16) (l []gen.Packet) {
			for i := range uint32(6) { // beyond any window that was told
				l = append(l, tcp(cl, sv, 5000, port, 1000+i*1000, 9000+i*1000, wire.ACK, 1000), tcp(sv, cl, port, 5000, 9000+i*1000, 2000+i*1000, wire.ACK, 1000))
			}
			return append(l, tcp(sv, cl, port, 5000, 99999, 5, wire.ACK, 3), tcp(cl, sv, 5000, port, 77, 0, wire.RST, 0), tcp(cl, sv, 5000, port, 7000, 15000, wire.FIN|wire.ACK, 0),
				tcp(sv, cl, port, 5000, 15000, 7001, wire.FIN|wire.ACK, 0), tcp(cl, sv, 5000, port, 1, 0, wire.SYN, 0))
		}
		udp := func(src, dst netip.Addr, sp, dp uint16) gen.Packet {
			return out(src, dst, 17, wire.Datagram(17, src, dst, sp, dp, []byte("x")))
		}
		for _, c := range []struct {
			name    string
			line    string
			packets []gen.Packet
		}{
			{"established", "-I -p tcp --sport 5000 --dport 80 --state ESTABLISHED -u SEEN_REPLY,ASSURED -t 300" + ends, both(80)},
			{"established, unreplied", "-I -p tcp --sport 5000 --dport 81 --state ESTABLISHED -t 300" + ends, both(81)},
			{"a SYN was sent", "-I -p tcp --sport 5000 --dport 82 --state SYN_SENT -t 300" + ends, append([]gen.Packet{tcp(sv, cl, 82, 5000, 8999, 1000, wire.SYN|wire.ACK, 0)}, both(82)...)},
			{"no state", "-I -p tcp --sport 5000 --dport 83 --state NONE -t 300" + ends, both(83)},
			{"over", "-I -p tcp --sport 5000 --dport 84 --state TIME_WAIT -u SEEN_REPLY,ASSURED -t 300" + ends, both(84)},
			{"a closing one", "-I -p tcp --sport 5000 --dport 85 --state LAST_ACK -u SEEN_REPLY,ASSURED -t 300" + ends, both(85)},
			{"a datagram", "-I -p udp --sport 5000 --dport 53 -t 300" + ends, []gen.Packet{udp(cl, sv, 5000, 53), udp(sv, cl, 53, 5000), udp(cl, sv, 5000, 53), udp(sv, cl, 53, 5000)}},
			{"a datagram with a fixed timeout", "-I -p udp --sport 5000 --dport 54 -t 300 -u FIXED_TIMEOUT" + ends, []gen.Packet{udp(cl, sv, 5000, 54), udp(sv, cl, 54, 5000)}},
			{"source NAT", "-I -p udp --sport 5000 --dport 55 -t 300 -n " + mid.String() + ends, []gen.Packet{udp(cl, sv, 5000, 55), udp(sv, mid, 55, 5000), udp(cl, sv, 5000, 55)}},
			{"destination NAT", "-I -p udp --sport 5000 --dport 56 -t 300 -g " + sv.String() + " -s " + cl.String() + " -d " + mid.String(), []gen.Packet{udp(cl, mid, 5000, 56), udp(sv, cl, 56, 5000)}},
			{"GRE, whose timeouts are 0", "-I -p gre --srckey 0 --dstkey 0 -t 300" + ends, []gen.Packet{out(cl, sv, 47, []byte{0, 0, 8, 0, 1, 2, 3, 4}), out(cl, sv, 47, []byte{0, 0, 8, 0, 1, 2, 3, 4})}},
		} {
			x.run(t, c.line)
			for i, p := range c.packets {
				res, err := x.k.Inject(p.In, p.Data)
				if err != nil {
					t.Fatal(err)
				}
				x.w.follow(p.Data, &res)
				got := x.w.run(p, time.Now().UnixNano())
				if d := packetDifference(p.Data, &res, &got, x.w, false); d != nil {
					t.Errorf("%s, IPv6 %v, packet %d: %v", c.name, v6, i, d)
					break
				}
			}
		}
		x.run(t, "-L -o extended")
		x.run(t, "-F")
		x.w.events = nil
		if _, err := x.k.Pending(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSavedStateIsWhatConntrackReads saves weir's connections, reads them with
// conntrack -R into the kernel and with weir into another machine, and compares
// the two.
func TestSavedStateIsWhatConntrackReads(t *testing.T) {
	x := newCommander(t)
	c := &gen.Case{Machine: extensionMachine(), Seed: 1, Rules4: textRules, Rules6: textRules}
	c.Machine.Sysctl["net.netfilter.nf_conntrack_checksum"] = "0"
	k, w := textMachine(t, c)
	k.Close()
	state := verbs.AppendState(nil, w.m.Conntrack(), x.names, w.now)
	if errs := verbs.LoadState(x.w.m.Commands(), state, x.names, time.Now().UnixNano()); len(errs) > 0 {
		t.Fatalf("line %d: %v\n%s", errs[0].Line, errs[0], state)
	}
	var plain []string
	for _, l := range strings.Split(string(state), "\n") {
		l, _, _ = strings.Cut(l, " --helper ")
		l, _, _ = strings.Cut(l, " --label-add ") // of which conntrack -R crashes at the second
		if !strings.Contains(l, "-p dccp") {      // which conntrack refuses to read
			plain = append(plain, l)
		}
	}
	file := filepath.Join(t.TempDir(), "state")
	if err := os.WriteFile(file, []byte(strings.Join(plain, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	_, said, status, err := x.k.Program("", x.name, append(x.args, "-R", file)...)
	if err != nil || status != 0 {
		t.Fatalf("conntrack -R ends with %d: %v%s\n%s", status, err, said, strings.Join(plain, "\n"))
	}
	linux, _, _ := x.tool.run(t, "-L", "-o", "extended")
	x.w.now = time.Now().UnixNano()
	weir := slices.DeleteFunc(listText(x.w, &show.Printer{Options: show.Extended}), func(l string) bool { return strings.Contains(l, "dccp") })
	for i := range weir {
		weir[i] = strings.Replace(weir[i], "helper=ftp ", "", 1)
	}
	sameLines(t, "-R", linux, weir, 3)
}

// TestExpectCommandsAsConntrack asks for, makes and removes expectations of an
// FTP connection.
func TestExpectCommandsAsConntrack(t *testing.T) {
	k := dialogueKernel(t)
	d := dialogues()[0]
	s := settings()[0]
	if err := k.Reload(d.rulesIn(&s)); err != nil {
		t.Fatal(err)
	}
	p := &player{}
	if diff, err := d.playIn(&s, k, p, 1); err != nil || diff != nil {
		t.Fatal(diff, err)
	}
	var master, next conntrack.Tuple
	tb := p.w.m.Conntrack()
	tb.EachExpect(func(e *conntrack.Expect) bool {
		master, next = tb.ByID(e.Master).Tuple[conntrack.Original], e.Tuple
		return true
	})
	if next.Proto == 0 {
		t.Fatal("nothing is expected")
	}
	x := &commander{tool: tool{k: k, name: "conntrack"}, w: p.w, slack: 3}
	ends := func(t *conntrack.Tuple) string {
		return " -s " + t.Src.IP(t.L3).String() + " -d " + t.Dst.IP(t.L3).String() + " -p tcp"
	}
	ports := func(t *conntrack.Tuple) string { return fmt.Sprintf(" --sport %d --dport %d", t.SrcL4, t.DstL4) }
	masks := " --mask-src 255.255.255.255 --mask-dst 255.255.255.255 --mask-port-src 0 --mask-port-dst 65535"
	reply := " --reply-port-src 1 --reply-port-dst 2"
	made := "-I expect" + ends(&master) + ports(&master) + " -t 50 --tuple-src 192.0.2.77 --tuple-dst 198.51.100.77 --tuple-port-src 10 --tuple-port-dst 11"
	for _, line := range []string{
		"-L expect", "-C expect", "-L expect -o xml", "-L expect -f ipv6",
		"-G expect" + ends(&next) + ports(&next) + reply, "-G expect" + ends(&next) + " --sport 77 --dport 1" + reply,
		"-D expect" + ends(&next) + ports(&next) + reply, "-D expect" + ends(&next) + ports(&next) + reply, "-L expect",
		// Of what conntrack makes it forgets the protocol, so it is not listed here.
		made + masks, made + masks, "-C expect", "-F expect", "-C expect", made,
		strings.Replace(made, "--dport 21", "--dport 22", 1) + masks, "-F conntrack", made + masks,
	} {
		x.run(t, line)
	}
}

// TestCorpusCommandsAsConntrack runs the command lines of conntrack's own tests,
// which stand beside the project. The real program's answer counts: where it
// differs from the file's, that is said.
func TestCorpusCommandsAsConntrack(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "shared", "corpus", "conntrack-commands.tsv"))
	if err != nil {
		t.Skip("the corpus is not here")
	}
	var x *commander
	file, lines := "", 0
	var other []string
	for _, l := range strings.Split(strings.TrimSpace(string(text)), "\n")[1:] {
		w := strings.Split(l, "\t")
		if len(w) != 4 {
			t.Fatalf("not four columns: %q", l)
		}
		if w[0] != file {
			x, file = newCommander(t), w[0]
		}
		if status := x.run(t, w[2]); (status == 0) != (w[3] == "OK") {
			other = append(other, w[0]+":"+w[1])
		}
		lines++
	}
	t.Logf("%d command lines as the real conntrack; it does not do what stands there in %d: %s", lines, len(other), strings.Join(other, " "))
}
