package xtables_test

import (
	"fmt"
	"strings"
	"testing"

	"weir/hook"
	"weir/packet"
)

// BenchmarkWalk walks over rules of which none matches, by what they fail on.
func BenchmarkWalk(b *testing.B) {
	for _, kind := range []struct{ name, rule string }{
		{"address", "-s 10.0.%d.%d/32 -j DROP"},
		{"address6", "-s 2001:db8:1:%x::%x -j DROP"},
		{"interface", "-i eth%d.%d -j DROP"},
		{"protocol", "! -s 10.0.%d.%d -p gre -j DROP"},
		{"match", "! -s 10.0.%d.%d -m fixed --answer no -j DROP"},
	} {
		for _, n := range []int{10, 100, 1000} {
			b.Run(fmt.Sprintf("%s/%d", kind.name, n), func(b *testing.B) {
				var s strings.Builder
				for i := 0; i < n; i++ {
					fmt.Fprintf(&s, "-A FORWARD "+kind.rule+"\n", i>>8, i&255)
				}
				fam, data := packet.IPv4, ipv4("192.0.2.1", "198.51.100.2", packet.TCP, 0)
				if kind.name == "address6" {
					fam, data = packet.IPv6, ipv6("2001:db8::1", "2001:db8::2", packet.TCP, make([]byte, 20))
				}
				tb := load(b, fam, strings.TrimSpace(s.String())).Rules.Table("filter")
				tr := traversal(b, data, hook.Forward, "lan0", "wan0")
				b.ReportAllocs()
				for b.Loop() {
					if tb.Walk(tr) != hook.Accept {
						b.Fatal("dropped")
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/rule")
			})
		}
	}
}
