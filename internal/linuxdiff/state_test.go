package linuxdiff

import (
	"testing"

	"weir/internal/gen"
	"weir/internal/wire"
)

// TestStatefulMatchesAsLinux sends sequences of packets through matches that
// remember. Rates are so low that no credit comes back while the test runs.
func TestStatefulMatchesAsLinux(t *testing.T) {
	k := extensionKernel(t)
	udp := func(v6 bool, from, port int, n int) gen.Packet {
		src, dst := host(v6, true, from), host(v6, false, 10)
		return gen.Packet{In: "lan0", Data: wire.IP{Src: src, Dst: dst, Proto: 17, TTL: 64}.Packet(
			wire.Datagram(17, src, dst, uint16(port), 53, make([]byte, n)))}
	}
	back := func(v6 bool, to, port int) gen.Packet {
		src, dst := host(v6, false, 10), host(v6, true, to)
		return gen.Packet{In: "wan0", Data: wire.IP{Src: src, Dst: dst, Proto: 17, TTL: 64}.Packet(
			wire.Datagram(17, src, dst, 53, uint16(port), []byte("x")))}
	}
	var mixed [2][]gen.Packet
	for f, v6 := range []bool{false, true} {
		for i := range 40 {
			mixed[f] = append(mixed[f], udp(v6, 10+i%3, 1000+i%4, i*13%90))
			if i%3 == 0 {
				mixed[f] = append(mixed[f], back(v6, 10+i%3, 1000+i%4))
			}
		}
		mixed[f] = append(mixed[f], gen.Packet{In: "lan0", Data: wire.IP{Src: host(v6, true, 77), Dst: host(v6, false, 10), Proto: 47, TTL: 64}.Packet([]byte{0, 0, 8, 0})},
			gen.Packet{In: "lan0", Data: wire.IP{Src: host(v6, true, 77), Dst: host(v6, false, 10), Proto: 17, TTL: 64}.Packet([]byte{0, 0})},
			gen.Packet{In: "lan0", Data: wire.IP{Src: host(v6, true, 77), Dst: host(v6, false, 10), Proto: 51, TTL: 64}.Packet(unhex("1104 0000 00000001 00000001 00000000 00000000 00000000"))})
	}
	const syn, ack, fin, rst = wire.SYN, wire.ACK, wire.FIN, wire.RST
	for _, g := range []struct {
		name     string
		where    string // table and chain
		rules    []string
		packets  [2][]gen.Packet
		families [2]bool
	}{
		{"buckets of addresses and ports", "filter FORWARD", []string{
			"-m hashlimit --hashlimit-upto 1/min --hashlimit-burst 3 --hashlimit-name a1", "-m hashlimit --hashlimit-above 1/min --hashlimit-burst 3 --hashlimit-name a2 --hashlimit-mode srcip",
			"-m hashlimit --hashlimit-upto 1/hour --hashlimit-burst 2 --hashlimit-name a3 --hashlimit-mode srcip,srcport", "-m hashlimit --hashlimit-upto 2/min --hashlimit-name a4 --hashlimit-mode dstip,dstport",
			"-m hashlimit --hashlimit-upto 1/min --hashlimit-name a5 --hashlimit-mode srcip --hashlimit-srcmask 24", "-m hashlimit --hashlimit-upto 1/min --hashlimit-burst 1 --hashlimit-name a6 --hashlimit-mode srcip,dstip,srcport,dstport",
			"-m hashlimit --hashlimit-upto 1/min --hashlimit-name a7 --hashlimit-mode srcip,srcport --hashlimit-htable-size 4 --hashlimit-htable-max 5", "-m hashlimit --hashlimit-upto 16b/s --hashlimit-name a8 --hashlimit-mode srcip",
			"-m hashlimit --hashlimit-upto 48b/s --hashlimit-burst 144b --hashlimit-name a9 --hashlimit-mode srcip", "-m hashlimit --hashlimit-above 48b/s --hashlimit-burst 960b --hashlimit-name b1", "-m hashlimit --hashlimit-upto 100b/s --hashlimit-name b2",
			"-m hashlimit --hashlimit-upto 3/s --hashlimit-burst 2 --hashlimit-name b3 --hashlimit-rate-match --hashlimit-rate-interval 100", "-m hashlimit --hashlimit-above 3/min --hashlimit-burst 4 --hashlimit-mode srcip --hashlimit-name b4 --hashlimit-rate-match",
			"-m hashlimit --hashlimit-upto 96b/s --hashlimit-burst 192b --hashlimit-name b5 --hashlimit-rate-match --hashlimit-rate-interval 100", "-m hashlimit --hashlimit-above 96b/s --hashlimit-mode srcip --hashlimit-name b6 --hashlimit-rate-match --hashlimit-rate-interval 50",
			"-p udp -m hashlimit --hashlimit-upto 1/min --hashlimit-burst 2 --hashlimit-mode srcport --hashlimit-name b7",
		}, mixed, [2]bool{true, true}},
		{"limit, quota, statistic, lengths", "filter FORWARD", []string{
			"-m limit --limit 1/min --limit-burst 3", "-m limit --limit 20/day --limit-burst 7", "-m quota --quota 300", "-m quota ! --quota 300", "-m quota --quota 0", "-m statistic --mode nth --every 3 --packet 1", "-m statistic --mode nth ! --every 4 --packet 0",
		}, mixed, [2]bool{true, true}},
		{"addresses seen lately", "filter FORWARD", []string{
			"-m recent --name r1 --set", "-m recent --name r2 --update --seconds 100 --hitcount 3 --rsource\n-A FORWARD -m recent --name r2 --set --rsource", "-m recent --name r3 --rcheck --rdest\n-A FORWARD -p udp -m recent --name r3 --set --rdest",
			"-m recent --name r4 ! --rcheck\n-A FORWARD -p udp -m udp --sport 1002 -m recent --name r4 --set", "-m recent --name r5 --remove\n-A FORWARD -m recent --name r5 --set", "-m recent --name r6 --update --rttl --hitcount 2 --seconds 60\n-A FORWARD -m recent --name r6 --set",
			"-m recent --name r7 ! --set --mask 255.255.255.0", "-m recent --name r8 --rcheck --hitcount 40\n-A FORWARD -m recent --name r8 --set", "-m recent --name r9 --set --mask 255.255.255.0\n-A FORWARD -p udp --sport 1002 -m recent --name r9 --rcheck --rdest\n-A FORWARD -m recent --name r9 --update --hitcount 3 --mask 255.255.255.255",
		}, mixed, [2]bool{true, false}},
		{"what a connection carried", "filter FORWARD", []string{
			"-m connbytes --connbytes 3 --connbytes-dir original --connbytes-mode packets", "-m connbytes --connbytes 100:300 --connbytes-dir both --connbytes-mode bytes", "-m connbytes ! --connbytes 2:3 --connbytes-dir reply --connbytes-mode packets", "-m connbytes --connbytes 40:60 --connbytes-dir both --connbytes-mode avgpkt",
			"-m connbytes ! --connbytes 40:60 --connbytes-dir original --connbytes-mode avgpkt", "-m connbytes --connbytes 0:0 --connbytes-dir reply --connbytes-mode avgpkt",
		}, mixed, [2]bool{true, true}},
		{"labels and nodes", "filter FORWARD", []string{
			"-m connlabel --label 5", "-p udp -m udp --sport 1001 -m connlabel --label 7 --set\n-A FORWARD -m connlabel --label 7\n-A FORWARD -m connlabel ! --label 7", "-m connlabel ! --label 127 --set", "-m state --state ESTABLISHED -m connlabel --label 64 --set\n-A FORWARD -m connlabel --label 64",
			"-m cluster --cluster-total-nodes 2 --cluster-local-node 1 --cluster-hash-seed 0xdeadbeef", "-m cluster --cluster-total-nodes 3 --cluster-local-nodemask 5 --cluster-hash-seed 1", "-m cluster --cluster-total-nodes 7 ! --cluster-local-node 3 --cluster-hash-seed 77", "-m helper --helper ftp", "-m helper ! --helper ftp",
		}, mixed, [2]bool{true, true}},
		{"connections of an address", "filter FORWARD", []string{
			"-m connlimit --connlimit-above 2", "-m connlimit --connlimit-upto 3", "-m connlimit --connlimit-above 2 --connlimit-daddr", "-m connlimit --connlimit-above 4 --connlimit-mask 24", "-m connlimit --connlimit-above 0 --connlimit-mask 0", "-p udp -m connlimit --connlimit-above 3 -j DROP",
		}, mixed, [2]bool{true, true}},
		// Not here: connlimit over connections that close, since Linux looks for
		// closed ones at most once a tick of its own clock.
	} {
		t.Run(g.name, func(t *testing.T) {
			for f, v6 := range []bool{false, true} {
				if !g.families[f] {
					continue
				}
				for _, r := range g.rules {
					differ(t, k, v6, "*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A PREROUTING -j TRACE\nCOMMIT\n*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\nCOMMIT\n*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A FORWARD "+r+"\nCOMMIT\n", g.packets[f])
				}
			}
		})
	}
}
