package metrics

import (
	"io"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"weir/control"
	"weir/engine"
	"weir/iface"
	"weir/packet"
	"weir/scenario/line"
)

type logged struct{}

func (logged) Records() uint64 { return 7 }
func (logged) Lost() uint64    { return 2 }

func TestScrape(t *testing.T) {
	m, errs := engine.New(engine.Config{
		Ifaces: []*iface.Iface{{Index: 2, Name: "lan0", MTU: 1500, Addrs: []iface.Addr{{Prefix: netip.MustParsePrefix("192.0.2.1/24")}}}},
		Rules4: engine.Text{Name: "rules.v4", Text: []byte(`*filter
-A INPUT -p udp --dport 53 -m comment --comment "a \"name\" service" -j DROP
-A INPUT -p udp --dport 54 -m comment --comment "a \"name\" service" -j DROP
-A INPUT -m conntrack --ctstate INVALID -j DROP
COMMIT
`)},
	})
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	for _, l := range []string{"lan0 udp 192.0.2.10:4000 > 192.0.2.1:53 len=30", "lan0 udp 192.0.2.10:4000 > 192.0.2.1:54 len=30", "lan0 icmp 192.0.2.10 > 192.0.2.1 echo"} {
		p, err := line.Parse(l)
		if err != nil {
			t.Fatal(err)
		}
		m.Receive(m.Ifaces().Name("lan0"), packet.Link{}, p.Data[0], 1)
	}
	s := control.NewServer(control.Alone(m, func() int64 { return 1 }), control.Options{})
	for _, c := range []struct {
		name  string
		names Names
		want  []string
		not   string
	}{
		{"weir's own names", Weir, []string{
			"weir_conntrack_entries 1\n", "weir_conntrack_entries_limit 262144\n", `weir_conntrack_stat_total{stat="insert_failed"} 0` + "\n",
			`weir_drops_total{reason="rule"} 2` + "\n",
			`weir_rule_packets_total{chain="INPUT",comment="a \"name\" service",family="ipv4",table="filter"} 2` + "\n",
			`weir_policy_packets_total{chain="INPUT",family="ipv4",policy="ACCEPT",table="filter"} 1` + "\n",
			"weir_log_records_total 7\n", "weir_log_records_lost_total 2\n", "go_goroutines ",
		}, "node_nf"},
		{"node_exporter's names", Node, []string{
			"node_nf_conntrack_entries 1\n", "node_nf_conntrack_entries_limit 262144\n", "node_nf_conntrack_stat_insert_failed 0\n",
			"node_nf_conntrack_stat_ignore 0\n",
		}, "weir_conntrack"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			Handler(s, logged{}, c.names).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
			b, _ := io.ReadAll(w.Body)
			if w.Code != 200 {
				t.Fatalf("%d: %s", w.Code, b)
			}
			for _, l := range c.want {
				if !strings.Contains(string(b), l) {
					t.Errorf("no line %q", l)
				}
			}
			if strings.Contains(string(b), c.not) {
				t.Errorf("there is %s", c.not)
			}
			if t.Failed() {
				t.Log(string(b))
			}
		})
	}
}
