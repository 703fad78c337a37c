package target_test

import (
	"strings"
	"testing"

	"weir/packet"
	"weir/xtables"
	"weir/xtables/save"
	"weir/xtables/std"
)

// TestMappingOptions reads --mapping and --filtering; what does not make sense is
// refused at its place.
func TestMappingOptions(t *testing.T) {
	const ei = "--mapping endpoint-independent"
	for _, c := range []struct{ name, rule, want string }{
		{"MASQUERADE with a mapping", "-A POSTROUTING -o wan -j MASQUERADE " + ei, ""},
		{"and with a filtering", "-A POSTROUTING -j MASQUERADE " + ei + " --filtering endpoint-independent", ""},
		{"the options in another order", "-A POSTROUTING -j MASQUERADE --filtering address-dependent " + ei, "=-A POSTROUTING -j MASQUERADE " + ei + " --filtering address-dependent"},
		{"ports and a random start", "-A POSTROUTING -p udp -j MASQUERADE --to-ports 2000-3000 --random " + ei, ""},
		{"SNAT to a range", "-A POSTROUTING -j SNAT --to-source 192.0.2.1-192.0.2.9 " + ei + " --filtering address-dependent", ""},
		{"ICMP", "-A POSTROUTING -p icmp -j MASQUERADE " + ei, ""},
		{"a filtering alone", "-A POSTROUTING -j MASQUERADE --filtering endpoint-independent", "f:2:30: --filtering needs --mapping"},
		{"a mapping that Linux has", "-A POSTROUTING -j MASQUERADE --mapping address-dependent", `f:2:40: --mapping: "address-dependent" is not endpoint-independent`},
		{"a filtering that Linux has", "-A POSTROUTING -j MASQUERADE " + ei + " --filtering port-dependent", `f:2:73: --filtering: "port-dependent" is not`},
		{"a protocol without endpoints", "-A POSTROUTING -p gre -j MASQUERADE " + ei, "f:2:47: --mapping: the rule's protocol has neither ports nor ids"},
		{"filtering of ICMP", "-A POSTROUTING -p icmp -j MASQUERADE " + ei + " --filtering address-dependent", "f:2:81: --filtering: nobody sends"},
		{"a persistent mapping", "-A POSTROUTING -j SNAT --to-source 192.0.2.1 --persistent " + ei, "f:2:46: --persistent says nothing beside"},
		{"a base port", "-A POSTROUTING -p udp -j SNAT --to-source 192.0.2.1:100-200/50 " + ei, "f:2:74: --mapping: a base port"},
		{"ports without an address", "-A POSTROUTING -p udp -j SNAT --to-source :100-200 " + ei, "f:2:43: --mapping needs an address"},
		{"SNAT in INPUT", "-A INPUT -j SNAT --to-source 192.0.2.1 " + ei, "f:2:13: --mapping works in POSTROUTING only"},
		{"a half of the word", "-A POSTROUTING -j MASQUERADE --mapp endpoint-independent", "f:2:30: unknown option --mapp"},
		{"another target", "-A PREROUTING -j DNAT --to-destination 192.0.2.1 " + ei, "f:2:50: unknown option --mapping"},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := "*nat\n" + c.rule + "\nCOMMIT\n"
			f, errs := save.Parse("f", []byte(text), packet.IPv4, std.List())
			if want, isRule := strings.CutPrefix(c.want, "="); c.want == "" || isRule {
				if c.want == "" {
					want = c.rule
				}
				if len(errs) > 0 {
					t.Fatal(errs)
				}
				if got := string(save.Print(f)); !strings.Contains(got, want+"\n") {
					t.Fatalf("printed as\n%s\nwithout %s", got, want)
				}
				strict := std.List()
				strict.StrictLinux = true
				_, errs = save.Parse("f", []byte(text), packet.IPv4, strict)
				if len(errs) == 0 || !strings.Contains(errs[0].Error(), "is weir's own") || errs[0].(*xtables.Error).Pos.Line != 2 {
					t.Fatalf("strictly Linux: %v", errs)
				}
				return
			}
			if len(errs) == 0 || !strings.HasPrefix(errs[0].Error(), c.want) {
				t.Fatalf("got %v, want %s", errs, c.want)
			}
		})
	}
}
