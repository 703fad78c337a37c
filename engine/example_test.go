package engine_test

import (
	"fmt"
	"net/netip"
	"strings"

	"weir/engine"
	"weir/hook"
	"weir/iface"
	"weir/packet"
	"weir/route"
)

// A firewall and NAT between two in-memory links.
func Example() {
	const rules = `*nat
-A POSTROUTING -o wan0 -j MASQUERADE
COMMIT
*filter
:FORWARD DROP
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i lan0 -j ACCEPT
COMMIT
`
	dev := func(index int, name, addr string) *iface.Iface {
		return &iface.Iface{Index: index, Name: name, MTU: 1500, Addrs: []iface.Addr{{Prefix: netip.MustParsePrefix(addr)}}}
	}
	lan, wan := dev(2, "lan0", "192.0.2.1/24"), dev(3, "wan0", "203.0.113.2/24")
	m, errs := engine.New(engine.Config{
		Ifaces: []*iface.Iface{lan, wan},
		Routes: []route.Route{{To: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("203.0.113.1"), Dev: wan, Type: route.Unicast}},
		Rules4: engine.Text{Name: "rules.v4", Text: []byte(rules)},
		Sysctl: map[string]string{"net.ipv4.ip_forward": "1"},
	})
	if len(errs) > 0 {
		fmt.Println(errs)
		return
	}
	link := map[string]chan []byte{"lan0": make(chan []byte, 8), "wan0": make(chan []byte, 8)}
	now := int64(0)
	pass := func(in *iface.Iface, p []byte) {
		r := m.Receive(in, packet.Link{}, p, now)
		for _, o := range r.Out {
			link[o.Dev.Name] <- append([]byte(nil), o.Data...)
		}
		fmt.Println(strings.TrimSpace(fmt.Sprint(in.Name, " ", r.Verdict, " ", r.Reason)))
	}
	pass(lan, udp("192.0.2.10", "198.51.100.1", 4000, 53)) // out, masqueraded
	fmt.Println("  wan0 sees", addrs(<-link["wan0"]))
	pass(wan, udp("198.51.100.1", "203.0.113.2", 53, 4000)) // the answer, translated back
	fmt.Println("  lan0 sees", addrs(<-link["lan0"]))
	pass(wan, udp("198.51.100.9", "192.0.2.10", 53, 4000)) // a stranger
	// Output:
	// lan0 forward
	//   wan0 sees 203.0.113.2 > 198.51.100.1
	// wan0 forward
	//   lan0 sees 198.51.100.1 > 192.0.2.10
	// wan0 drop policy
}

// slow looks at packets and makes up its mind later.
type slow struct{ ids []uint64 }

func (s *slow) Queued(q *hook.Queued) hook.Answer {
	fmt.Println("queue", q.Queue, q.Point, addrs(q.Data))
	s.ids = append(s.ids, q.ID)
	return hook.Answer{Verdict: hook.Stolen} // decided later
}

// A program that decides about new connections, as behind NFQUEUE.
func ExampleMachine_Verdict() {
	const rules = `*filter
:FORWARD DROP
-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT
-A FORWARD -m mark --mark 1 -j ACCEPT
-A FORWARD -m conntrack --ctstate NEW -j NFQUEUE --queue-num 7
COMMIT
`
	dev := func(index int, name, addr string) *iface.Iface {
		return &iface.Iface{Index: index, Name: name, MTU: 1500, Addrs: []iface.Addr{{Prefix: netip.MustParsePrefix(addr)}}}
	}
	lan, wan := dev(2, "lan0", "192.0.2.1/24"), dev(3, "wan0", "203.0.113.2/24")
	program := &slow{}
	m, errs := engine.New(engine.Config{
		Ifaces: []*iface.Iface{lan, wan},
		Rules4: engine.Text{Name: "rules.v4", Text: []byte(rules)},
		Sysctl: map[string]string{"net.ipv4.ip_forward": "1"},
		Queues: map[uint16]hook.QueueSpec{7: {Listener: program}},
	})
	if len(errs) > 0 {
		fmt.Println(errs)
		return
	}
	for _, to := range []string{"203.0.113.7", "203.0.113.8"} {
		fmt.Println(m.Receive(lan, packet.Link{}, udp("192.0.2.10", to, 4000, 53), 0).Verdict)
	}
	// Later, and in any order: the rules are asked again about the second packet,
	// which has a mark by now, and the first is dropped.
	r, _ := m.Verdict(program.ids[1], hook.Answer{Verdict: hook.Repeat, Mark: 1, Marked: true}, 5e9)
	fmt.Println(r.Verdict, r.Out[0].Dev.Name, addrs(r.Out[0].Data))
	r, _ = m.Verdict(program.ids[0], hook.Answer{Verdict: hook.Drop}, 5e9)
	fmt.Println(r.Verdict, r.Reason)
	// Output:
	// queue 7 FORWARD 192.0.2.10 > 203.0.113.7
	// held
	// queue 7 FORWARD 192.0.2.10 > 203.0.113.8
	// held
	// forward wan0 192.0.2.10 > 203.0.113.8
	// drop listener
}

// udp builds an empty datagram.
func udp(src, dst string, sport, dport uint16) []byte {
	d := []byte{0: 0x45, 3: 28, 8: 64, 9: 17, 20: byte(sport >> 8), byte(sport), byte(dport >> 8), byte(dport), 25: 8, 27: 0}
	s, e := netip.MustParseAddr(src).As4(), netip.MustParseAddr(dst).As4()
	copy(d[12:], s[:])
	copy(d[16:], e[:])
	sum := packet.IPv4HeaderChecksum(d[:20])
	d[10], d[11] = byte(sum>>8), byte(sum)
	return d
}

func addrs(d []byte) string {
	return fmt.Sprint(netip.AddrFrom4([4]byte(d[12:16])), " > ", netip.AddrFrom4([4]byte(d[16:20])))
}
