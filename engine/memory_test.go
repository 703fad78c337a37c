package engine

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"weir/conntrack"
	"weir/conntrack/show"
	"weir/hook"
	"weir/packet"
	"weir/xtables/save"
)

// ruleSets exercise what may be remembered and what may not.
var ruleSets = map[string]string{
	"gateway": gatewayRules,
	"flags looked at before the accept": `*nat
-A POSTROUTING -o wan0 -j MASQUERADE
COMMIT
*filter
:FORWARD DROP
-A FORWARD -p tcp -m tcp --tcp-flags FIN FIN -m comment --comment "counted only"
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i lan0 -j ACCEPT
COMMIT
`,
	"tables of all kinds": `*raw
-A PREROUTING -p udp -m multiport --dports 53,443 -j ACCEPT
COMMIT
*mangle
-A FORWARD -s 192.0.2.0/24 -p tcp
-A FORWARD -m length --length 0:40
-A POSTROUTING -m mark --mark 0
COMMIT
*nat
-A PREROUTING -i wan0 -p tcp -m tcp --dport 443 -j DNAT --to-destination 192.0.2.20
-A POSTROUTING -o wan0 -j MASQUERADE
COMMIT
*filter
:FORWARD DROP
:LAN - [0:0]
-A FORWARD -i lan0 -g LAN
-A FORWARD -m conntrack --ctstatus ASSURED -j ACCEPT
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i wan0 -d 192.0.2.20 -j ACCEPT
-A LAN -m state --state INVALID -j DROP
-A LAN -p udp -j RETURN
-A LAN -j ACCEPT
COMMIT
*security
-A FORWARD -o lan0
COMMIT
`,
	"marks": `*mangle
-A FORWARD -m connmark --mark 7 -j ACCEPT
-A FORWARD -p tcp -m length --length 60:70 -j CONNMARK --set-mark 7
COMMIT
*filter
-A FORWARD -m connmark ! --mark 7
COMMIT
`,
}

// TestRememberingChangesNothing runs the same traffic through a machine that
// remembers and one that walks: fate, bytes, connections and every counter
// must be equal.
func TestRememberingChangesNothing(t *testing.T) {
	for name, rules := range ruleSets {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(20) {
				remember, walk := gateway(t, rules), gateway(t, rules)
				walk.memory.on = false
				r := rand.New(rand.NewPCG(seed, 1))
				now := int64(1e18)
				for i := range 600 {
					now += int64(r.Uint32N(1e9))
					if i == 300 {
						swap(t, remember, rules)
						swap(t, walk, rules)
					}
					in, d := traffic(r)
					a := remember.Receive(remember.Ifaces().Name(in), packet.Link{}, bytes.Clone(d), now)
					b := walk.Receive(walk.Ifaces().Name(in), packet.Link{}, bytes.Clone(d), now)
					if x, y := resultText(a), resultText(b); x != y {
						t.Fatalf("seed %d packet %d %x:\nremembered %s\nwalked     %s", seed, i, d, x, y)
					}
				}
				if x, y := state(remember, now), state(walk, now); x != y {
					t.Fatalf("seed %d: remembered\n%s\nwalked\n%s", seed, x, y)
				}
			}
		})
	}
}

// TestPathsAreTaken makes sure that the test above compares something.
func TestPathsAreTaken(t *testing.T) {
	m := gateway(t, gatewayRules)
	f := establish(t, m, 1, packet.TCP)
	lan := m.Ifaces().Name("lan0")
	for range 3 {
		m.Receive(lan, packet.Link{}, bytes.Clone(f[0].there), 1e18+1)
	}
	if n := len(m.memory.paths.list); n == 0 || m.lane.tally[n-1].packets == 0 {
		t.Error("no packet took a remembered path")
	}
	m.Register(hook.Entry{At: hook.Forward, Pri: hook.PriFirst, Name: "user", Fn: func(*hook.Traversal) hook.Verdict { return hook.Drop }})
	if r := m.Receive(lan, packet.Link{}, bytes.Clone(f[0].there), 1e18+1); r.Verdict != Dropped || r.Reason != hook.ReasonUser {
		t.Errorf("a user's function was passed over: %s %s", r.Verdict, r.Reason)
	}
}

func swap(t *testing.T, m *Machine, rules string) {
	t.Helper()
	rs, errs := ParseRules(packet.IPv4, Text{"again", []byte(rules)})
	if len(errs) == 0 {
		errs = m.SetRules(rs)
	}
	if len(errs) > 0 {
		t.Fatal(errs)
	}
}

// traffic makes packets of a few connections, mostly sensible ones.
func traffic(r *rand.Rand) (in string, d []byte) {
	host, port := byte(10+r.Uint32N(3)), uint16(4000+r.Uint32N(2))
	inside, outside := fmt.Sprintf("192.0.2.%d", host), "198.51.100.1"
	out := r.Uint32N(2) == 0
	var l4 []byte
	proto := uint8(packet.TCP)
	if r.Uint32N(3) == 0 {
		proto = packet.UDP
		if out {
			l4 = udp(port, 443, int(r.Uint32N(3)*20))
		} else {
			l4 = udp(443, port, int(r.Uint32N(3)*20))
		}
	} else {
		flags := []uint8{packet.TCPSyn, packet.TCPSyn | packet.TCPAck, packet.TCPAck, packet.TCPAck, packet.TCPAck, packet.TCPAck | packet.TCPPsh,
			packet.TCPAck | packet.TCPFin, packet.TCPRst}[r.Uint32N(8)]
		seq, ack := 1000+r.Uint32N(3), 1000+r.Uint32N(3)
		if out {
			l4 = tcp(port, 443, seq, ack, flags, 65535)
		} else {
			l4 = tcp(443, port, seq, ack, flags, 65535)
		}
		l4 = append(l4, make([]byte, r.Uint32N(3)*10)...)
	}
	if out {
		d = ip4(inside, outside, proto, l4)
		in = "lan0"
	} else {
		d = ip4(outside, "203.0.113.2", proto, l4)
		in = "wan0"
	}
	if r.Uint32N(20) == 0 {
		d[len(d)-1] ^= 1 // a wrong checksum
	}
	if r.Uint32N(20) == 0 {
		d[1] = 0x10 // another TOS
		d[10], d[11] = 0, 0
		s := packet.IPv4HeaderChecksum(d[:20])
		d[10], d[11] = byte(s>>8), byte(s)
	}
	return in, d
}

func resultText(r Result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s", r.Verdict, r.Reason, r.CT.State())
	for _, o := range r.Out {
		fmt.Fprintf(&b, " %s %x", o.Dev.Name, o.Data)
	}
	return b.String()
}

func state(m *Machine, now int64) string {
	b := save.Append(nil, m.Rules(packet.IPv4), true)
	tb := m.Conntrack()
	tb.Each(now, func(c *conntrack.Conn) bool {
		b = append(show.AppendEntry(b, tb, c, now, show.Extended), '\n')
		return true
	})
	return string(b)
}

// TestAssuredEndsAPathThatAskedForIt: the answer's path is learned before the
// connection is assured.
func TestAssuredEndsAPathThatAskedForIt(t *testing.T) {
	for _, rule := range []string{"-A FORWARD -m conntrack --ctstatus ASSURED -j ACCEPT", "-A FORWARD -m state --state ESTABLISHED -j ACCEPT"} {
		var texts []string
		for _, forget := range []bool{false, true} {
			m := gateway(t, "*nat\n-A POSTROUTING -o wan0 -j MASQUERADE\nCOMMIT\n*filter\n"+rule+"\n-A FORWARD -j ACCEPT\nCOMMIT\n")
			m.memory.on = !forget
			back := establish(t, m, 1, packet.TCP)[0].back
			m.Receive(m.Ifaces().Name("wan0"), packet.Link{}, back, 1e18+1)
			texts = append(texts, state(m, 1e18+2))
		}
		if texts[0] != texts[1] {
			t.Errorf("%s: remembered\n%s\nwalked\n%s", rule, texts[0], texts[1])
		}
	}
}
