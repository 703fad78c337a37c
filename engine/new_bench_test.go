package engine

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"weir/iface"
	"weir/packet"
	"weir/route"
	"weir/xtables"
)

// mixedRules is a gateway with n rules before those that accept: addresses,
// ports, interfaces, connection state, multiport and user chains. None of them
// drops a packet of newPackets, but a quarter of the chains is entered.
func mixedRules(n int) string {
	r := rand.New(rand.NewPCG(42, 0))
	port := func() int { return 10000 + r.IntN(20000) }
	server := func() string { return fmt.Sprintf("198.%d.%d.%d", 18+r.IntN(2), r.IntN(256), r.IntN(256)) }
	var chains, body strings.Builder
	for i := 0; n > 0; i, n = i+1, n-1 {
		add := func(format string, a ...any) { fmt.Fprintf(&body, "-A FORWARD "+format+" -j DROP\n", a...) }
		switch i % 8 {
		case 0:
			add("-s 172.%d.%d.%d/32", 16+r.IntN(16), r.IntN(256), r.IntN(256))
		case 1:
			add("-d %s/32 -p tcp -m tcp --dport %d", server(), port())
		case 2:
			add("-p udp -m udp --dport %d", port())
		case 3:
			if i%16 == 3 {
				add("-i vpn%d -p tcp", r.IntN(64))
			} else {
				add("-o dmz%d", r.IntN(64))
			}
		case 4:
			add("-s 10.%d.%d.0/24 -p tcp -m tcp --dport %d", 1+r.IntN(4), r.IntN(256), port())
		case 5:
			if i%16 == 5 {
				add("-i lan0 -m conntrack --ctstate INVALID")
			} else {
				add("-d 198.%d.%d.0/24 -m conntrack --ctstate INVALID", 18+r.IntN(2), r.IntN(256))
			}
		case 6:
			add("-p %s -m multiport --dports %d,%d,%d", []string{"tcp", "udp"}[i/8%2], port(), port(), port())
		case 7:
			fmt.Fprintf(&chains, ":zone%d - [0:0]\n", i)
			fmt.Fprintf(&body, "-A FORWARD -s 10.%d.0.0/16 -j zone%d\n", 1+r.IntN(4), i)
			for j := 0; j < 4 && n > 1; j, n = j+1, n-1 {
				if j%2 == 0 {
					fmt.Fprintf(&body, "-A zone%d -d %s/32 -p udp -m udp --dport %d -j DROP\n", i, server(), port())
				} else {
					fmt.Fprintf(&body, "-A zone%d -p tcp -m tcp --dport %d -j DROP\n", i, port())
				}
			}
		}
	}
	return "*raw\n:PREROUTING ACCEPT\nCOMMIT\n*mangle\n:FORWARD ACCEPT\nCOMMIT\n*nat\n:POSTROUTING ACCEPT\n-A POSTROUTING -o wan0 -j MASQUERADE\nCOMMIT\n" +
		"*filter\n:FORWARD DROP\n" + chains.String() + body.String() +
		"-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A FORWARD -i lan0 -j ACCEPT\nCOMMIT\n*security\n:FORWARD ACCEPT\nCOMMIT\n"
}

// bigGateway is a masquerading router for conns connections of 10.0.0.0/8.
func bigGateway(tb testing.TB, rules string, conns int, interpret bool) *Machine {
	lan := &iface.Iface{Index: 2, Name: "lan0", MTU: 1500, Addrs: []iface.Addr{{Prefix: netip.MustParsePrefix("10.0.0.1/8")}}}
	wan := &iface.Iface{Index: 3, Name: "wan0", MTU: 1500, Addrs: []iface.Addr{{Prefix: netip.MustParsePrefix("203.0.113.2/24")}}}
	max := fmt.Sprint(conns + conns/8 + 1024)
	m, errs := New(Config{
		Ifaces: []*iface.Iface{lan, wan},
		Routes: []route.Route{{To: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("203.0.113.1"), Dev: wan, Type: route.Unicast}},
		Rules4: Text{"rules", []byte(rules)},
		Sysctl: map[string]string{"net.ipv4.ip_forward": "1", "net.netfilter.nf_conntrack_max": max, "net.netfilter.nf_conntrack_buckets": max,
			"net.netfilter.nf_conntrack_udp_timeout": "3600", "net.netfilter.nf_conntrack_tcp_timeout_syn_sent": "3600"},
		Seed: 1, Interpret: interpret,
	})
	if len(errs) > 0 {
		tb.Fatal(errs[0])
	}
	return m
}

// newPacket writes the first packet of connection i of 64 bytes, TCP and UDP by
// turns, and returns it.
func newPacket(b []byte, i uint32) []byte {
	mix := func(x uint32) uint32 {
		x = (x ^ x>>16) * 0x85ebca6b
		x = (x ^ x>>13) * 0xc2b2ae35
		return x ^ x>>16
	}
	x, y := mix(i), mix(i^0x5bd1e995)
	b = b[:64]
	clear(b)
	b[0], b[3], b[8], b[9] = 0x45, 64, 64, packet.UDP
	b[12], b[13], b[14], b[15] = 10, 1+byte(y&3), byte(y>>2), 2+byte(y>>10%250)
	b[16], b[17], b[18], b[19] = 198, 18+byte(x>>17&1), byte(x>>9), byte(x>>1)
	be := binary.BigEndian
	be.PutUint16(b[20:], 32768+uint16(x>>18))
	be.PutUint16(b[22:], []uint16{443, 80, 53, 8443}[y>>20&3])
	if x&1 == 1 {
		b[9] = packet.TCP
		be.PutUint32(b[24:], y)
		b[32], b[33], b[34] = 5<<4, packet.TCPSyn, 0xff
	} else {
		be.PutUint16(b[24:], 44)
	}
	be.PutUint16(b[10:], packet.IPv4HeaderChecksum(b[:20]))
	var p packet.Packet
	if packet.Parse(b, &p) == nil {
		p.FixL4Checksum()
	}
	return b
}

// newPackets is the first packets of n connections, one behind the other.
func newPackets(n int) []byte {
	b := make([]byte, n*64)
	for i := range n {
		newPacket(b[i*64:], uint32(i))
	}
	return b
}

// BenchmarkNew opens masqueraded connections through rules that do not match.
// The table is emptied whenever it has as many as the name says.
func BenchmarkNew(b *testing.B) {
	for _, c := range []struct {
		rules, conns int
		interpret    bool
	}{{10, 100_000, false}, {100, 100_000, false}, {1000, 100_000, false}, {10_000, 100_000, false}, {100_000, 100_000, false}, {10_000, 100_000, true}, {2, 1_000_000, false}, {10, 4000, false}} {
		name := fmt.Sprintf("rules=%d/conns=%d", c.rules, c.conns)
		if c.interpret {
			name += "/interpreted"
		}
		b.Run(name, func(b *testing.B) {
			m := bigGateway(b, mixedRules(c.rules-2), c.conns, c.interpret)
			lan := m.Ifaces().Name("lan0")
			all := newPackets(c.conns)
			now := int64(1e18)
			i := c.conns
			b.ReportAllocs()
			buf := make([]byte, 64)
			for b.Loop() {
				if i == c.conns {
					b.StopTimer()
					m = bigGateway(b, mixedRules(c.rules-2), c.conns, c.interpret)
					lan = m.Ifaces().Name("lan0")
					i = 0
					b.StartTimer()
				}
				now += 1000
				d := buf[:copy(buf[:64], all[i*64:i*64+64])]
				if r := m.Receive(lan, packet.Link{}, d, now); len(r.Out) != 1 {
					b.Fatalf("connection %d: %s %s", i, r.Verdict, r.Reason)
				}
				i++
			}
		})
	}
}

// BenchmarkLoadRules reads and compiles 100,000 rules, and puts them to use.
func BenchmarkLoadRules(b *testing.B) {
	text := []byte(mixedRules(100_000))
	m := bigGateway(b, mixedRules(2), 1000, false)
	for b.Loop() {
		rs, errs := ParseRules(packet.IPv4, Text{"rules", text})
		if len(errs) == 0 {
			errs = m.SetRules(rs)
		}
		if len(errs) > 0 {
			b.Fatal(errs[0])
		}
	}
}

// scatteredRules is mixedRules of another kind: every rule has two prefixes of
// its own lengths and a range of ports.
func scatteredRules(n int) string {
	r := rand.New(rand.NewPCG(43, 0))
	var b strings.Builder
	b.WriteString("*nat\n-A POSTROUTING -o wan0 -j MASQUERADE\nCOMMIT\n*filter\n:FORWARD DROP\n")
	for range n {
		lo := 10000 + r.IntN(20000)
		fmt.Fprintf(&b, "-A FORWARD -s 10.%d.%d.%d/%d -d 198.%d.%d.%d/%d -p tcp -m tcp --dport %d:%d -j DROP\n", 1+r.IntN(4), r.IntN(256), r.IntN(256), 12+r.IntN(21),
			18+r.IntN(2), r.IntN(256), r.IntN(256), 14+r.IntN(19), lo, lo+r.IntN(2000))
	}
	b.WriteString("-A FORWARD -i lan0 -j ACCEPT\nCOMMIT\n")
	return b.String()
}

// BenchmarkNewScattered opens connections through rules that have hardly two
// masks in common: the worst case of the classifier.
func BenchmarkNewScattered(b *testing.B) {
	const conns = 50_000
	all := newPackets(conns)
	for _, n := range []int{100, 1000, 10_000, 100_000} {
		for _, interpret := range []bool{false, true} {
			b.Run(fmt.Sprintf("rules=%d/interpret=%v", n, interpret), func(b *testing.B) {
				m := bigGateway(b, scatteredRules(n), conns, interpret)
				lan := m.Ifaces().Name("lan0")
				buf := make([]byte, 64)
				i, now := 0, int64(1e18)
				for b.Loop() {
					if i++; i == conns {
						i = 0
						now += 2e14 // all are over
					}
					copy(buf, all[i*64:])
					if r := m.Receive(lan, packet.Link{}, buf, now); len(r.Out) != 1 {
						b.Fatalf("connection %d: %s %s", i, r.Verdict, r.Reason)
					}
				}
			})
		}
	}
}

// BenchmarkSwapRules replaces 100,000 rules while packets of established
// connections flow, and says how long the longest swap held them up.
func BenchmarkSwapRules(b *testing.B) {
	text := []byte(mixedRules(100_000))
	m := bigGateway(b, string(text), 1000, false)
	lan := m.Ifaces().Name("lan0")
	all := newPackets(1000)
	sets := make(chan *xtables.Ruleset)
	stop := make(chan bool)
	go func() {
		for {
			rs, _ := ParseRules(packet.IPv4, Text{"rules", text})
			select {
			case sets <- rs:
			case <-stop:
				return
			}
		}
	}()
	buf := make([]byte, 64)
	longest, packets := time.Duration(0), 0
	for b.Loop() {
		for swapped := false; !swapped; {
			for i := range 1000 {
				copy(buf, all[i*64:])
				if r := m.Receive(lan, packet.Link{}, buf, 1e18); len(r.Out) != 1 {
					b.Fatalf("%s %s", r.Verdict, r.Reason)
				}
				packets++
			}
			select {
			case rs := <-sets:
				at := time.Now()
				if errs := m.SetRules(rs); len(errs) > 0 {
					b.Fatal(errs)
				}
				longest, swapped = max(longest, time.Since(at)), true
			default:
			}
		}
	}
	close(stop)
	b.ReportMetric(float64(longest.Nanoseconds()), "ns/longest-swap")
	b.ReportMetric(float64(packets)/float64(b.N), "packets/swap")
}
