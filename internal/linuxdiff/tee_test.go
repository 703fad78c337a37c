package linuxdiff

import (
	"testing"

	"weir/internal/gen"
	"weir/internal/wire"
	"weir/xtables/std"
)

// TestCopiesAsLinux compares where -j TEE sends copies, with and without an
// interface that the route, no route or nobody has.
func TestCopiesAsLinux(t *testing.T) {
	k := extensionKernel(t)
	list := std.List()
	for _, r := range []string{"--oif lo", "--gateway 192.0.2.9 --oif", "--gateway 192.0.2.9 --oif abcdefghijklmnopq", "--gateway 192.0.2.9 --oif lan0 --oif lan0", "! --oif lan0 --gateway 192.0.2.9"} {
		loads(t, k, false, list, filterInput("-j TEE "+r))
	}
	for f, gateways := range [][]string{{"192.0.2.9", "198.51.100.9", "203.0.113.9", "100.64.0.9"}, {"2001:db8:1::9", "2001:db8:2::9", "2001:db8:3::9"}} {
		src, dst := host(f == 1, true, 10), host(f == 1, false, 10)
		p := gen.Packet{In: "lan0", Data: wire.IP{Src: src, Dst: dst, Proto: 17, TTL: 64}.Packet(wire.Datagram(17, src, dst, 4000, 53, []byte("x")))}
		for _, gw := range gateways {
			for _, oif := range []string{"", " --oif lan0", " --oif wan0", " --oif absent0"} {
				for _, chain := range []string{"PREROUTING", "FORWARD"} {
					differ(t, k, f == 1, "*mangle\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n-A "+chain+" -j TEE --gateway "+gw+oif+"\nCOMMIT\n", []gen.Packet{p})
				}
			}
		}
	}
}
