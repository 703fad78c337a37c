package lint_test

import (
	"fmt"
	"strings"
	"testing"

	"weir/engine"
	"weir/lint"
	"weir/packet"
)

// check lints a rule text.
func check(t *testing.T, f packet.Family, text string) []lint.Finding {
	t.Helper()
	rs, errs := engine.ParseRules(f, engine.Text{Name: "rules", Text: []byte(text)})
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	m, errs := engine.New(lint.Imagine(rs))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	return lint.Check(rs, m)
}

// TestFindings holds rule sets against what has to be found: "line id", in
// order. The first rule of each text stands in line 2.
func TestFindings(t *testing.T) {
	drop := func(rules ...string) string {
		return "*filter\n" + strings.Join(rules, "\n") + "\n:INPUT DROP\n:FORWARD DROP\nCOMMIT\n"
	}
	table := func(name string, rules ...string) string {
		return "*" + name + "\n" + strings.Join(rules, "\n") + "\nCOMMIT\n"
	}
	est := "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
	for _, c := range []struct {
		name string
		six  bool
		text string
		want string
	}{
		{"nothing is wrong", false, drop("-A INPUT "+est, "-A INPUT -p tcp --dport 22 -j ACCEPT"), ""},
		{"a wider rule stands before", false, table("filter", "-A INPUT -p tcp -j ACCEPT", "-A INPUT -p tcp --dport 22 -j DROP"), "3 shadowed"},
		{"the same rule stands before, but for its comment", false, table("filter", "-A INPUT -p tcp -j ACCEPT", "-A INPUT -p tcp -m comment --comment x -j ACCEPT"), "3 duplicate"},
		{"two halves", false, table("filter", "-A INPUT -s 0.0.0.0/1 -j DROP", "-A INPUT -s 128.0.0.0/1 -j DROP", "-A INPUT -s 10.0.0.0/8 -j ACCEPT"), "4 shadowed"},
		{"two halves but one address", false, table("filter", "-A INPUT -s 0.0.0.0/1 -j DROP", "-A INPUT -m iprange --src-range 128.0.0.1-255.255.255.255 -j DROP", "-A INPUT -i lo -j ACCEPT"), ""},
		{"ports of several rules", false, table("filter", "-A INPUT -p tcp --dport 1:100 -j DROP", "-A INPUT -p tcp --dport 101:200 -j DROP", "-A INPUT -p tcp -m multiport --dports 50,150,200 -j ACCEPT"), "4 shadowed"},
		{"a rule that counts is no cover", false, table("filter", "-A INPUT -p tcp -m limit --limit 1/s -j ACCEPT", "-A INPUT -p tcp --dport 22 -j DROP"), ""},
		{"the same limit twice", false, table("filter", "-A INPUT -p tcp -m limit --limit 1/s -j ACCEPT", "-A INPUT -p tcp -m limit --limit 1/s -j ACCEPT"), ""},
		{"a rule that only counts is no cover", false, table("filter", "-A INPUT -p tcp", "-A INPUT -p tcp --dport 22 -j DROP"), ""},
		{"later fragments pass a rule for ports", false, table("filter", "-A INPUT -p tcp -m tcp --dport 0:65535 -j ACCEPT", "-A INPUT -p tcp -j DROP"), ""},
		{"the same match that is no field", false, table("nat", "-A PREROUTING -m addrtype --dst-type LOCAL -p tcp --dport 80 -j DNAT --to-destination 10.0.0.1", "-A PREROUTING -m addrtype --dst-type LOCAL -p tcp --dport 80 -j REDIRECT --to-ports 8080"), "3 shadowed"},
		{"another match that is no field", false, table("nat", "-A PREROUTING -m addrtype --dst-type LOCAL -j ACCEPT", "-A PREROUTING -m addrtype --dst-type UNICAST -j REDIRECT"), ""},
		{"a mark that is set between", false, table("mangle", "-A PREROUTING -m mark --mark 1 -j ACCEPT", "-A PREROUTING -i lo -j MARK --set-mark 1", "-A PREROUTING -m mark --mark 1 -j DROP"), ""},
		{"a mark that is not set between", false, table("mangle", "-A PREROUTING -m mark --mark 1 -j ACCEPT", "-A PREROUTING -i lo -j TOS --set-tos 4", "-A PREROUTING -m mark --mark 1 -j DROP"), "4 shadowed"},
		{"a mark that is set in a chain between", false, table("mangle", "-N S", "-A PREROUTING -m mark --mark 1 -j ACCEPT", "-A PREROUTING -j S", "-A PREROUTING -m mark --mark 1 -j DROP", "-A S -j MARK --set-mark 1"), ""},
		{"bits of a mark", false, table("mangle", "-A PREROUTING -m mark --mark 4/4 -j ACCEPT", "-A PREROUTING -m mark ! --mark 4/4 -j ACCEPT", "-A PREROUTING -j DROP"), "4 shadowed"},
		{"a chain decides", false, table("filter", "-N C", "-A INPUT -p udp -j C", "-A INPUT -p udp --dport 53 -j ACCEPT", "-A C -s 10.0.0.0/8 -j ACCEPT", "-A C -j DROP"), "4 shadowed"},
		{"a chain decides for some", false, table("filter", "-N C", "-A INPUT -p udp -j C", "-A INPUT -p udp --dport 53 -j ACCEPT", "-A C -s 10.0.0.0/8 -j RETURN", "-A C -j DROP"), ""},
		{"RETURN takes the packets of its chain", false, table("filter", "-N C", "-A INPUT -j C", "-A C -s 10.0.0.0/8 -j RETURN", "-A C -s 10.1.0.0/16 -j DROP", "-A C -p tcp -j ACCEPT"), "5 shadowed"},
		{"nothing comes back from a goto", false, table("filter", "-N C", "-A INPUT -p tcp -g C", "-A INPUT -p tcp --dport 22 -j DROP", "-A C -s 10.0.0.0/8 -j ACCEPT"), "4 shadowed"},
		{"the caller's rules take the packets", false, table("filter", "-N C", "-A INPUT -p tcp -j DROP", "-A INPUT -j C", "-A C -p tcp --dport 22 -j ACCEPT", "-A C -p udp -j ACCEPT"), "5 unreached"},
		{"one caller of two hands the packets over", false, table("filter", "-N C", "-A INPUT -p tcp -j C", "-A FORWARD -p udp -j C", "-A C -p udp -j ACCEPT"), ""},
		{"another protocol in the chain", false, table("filter", "-N C", "-A INPUT -p tcp -j C", "-A C -p udp -j ACCEPT", "-A C -p tcp -j DROP"), "4 unreached"},
		{"one finding for a chain that nothing comes to", false, table("filter", "-N C", "-A FORWARD -j DROP", "-A FORWARD -j C", "-A C -p udp -j ACCEPT", "-A C -p tcp -j DROP"), "4 shadowed"},
		{"no way in", false, table("filter", "-N C", "-A OUTPUT -j C", "-A C -i eth0 -j DROP", "-A C -o eth0 -j DROP"), "4 unreached"},
		{"conditions that exclude each other", false, table("filter", "-A INPUT -s 10.0.0.0/8 -m iprange --src-range 192.0.2.1-192.0.2.9 -j DROP"), "2 impossible"},
		{"flags beyond the mask", false, table("filter", "-A INPUT -p tcp --tcp-flags SYN ACK -j DROP"), "2 impossible"},
		{"flags beyond the mask, negated", false, table("filter", "-A INPUT -p tcp ! --tcp-flags SYN ACK -j DROP"), "2 negation-always"},
		{"! -i +", false, table("filter", "-A INPUT ! -i + -j DROP"), "2 negation-never"},
		{"! -s 0.0.0.0/0", false, table("filter", "-A INPUT ! -s 0.0.0.0/0 -j DROP"), "2 negation-never"},
		{"! -i for packets of this machine", false, table("filter", "-N C", "-A OUTPUT -j C", "-A C ! -i eth0 -j DROP"), "4 negation-always"},
		{"two exceptions", false, table("filter", "-A INPUT ! -s 10.0.0.0/8 -j DROP", "-A INPUT ! -s 192.0.2.0/24 -j DROP"), "3 negation-pair"},
		{"two exceptions of which one is in the other", false, table("filter", "-A INPUT ! -s 10.0.0.0/8 -j DROP", "-A INPUT ! -s 10.1.0.0/16 -j DROP"), ""},
		{"two exceptions for different packets", false, table("filter", "-A INPUT -p tcp ! -s 10.0.0.0/8 -j DROP", "-A INPUT -p udp ! -s 192.0.2.0/24 -j DROP"), ""},
		{"a chain that nobody calls, and one that it calls", false, table("filter", "-N A", "-N B", "-A A -j B", "-A B -j DROP"), "2 chain-unused, 3 chain-unused"},
		{"an empty chain, called twice", false, table("filter", "-N E", "-A INPUT -j E", "-A FORWARD -j E"), "3 jump-returns"},
		{"a chain that only returns", false, table("filter", "-N E", "-A INPUT -j E", "-A E -p tcp -j RETURN"), "3 jump-returns"},
		{"a chain that counts", false, table("filter", "-N E", "-A INPUT -j E", "-A E -p tcp"), ""},
		{"a goto to an empty chain", false, table("filter", "-N E", "-A INPUT -p tcp -g E", "-A INPUT -j DROP"), ""},
		{"a log line twice", false, table("filter", "-A INPUT -p tcp -j LOG", "-A INPUT -p tcp -j LOG"), "3 duplicate"},
		{"NAT of established connections", false, table("nat", "-A PREROUTING -m state --state ESTABLISHED -j REDIRECT"), "2 nat-not-new"},
		{"NAT of new connections", false, table("nat", "-A PREROUTING -m state --state NEW,ESTABLISHED -j REDIRECT"), ""},
		{"only NEW is let in", false, drop("-A INPUT -p tcp -m conntrack --ctstate NEW -j ACCEPT"), "2 established-missing"},
		{"answers to this machine are dropped", false, drop("-A INPUT -p tcp --dport 22 -j ACCEPT"), "3 established-missing"},
		{"answers from one port come in", false, drop("-A INPUT -p tcp --sport 80 -j ACCEPT"), ""},
		{"later segments are dropped before", false, drop("-A INPUT -p tcp ! --syn -j DROP", "-A INPUT "+est, "-A INPUT -p tcp --dport 22 -j ACCEPT"), "3 established-late"},
		{"strange segments are dropped before", false, drop("-A INPUT -p tcp --tcp-flags ALL NONE -j DROP", "-A INPUT "+est, "-A INPUT -p tcp --dport 22 -j ACCEPT"), ""},
		{"ESTABLISHED behind many rules", false, drop(strings.Repeat("-A INPUT -p udp -m udp --dport 7 -s 192.0.2.1 -j ACCEPT\n", 1)+manyPorts(11), "-A INPUT "+est), "14 established-far"},
		{"ESTABLISHED behind many rules, one of which drops", false, drop("-A INPUT -s 192.0.2.1 -j DROP\n"+manyPorts(11), "-A INPUT "+est), ""},
		{"IPv6: later fragments pass any -p", true, table("filter", "-A INPUT -p tcp -j ACCEPT", "-A INPUT ! -p tcp -j ACCEPT", "-A INPUT -j DROP"), ""},
		{"IPv4: a protocol and its opposite", false, table("filter", "-A INPUT -p tcp -j ACCEPT", "-A INPUT ! -p tcp -j ACCEPT", "-A INPUT -j DROP"), "4 shadowed"},
		{"IPv6 addresses", true, table("filter", "-A INPUT -s 2001:db8::/32 -j ACCEPT", "-A INPUT -s 2001:db8:1::/48 -j DROP"), "3 shadowed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := packet.IPv4
			if c.six {
				f = packet.IPv6
			}
			found := check(t, f, c.text)
			var got []string
			var all []byte
			for i := range found {
				got = append(got, fmt.Sprintf("%d %s", found[i].Line, found[i].ID))
				all = found[i].AppendText(all, false)
			}
			if g := strings.Join(got, ", "); g != c.want {
				t.Errorf("got  %s\nwant %s\n%s\n%s", g, c.want, c.text, all)
			}
		})
	}
}

// manyPorts is rules for n ports.
func manyPorts(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "-A INPUT -p tcp --dport %d -j ACCEPT", 1000+i)
		if i < n-1 {
			b.WriteByte('\n')
		}
	}
	return b.String()
}
