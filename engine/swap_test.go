package engine

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"weir/packet"
	"weir/xtables"
)

// TestASwapKeepsTheStateOfUnchangedRules sends the same packets through a
// machine whose rules are replaced in between and one that is left alone.
func TestASwapKeepsTheStateOfUnchangedRules(t *testing.T) {
	for name, rule := range map[string]string{
		"limit":              "-m limit --limit 1/hour --limit-burst 7",
		"quota":              "-m quota --quota 300",
		"statistic, nth":     "-m statistic --mode nth --every 7 --packet 6",
		"connlimit":          "-p udp -m connlimit --connlimit-upto 6",
		"hashlimit":          "-m hashlimit --hashlimit-upto 1/hour --hashlimit-burst 7 --hashlimit-mode srcip --hashlimit-name h",
		"recent":             "-m recent --set --name r -m recent ! --rcheck --seconds 60 --hitcount 7 --name r",
		"two rules alike":    "-m limit --limit 1/hour --limit-burst 3 -j ACCEPT\n-A FORWARD -m limit --limit 1/hour --limit-burst 3",
		"behind other tests": "-s 192.0.2.0/24 -p udp -m udp --dport 53 -m comment --comment kept -m limit --limit 1/hour --limit-burst 7",
	} {
		t.Run(name, func(t *testing.T) {
			const head = "*filter\n:FORWARD DROP\n"
			text := head + "-A FORWARD " + rule + " -j ACCEPT\nCOMMIT\n"
			// The rule moves and others come.
			other := head + "-A FORWARD -p tcp -j DROP\n-A FORWARD -d 203.0.113.99 -m limit -j DROP\n-A FORWARD " + rule + " -j ACCEPT\nCOMMIT\n"
			swapped, alone := gateway(t, text), gateway(t, text)
			passed := 0
			for i := range 20 {
				if i%3 == 2 {
					next := text
					if i%2 == 0 {
						next = other
					}
					swap(t, swapped, next)
				}
				d := ip4("192.0.2.10", "198.51.100.1", packet.UDP, udp(uint16(4000+i), 53, 10))
				now := int64(1e18) + int64(i)*1e9
				a := swapped.Receive(swapped.Ifaces().Name("lan0"), packet.Link{}, bytes.Clone(d), now)
				b := alone.Receive(alone.Ifaces().Name("lan0"), packet.Link{}, d, now)
				if a.Verdict != b.Verdict {
					t.Fatalf("packet %d: %s %s with swaps, %s %s without", i, a.Verdict, a.Reason, b.Verdict, b.Reason)
				}
				if a.Verdict == Forwarded {
					passed++
				}
			}
			if passed == 0 || passed == 20 {
				t.Errorf("%d of 20 packets passed: the rule decides nothing", passed)
			}
		})
	}
}

func TestAChangedRuleStartsAnew(t *testing.T) {
	rules := func(rule string) string {
		return "*filter\n:FORWARD DROP\n:LAN -\n-A FORWARD " + rule + " -j ACCEPT\n-A LAN -m quota --quota 1\nCOMMIT\n"
	}
	m := gateway(t, rules("-m quota --quota 100"))
	send := func() Verdict {
		d := ip4("192.0.2.10", "198.51.100.1", packet.UDP, udp(4000, 53, 32))
		return m.Receive(m.Ifaces().Name("lan0"), packet.Link{}, d, 1e18).Verdict
	}
	for i, c := range []struct {
		rule string
		want []Verdict
	}{
		{"-m quota --quota 100", []Verdict{Forwarded, Dropped}},
		{"-m quota --quota 100", []Verdict{Dropped}},
		{"-p udp -m quota --quota 100", []Verdict{Forwarded, Dropped}},
		{"-m quota --quota 100", []Verdict{Forwarded, Dropped}},
		{"-m quota --quota 200", []Verdict{Forwarded, Forwarded, Forwarded, Dropped}},
	} {
		swap(t, m, rules(c.rule))
		for k, want := range c.want {
			if got := send(); got != want {
				t.Errorf("rules %d, %s: packet %d: %s, want %s", i, c.rule, k, got, want)
			}
		}
	}
}

// TestASwapLosesNoPacket replaces the rules between the packets of established
// connections, with sets that were made by another goroutine.
func TestASwapLosesNoPacket(t *testing.T) {
	m := gateway(t, gatewayRules)
	flows := establish(t, m, 50, packet.TCP)
	lan, wan := m.Ifaces().Name("lan0"), m.Ifaces().Name("wan0")
	sets := make(chan *xtables.Ruleset)
	go func() {
		defer close(sets)
		for i := range 40 {
			text := strings.Replace(gatewayRules, ":FORWARD DROP", fmt.Sprintf(":FORWARD DROP\n-A FORWARD -s 192.0.2.%d -p icmp -j DROP", i), 1)
			rs, errs := ParseRules(packet.IPv4, Text{"rules", []byte(text)})
			if len(errs) > 0 {
				t.Error(errs)
				return
			}
			sets <- rs
		}
	}()
	swaps := 0
	for rs := range sets {
		swaps++
		if errs := m.SetRules(rs); len(errs) > 0 {
			t.Fatal(errs)
		}
		for i := range flows {
			if r := m.Receive(lan, packet.Link{}, bytes.Clone(flows[i].there), 1e18); r.Verdict != Forwarded {
				t.Fatalf("out: %s %s", r.Verdict, r.Reason)
			}
			if r := m.Receive(wan, packet.Link{}, bytes.Clone(flows[i].back), 1e18); r.Verdict != Forwarded {
				t.Fatalf("back: %s %s", r.Verdict, r.Reason)
			}
		}
		c := rs.Table("filter").Chain("FORWARD")
		if n := m.Rules(packet.IPv4).Table("filter").Counter(c, 1).Packets; n != 100 {
			t.Fatalf("%d packets were counted after the swap, want 100", n)
		}
	}
	if swaps != 40 {
		t.Errorf("%d swaps", swaps)
	}
}
