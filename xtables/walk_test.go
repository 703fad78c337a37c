package xtables_test

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"weir/hook"
	"weir/iface"
	"weir/packet"
	"weir/trace"
	"weir/xtables"
	"weir/xtables/save"
)

// fixed is a match with a fixed answer and a target with a fixed code.
type fixed struct {
	word string
	hot  bool
	code xtables.Code
	do   func(t *hook.Traversal)
}

func (f *fixed) Match(t *hook.Traversal) bool {
	t.Hotdrop = t.Hotdrop || f.hot
	return f.word == "yes"
}
func (f *fixed) Explain(*hook.Traversal) string { return "answer is fixed" }
func (f *fixed) AppendArgs(b []byte) []byte     { return append(append(b, " --answer "...), f.word...) }
func (f *fixed) Do(t *hook.Traversal) xtables.Code {
	if f.do != nil {
		f.do(t)
	}
	return f.code
}

// testList has a match "fixed --answer yes|no|hot" and a target
// "DO --code accept|drop|continue|return|stolen|queue|ttl|nat".
func testList() xtables.List {
	return xtables.List{
		Matches: []xtables.MatchExt{{
			Name: "fixed", Families: xtables.Both,
			Options: []xtables.Option{{Name: "answer", Args: xtables.OneArg}},
			Parse: func(_ *xtables.Context, g []xtables.Given) (xtables.Match, error) {
				return &fixed{word: g[0].Args[0].Text, hot: g[0].Args[0].Text == "hot"}, nil
			},
		}},
		Targets: []xtables.TargetExt{{
			Name: "DO", Families: xtables.Both,
			Options: []xtables.Option{{Name: "answer", Args: xtables.OneArg}},
			Parse: func(_ *xtables.Context, g []xtables.Given) (xtables.Target, error) {
				f := &fixed{word: g[0].Args[0].Text}
				f.code = map[string]xtables.Code{"accept": xtables.Accept, "drop": xtables.Drop, "continue": xtables.Continue,
					"return": xtables.Return, "stolen": xtables.Stolen, "queue": xtables.Queue,
					"readdress": xtables.Continue, "reject": xtables.Drop}[f.word]
				switch f.word {
				case "readdress":
					f.do = func(t *hook.Traversal) { t.Pkt.SetSrc(packet.AddrOf(netip.MustParseAddr("203.0.113.9"))) }
				case "reject":
					f.do = func(t *hook.Traversal) { t.Why = hook.ReasonReject }
				}
				return f, nil
			},
		}},
	}
}

func load(t testing.TB, f packet.Family, text string) *save.File {
	t.Helper()
	if !strings.HasPrefix(text, "*") {
		text = "*filter\n" + text + "\nCOMMIT\n"
	}
	file, errs := save.Parse("rules", []byte(text), f, testList())
	for _, err := range errs {
		t.Error(err)
	}
	if file == nil {
		t.FailNow()
	}
	return file
}

// ipv4 is a packet of 40 bytes.
func ipv4(src, dst string, proto uint8, fragment uint16) []byte {
	d := make([]byte, 40)
	d[0], d[8], d[9] = 0x45, 64, proto
	binary.BigEndian.PutUint16(d[2:], 40)
	binary.BigEndian.PutUint16(d[6:], fragment)
	copy(d[12:], netip.MustParseAddr(src).AsSlice())
	copy(d[16:], netip.MustParseAddr(dst).AsSlice())
	binary.BigEndian.PutUint16(d[10:], packet.IPv4HeaderChecksum(d[:20]))
	return d
}

// ipv6 is a packet with payload behind the header.
func ipv6(src, dst string, next uint8, payload []byte) []byte {
	d := make([]byte, 40, 40+len(payload))
	d[0], d[6], d[7] = 0x60, next, 64
	binary.BigEndian.PutUint16(d[4:], uint16(len(payload)))
	copy(d[8:], netip.MustParseAddr(src).AsSlice())
	copy(d[24:], netip.MustParseAddr(dst).AsSlice())
	return append(d, payload...)
}

func traversal(t testing.TB, data []byte, at hook.Point, in, out string) *hook.Traversal {
	t.Helper()
	tr := &hook.Traversal{Pkt: new(packet.Packet), Env: &hook.Env{}, Point: at}
	if err := packet.Parse(data, tr.Pkt); err != nil {
		t.Fatal(err)
	}
	if in != "" {
		tr.In = &iface.Iface{Name: in}
	}
	if out != "" {
		tr.Out = &iface.Iface{Name: out}
	}
	return tr
}

func TestWalk(t *testing.T) {
	const drop = ":FORWARD DROP"
	for _, c := range []struct {
		name    string
		rules   string
		verdict hook.Verdict
		why     hook.Reason
		// counters of FORWARD's policy, then of the rules in order of printing
		want string
	}{
		{"an empty chain: the policy", "", hook.Accept, 0, "1"},
		{"an empty chain: the policy drops", drop, hook.Drop, hook.ReasonPolicy, "1"},
		{"a rule without a target counts and the next follows", drop + "\n-A FORWARD\n-A FORWARD -j ACCEPT", hook.Accept, 0, "0 1 1"},
		{"the first verdict ends the walk", "-A FORWARD -j DROP\n-A FORWARD -j ACCEPT", hook.Drop, hook.ReasonRule, "0 1 0"},
		{"RETURN from a built-in chain is its policy, which counts", drop + "\n-A FORWARD -j RETURN\n-A FORWARD -j ACCEPT", hook.Drop, hook.ReasonPolicy, "1 1 0"},
		{"a jump comes back behind the rule", drop + "\n:A -\n-A FORWARD -j A\n-A FORWARD -j ACCEPT\n-A A -s 10.0.0.0/8 -j DROP", hook.Accept, 0, "0 1 1 0"},
		{"RETURN comes back behind the rule", drop + "\n:A -\n-A FORWARD -j A\n-A FORWARD -j ACCEPT\n-A A -j RETURN\n-A A -j DROP", hook.Accept, 0, "0 1 1 1 0"},
		{"two deep", drop + "\n:A -\n:B -\n-A FORWARD -j A\n-A FORWARD -j DROP\n-A A -j B\n-A A -j ACCEPT\n-A B", hook.Accept, 0, "0 1 0 1 1 1"},
		{"goto does not come back to its chain", drop + "\n:A -\n:B -\n-A FORWARD -j A\n-A FORWARD -j ACCEPT\n-A A -g B\n-A A -j DROP\n-A B -j RETURN", hook.Accept, 0, "0 1 1 1 0 1"},
		{"goto from a built-in chain ends at the policy", drop + "\n:A -\n-A FORWARD -g A\n-A FORWARD -j ACCEPT\n-A A", hook.Drop, hook.ReasonPolicy, "1 1 0 1"},
		{"QUEUE", "-A FORWARD -j QUEUE", hook.Queue, 0, "0 1"},
		{"a target accepts", drop + "\n-A FORWARD -j DO --answer accept", hook.Accept, 0, "0 1"},
		{"a target drops without a reason", "-A FORWARD -j DO --answer drop", hook.Drop, hook.ReasonRule, "0 1"},
		{"a target drops with its reason", "-A FORWARD -j DO --answer reject", hook.Drop, hook.ReasonReject, "0 1"},
		{"a target keeps the packet", "-A FORWARD -j DO --answer stolen", hook.Stolen, 0, "0 1"},
		{"a target queues", "-A FORWARD -j DO --answer queue", hook.Queue, 0, "0 1"},
		{"a target returns", drop + "\n:A -\n-A FORWARD -j A\n-A FORWARD -j ACCEPT\n-A A -j DO --answer return\n-A A -j DROP", hook.Accept, 0, "0 1 1 1 0"},
		{"a target changes the source and the next rule sees it", drop + "\n-A FORWARD -j DO --answer readdress\n-A FORWARD -s 203.0.113.9 -j ACCEPT", hook.Accept, 0, "0 1 1"},
		{"all matches must be true", drop + "\n-A FORWARD -m fixed --answer yes -m fixed --answer no -j ACCEPT\n-A FORWARD -m fixed --answer yes -j ACCEPT", hook.Accept, 0, "0 0 1"},
		{"a match ends the walk and nothing counts", "-A FORWARD\n-A FORWARD -m fixed --answer hot -j ACCEPT\n-A FORWARD -j ACCEPT", hook.Drop, hook.ReasonHotdrop, "0 1 0 0"},
		{"the IP test comes before the matches", drop + "\n-A FORWARD -s 10.0.0.0/8 -m fixed --answer hot\n-A FORWARD -j ACCEPT", hook.Accept, 0, "0 0 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := load(t, packet.IPv4, c.rules)
			tb := f.Rules.Table("filter")
			tr := traversal(t, ipv4("192.0.2.1", "198.51.100.2", packet.TCP, 0), hook.Forward, "lan0", "wan0")
			if v := tb.Walk(tr); v != c.verdict || tr.Why != c.why {
				t.Errorf("verdict %v for %q, want %v for %q", v, tr.Why, c.verdict, c.why)
			}
			if got := packets(f); got != c.want {
				t.Errorf("counters %s, want %s\n%s", got, c.want, save.Append(nil, f.Rules, true))
			}
		})
	}
}

// packets is the counters of FORWARD's policy and of all rules. Bytes are 40 a
// packet, which it checks.
func packets(f *save.File) string {
	var s []string
	for _, l := range strings.Split(string(save.Append(nil, f.Rules, true)), "\n") {
		if !strings.HasPrefix(l, ":FORWARD") && !strings.HasPrefix(l, "[") {
			continue
		}
		n := l[strings.IndexByte(l, '[')+1 : strings.IndexByte(l, ']')]
		switch n {
		case "0:0":
			s = append(s, "0")
		case "1:40":
			s = append(s, "1")
		default:
			s = append(s, n)
		}
	}
	return strings.Join(s, " ")
}

func TestBaseTests(t *testing.T) {
	fragment6 := []byte{packet.UDP, 0, 0, 8, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8}
	hbhFragment6 := []byte{packet.DestOpts, 0, 0, 8, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8}
	udp4 := ipv4("192.0.2.1", "198.51.100.2", packet.UDP, 0)
	udp6 := ipv6("2001:db8::1", "2001:db8:1::2", packet.UDP, make([]byte, 8))
	const hit, miss, hot = "hit", "miss", "hotdrop"
	for _, c := range []struct {
		rule    string
		data    []byte
		in, out string
		want    string
	}{
		{"-s 192.0.2.1", udp4, "", "", hit},
		{"-s 192.0.2.0/31", udp4, "", "", hit},
		{"-s 192.0.2.2/31", udp4, "", "", miss},
		{"! -s 192.0.2.2/31", udp4, "", "", hit},
		{"-s 0.0.2.0/0.0.255.0", udp4, "", "", hit},
		{"-s 0.0.3.0/0.0.255.0", udp4, "", "", miss},
		{"! -s 0.0.0.0/0", udp4, "", "", miss},
		{"-s 0.0.0.0/0", udp4, "", "", hit},
		{"-d 198.51.100.2", udp4, "", "", hit},
		{"-d 192.0.2.1", udp4, "", "", miss},
		{"-s 192.0.2.1 ! -d 198.51.100.0/24", udp4, "", "", miss},
		{"-i lan0", udp4, "lan0", "wan0", hit},
		{"-i lan", udp4, "lan0", "wan0", miss},
		{"-i lan0x", udp4, "lan0", "wan0", miss},
		{"-i lan+", udp4, "lan0", "wan0", hit},
		{"-i lan0+", udp4, "lan0", "wan0", hit},
		{"! -i lan+", udp4, "lan0", "wan0", miss},
		{"-i +", udp4, "lan0", "wan0", hit},
		{"! -i +", udp4, "lan0", "wan0", miss},
		{"-i fifteen-letters", udp4, "fifteen-letters", "", hit},
		{"-i fifteen-letter+", udp4, "fifteen-letters", "", hit},
		{"-i fifteen-letterx", udp4, "fifteen-letters", "", miss},
		{"-i lan0", udp4, "", "", miss},
		{"! -i lan0", udp4, "", "", hit},
		{"-o wan0", udp4, "lan0", "wan0", hit},
		{"! -o wan0", udp4, "lan0", "wan0", miss},
		{"-p udp", udp4, "", "", hit},
		{"-p tcp", udp4, "", "", miss},
		{"! -p tcp", udp4, "", "", hit},
		{"-p all", udp4, "", "", hit},
		{"-f", udp4, "", "", miss},
		{"! -f", udp4, "", "", hit},
		{"-f", ipv4("192.0.2.1", "192.0.2.2", packet.UDP, 0x2000), "", "", miss},
		{"-f", ipv4("192.0.2.1", "192.0.2.2", packet.UDP, 3), "", "", hit},
		{"! -f", ipv4("192.0.2.1", "192.0.2.2", packet.UDP, 3), "", "", miss},
		{"-s 2001:db8::1", udp6, "", "", hit},
		{"-s 2001:db8::2", udp6, "", "", miss},
		{"! -s 2001:db8::2", udp6, "", "", hit},
		{"-s 2001:db8::/32", udp6, "", "", hit},
		{"-s 2001:db8:1::/48", udp6, "", "", miss},
		{"-s 2001:db8::/48 -d 2001:db8:1::2", udp6, "", "", hit},
		{"-s 2001:db8::/48 -d 2001:db8:1::3", udp6, "", "", miss},
		{"-s ::1/::ff -d ::2/::ff", udp6, "", "", hit},
		{"! -s ::/0", udp6, "", "", miss},
		{"-p udp", udp6, "", "", hit},
		{"-p tcp", udp6, "", "", miss},
		{"! -p tcp", udp6, "", "", hit},
		{"-p udp", ipv6("::1", "::1", packet.HopByHop, append([]byte{packet.UDP, 0, 1, 4, 0, 0, 0, 0}, make([]byte, 8)...)), "", "", hit},
		{"-p 0", ipv6("::1", "::1", packet.HopByHop, append([]byte{packet.UDP, 0, 1, 4, 0, 0, 0, 0}, make([]byte, 8)...)), "", "", hit},
		{"-p esp", ipv6("::1", "::1", packet.ESP, make([]byte, 8)), "", "", hit},
		{"-p udp", ipv6("::1", "::1", packet.Fragment, fragment6), "", "", hit},
		{"-p udp", ipv6("::1", "::1", packet.Fragment, hbhFragment6), "", "", hot},
		{"! -p udp", ipv6("::1", "::1", packet.Fragment, hbhFragment6), "", "", hot},
		{"-p udp", ipv6("::1", "::1", packet.HopByHop, []byte{packet.UDP}), "", "", hot},
		{"! -p udp", ipv6("::1", "::1", packet.HopByHop, []byte{packet.UDP}), "", "", hot},
		{"-p all", ipv6("::1", "::1", packet.HopByHop, []byte{packet.UDP}), "", "", hot},
		{"-s ::2 -p udp", ipv6("::1", "::1", packet.HopByHop, []byte{packet.UDP}), "", "", miss},
	} {
		fam := packet.IPv4
		if c.data[0]>>4 == 6 {
			fam = packet.IPv6
		}
		t.Run(fam.String()+" "+c.rule+" is a "+c.want, func(t *testing.T) {
			tb := load(t, fam, "-A FORWARD "+c.rule+" -j DROP").Rules.Table("filter")
			tr := traversal(t, append([]byte(nil), c.data...), hook.Forward, c.in, c.out)
			got := miss
			if tb.Walk(tr) == hook.Drop {
				got = hit
				if tr.Why == hook.ReasonHotdrop {
					got = hot
				}
			}
			if got != c.want {
				t.Errorf("is a %s", got)
			}
		})
	}
}

func TestWalkWithoutChain(t *testing.T) {
	tb := load(t, packet.IPv4, ":FORWARD DROP").Rules.Table("filter")
	for _, p := range []hook.Point{hook.Prerouting, hook.Postrouting, hook.NumPoints} {
		tr := traversal(t, ipv4("192.0.2.1", "192.0.2.2", 6, 0), hook.Forward, "", "")
		tr.Point = p
		if v := tb.Walk(tr); v != hook.Accept {
			t.Errorf("%v: %v", p, v)
		}
	}
}

// A target that walks its own table: the answer of REJECT passes OUTPUT.
func TestWalkWithin(t *testing.T) {
	list := testList()
	var tb *xtables.Table
	again := 0
	list.Targets[0].Parse = func(*xtables.Context, []xtables.Given) (xtables.Target, error) {
		return &fixed{code: xtables.Continue, do: func(tr *hook.Traversal) {
			if again++; again < 4 {
				inner := *tr
				if v := tb.Walk(&inner); v != hook.Accept {
					t.Errorf("walk %d within: %v", again, v)
				}
			}
		}}, nil
	}
	f, errs := save.Parse("r", []byte("*filter\n:FORWARD DROP\n:A -\n:B -\n-A FORWARD -j A\n-A FORWARD -j ACCEPT\n"+
		"-A A -j B\n-A A\n-A B -j DO --answer x\n-A B -j RETURN\nCOMMIT\n"), packet.IPv4, list)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	tb = f.Rules.Table("filter")
	if v := tb.Walk(traversal(t, ipv4("192.0.2.1", "192.0.2.2", 6, 0), hook.Forward, "", "")); v != hook.Accept {
		t.Error(v)
	}
	if c := tb.Counter(tb.Chain("A"), 1); c.Packets != 4 || again != 4 {
		t.Errorf("%d walks, behind the jump %d", again, c.Packets)
	}
}

// logs collects lines.
type logs []string

func (l *logs) Log(_ *hook.Traversal, r hook.LogRecord) {
	line, _, _ := strings.Cut(r.Text, " IN=")
	*l = append(*l, r.Source+" "+string('0'+rune(r.Level))+" "+line)
}

func TestTraceLines(t *testing.T) {
	tb := load(t, packet.IPv4, ":FORWARD DROP\n:A -\n:B -\n-A FORWARD -s 10.0.0.0/8\n-A FORWARD -p tcp -j A\n-A FORWARD -j B\n"+
		"-A FORWARD -j RETURN\n-A A\n-A B -p tcp -j RETURN").Rules.Table("filter")
	tr := traversal(t, ipv4("192.0.2.1", "192.0.2.2", packet.TCP, 0), hook.Forward, "lan0", "wan0")
	var l logs
	tr.Env.Log, tr.NFTrace = &l, true
	tb.Walk(tr)
	want := []string{
		"TRACE 4 TRACE: filter:FORWARD:rule:2",
		"TRACE 4 TRACE: filter:A:rule:1",
		"TRACE 4 TRACE: filter:A:return:2",
		"TRACE 4 TRACE: filter:FORWARD:rule:3",
		"TRACE 4 TRACE: filter:B:rule:1",
		// A plain verdict without a test counts as the end of its chain.
		"TRACE 4 TRACE: filter:FORWARD:policy:4",
		"TRACE 4 TRACE: filter:FORWARD:policy:5",
	}
	if got := strings.Join(l, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

func TestTraceSteps(t *testing.T) {
	tb := load(t, packet.IPv4, ":FORWARD DROP\n:A -\n:B -\n-A FORWARD -i wan+ -j DROP\n-A FORWARD ! -s 192.0.2.0/24\n-A FORWARD -d 10.0.0.0/8\n"+
		"-A FORWARD ! -o wan0\n-A FORWARD -p udp\n-A FORWARD -f\n-A FORWARD -m fixed --answer no -j ACCEPT\n-A FORWARD -p tcp -j A\n"+
		"-A FORWARD -j DO --answer continue\n-A A -g B\n-A B -s 192.0.2.1").Rules.Table("filter")
	tr := traversal(t, ipv4("192.0.2.1", "192.0.2.2", packet.TCP, 0), hook.Forward, "lan0", "wan0")
	tr.Trace = &trace.Recorder{}
	tb.Walk(tr)
	var got []string
	for _, s := range tr.Trace.Steps {
		l := strings.Repeat("  ", s.Depth) + string(s.Kind) + " " + s.Chain
		if s.Kind == trace.KindRule {
			l += ":" + string('0'+rune(s.Rule)) + " line " + string('a'+rune(s.Line))
		}
		if s.Match {
			l += " " + s.Target + "=" + s.Verdict + " <" + s.Text + ">"
		} else {
			l += " no: " + s.Failed + " (" + s.Actual + ")"
		}
		if s.Table != "filter" || s.Kind == trace.KindRule && s.File != "rules" {
			t.Errorf("table %q, file %q", s.Table, s.File)
		}
		got = append(got, l)
	}
	want := []string{
		"rule FORWARD:1 line f no: -i wan+ (is lan0)",
		"rule FORWARD:2 line g no: ! -s 192.0.2.0/24 (is 192.0.2.1)",
		"rule FORWARD:3 line h no: -d 10.0.0.0/8 (is 192.0.2.2)",
		"rule FORWARD:4 line i no: ! -o wan0 (is wan0)",
		"rule FORWARD:5 line j no: -p udp (is tcp)",
		"rule FORWARD:6 line k no: -f (is no later fragment)",
		"rule FORWARD:7 line l no: --answer no (is fixed)",
		"rule FORWARD:8 line m A=JUMP <-p tcp -j A>",
		"  rule A:1 line o B=GOTO <-g B>",
		"  rule B:1 line p =CONTINUE <-s 192.0.2.1/32>",
		"rule FORWARD:9 line n DO=CONTINUE <-j DO --answer continue>",
		"policy FORWARD =DROP <>",
	}
	if g := strings.Join(got, "\n"); g != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", g, strings.Join(want, "\n"))
	}
}

func TestTraceOfHotdrop(t *testing.T) {
	tb := load(t, packet.IPv4, "-A FORWARD -m fixed --answer hot -j ACCEPT").Rules.Table("filter")
	tr := traversal(t, ipv4("192.0.2.1", "192.0.2.2", packet.TCP, 0), hook.Forward, "", "")
	tr.Trace = &trace.Recorder{}
	tb.Walk(tr)
	if len(tr.Trace.Steps) != 1 {
		t.Fatalf("%d steps", len(tr.Trace.Steps))
	}
	if s := tr.Trace.Steps[0]; !s.Match || s.Verdict != "DROP" || s.Failed != "--answer hot" {
		t.Errorf("%+v", s)
	}
}

func TestCountersCanBeSwapped(t *testing.T) {
	f := load(t, packet.IPv4, ":FORWARD ACCEPT [5:500]\n[7:700] -A FORWARD -j ACCEPT")
	tb := f.Rules.Table("filter")
	c := tb.Chain("FORWARD")
	tb.Walk(traversal(t, ipv4("192.0.2.1", "192.0.2.2", 6, 0), hook.Forward, "", ""))
	if got := tb.Counter(c, 0); got != (xtables.Counter{Packets: 8, Bytes: 740}) {
		t.Errorf("rule %v", got)
	}
	fork := tb.Fork()
	old := tb.SwapCounters(nil)
	if got := tb.Counter(c, 0); got != (xtables.Counter{}) {
		t.Errorf("after the swap %v", got)
	}
	tb.SwapCounters(old)
	if got := tb.Counter(c, 1); got != (xtables.Counter{Packets: 5, Bytes: 500}) {
		t.Errorf("policy %v", got)
	}
	fork.Walk(traversal(t, ipv4("192.0.2.1", "192.0.2.2", 6, 0), hook.Forward, "", ""))
	if got := fork.Counter(c, 0); got.Packets != 1 {
		t.Errorf("the fork counts on its own: %v", got)
	}
}

func TestWalkAllocatesNothing(t *testing.T) {
	tb := load(t, packet.IPv4, ":A -\n-A FORWARD -s 10.0.0.0/8 -i lan0\n-A FORWARD -j A\n-A FORWARD -j DO --answer continue\n-A A -m fixed --answer no").Rules.Table("filter")
	tr := traversal(t, ipv4("192.0.2.1", "192.0.2.2", 6, 0), hook.Forward, "lan0", "wan0")
	if n := testing.AllocsPerRun(100, func() { tb.Walk(tr) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestClassifiedWalksDoNotAllocate also sees that long chains are classified at
// all: the walk must not ask the rules that cannot match.
func TestClassifiedWalksDoNotAllocate(t *testing.T) {
	var s strings.Builder
	for i := range 500 {
		fmt.Fprintf(&s, ":Z%d -\n-A Z%d -d 203.0.113.%d -j DROP\n-A FORWARD -s 192.0.2.0/24 -j Z%d\n", i, i, i%256, i)
		fmt.Fprintf(&s, "-A FORWARD -s 198.51.%d.%d -m fixed --answer hot -j DROP\n", i/256, i%256)
	}
	tb := load(t, packet.IPv4, s.String()).Rules.Table("filter")
	tb.Compile(false)
	tr := traversal(t, ipv4("192.0.2.1", "198.51.100.2", packet.TCP, 0), hook.Forward, "lan0", "wan0")
	tr.Memo = &hook.Memo{}
	const runs = 100
	if n := testing.AllocsPerRun(runs, func() {
		if v := tb.Walk(tr); v != hook.Accept {
			t.Fatal(v)
		}
		if len(tr.Memo.Steps) != 2 {
			t.Fatalf("%d steps, want one for all jumps and the policy", len(tr.Memo.Steps))
		}
		tr.Memo.Reset()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	c := tb.Chain("FORWARD")
	for i := range c.Rules {
		want := uint64(0)
		if i%2 == 0 {
			want = runs + 1
		}
		if got := tb.Counter(c, i).Packets; got != want {
			t.Fatalf("rule %d: %d packets, want %d", i+1, got, want)
		}
	}
}
