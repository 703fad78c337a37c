package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSysctlsArePrintedAsSysctlDoes(t *testing.T) {
	root := filepath.Join(t.TempDir(), "net")
	for name, v := range map[string]string{
		"ipv4/ip_forward": "1\n", "ipv4/conf/eth0.10/rp_filter": "0\n", "ipv4/tcp_mem": "1\t2\t3\n", "table": "a\nb\n",
	} {
		p := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(v), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const want = "net.ipv4.conf.eth0/10.rp_filter = 0\nnet.ipv4.ip_forward = 1\nnet.ipv4.tcp_mem = 1\t2\t3\n"
	if got := string(sysctls(root)); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestHasRules(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       bool
	}{
		{"nothing", "", false},
		{"tables without rules", "*filter\n:INPUT ACCEPT [5:300]\n:FORWARD ACCEPT [0:0]\nCOMMIT\n", false},
		{"a policy", "*filter\n:INPUT DROP [0:0]\nCOMMIT\n", true},
		{"a chain", "*filter\n:INPUT ACCEPT [0:0]\n:web - [0:0]\nCOMMIT\n", true},
		{"a rule", "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -j DROP\nCOMMIT\n", true},
		{"a rule with counters", "*filter\n:INPUT ACCEPT [0:0]\n[1:2] -A INPUT -j DROP\nCOMMIT\n", true},
	} {
		if got := hasRules([]byte(c.text)); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestRoutingByRulesIsRefused(t *testing.T) {
	const local, main, def = `{"priority":0,"src":"all","table":"local"}`, `{"priority":32766,"src":"all","table":"main"}`,
		`{"priority":32767,"src":"all","table":"default"}`
	for _, c := range []struct {
		name, text, want string
	}{
		{"nothing is said", "", ""},
		{"a fresh system", "[" + local + "," + main + "," + def + "]", ""},
		{"a fresh system has no default for IPv6", "[" + local + "," + main + "]", ""},
		{"a rule by mark", "[" + local + `,{"priority":100,"src":"all","fwmark":"0x1","table":"100"},` + main + "]", "rule 100"},
		{"a rule by source", "[" + local + `,{"priority":99,"src":"192.0.2.0","srclen":24,"table":"main"},` + main + "]", "rule 99"},
		{"main by another name", "[" + local + `,{"priority":32766,"src":"all","table":"vpn"}]`, "rule 32766"},
		{"main for some", `[{"priority":32766,"not":null,"src":"all","table":"main"}]`, "rule 32766"},
	} {
		got, err := policyRules([]byte(c.text))
		if err != nil || strings.Join(got, ", ") != c.want {
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
	}
	if _, err := policyRules([]byte("Usage: ip rule")); err == nil {
		t.Error("text that is no JSON is taken")
	}
}
