// Package corpus runs cases that other projects wrote. They stand beside the
// project in ../shared/corpus and are read there; nothing of them is copied
// here, and without the folder the tests are skipped.
package corpus

import (
	"encoding/binary"
	"encoding/json"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"weir/capture"
	"weir/conntrack"
	"weir/conntrack/show"
	"weir/engine"
	"weir/hook"
	"weir/iface"
	"weir/packet"
	"weir/route"
	"weir/socket"
	"weir/xtables/save"
)

func dir(t *testing.T, name string) string {
	t.Helper()
	d := filepath.Join("..", "..", "..", "shared", "corpus", name)
	if _, err := os.Stat(d); err != nil {
		t.Skipf("skipped: no corpus at %s", d)
	}
	return d
}

// node is a machine with one interface that has the addresses and the way to
// everywhere.
func node(t *testing.T, addrs []netip.Addr, rules4, rules6 engine.Text, listen ...socket.Socket) *engine.Machine {
	t.Helper()
	eth := &iface.Iface{Index: 2, Name: "eth0", MTU: 1500}
	for _, a := range addrs {
		eth.Addrs = append(eth.Addrs, iface.Addr{Prefix: netip.PrefixFrom(a, a.BitLen())})
	}
	m, errs := engine.New(engine.Config{
		Ifaces: []*iface.Iface{eth},
		Routes: []route.Route{
			{To: netip.MustParsePrefix("0.0.0.0/0"), Dev: eth, Type: route.Unicast},
			{To: netip.MustParsePrefix("::/0"), Dev: eth, Type: route.Unicast},
		},
		Rules4: rules4, Rules6: rules6,
		Sysctl: map[string]string{
			"net.ipv4.ip_forward": "1", "net.ipv6.conf.all.forwarding": "1",
			"net.ipv4.conf.all.route_localnet": "1", // as kube-proxy sets it
		},
		Listen: listen,
		Seed:   1,
	})
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	return m
}

// first builds the first packet of a flow.
func first(src, dst netip.Addr, proto uint8, dport uint16) []byte {
	l4 := make([]byte, 20)
	binary.BigEndian.PutUint16(l4, 40000)
	binary.BigEndian.PutUint16(l4[2:], dport)
	switch proto {
	case packet.TCP:
		l4[12], l4[13] = 5<<4, packet.TCPSyn
	case packet.UDP:
		l4 = l4[:8]
		l4[5] = 8
	default: // SCTP INIT
		l4 = append(l4[:12], 1, 0, 0, 20, 0, 0, 0, 9, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1)
	}
	var d []byte
	if src.Is4() {
		d = make([]byte, 20, 60)
		d[0], d[8], d[9] = 0x45, 64, proto
		s, e := src.As4(), dst.As4()
		copy(d[12:], s[:])
		copy(d[16:], e[:])
		binary.BigEndian.PutUint16(d[2:], uint16(20+len(l4)))
		binary.BigEndian.PutUint16(d[10:], packet.IPv4HeaderChecksum(d))
	} else {
		d = make([]byte, 40, 80)
		d[0], d[6], d[7] = 0x60, proto, 64
		s, e := src.As16(), dst.As16()
		copy(d[8:], s[:])
		copy(d[24:], e[:])
		binary.BigEndian.PutUint16(d[4:], uint16(len(l4)))
	}
	d = append(d, l4...)
	var p packet.Packet
	if packet.Parse(d, &p) == nil {
		p.FixL4Checksum()
	}
	return d
}

func protoNumber(s string) uint8 {
	switch s {
	case "TCP":
		return packet.TCP
	case "UDP":
		return packet.UDP
	}
	return packet.SCTP
}

// TestKubeProxyFlows sends the flows of Kubernetes' own proxy tests.
func TestKubeProxyFlows(t *testing.T) {
	d := dir(t, "kube-proxy")
	b, err := os.ReadFile(filepath.Join(d, "flows.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	rows := strings.Split(strings.TrimSpace(string(b)), "\n")[1:]
	n := 0
	for _, row := range rows {
		f := strings.Split(row, "\t")
		file, name, expect := f[4], f[5], f[10]
		rules, err := os.ReadFile(filepath.Join(d, file))
		if err != nil {
			t.Fatal(err)
		}
		var local []netip.Addr
		fromNode := netip.MustParseAddr(f[6]).IsLoopback()
		src, dst := netip.MustParseAddr(f[6]), netip.MustParseAddr(f[8])
		for _, a := range strings.Split(f[12], ",") {
			ip := netip.MustParseAddr(strings.TrimSpace(a))
			local = append(local, ip)
			fromNode = fromNode || ip == src
		}
		var r4, r6 engine.Text
		if f[3] == "True" {
			r6 = engine.Text{Name: file, Text: rules}
		} else {
			r4 = engine.Text{Name: file, Text: rules}
		}
		port, _ := strconv.Atoi(f[9])
		m := node(t, local, r4, r6)
		data := first(src, dst, protoNumber(f[7]), uint16(port))
		var res engine.Result
		if fromNode {
			res = m.Send(data, nil, 1e18)
		} else {
			res = m.Receive(m.Ifaces().Name("eth0"), packet.Link{}, data, 1e18)
		}
		got, masq := outcome(m, src, dst, uint16(port), res, fromNode)
		want := expect
		if i := strings.Index(want, " ("); i > 0 {
			want = want[:i] // "ACCEPT (NodePortHealthCheck)"
		}
		// Delivered without a rule that says so is "no rule" there.
		ok := got == want || want == "(none)" && got == "ACCEPT"
		for _, w := range strings.Split(want, ", ") {
			ok = ok || got == w || got == normalAddr(w)
		}
		if !ok || want != "(none)" && strings.Contains(want, ":") && masq != (f[11] == "True") {
			t.Errorf("%s: %s: %s > %s:%s: got %s masq %v, want %s masq %s", file, name, src, dst, f[9], got, masq, expect, f[11])
		}
		n++
	}
	t.Logf("%d flows", n)
}

// normalAddr writes an address and port as netip does.
func normalAddr(s string) string {
	if a, err := netip.ParseAddrPort(s); err == nil {
		return a.String()
	}
	return s
}

// outcome says what became of a flow's first packet in the words of the file.
func outcome(m *engine.Machine, src, dst netip.Addr, port uint16, res engine.Result, local bool) (what string, masq bool) {
	var c *conntrack.Conn
	m.Conntrack().Each(1e18, func(x *conntrack.Conn) bool {
		c = x
		return true
	})
	switch {
	case res.Verdict == engine.Dropped && res.Reason == hook.ReasonReject:
		return "REJECT", false
	case res.Verdict == engine.Dropped:
		return "DROP", false
	case c == nil && res.Verdict == engine.Delivered:
		return "ACCEPT", false // and answered by a closed port
	case c == nil:
		return "(none)", false
	}
	f := packet.FamilyOf(src)
	r := &c.Tuple[conntrack.Reply]
	masq = m.Conntrack().MasqIf(c) != 0 // a packet of the node itself may keep its address
	if r.Src == packet.AddrOf(dst) && r.SrcL4 == port {
		if res.Verdict == engine.Delivered {
			return "ACCEPT", masq
		}
		return "(none)", masq
	}
	return netip.AddrPortFrom(r.Src.IP(f), r.SrcL4).String(), masq
}

// expectation is a case of the packetdrill folder.
type expectation struct {
	Local       string   `json:"local"`
	FilterRules []string `json:"filter_rules"`
	Directions  string   `json:"directions"`
	Forwarded   string   `json:"kernel_forwarded"`
	Final       string   `json:"kernel_final"`
	Checks      []struct {
		After   int    `json:"after_packet"`
		Kind    string `json:"kind"`
		Chain   string `json:"chain"`
		Grep    string `json:"rule_grep"`
		Packets int    `json:"packets"`
		Kernel  string `json:"kernel"`
	} `json:"checks"`
}

// TestPacketdrill plays two of Linux's own conntrack tests: which packets pass,
// the state after some of them, the connection at the end.
func TestPacketdrill(t *testing.T) {
	d := dir(t, "packetdrill")
	files, _ := filepath.Glob(filepath.Join(d, "*.expect.json"))
	if len(files) == 0 {
		t.Fatal("no cases")
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var e expectation
			if err := json.Unmarshal(b, &e); err != nil {
				t.Fatal(err)
			}
			rules := "*filter\n" + strings.Join(e.FilterRules, "\n") + "\nCOMMIT\n"
			m := node(t, []netip.Addr{netip.MustParseAddr(e.Local)}, engine.Text{Name: file, Text: []byte(rules)}, engine.Text{},
				socket.Socket{Proto: packet.TCP, Port: 8080, V4: true}, socket.Socket{Proto: packet.TCP, Port: 40000, V4: true})
			play(t, m, strings.TrimSuffix(file, ".expect.json")+".pcap", &e)
		})
	}
}

func play(t *testing.T, m *engine.Machine, file string, e *expectation) {
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
	now := int64(0)
	for {
		if err := r.Next(&rec); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		rec.Decode(&fr)
		now = rec.Time
		var res engine.Result
		if e.Directions[rec.N-1] == '>' {
			res = m.Send(fr.IP, nil, now)
		} else {
			res = m.Receive(m.Ifaces().Name("eth0"), fr.Link, fr.IP, now)
		}
		if passed := res.Verdict != engine.Dropped; passed != (e.Forwarded[rec.N-1] == '1') {
			t.Errorf("packet %d: %s %s, but the kernel's passed: %c", rec.N, res.Verdict, res.Reason, e.Forwarded[rec.N-1])
		}
		for _, c := range e.Checks {
			if c.After != rec.N {
				continue
			}
			switch c.Kind {
			case "ctstate":
				if got := entry(m, now); !same(got, c.Kernel) {
					t.Errorf("after packet %d:\n got %s\nwant %s", rec.N, got, c.Kernel)
				}
			case "rule_packets":
				want := "[" + strconv.Itoa(c.Packets) + ":"
				for _, l := range strings.Split(string(save.Append(nil, m.Rules(packet.IPv4), true)), "\n") {
					if strings.Contains(l, "-A "+c.Chain+" ") && strings.Contains(l, c.Grep) && !strings.HasPrefix(l, want) {
						t.Errorf("after packet %d: %s, want %d packets", rec.N, l, c.Packets)
					}
				}
			}
		}
	}
	if got := entry(m, now); !same(got, e.Final) {
		t.Errorf("at the end:\n got %s\nwant %s", got, e.Final)
	}
}

func entry(m *engine.Machine, now int64) (s string) {
	tb := m.Conntrack()
	tb.Each(now, func(c *conntrack.Conn) bool {
		s = string(show.AppendEntry(nil, tb, c, now, 0))
		return true
	})
	return strings.TrimSpace(s)
}

// same compares listings; the time left may differ by a second.
func same(a, b string) bool {
	x, y := strings.Fields(a), strings.Fields(b)
	if len(x) != len(y) || len(x) < 3 {
		return a == b
	}
	for i := range x {
		if i == 2 {
			n, _ := strconv.Atoi(x[i])
			k, _ := strconv.Atoi(y[i])
			if n-k > 1 || k-n > 1 {
				return false
			}
		} else if x[i] != y[i] {
			return false
		}
	}
	return true
}
