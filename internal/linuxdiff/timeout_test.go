package linuxdiff

import (
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/engine"
	"weir/iface"
	"weir/internal/kernel"
	"weir/packet"
	"weir/scenario/line"
)

// TestTimeoutPolicies makes policies with nfct, gives weir what nfct lists, and
// compares the timeouts of connections that -j CT --timeout attaches them to.
func TestTimeoutPolicies(t *testing.T) {
	needKernel(t)
	if _, err := exec.LookPath("nfct"); err != nil {
		t.Skip("nfct is not installed")
	}
	base := kernel.Config{Trace: true, Sysctl: map[string]string{"net.ipv4.ip_forward": "1", "net.ipv6.conf.all.forwarding": "1", "net.netfilter.nf_conntrack_acct": "1"}}
	var ifs []*iface.Iface
	for i, d := range []struct{ name, four, six string }{{"lan0", "192.0.2.1/25", "2001:db8:1::1/64"}, {"wan0", "203.0.113.2/24", "2001:db8:2::2/64"}} {
		a, b := netip.MustParsePrefix(d.four), netip.MustParsePrefix(d.six)
		base.Ifaces = append(base.Ifaces, kernel.Iface{Name: d.name, Addrs: []netip.Prefix{a, b}})
		ifs = append(ifs, &iface.Iface{Index: i + 2, Name: d.name, MTU: 1500, Addrs: []iface.Addr{{Prefix: a, Broadcast: broadcast(a)}, {Prefix: b}}})
	}
	k, err := kernel.New(base)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	for _, l := range []string{
		"t4 inet tcp syn_sent 41 syn_recv 42 established 43 fin_wait 44 close 45 time_wait 46",
		"t6 inet6 tcp syn_sent 51 established 53",
		"u4 inet udp unreplied 61 replied 62", "u6 inet6 udp unreplied 63",
		"l4 inet udplite unreplied 64 replied 65",
		"i4 inet icmp timeout 71", "i6 inet6 icmpv6 timeout 72",
		"g4 inet generic timeout 81", "g6 inet6 generic timeout 82",
		"k4 inet gre unreplied 83 replied 84", "s4 inet sctp cookie_wait 91 cookie_echoed 92 closed 93",
	} {
		if out, err := k.Nfct(append([]string{"add", "timeout"}, strings.Fields(l)...)...); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	conf, err := k.Nfct("list", "timeout")
	if err != nil {
		t.Fatal(err)
	}
	rules := func(tcp, udp, icmp, generic string, more string) string {
		return "*raw\n:PREROUTING ACCEPT\n:OUTPUT ACCEPT\n-A PREROUTING -j TRACE\n-A PREROUTING -p tcp -j CT --timeout " + tcp + "\n-A PREROUTING -p udp -j CT --timeout " + udp +
			"\n-A PREROUTING -p " + icmp + "\n-A PREROUTING -p 253 -j CT --timeout " + generic + "\n" + more + "COMMIT\n*mangle\n:FORWARD ACCEPT\nCOMMIT\n*nat\n:PREROUTING ACCEPT\nCOMMIT\n*security\n:FORWARD ACCEPT\nCOMMIT\n*filter\n:FORWARD ACCEPT\n-A FORWARD -m conntrack --ctstate NEW\nCOMMIT\n"
	}
	four := rules("t4", "u4", "icmp -j CT --timeout i4", "g4", "-A PREROUTING -p udplite -j CT --timeout l4\n-A PREROUTING -p gre -j CT --timeout k4\n-A PREROUTING -p sctp -j CT --timeout s4\n-A PREROUTING -p esp -j CT --timeout g4\n")
	six := rules("t6", "u6", "ipv6-icmp -j CT --timeout i6", "g6", "")
	if err := k.Reload(four, six); err != nil {
		t.Fatal(err)
	}
	w := &subject{steer: &steer{spare: newSpare()}, slack: 1}
	if err := w.open(engine.Config{Ifaces: ifs, Rules4: engine.Text{Name: "rules.v4", Text: []byte(four)}, Rules6: engine.Text{Name: "rules.v6", Text: []byte(six)},
		Timeouts: engine.Text{Name: "timeout.conf", Text: []byte(conf)}, Rand: w.steer, Sysctl: base.Sysctl}); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, ends := range [][2]string{{"192.0.2.10", "203.0.113.80"}, {"[2001:db8:1::10]", "[2001:db8:2::80]"}} {
		c, s := ends[0], ends[1]
		for _, l := range []string{
			"lan0 tcp C:4000 > S:80 s seq=1 win=1000", "wan0 tcp S:80 > C:4000 SA seq=5 ack=2 win=1000", "lan0 tcp C:4000 > S:80 A seq=2 ack=6 win=1000",
			"lan0 tcp C:4000 > S:80 FA seq=2 ack=6 win=1000", "wan0 tcp S:80 > C:4000 FA seq=6 ack=3 win=1000", "lan0 tcp C:4000 > S:80 A seq=3 ack=7 win=1000",
			"lan0 tcp C:4001 > S:80 s seq=1", "wan0 tcp S:80 > C:4001 RA seq=0 ack=2",
			"lan0 udp C:4000 > S:53 len=4", "wan0 udp S:53 > C:4000 len=4", "lan0 udp C:4000 > S:53 len=4",
			"lan0 icmp C > S echo id=7 seq=1", "lan0 proto=253 C > S len=8", "wan0 proto=253 S > C len=8",
			"lan0 proto=50 C > S len=16",
			"lan0 gre C > S len=8", "lan0 sctp C:4000 > S:80 init itag=5",
		} {
			if c[0] == '[' {
				l = strings.Replace(l, "icmp C", "icmp6 C", 1)
			}
			host := strings.NewReplacer(" C:", " "+c+":", " S:", " "+s+":", " C ", " "+strings.Trim(c, "[]")+" ", " S ", " "+strings.Trim(s, "[]")+" ")
			p, err := line.Parse(strings.Replace(host.Replace(l), ":80 s seq", ":80 S seq", 1))
			if err != nil {
				t.Fatalf("%s: %v", l, err)
			}
			res, err := k.Inject(p.In, p.Data[0])
			if err != nil {
				t.Fatal(err)
			}
			w.follow(p.Data[0], &res)
			w.events, w.now = w.events[:0], time.Now().UnixNano()
			got := w.m.Receive(w.m.Ifaces().Name(p.In), packet.Link{}, slices.Clone(p.Data[0]), w.now)
			if d := packetDifference(p.Data[0], &res, &got, w, false); d != nil {
				t.Errorf("%s: %s", l, d)
			}
			n++
		}
	}
	t.Logf("%d packets", n)
	// What iptables refuses weir refuses.
	for _, rule := range []string{"-j CT --timeout t4", "-p udp -j CT --timeout t4", "! -p tcp -j CT --timeout t4", "-p tcp -j CT --timeout t6", "-p tcp -j CT --timeout nosuch", "-p gre -j CT --timeout g4"} {
		text := "*raw\n-A PREROUTING " + rule + "\nCOMMIT\n"
		_, errs := w.m.ParseRules(packet.IPv4, engine.Text{Text: []byte(text)})
		if kerr := k.Reload(text, ""); (kerr != nil) != (len(errs) > 0) || kerr == nil {
			t.Errorf("%s: the kernel says %v, weir %v", rule, kerr, errs)
		}
	}
}
