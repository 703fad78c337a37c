package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"weir/engine"
	"weir/iface"
	"weir/packet"
	"weir/route"
	"weir/scenario/line"
)

// rig is a machine behind a server.
type rig struct {
	t      *testing.T
	m      *engine.Machine
	s      *Server
	c      *Client
	path   string
	now    atomic.Int64
	target Target
}

const rules4 = `*nat
-A POSTROUTING -o wan0 -j MASQUERADE
COMMIT
*filter
:FORWARD DROP [0:0]
-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT
-A FORWARD -i lan0 -p tcp --dport 443 -j ACCEPT
-A FORWARD -i lan0 -p udp -j ACCEPT
COMMIT
`

func newRig(t *testing.T, o Options) *rig {
	t.Helper()
	wan := &iface.Iface{Index: 3, Name: "wan0", MTU: 1500, Addrs: []iface.Addr{{Prefix: netip.MustParsePrefix("203.0.113.2/24")}}}
	m, errs := engine.New(engine.Config{
		Ifaces: []*iface.Iface{
			{Index: 2, Name: "lan0", MTU: 1500, Addrs: []iface.Addr{{Prefix: netip.MustParsePrefix("192.0.2.1/24")}}}, wan,
		},
		Routes: []route.Route{{To: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("203.0.113.1"), Dev: wan, Type: route.Unicast, Table: 254}},
		Rules4: engine.Text{Name: "rules.v4", Text: []byte(rules4)},
		Sysctl: map[string]string{"net.ipv4.ip_forward": "1", "net.netfilter.nf_conntrack_acct": "1"},
	})
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	r := &rig{t: t, m: m, path: filepath.Join(t.TempDir(), "s")}
	r.now.Store(1_700_000_000e9)
	r.target = Alone(m, r.now.Load)
	r.s = NewServer(r.target, o)
	l, err := Listen(r.path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.s.Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	r.c = NewClient(r.path)
	return r
}

// send gives the machine a packet written out.
func (r *rig) send(text string) engine.Result {
	r.t.Helper()
	p, err := line.Parse(text)
	if err != nil {
		r.t.Fatal(err)
	}
	var res engine.Result
	r.target.Do(func(m *engine.Machine) {
		for _, d := range p.Data {
			res = m.Receive(m.Ifaces().Name(p.In), packet.Link{}, d, r.now.Load())
		}
	})
	return res
}

func (r *rig) run(args ...string) Answer {
	r.t.Helper()
	a, err := r.c.Run(context.Background(), Call{Program: args[0], Args: args[1:]}, strings.NewReader(""))
	if err != nil {
		r.t.Fatal(err)
	}
	return a
}

func (r *rig) get(path, query string, v any) {
	r.t.Helper()
	q, err := url.ParseQuery(query)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.c.Get(context.Background(), path, q, v); err != nil {
		r.t.Fatalf("%s?%s: %v", path, query, err)
	}
}

func TestSocketIsItsOwnersAndReplacesADeadOne(t *testing.T) {
	r := newRig(t, Options{})
	st, err := os.Stat(r.path)
	if err != nil {
		t.Fatal(err)
	}
	if st.Mode().Perm() != 0o600 || st.Mode().Type() != fs.ModeSocket {
		t.Errorf("the socket has mode %v", st.Mode())
	}
	if _, err := Listen(r.path); !errors.Is(err, ErrInUse) {
		t.Errorf("a second server at the same path: %v", err)
	}
	dead := filepath.Join(t.TempDir(), "dead")
	l, err := Listen(dead)
	if err != nil {
		t.Fatal(err)
	}
	l.(*socket).Listener.Close() // as after a crash: the file stays
	again, err := Listen(dead)
	if err != nil {
		t.Fatalf("a socket that nobody answers at: %v", err)
	}
	again.Close()
	if _, err := os.Stat(dead); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file is there after Close: %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	os.WriteFile(file, []byte("precious"), 0o600)
	if _, err := Listen(file); err == nil {
		t.Error("a file was replaced")
	}
	if err := NewClient(dead).Get(context.Background(), "/v1/status", nil, nil); !errors.Is(err, ErrNotRunning) {
		t.Errorf("nobody there: %v", err)
	}
}

func TestOpenAPIDescribesTheRoutes(t *testing.T) {
	var doc struct {
		Paths map[string]map[string]struct {
			Parameters []struct {
				Ref string `yaml:"$ref"`
			}
		}
		Components struct {
			Parameters map[string]struct {
				Name   string
				Schema struct{ Enum []string }
			}
			Schemas map[string]struct {
				Properties map[string]any
			}
		}
	}
	if err := yaml.Unmarshal(openAPI, &doc); err != nil {
		t.Fatal(err)
	}
	var described, served []string
	for path, methods := range doc.Paths {
		for method, op := range methods {
			described = append(described, strings.ToUpper(method)+" "+path)
			for _, p := range op.Parameters {
				if _, ok := doc.Components.Parameters[strings.TrimPrefix(p.Ref, "#/components/parameters/")]; !ok {
					t.Errorf("%s: no parameter %s", path, p.Ref)
				}
			}
		}
	}
	for _, r := range (&Server{}).routes() {
		served = append(served, r.method+" "+r.path)
	}
	slices.Sort(described)
	slices.Sort(served)
	if !slices.Equal(described, served) {
		t.Errorf("described %v\nserved    %v", described, served)
	}
	for name, v := range map[string]any{"Status": Status{}, "Call": Call{}, "Answer": Answer{}, "Flow": Flow{}, "Conn": Conn{}} {
		props := doc.Components.Schemas[name].Properties
		rt := reflect.TypeOf(v)
		for i := range rt.NumField() {
			field, _, _ := strings.Cut(rt.Field(i).Tag.Get("json"), ",")
			if _, ok := props[field]; !ok {
				t.Errorf("schema %s does not have %s", name, field)
			}
		}
	}
	for _, k := range sortKeys() {
		if !slices.Contains(doc.Components.Parameters["sort"].Schema.Enum, k) {
			t.Errorf("sort by %s is not described", k)
		}
	}
}

func TestProgramsChangeTheRunningMachine(t *testing.T) {
	r := newRig(t, Options{})
	if res := r.send("lan0 tcp 192.0.2.10:4000 > 198.51.100.1:80 S"); res.Verdict != engine.Dropped {
		t.Fatalf("port 80 before: %v", res.Verdict)
	}
	if a := r.run("iptables", "-I", "FORWARD", "-p", "tcp", "--dport", "80", "-j", "ACCEPT"); a.Status != 0 {
		t.Fatalf("status %d: %s", a.Status, a.Stderr)
	}
	if res := r.send("lan0 tcp 192.0.2.10:4001 > 198.51.100.1:80 S"); res.Verdict != engine.Forwarded {
		t.Errorf("port 80 after: %v %v", res.Verdict, res.Reason)
	}
	a := r.run("iptables", "-S", "FORWARD", "-v")
	if want := "-A FORWARD -p tcp -m tcp --dport 80 -c 1 40 -j ACCEPT\n"; !strings.Contains(string(a.Stdout), want) {
		t.Errorf("-S prints %s", a.Stdout)
	}
	if a := r.run("iptables", "-A", "NOSUCH", "-j", "ACCEPT"); a.Status != 1 || !strings.HasPrefix(string(a.Stderr), "iptables: No chain") {
		t.Errorf("status %d: %s", a.Status, a.Stderr)
	}
	if a := r.run("ipset", "create", "bad", "hash:ip"); a.Status != 0 {
		t.Fatalf("ipset: %s", a.Stderr)
	}
	r.run("ipset", "add", "bad", "192.0.2.66")
	if a := r.run("iptables", "-I", "FORWARD", "-m", "set", "--match-set", "bad", "src", "-j", "DROP"); a.Status != 0 {
		t.Fatalf("--match-set: %s", a.Stderr)
	}
	if res := r.send("lan0 tcp 192.0.2.66:4001 > 198.51.100.1:443 S"); res.Verdict != engine.Dropped {
		t.Errorf("a member of the set: %v", res.Verdict)
	}
	if a := r.run("ipset", "destroy", "bad"); a.Status == 0 {
		t.Error("a set that a rule names was destroyed")
	}
	file := filepath.Join(t.TempDir(), "rules")
	os.WriteFile(file, []byte("*filter\n:FORWARD ACCEPT [3:4]\nCOMMIT\n"), 0o600)
	if a := r.run("iptables-restore", "-c", file); a.Status != 0 {
		t.Fatalf("iptables-restore FILE: %s", a.Stderr)
	}
	a = r.run("iptables-save", "-c", "-t", "filter", "-f", file)
	if b, _ := os.ReadFile(file); a.Status != 0 || !strings.Contains(string(b), ":FORWARD ACCEPT [3:4]") {
		t.Errorf("iptables-save -f wrote %s (%s)", b, a.Stderr)
	}
	if a := r.run("iptables-restore", file+".gone"); a.Status == 0 || !strings.Contains(string(a.Stderr), "Can't open") {
		t.Errorf("a file that is not there: status %d: %s", a.Status, a.Stderr)
	}
	r.send("lan0 udp 192.0.2.11:5000 > 198.51.100.1:53 len=30")
	if a := r.run("conntrack", "-L", "-p", "udp"); a.Status != 0 || !strings.HasPrefix(string(a.Stdout), "udp      17 30 src=192.0.2.11 ") ||
		!strings.HasSuffix(string(a.Stderr), ": 1 flow entries have been shown.\n") {
		t.Errorf("conntrack -L: %d %s %s", a.Status, a.Stdout, a.Stderr)
	}
	if a := r.run("conntrack", "-D", "-s", "192.0.2.11"); a.Status != 0 || !strings.HasSuffix(string(a.Stderr), ": 1 flow entries have been deleted.\n") {
		t.Errorf("conntrack -D: %d %s", a.Status, a.Stderr)
	}
	if a := r.run("conntrack", "--frobnicate"); a.Status != 2 {
		t.Errorf("conntrack --frobnicate: %d %s", a.Status, a.Stderr)
	}
	var s Status
	r.get("/v1/status", "", &s)
	if s.Rules4 != 1 {
		t.Errorf("%d rules in use", s.Rules4)
	}
}

func TestRestoreTakesAllTablesOrNone(t *testing.T) {
	r := newRig(t, Options{})
	text := func() string {
		var b strings.Builder
		if err := r.c.Text(context.Background(), "/v1/rules", nil, &b); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	before := text()
	err := r.c.Put(context.Background(), "/v1/rules", nil,
		strings.NewReader("*nat\nCOMMIT\n*filter\n-A FORWARD -j NOWHERE\nCOMMIT\n"))
	if err == nil || text() != before {
		t.Errorf("half a rule set: %v\n%s", err, text())
	}
	if err := r.c.Put(context.Background(), "/v1/rules", url.Values{"test": {""}}, strings.NewReader("*nat\nCOMMIT\n")); err != nil || text() != before {
		t.Errorf("a test: %v\n%s", err, text())
	}
	if err := r.c.Put(context.Background(), "/v1/rules", url.Values{"noflush": {"1"}}, strings.NewReader("*filter\n-A FORWARD -j LOG\nCOMMIT\n")); err != nil {
		t.Fatal(err)
	}
	if got := text(); !strings.Contains(got, "--dport 443 -j ACCEPT\n") || !strings.Contains(got, "-A FORWARD -j LOG\n") {
		t.Errorf("with noflush:\n%s", got)
	}
	err = r.c.Put(context.Background(), "/v1/rules", url.Values{"family": {"ipv5"}}, strings.NewReader(""))
	if err == nil || err.Error() != `family: "ipv5" is neither ipv4 nor ipv6` {
		t.Errorf("family: %v", err)
	}
}

func TestConnectionsAreFilteredSortedAndEnded(t *testing.T) {
	r := newRig(t, Options{})
	r.send("lan0 tcp 192.0.2.10:4000 > 198.51.100.1:443 S")
	r.send("lan0 udp 192.0.2.11:5000 > 198.51.100.1:53 len=30")
	r.send("lan0 udp 192.0.2.12:5000 > 198.51.100.2:53 len=300")
	for _, c := range []struct {
		query string
		want  int
	}{
		{"", 3}, {"protocol=udp", 2}, {"src=192.0.2.10", 1}, {"dst=198.51.100.0/31", 2}, {"dport=443", 1}, {"port=5000", 2},
		{"state=syn_sent", 1}, {"status=snat,unreplied", 3}, {"status=assured", 0}, {"addr=203.0.113.2", 3}, {"mark=1", 0}, {"family=ipv6", 0},
		{"protocol=17&reply_src=198.51.100.2", 1},
	} {
		var n struct{ Count int }
		r.get("/v1/conntrack/count", c.query, &n)
		if n.Count != c.want {
			t.Errorf("%q counts %d, want %d", c.query, n.Count, c.want)
		}
	}
	var p Page
	r.get("/v1/conntrack", "sort=-bytes&limit=2", &p)
	if p.Total != 3 || len(p.Connections) != 2 || p.Connections[0].Original.Src.String() != "192.0.2.12" || p.Connections[1].Original.Src.String() != "192.0.2.11" {
		t.Errorf("the two largest: %+v", p)
	}
	r.get("/v1/conntrack", "sort=src&limit=2&offset=2", &p)
	if len(p.Connections) != 1 || p.Connections[0].Original.Src.String() != "192.0.2.12" {
		t.Errorf("the second page: %+v", p)
	}
	var text strings.Builder
	if err := r.c.Text(context.Background(), "/v1/conntrack", url.Values{"format": {"text"}, "protocol": {"tcp"}}, &text); err != nil {
		t.Fatal(err)
	}
	if want := "ipv4     2 tcp      6 119 SYN_SENT src=192.0.2.10 dst=198.51.100.1 sport=4000 dport=443 packets=1 bytes=40 [UNREPLIED] src=198.51.100.1 dst=203.0.113.2 sport=443 dport=4000 packets=0 bytes=0 mark=0 use=1\n"; text.String() != strings.Replace(want, "119", "120", 1) {
		t.Errorf("text:\n%s", &text)
	}
	var holder []Conn
	r.get("/v1/nat/holder", "external=203.0.113.2&port=4000", &holder)
	if len(holder) != 1 || holder[0].Original.Src.String() != "192.0.2.10" {
		t.Errorf("who holds port 4000: %+v", holder)
	}
	var use NATUse
	r.get("/v1/nat", "", &use)
	if use.Connections != 3 || len(use.Addresses) != 2 || len(use.Peers) != 3 || use.Peers[0].Used != 1 {
		t.Errorf("port use: %+v", use)
	}
	var top Talkers
	r.get("/v1/top", "by=service&limit=1", &top)
	if len(top.List) != 1 || top.List[0].Name != "udp 198.51.100.2:53" || top.List[0].Bytes != 328 {
		t.Errorf("top: %+v", top)
	}
	if err := r.c.Do(context.Background(), "DELETE", "/v1/conntrack", nil, nil, nil); err == nil {
		t.Error("a delete without a filter was not refused")
	}
	var n struct{ Count int }
	if err := r.c.Do(context.Background(), "DELETE", "/v1/conntrack", url.Values{"protocol": {"udp"}}, nil, &n); err != nil || n.Count != 2 {
		t.Errorf("deleted %d, %v", n.Count, err)
	}
	if err := r.c.Do(context.Background(), "POST", "/v1/conntrack/flush", nil, nil, &n); err != nil || n.Count != 1 {
		t.Errorf("flushed %d, %v", n.Count, err)
	}
	for _, q := range []string{"src=x", "sport=70000", "status=red", "mark=/", "protocol=frob", "sort=colour", "limit=5000", "offset=200000&limit=1", "format=xml", "family=4"} {
		v, _ := url.ParseQuery(q)
		var x any
		if err := r.c.Get(context.Background(), "/v1/conntrack", v, &x); err == nil {
			t.Errorf("%s was not refused", q)
		}
	}
}

// follow reads the lines of a stream.
func (r *rig) follow(path string, q url.Values) (<-chan string, context.CancelFunc) {
	ctx, stop := context.WithCancel(context.Background())
	ch := make(chan string, 100)
	go func() {
		defer close(ch)
		if err := r.c.Lines(ctx, path, q, func(l []byte) error { ch <- string(l); return nil }); err != nil {
			r.t.Errorf("%s: %v", path, err)
		}
	}()
	return ch, stop
}

// await waits until a condition holds.
func await(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !f(); {
		if time.Now().After(end) {
			t.Fatalf("%s did not happen", what)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestEventsStream(t *testing.T) {
	r := newRig(t, Options{})
	ch, stop := r.follow("/v1/conntrack/events", url.Values{"protocol": {"udp"}})
	tool, end := r.follow("/v1/conntrack/events", url.Values{"arg": {"-E", "-p", "tcp", "-e", "NEW"}})
	await(t, "listening", func() bool { l := r.s.events.list.Load(); return l != nil && len(*l) == 2 })
	r.send("lan0 tcp 192.0.2.10:4000 > 198.51.100.1:443 S")
	r.send("lan0 udp 192.0.2.11:5000 > 198.51.100.1:53 len=30")
	var e Event
	if err := json.Unmarshal([]byte(<-ch), &e); err != nil || e.Kind != "NEW" || e.Original.SrcPort != 5000 {
		t.Errorf("%v %+v", err, e)
	}
	var n any
	r.c.Do(context.Background(), "POST", "/v1/conntrack/flush", nil, nil, &n)
	if err := json.Unmarshal([]byte(<-ch), &e); err != nil || e.Kind != "DESTROY" || e.Original.Packets != 1 {
		t.Errorf("%v %+v", err, e)
	}
	if l := <-tool; !strings.HasPrefix(l, "    [NEW] tcp      6 120 SYN_SENT src=192.0.2.10 ") {
		t.Errorf("conntrack -E: %s", l)
	}
	end()
	for l := range tool {
		t.Errorf("conntrack -E -e NEW: %s", l)
	}
	stop()
	for range ch {
	}
	await(t, "the listener's end", func() bool { return len(*r.s.events.list.Load()) == 0 })
}

func TestLiveWalks(t *testing.T) {
	r := newRig(t, Options{})
	ch, stop := r.follow("/v1/trace", url.Values{"filter": {"tcp and verdict==drop"}, "rate": {"2"}})
	watching := func() (n int) { r.target.Do(func(*engine.Machine) { n = len(r.s.walks.list) }); return n }
	await(t, "watching", func() bool { return watching() == 1 })
	r.send("lan0 tcp 192.0.2.10:4000 > 198.51.100.1:443 S")
	r.send("lan0 udp 192.0.2.10:4000 > 198.51.100.1:53 len=30")
	for range 5 {
		r.send("lan0 tcp 192.0.2.10:4000 > 198.51.100.1:25 S")
	}
	var p struct {
		N       int
		Verdict string
		Reason  string
		Steps   []struct{ Chain string }
	}
	for i := range 2 {
		p.Steps = nil
		if err := json.Unmarshal([]byte(<-ch), &p); err != nil || p.N != i+1 || p.Verdict != "drop" || p.Reason != "policy" || len(p.Steps) == 0 {
			t.Errorf("%v %+v", err, p)
		}
	}
	var m struct{ Missed Missed }
	if err := json.Unmarshal([]byte(<-ch), &m); err != nil || m.Missed.Over != 3 {
		t.Errorf("%v %+v", err, m)
	}
	stop()
	for range ch {
	}
	await(t, "the end of watching", func() bool { return watching() == 0 })
	bad := r.c.Get(context.Background(), "/v1/trace", url.Values{"filter": {"port http"}}, nil)
	if bad == nil || bad.Error() != `filter: column 6: "http" is not a port` {
		t.Errorf("a bad filter: %v", bad)
	}
}

func TestBounds(t *testing.T) {
	r := newRig(t, Options{Connections: 3, Streams: 1, Body: 100, Patience: 50 * time.Millisecond})
	if err := r.c.Put(context.Background(), "/v1/rules", nil, strings.NewReader(strings.Repeat("#", 200))); err == nil || !strings.Contains(err.Error(), "too large") {
		t.Errorf("a long body: %v", err)
	}
	r.c.http.CloseIdleConnections()

	// One reader of a stream that never reads.
	slow, err := net.Dial("unix", r.path)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	io.WriteString(slow, "GET /v1/conntrack/events HTTP/1.1\r\nHost: weir\r\n\r\n")
	if l, err := bufio.NewReader(slow).ReadString('\n'); err != nil || !strings.Contains(l, "200") {
		t.Fatalf("%q %v", l, err)
	}
	await(t, "listening", func() bool { l := r.s.events.list.Load(); return l != nil && len(*l) == 1 })
	if err := r.c.Get(context.Background(), "/v1/conntrack/events", nil, nil); err == nil || err.Error() != "too many streams" {
		t.Errorf("a second stream: %v", err)
	}
	for i := range 20000 {
		r.send("lan0 udp 192.0.2.11:" + itoa(1024+i) + " > 198.51.100.1:53 len=30")
	}
	await(t, "the slow reader's end", func() bool { return r.s.dropped.Load() == 1 })
	await(t, "the listener's end", func() bool { return len(*r.s.events.list.Load()) == 0 })

	r.c.http.CloseIdleConnections()
	var idle []net.Conn
	for range 10 {
		c, err := net.Dial("unix", r.path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		idle = append(idle, c)
	}
	await(t, "refusals", func() bool { return r.s.refused.Load() >= 7 })
	resp, err := http.ReadResponse(bufio.NewReader(idle[9]), nil)
	if err != nil || resp.StatusCode != http.StatusServiceUnavailable {
		t.Fatalf("%v %v", resp, err)
	}
	if b, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(b), "too many connections") {
		t.Errorf("%q %v", b, err)
	}
}

func itoa(n int) string { b, _ := json.Marshal(n); return string(b) }

func FuzzCall(f *testing.F) {
	f.Add("iptables", "-A FORWARD -j DROP", "")
	f.Add("iptables-restore", "-n", "*filter\nCOMMIT\n")
	f.Add("ipset", "create a hash:ip", "")
	m, errs := engine.New(engine.Config{})
	if len(errs) > 0 {
		f.Fatal(errs)
	}
	s := NewServer(Alone(m, func() int64 { return 1 }), Options{})
	f.Fuzz(func(t *testing.T, program, args, stdin string) {
		s.Run(Call{Program: program, Args: strings.Fields(args), Stdin: []byte(stdin), NoStdin: true})
	})
}

func TestAlarmsBeginAndEnd(t *testing.T) {
	r := newRig(t, Options{})
	r.target.Do(func(m *engine.Machine) { m.Conntrack().Config().Max = 10 })
	for i := range 8 {
		r.send("lan0 udp 192.0.2.11:" + itoa(1024+i) + " > 198.51.100.1:53 len=30")
	}
	standing := func() string {
		r.s.look()
		s := ""
		for _, a := range r.s.Alarms() {
			s += a.Name + " " + a.Level + ";"
		}
		return s
	}
	if got := standing(); got != "connections warning;" {
		t.Errorf("at 80 %%: %q", got)
	}
	r.send("lan0 udp 192.0.2.12:1 > 198.51.100.1:53 len=30")
	r.send("lan0 udp 192.0.2.12:2 > 198.51.100.1:53 len=30")
	if got := standing(); got != "connections critical;" {
		t.Errorf("at 100 %%: %q", got)
	}
	r.s.raise("ports 203.0.113.2 udp", 0.96, time.Now())
	r.target.Do(func(m *engine.Machine) { m.Conntrack().Flush(r.now.Load()) })
	if got := standing(); got != "" {
		t.Errorf("after a flush: %q", got)
	}
	for _, c := range []struct {
		share float64
		want  string
	}{{0.79, ""}, {0.81, "warning"}, {0.77, "warning"}, {0.96, "critical"}, {0.91, "critical"}, {0.89, "warning"}, {0.74, ""}} {
		r.s.raise("x", c.share, time.Now())
		if got := r.s.alarms.list["x"].Level; got != c.want {
			t.Errorf("at %v: %q, want %q", c.share, got, c.want)
		}
	}
}

// TestCountersGoOnWhileRulesChange runs packets during changes: each is counted.
func TestCountersGoOnWhileRulesChange(t *testing.T) {
	r := newRig(t, Options{})
	r.run("iptables", "-I", "FORWARD", "-p", "udp", "-m", "comment", "--comment", "kept")
	stop, sent := make(chan struct{}), make(chan int)
	go func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				sent <- n
				return
			default:
				r.send("lan0 udp 192.0.2.11:5000 > 198.51.100.1:53 len=30")
			}
		}
	}()
	for i := range 40 {
		switch i % 4 {
		case 0:
			r.run("iptables", "-A", "FORWARD", "-s", "192.0.2."+itoa(i), "-j", "DROP")
		case 1:
			r.run("iptables", "-t", "mangle", "-A", "FORWARD", "-j", "MARK", "--set-mark", itoa(i))
		case 2:
			if err := r.c.Put(context.Background(), "/v1/rules", url.Values{"noflush": {"1"}}, strings.NewReader("*filter\n-I FORWARD -j MARK\nCOMMIT\n")); err == nil {
				t.Error("MARK in the filter table without a value was taken")
			}
		case 3:
			if err := r.c.Put(context.Background(), "/v1/rules", url.Values{"noflush": {"1"}},
				strings.NewReader("*filter\n-I FORWARD 1 -p icmp\nCOMMIT\n*raw\nCOMMIT\n*filter\n-A FORWARD -p icmp\nCOMMIT\n")); err != nil {
				t.Error(err)
			}
		}
	}
	close(stop)
	n := <-sent
	a := r.run("iptables-save", "-c", "-t", "filter")
	if want := "[" + itoa(n) + ":" + itoa(58*n) + "] -A FORWARD -p udp -m comment --comment kept\n"; !strings.Contains(string(a.Stdout), want) {
		t.Errorf("%d packets were sent during %d changes:\n%s", n, 40, a.Stdout)
	}
}

// TestAFloodOfReadersHoldsNobodyUp opens many connections that ask for a stream
// and never read, while packets pass.
func TestAFloodOfReadersHoldsNobodyUp(t *testing.T) {
	r := newRig(t, Options{Connections: 40, Streams: 8, Patience: 50 * time.Millisecond})
	const readers = 500
	var open []net.Conn
	for range readers {
		c, err := net.Dial("unix", r.path)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
		io.WriteString(c, "GET /v1/conntrack/events HTTP/1.1\r\nHost: weir\r\n\r\n")
	}
	await(t, "refusals", func() bool { return r.s.refused.Load() >= readers-40 })
	await(t, "streams", func() bool { return r.s.streams.Load() == 8 })
	for i := range 30000 {
		if res := r.send("lan0 udp 192.0.2.11:" + itoa(1024+i) + " > 198.51.100.1:53 len=30"); res.Verdict != engine.Forwarded {
			t.Fatalf("packet %d: %v", i, res.Verdict)
		}
	}
	await(t, "the end of the slow readers", func() bool { return r.s.dropped.Load() == 8 && r.s.streams.Load() == 0 })
	for _, c := range open {
		c.Close()
	}
	var s Status
	await(t, "an answer", func() bool { return r.c.Get(context.Background(), "/v1/status", nil, &s) == nil })
	if s.Dropped != 8 || s.Refused < readers-40 || s.Connections != 30000 {
		t.Errorf("%+v", s)
	}
}

func TestRangesOfPorts(t *testing.T) {
	for _, c := range []struct {
		rule, target string
		external     string
		proto        string
		want         int
	}{
		{"-o wan0 -j MASQUERADE", "MASQUERADE", "203.0.113.2", "tcp", Ports},
		{"-o wan0 -p tcp -j MASQUERADE --to-ports 1024-2047", "MASQUERADE", "203.0.113.2", "tcp", 1024},
		{"-o wan0 -p tcp -j MASQUERADE --to-ports 1024-2047", "MASQUERADE", "203.0.113.2", "udp", Ports},
		{"-p udp -j SNAT --to-source 203.0.113.2:5000", "SNAT", "203.0.113.2", "udp", 1},
		{"-p udp -j SNAT --to-source 203.0.113.2-203.0.113.9:5000-5099 --random", "SNAT", "203.0.113.9", "udp", 100},
		{"-p udp -j SNAT --to-source 203.0.113.2-203.0.113.9:5000-5099", "SNAT", "203.0.113.10", "udp", Ports},
		{"-j SNAT --to-source 2001:db8::1", "SNAT", "2001:db8::1", "tcp", Ports},
		{"-p tcp -j SNAT --to-source [2001:db8::1-2001:db8::3]:10-19", "SNAT", "2001:db8::2", "tcp", 10},
		{"-j ACCEPT", "ACCEPT", "203.0.113.2", "tcp", Ports},
	} {
		var list []portRange
		if r, ok := rangeOf(&Rule{Text: c.rule, Target: c.target}); ok {
			list = append(list, r)
		}
		if got := capacity(list, netip.MustParseAddr(c.external), c.proto); got != c.want {
			t.Errorf("%s gives %s %s %d ports, want %d", c.rule, c.external, c.proto, got, c.want)
		}
	}
	r := newRig(t, Options{})
	r.run("iptables", "-t", "nat", "-F")
	r.run("iptables", "-t", "nat", "-A", "POSTROUTING", "-p", "udp", "-j", "MASQUERADE", "--to-ports", "2000-2009")
	for i := range 9 {
		r.send("lan0 udp 192.0.2.11:" + itoa(5000+i) + " > 198.51.100.1:53 len=30")
	}
	r.s.look()
	if a := r.s.Alarms(); len(a) != 1 || a[0].Name != "ports 203.0.113.2 udp" || a[0].Level != "warning" || a[0].Share != 0.9 {
		t.Errorf("nine of ten ports: %+v", a)
	}
}
