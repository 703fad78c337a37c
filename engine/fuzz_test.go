package engine

import (
	"net/netip"
	"testing"

	"weir/hook"
	"weir/iface"
	"weir/packet"
	"weir/route"
)

const fuzzRules4 = `*raw
-A PREROUTING -s 192.0.2.99 -j CT --notrack
COMMIT
*mangle
-A FORWARD -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu
-A PREROUTING -m ttl --ttl-lt 3 -j TTL --ttl-inc 1
COMMIT
*nat
-A PREROUTING -i wan0 -p tcp -m tcp --dport 8000:8010 -j DNAT --to-destination 192.0.2.10-192.0.2.12:80
-A PREROUTING -i wan0 -p udp -m udp --dport 53 -j REDIRECT --to-ports 5353
-A POSTROUTING -o wan0 -j MASQUERADE
COMMIT
*filter
:FORWARD DROP
-A INPUT -p tcp -m multiport --dports 22,80 -j REJECT --reject-with tcp-reset
-A FORWARD -m conntrack --ctstate INVALID -j DROP
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT
-A FORWARD -i lan0 -m length --length 0:1400 -j ACCEPT
-A FORWARD -j REJECT
COMMIT
`

const fuzzRules6 = `*nat
-A PREROUTING -i wan0 -p tcp -m tcp --dport 80 -j DNAT --to-destination [2001:db8:1::10]:8080
-A POSTROUTING -o wan0 -s fd00::/8 -j MASQUERADE
COMMIT
*filter
:FORWARD DROP
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i lan0 -p tcp -j ACCEPT
-A FORWARD -i lan0 -p udp -j ACCEPT
-A FORWARD -j REJECT --reject-with icmp6-adm-prohibited
COMMIT
`

func fuzzMachine(tb testing.TB) *Machine {
	p := netip.MustParsePrefix
	lan := &iface.Iface{Index: 2, Name: "lan0", MTU: 1500, Addrs: []iface.Addr{{Prefix: p("192.0.2.1/24")}, {Prefix: p("2001:db8:1::1/64")}}}
	wan := &iface.Iface{Index: 3, Name: "wan0", MTU: 1280, Addrs: []iface.Addr{{Prefix: p("203.0.113.2/24")}, {Prefix: p("2001:db8:2::2/64")}}}
	m, errs := New(Config{
		Ifaces: []*iface.Iface{lan, wan},
		Routes: []route.Route{
			{To: p("0.0.0.0/0"), Via: netip.MustParseAddr("203.0.113.1"), Dev: wan, Type: route.Unicast},
			{To: p("::/0"), Via: netip.MustParseAddr("2001:db8:2::1"), Dev: wan, Type: route.Unicast},
		},
		Rules4: Text{"rules.v4", []byte(fuzzRules4)}, Rules6: Text{"rules.v6", []byte(fuzzRules6)},
		Sysctl: map[string]string{"net.ipv4.ip_forward": "1", "net.ipv6.conf.all.forwarding": "1",
			"net.netfilter.nf_conntrack_max": "64", "net.netfilter.nf_conntrack_log_invalid": "255"},
		Seed: 1,
	})
	if len(errs) > 0 {
		tb.Fatal(errs)
	}
	return m
}

// FuzzPacketPath feeds packets to a machine that uses all its parts. The
// input is a list of packets: a byte that says by which way each comes and
// whether checksums are to be made right, two bytes of length, the packet.
func FuzzPacketPath(f *testing.F) {
	one := func(how byte, d []byte) []byte { return append([]byte{how, byte(len(d) >> 8), byte(len(d))}, d...) }
	syn := ip4("192.0.2.10", "198.51.100.1", packet.TCP, tcp(4000, 80, 1, 0, packet.TCPSyn, 1000))
	back := ip4("198.51.100.1", "203.0.113.2", packet.TCP, tcp(80, 4000, 1, 2, packet.TCPSyn|packet.TCPAck, 1000))
	f.Add(append(one(0, syn), one(1, back)...))
	f.Add(one(2, ip4("203.0.113.2", "198.51.100.1", packet.UDP, udp(53, 53, 3))))
	f.Add(one(1, ip4("198.51.100.1", "203.0.113.2", packet.ICMP, append([]byte{3, 3, 0, 0, 0, 0, 0, 0}, syn[:28]...))))
	f.Fuzz(func(t *testing.T, in []byte) {
		m := fuzzMachine(t)
		now := int64(1e18)
		for len(in) > 3 {
			how, n := in[0], min(int(in[1])<<8|int(in[2]), len(in)-3)
			d := append([]byte(nil), in[3:3+n]...)
			in = in[3+n:]
			now += int64(how>>4) * 1e8
			if how&8 != 0 {
				repair(d)
			}
			var r Result
			switch how & 3 {
			case 0:
				r = m.Receive(m.Ifaces().Name("lan0"), packet.Link{}, d, now)
			case 1:
				r = m.Receive(m.Ifaces().Name("wan0"), packet.Link{}, d, now)
			default:
				r = m.Send(d, nil, now)
			}
			if (r.Verdict == Dropped) != (r.Reason != hook.NoReason) {
				t.Fatalf("%s with reason %q", r.Verdict, r.Reason)
			}
			for _, o := range r.Out {
				var p packet.Packet
				if err := packet.Parse(o.Data, &p); err != nil {
					t.Fatalf("sends a malformed packet: %v: %x", err, o.Data)
				}
			}
		}
		if n := m.Conntrack().Len(); n > 64 {
			t.Fatalf("%d connections, 64 are allowed", n)
		}
	})
}

// repair makes the header checksums right, so that the fuzzer gets past them.
func repair(d []byte) {
	if len(d) >= 20 && d[0]>>4 == 4 {
		if n := int(d[0]&15) * 4; n >= 20 && n <= len(d) {
			s := packet.IPv4HeaderChecksum(d[:n])
			d[10], d[11] = byte(s>>8), byte(s)
		}
	}
	var p packet.Packet
	if packet.Parse(d, &p) == nil {
		p.FixL4Checksum()
	}
}
