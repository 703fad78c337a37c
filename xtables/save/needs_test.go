package save_test

import (
	"testing"

	"weir/packet"
	"weir/xtables/save"
	"weir/xtables/std"
)

// What switches connection tracking on was recorded on Linux 6.18: a rule in a
// new network namespace, one ping, and the number of connections.
func TestNeedsConntrack(t *testing.T) {
	for _, c := range []struct {
		table, rule string
		want        bool
	}{
		{"nat", "", false},
		{"nat", "-A OUTPUT -j ACCEPT", false},
		{"nat", "-A OUTPUT -d 192.0.2.9 -j DNAT --to 192.0.2.8", true},
		{"nat", "-A POSTROUTING -j SNAT --to 192.0.2.9", true},
		{"nat", "-A POSTROUTING -j MASQUERADE", true},
		{"nat", "-A PREROUTING -p tcp -j REDIRECT", true},
		{"nat", "-A PREROUTING -j NETMAP --to 192.0.2.0/24", true},
		{"raw", "-A OUTPUT -j NOTRACK", false},
		{"raw", "-A OUTPUT -j CT --notrack", false},
		{"raw", "-A OUTPUT -j CT", true},
		{"raw", "-A OUTPUT -j CT --zone 1", true},
		{"filter", "-A INPUT -m connlimit --connlimit-above 1", true},
		{"filter", "-A INPUT -m connbytes --connbytes 1 --connbytes-dir both --connbytes-mode packets", true},
		{"filter", "-A INPUT -m connlabel --label 1", true},
		{"filter", "-A INPUT -m helper --helper ftp", true},
		{"filter", "-A INPUT -m cluster --cluster-total-nodes 2 --cluster-local-node 1 --cluster-hash-seed 1", true},
		{"filter", "-A INPUT -j REJECT", false},
		{"mangle", "-A INPUT -j CONNSECMARK --save", true},
		{"mangle", "-A PREROUTING -j TEE --gateway 192.0.2.1", false},
		{"filter", "-A INPUT -m state --state NEW", true},
		{"filter", "-A INPUT -m conntrack --ctproto 1", true},
		{"filter", "-A INPUT -m connmark --mark 1", true},
		{"mangle", "-A INPUT -j CONNMARK --save-mark", true},
		{"filter", "-A INPUT -p tcp --dport 80 -j ACCEPT", false},
	} {
		f, errs := save.Parse("r", []byte("*"+c.table+"\n"+c.rule+"\nCOMMIT\n"), packet.IPv4, std.List())
		if len(errs) > 0 {
			t.Fatal(errs)
		}
		if got := f.Rules.NeedsConntrack(); got != c.want {
			t.Errorf("%s %s: %v, want %v", c.table, c.rule, got, c.want)
		}
	}
	if f, _ := save.Parse("r", nil, packet.IPv4, std.List()); f == nil || f.Rules.NeedsConntrack() {
		t.Error("an empty file")
	}
}
