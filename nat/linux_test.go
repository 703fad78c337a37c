package nat_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"

	"weir/internal/gen"
	"weir/internal/kernel"
	"weir/internal/linuxdiff"
	"weir/internal/wire"
	"weir/packet"
)

// These tests run a machine in the kernel and in weir and compare all that
// comes out: packets, events, the connection table, counters and statistics.
// Where the kernel chooses by chance, weir is steered to the same choice if
// its range allows it.

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

// router is lan0 (192.0.2.0/24, 2001:db8:1::/64) and wan0 (203.0.113.0/24,
// 2001:db8:2::/64) with the rest of the world behind wan0.
func router(rules4, rules6 string) *gen.Case {
	p := netip.MustParsePrefix
	return &gen.Case{
		Seed: 1,
		Machine: gen.Machine{
			Ifaces: []kernel.Iface{
				{Name: "lan0", MTU: 1500, Addrs: []netip.Prefix{p("192.0.2.1/24"), p("2001:db8:1::1/64")}},
				{Name: "wan0", MTU: 1500, Addrs: []netip.Prefix{p("203.0.113.2/24"), p("2001:db8:2::2/64")}},
			},
			Routes: []kernel.Route{
				{To: p("0.0.0.0/0"), Via: ip("203.0.113.1"), Dev: "wan0"},
				{To: p("::/0"), Via: ip("2001:db8:2::1"), Dev: "wan0"},
			},
			Sysctl: map[string]string{"net.netfilter.nf_conntrack_checksum": "1"},
		},
		Rules4: table(rules4), Rules6: table(rules6),
	}
}

// table is a nat table with these rules, or nothing.
func table(rules string) string {
	if rules == "" {
		return ""
	}
	return "*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n" + strings.TrimSpace(rules) + "\nCOMMIT\n"
}

// sides keeps the kernel's namespace from case to case.
func sides(t *testing.T) *linuxdiff.Runner {
	r := linuxdiff.NewRunner()
	t.Cleanup(r.Close)
	return r
}

// compare runs the case on both sides.
func compare(t *testing.T, r *linuxdiff.Runner, c *gen.Case) {
	t.Helper()
	rep, err := r.ReplayHere(c)
	if errors.Is(err, kernel.ErrUnavailable) && os.Getenv("WEIR_REQUIRE_KERNEL") != "1" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if rep.Diff != nil {
		t.Error(rep.Diff)
	}
	if rep.Diff == nil && rep.Packets != len(c.Packets) {
		t.Errorf("%d of %d packets compared", rep.Packets, len(c.Packets))
	}
}

func udp(src string, sport uint16, dst string, dport uint16) []byte {
	s, d := ip(src), ip(dst)
	return wire.IP{Src: s, Dst: d, Proto: wire.ProtoUDP, TTL: 64}.Packet(wire.Datagram(wire.ProtoUDP, s, d, sport, dport, []byte("data")))
}

func from(dev string, packets ...[]byte) (list []gen.Packet) {
	for _, p := range packets {
		list = append(list, gen.Packet{In: dev, Data: p})
	}
	return list
}

// TestLinuxAddressOfARange compares the address that is chosen of a range for
// many sources and destinations.
func TestLinuxAddressOfARange(t *testing.T) {
	r := sides(t)
	for _, c := range []struct{ name, rules4, rules6 string }{
		{"SNAT", "-A POSTROUTING -o wan0 -j SNAT --to-source 203.0.113.10-203.0.113.49", "-A POSTROUTING -o wan0 -j SNAT --to-source 2001:db8:2::10-2001:db8:2::4f"},
		{"SNAT that spans octets", "-A POSTROUTING -o wan0 -j SNAT --to-source 203.0.113.200-203.0.117.9", "-A POSTROUTING -o wan0 -j SNAT --to-source 2001:db8:2::10-2001:db8:2:0:ffff:ffff:ffff:ffff"},
		{"SNAT of a range that is not aligned", "-A POSTROUTING -o wan0 -j SNAT --to-source 10.0.0.0-200.0.0.9", "-A POSTROUTING -o wan0 -j SNAT --to-source 2001:db8:2::4-2001:db8:2:9:8::"},
		{"SNAT --persistent", "-A POSTROUTING -o wan0 -j SNAT --to-source 203.0.113.10-203.0.113.49 --persistent", "-A POSTROUTING -o wan0 -j SNAT --to-source 2001:db8:2::10-2001:db8:2::4f --persistent"},
		{"SNAT --persistent that spans words", "-A POSTROUTING -o wan0 -j SNAT --to-source 203.0.113.10-203.1.0.2 --persistent", "-A POSTROUTING -o wan0 -j SNAT --to-source 2001:db8:2::10-2001:db8:2:0:ffff:ffff:ffff:ffff --persistent"},
		{"DNAT", "-A PREROUTING -i lan0 -j DNAT --to-destination 198.51.100.10-198.51.100.49", "-A PREROUTING -i lan0 -j DNAT --to-destination 2001:db8:9::10-2001:db8:9::4f"},
		{"DNAT that spans words", "-A PREROUTING -i lan0 -j DNAT --to-destination 198.51.100.10-198.51.103.9", "-A PREROUTING -i lan0 -j DNAT --to-destination 2001:db8:9::10-2001:db8:9:0:ff::"},
		{"DNAT --persistent", "-A PREROUTING -i lan0 -j DNAT --to-destination 198.51.100.10-198.51.100.49 --persistent", "-A PREROUTING -i lan0 -j DNAT --to-destination 2001:db8:9::10-2001:db8:9:0:ff:: --persistent"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := router(c.rules4, c.rules6)
			for i := range 125 {
				for j := range 2 {
					m.Packets = append(m.Packets, from("lan0",
						udp(fmt.Sprintf("192.0.2.%d", 2+2*i), 5000+uint16(j*(i%3)), fmt.Sprintf("198.51.%d.%d", j, i*7%251+1), 53),
						udp(fmt.Sprintf("2001:db8:1::%x:%x", i*257, 2+i), 5000+uint16(j*(i%3)), fmt.Sprintf("2001:db8:77:%x::%x", j, i*7+1), 53))...)
				}
			}
			compare(t, r, m)
		})
	}
	t.Run("SNAT in zones", func(t *testing.T) {
		m := router("-A POSTROUTING -o wan0 -j SNAT --to-source 203.0.113.10-203.0.113.49", "")
		m.Rules4 += "*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A PREROUTING -s 192.0.2.0/25 -i lan0 -j CT --zone 77\n-A PREROUTING -s 192.0.2.128/25 -i lan0 -j CT --zone-orig 1025\nCOMMIT\n"
		for i := range 125 {
			m.Packets = append(m.Packets, from("lan0", udp(fmt.Sprintf("192.0.2.%d", 2+2*i), 5000, "198.51.100.10", 53))...)
		}
		compare(t, r, m)
	})
}

// flow is a connection of one protocol, with packets of any content.
type flow struct {
	proto    uint8
	src, dst string
	a, b     uint16 // ports; id of a ping in a
}

func (f flow) back() flow { return flow{f.proto, f.dst, f.src, f.b, f.a} }

// via is the flow as the far side sees it.
func (f flow) via(src string, a uint16) flow { return flow{f.proto, src, f.dst, a, f.b} }

// segment is the layer 4 of a packet of the flow, right in its checksum.
func (f flow) segment(data ...byte) []byte {
	src, dst := ip(f.src), ip(f.dst)
	switch f.proto {
	case wire.ProtoTCP:
		return wire.Segment{Sport: f.a, Dport: f.b, Seq: 1000, Flags: wire.SYN, Win: 65535, Data: data}.Bytes(src, dst)
	case wire.ProtoUDP, wire.ProtoUDPLite:
		return wire.Datagram(f.proto, src, dst, f.a, f.b, data)
	case wire.ProtoICMP:
		return wire.ICMP(src, dst, 8, 0, uint32(f.a)<<16|1, data)
	case wire.ProtoICMP6:
		return wire.ICMP(src, dst, 128, 0, uint32(f.a)<<16|1, data)
	case wire.ProtoGRE:
		return append([]byte{0x30, 1, 0x88, 0x0b, 0, 4, byte(f.b >> 8), byte(f.b), 0, 0, 0, 1}, data...)
	case wire.ProtoSCTP:
		// INIT with its parameters
		b := []byte{byte(f.a >> 8), byte(f.a), byte(f.b >> 8), byte(f.b), 0, 0, 0, 0, 0, 0, 0, 0,
			1, 0, 0, 20, 0, 0, 0, 9, 0, 0, 0x10, 0, 0, 1, 0, 1, 0, 0, 0, 7}
		binary.BigEndian.PutUint32(b[8:], packet.SCTPChecksum(b))
		return b
	}
	return data
}

func (f flow) header() wire.IP {
	return wire.IP{Src: ip(f.src), Dst: ip(f.dst), Proto: f.proto, TTL: 64, ID: 7}
}

func (f flow) packet(data ...byte) []byte { return f.header().Packet(f.segment(data...)) }

// icmpError is an error from a router about a quoted packet.
func icmpError(src, dst string, typ, code uint8, rest uint32, quote []byte) []byte {
	s, d := ip(src), ip(dst)
	return wire.IP{Src: s, Dst: d, Proto: wire.ICMPOf(s), TTL: 64, TOS: 0xc0}.Packet(wire.ICMP(s, d, typ, code, rest, quote))
}

// families are the addresses of the tests in IPv4 and IPv6.
var families = []struct {
	name                                            string
	lan, lan2, server, nat, hop, inside, realServer string
	icmp                                            uint8
	unreachable, exceeded, tooBig, redirect         uint8
}{
	{"IPv4", "192.0.2.10", "192.0.2.11", "198.51.100.10", "203.0.113.40", "198.51.100.99", "192.0.2.77", "198.51.100.20", wire.ProtoICMP, 3, 11, 3, 5},
	{"IPv6", "2001:db8:1::10", "2001:db8:1::11", "2001:db8:9::10", "2001:db8:2::40", "2001:db8:9::99", "2001:db8:1::77", "2001:db8:9::20", wire.ProtoICMP6, 1, 3, 2, 137},
}

// both writes rules for both families; FAM… in them stands for addresses.
func both(rules string) *gen.Case {
	text := func(i int) string {
		f := families[i]
		bracket := func(a string) string {
			if i == 1 {
				return "[" + a + "]"
			}
			return a
		}
		return strings.NewReplacer("{nat}", f.nat, "{[nat]}", bracket(f.nat), "{server}", f.server, "{[server]}", bracket(f.server),
			"{real}", f.realServer, "{[real]}", bracket(f.realServer), "{lan}", f.lan, "{[lan]}", bracket(f.lan), "{lan2}", f.lan2,
			"{netmap}", []string{"203.0.113.0/27", "2001:db8:2::/120"}[i], "{inside}", []string{"192.0.2.0/27", "2001:db8:1::/120"}[i]).Replace(rules)
	}
	return router(text(0), text(1))
}

var flowProtos = []struct {
	name  string
	proto [2]uint8
}{
	{"tcp", [2]uint8{wire.ProtoTCP, wire.ProtoTCP}}, {"udp", [2]uint8{wire.ProtoUDP, wire.ProtoUDP}},
	{"udplite", [2]uint8{wire.ProtoUDPLite, wire.ProtoUDPLite}}, {"sctp", [2]uint8{wire.ProtoSCTP, wire.ProtoSCTP}},
	{"icmp", [2]uint8{wire.ProtoICMP, wire.ProtoICMP6}}, {"gre", [2]uint8{wire.ProtoGRE, wire.ProtoGRE}},
	{"other", [2]uint8{253, 253}},
}

// TestLinuxErrorsAboutTranslatedPackets sends errors that quote a translated
// packet cut at every length, from both sides, for every protocol.
func TestLinuxErrorsAboutTranslatedPackets(t *testing.T) {
	r := sides(t)
	for _, nat := range []struct{ name, rules string }{
		{"SNAT", "-A POSTROUTING -o wan0 -j SNAT --to-source {nat}"},
		{"SNAT to a port", "-A POSTROUTING -o wan0 -p tcp -j SNAT --to-source {[nat]}:7000\n-A POSTROUTING -o wan0 -p udp -j SNAT --to-source {[nat]}:7000\n-A POSTROUTING -o wan0 -p sctp -j SNAT --to-source {[nat]}:7000"},
		{"DNAT", "-A PREROUTING -i lan0 -j DNAT --to-destination {real}"},
		{"DNAT to a port", "-A PREROUTING -i lan0 -p tcp -j DNAT --to-destination {[real]}:8000\n-A PREROUTING -i lan0 -p udp -j DNAT --to-destination {[real]}:8000"},
		{"both", "-A POSTROUTING -o wan0 -j SNAT --to-source {nat}\n-A PREROUTING -i lan0 -p udp -j DNAT --to-destination {[real]}:8000"},
		{"null bindings", ""},
	} {
		for _, verify := range []string{"1", "0"} {
			t.Run(nat.name+" checksum="+verify, func(t *testing.T) {
				c := both(nat.rules)
				c.Machine.Sysctl["net.netfilter.nf_conntrack_checksum"] = verify
				if nat.rules == "" {
					c.Rules4, c.Rules6 = table(" "), table(" ")
				}
				for i, f := range families {
					for _, pr := range flowProtos {
						if verify == "1" && pr.name == "udplite" {
							continue // Linux verifies it with the wrong protocol number
						}
						out := flow{pr.proto[i], f.lan, f.server, 5000, 53}
						c.Packets = append(c.Packets, from("lan0", out.packet(1, 2, 3, 4))...)
						far := out
						switch nat.name {
						case "SNAT":
							far.src = f.nat
						case "SNAT to a port":
							if pr.name == "tcp" || pr.name == "udp" || pr.name == "sctp" {
								far.src, far.a = f.nat, 7000
							}
						case "DNAT":
							far.dst = f.realServer
						case "DNAT to a port":
							if pr.name == "tcp" || pr.name == "udp" {
								far.dst, far.b = f.realServer, 8000
							}
						case "both":
							far.src = f.nat
							if pr.name == "udp" {
								far.dst, far.b = f.realServer, 8000
							}
						}
						quote := far.packet(1, 2, 3, 4)
						for n := 0; n <= len(quote); n++ {
							c.Packets = append(c.Packets, from("wan0", icmpError(f.hop, far.src, f.unreachable, 1, 0, quote[:n]))...)
						}
						bad := icmpError(far.dst, far.src, f.tooBig, 0, 1400, quote)
						bad[len(bad)-1] ^= 1
						c.Packets = append(c.Packets, from("wan0",
							icmpError(far.dst, far.src, f.exceeded, 0, 0, quote),
							icmpError(far.dst, far.src, f.tooBig, 0, 1400, append(quote, make([]byte, 400)...)),
							bad,
							icmpError(f.hop, far.src, f.redirect, 1, 0, quote),
							// The inside complains about an answer.
							far.back().packet(9))...)
						if pr.proto[i] == f.icmp {
							continue // a ping's answer is no ping
						}
						answer := out.back().packet(9)
						c.Packets = append(c.Packets, from("lan0",
							icmpError(f.lan, out.dst, f.unreachable, 3, 0, answer),
							icmpError(f.inside, out.dst, f.exceeded, 0, 0, answer[:len(answer)-5]),
							icmpError(f.inside, out.dst, f.redirect, 0, 0, answer))...)
					}
				}
				compare(t, r, c)
			})
		}
	}
}

// TestLinuxChecksums sends a datagram with every value of a 16-bit word, so
// that every checksum occurs, also zero, and wrong ones.
func TestLinuxChecksums(t *testing.T) {
	r := sides(t)
	step := 97
	if os.Getenv("WEIR_SLOW") != "" {
		step = 1
	}
	for _, rules := range []string{
		"-A POSTROUTING -o wan0 -j SNAT --to-source {nat}",
		"-A PREROUTING -i lan0 -p udp -j DNAT --to-destination {[real]}:8000\n-A PREROUTING -i lan0 -p tcp -j DNAT --to-destination {[real]}:8000",
	} {
		for _, f := range families {
			for _, proto := range []uint8{wire.ProtoUDP, wire.ProtoTCP, f.icmp, wire.ProtoUDPLite} {
				t.Run(fmt.Sprintf("%s protocol %d", f.name, proto), func(t *testing.T) {
					c := both(rules)
					c.Machine.Sysctl["net.netfilter.nf_conntrack_checksum"] = "0"
					out := flow{proto, f.lan, f.server, 5000, 53}
					at := map[uint8]int{wire.ProtoTCP: 16, wire.ProtoUDP: 6, wire.ProtoUDPLite: 6, wire.ProtoICMP: 2, wire.ProtoICMP6: 2}[proto]
					for v := 0; v < 65536; v += step {
						h := out.header()
						h.ID = uint16(v)
						seg := out.segment(byte(v>>8), byte(v))
						right := h.Packet(seg)
						c.Packets = append(c.Packets, from("lan0", right)...)
						if v%(step*8) == 0 {
							wrong := append([]byte(nil), seg...)
							binary.BigEndian.PutUint16(wrong[at:], uint16(v))
							c.Packets = append(c.Packets, from("lan0", h.Packet(wrong))...)
						}
					}
					for _, v := range []uint16{0, 0xffff, 1, 0xfffe} {
						seg := out.segment(1, 2)
						binary.BigEndian.PutUint16(seg[at:], v)
						c.Packets = append(c.Packets, from("lan0", out.header().Packet(seg))...)
					}
					compare(t, r, c)
				})
			}
		}
	}
}
