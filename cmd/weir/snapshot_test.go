package main

import (
	"os"
	"path/filepath"
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
