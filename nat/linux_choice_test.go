package nat_test

import (
	"fmt"
	"testing"

	"weir/internal/gen"
	"weir/internal/wire"
)

// tcpSegment is one segment of a flow.
func (f flow) tcp(flags uint8, seq, ack uint32) []byte {
	src, dst := ip(f.src), ip(f.dst)
	return f.header().Packet(wire.Segment{Sport: f.a, Dport: f.b, Seq: seq, Ack: ack, Flags: flags, Win: 65535}.Bytes(src, dst))
}

// talk is a whole TCP connection, up to TIME_WAIT, of which the far side sees
// far.
func talk(f, far flow) (list []gen.Packet) {
	back := far.back()
	list = append(list, from("lan0", f.tcp(wire.SYN, 999, 0))...)
	list = append(list, from("wan0", back.tcp(wire.SYN|wire.ACK, 4999, 1000))...)
	list = append(list, from("lan0", f.tcp(wire.ACK, 1000, 5000), f.tcp(wire.FIN|wire.ACK, 1000, 5000))...)
	list = append(list, from("wan0", back.tcp(wire.FIN|wire.ACK, 5000, 1001))...)
	return append(list, from("lan0", f.tcp(wire.ACK, 1001, 5001))...)
}

// TestLinuxChoices compares which mapping is chosen.
func TestLinuxChoices(t *testing.T) {
	r := sides(t)
	const (
		udp, tcp = wire.ProtoUDP, wire.ProtoTCP
		S, A     = wire.SYN, wire.ACK
	)
	// firsts are the first packets of flows; family stands for i.
	type packets func(i int) []gen.Packet
	firsts := func(list func(i int) []flow) packets {
		return func(i int) (out []gen.Packet) {
			for _, f := range list(i) {
				out = append(out, from("lan0", f.packet(1))...)
			}
			return out
		}
	}
	sources := func(proto func(i int) uint8, n int, port uint16) packets {
		return firsts(func(i int) (list []flow) {
			for s := range n {
				list = append(list, flow{proto(i), fmt.Sprintf([]string{"192.0.2.%d", "2001:db8:1::%d"}[i], 10+s), families[i].server, port, 53})
			}
			return list
		})
	}
	is := func(p uint8) func(int) uint8 { return func(int) uint8 { return p } }
	ping := func(i int) uint8 { return families[i].icmp }
	const snat = "-A POSTROUTING -o wan0 -p %s -j SNAT --to-source {[nat]}:%s"
	const dnat = "-A PREROUTING -i lan0 -p %s -j DNAT --to-destination {[real]}:%s"
	cases := []struct {
		name    string
		rules   string
		packets packets
	}{
		{"two ports for three sources: the third is dropped", fmt.Sprintf(snat, "udp", "7000-7001"), sources(is(udp), 3, 5000)},
		{"two ports for three TCP sources", fmt.Sprintf(snat, "tcp", "7000-7001"), sources(is(tcp), 3, 5000)},
		{"the third source to another port of the server", fmt.Sprintf(snat, "udp", "7000-7001"), firsts(func(i int) []flow {
			f := families[i]
			return []flow{{udp, f.lan, f.server, 1, 53}, {udp, f.lan2, f.server, 1, 53}, {udp, f.inside, f.server, 1, 54}}
		})},
		{"a port in the range stays", fmt.Sprintf(snat, "udp", "9000-9009"), sources(is(udp), 1, 9003)},
		{"a port in the range that is taken", fmt.Sprintf(snat, "udp", "9000-9009"), sources(is(udp), 2, 9003)},
		{"one socket keeps its mapping to other servers", fmt.Sprintf(snat, "udp", "9000-9999"), firsts(func(i int) []flow {
			f := families[i]
			return []flow{{udp, f.lan, f.server, 1, 53}, {udp, f.lan, f.server, 1, 54}, {udp, f.lan, f.hop, 1, 53}, {udp, f.lan, f.hop, 2, 53}, {udp, f.lan2, f.hop, 1, 54}}
		})},
		{"every port of a range of ten taken", fmt.Sprintf(snat, "tcp", "9000-9009"), sources(is(tcp), 12, 1)},
		{"A:5000 and B:5000", "-A POSTROUTING -o wan0 -j SNAT --to-source {nat}", sources(is(udp), 2, 5000)},
		{"ports below 512", "-A POSTROUTING -o wan0 -j SNAT --to-source {nat}", sources(is(tcp), 6, 500)},
		{"ports from 512 to 1023", "-A POSTROUTING -o wan0 -j SNAT --to-source {nat}", sources(is(tcp), 6, 700)},
		{"port 511", "-A POSTROUTING -o wan0 -j SNAT --to-source {nat}", sources(is(tcp), 3, 511)},
		{"port 512", "-A POSTROUTING -o wan0 -j SNAT --to-source {nat}", sources(is(tcp), 3, 512)},
		{"port 1023", "-A POSTROUTING -o wan0 -j SNAT --to-source {nat}", sources(is(tcp), 3, 1023)},
		{"port 1024", "-A POSTROUTING -o wan0 -j SNAT --to-source {nat}", sources(is(tcp), 3, 1024)},
		{"port 0", "-A POSTROUTING -o wan0 -j SNAT --to-source {nat}", sources(is(udp), 3, 0)},
		{"SCTP", "-A POSTROUTING -o wan0 -j SNAT --to-source {nat}", sources(is(wire.ProtoSCTP), 3, 5000)},
		{"GRE keys are not changed: the second is lost", "-A POSTROUTING -o wan0 -j SNAT --to-source {nat}", sources(is(wire.ProtoGRE), 2, 0)},
		{"another protocol: the second is lost", "-A POSTROUTING -o wan0 -j SNAT --to-source {nat}", sources(is(253), 2, 0)},
		{"pings with one id", "-A POSTROUTING -o wan0 -j SNAT --to-source {nat}", sources(ping, 4, 5)},
		{"--random keeps no port", "-A POSTROUTING -o wan0 -j SNAT --to-source {nat} --random", sources(is(udp), 3, 5000)},
		{"--random of a low port", "-A POSTROUTING -o wan0 -j SNAT --to-source {nat} --random", sources(is(udp), 3, 300)},
		{"--random-fully", "-A POSTROUTING -o wan0 -j SNAT --to-source {nat} --random-fully", sources(is(tcp), 3, 700)},
		{"--random of pings", "-A POSTROUTING -o wan0 -j SNAT --to-source {nat} --random", sources(ping, 3, 7)},
		{"MASQUERADE", "-A POSTROUTING -o wan0 -j MASQUERADE", sources(is(udp), 3, 5000)},
		{"MASQUERADE --to-ports", "-A POSTROUTING -o wan0 -p udp -j MASQUERADE --to-ports 1000-1003", sources(is(udp), 5, 5000)},
		{"DNAT ranges begin at their first port", fmt.Sprintf(dnat, "udp", "8000-8002"), sources(is(udp), 3, 5000)},
		{"DNAT keeps a port that is in the range", fmt.Sprintf(dnat, "udp", "50-60"), sources(is(udp), 3, 5000)},
		{"DNAT moves on where a port is taken", fmt.Sprintf(dnat, "udp", "8000-8002"), firsts(func(i int) (list []flow) {
			for port := range uint16(5) {
				list = append(list, flow{udp, families[i].lan, families[i].server, 300, 100 + port})
			}
			return list
		})},
		{"DNAT to one port: the second connection from one port gets another source port", fmt.Sprintf(dnat, "tcp", "8000"), firsts(func(i int) []flow {
			f := families[i]
			return []flow{{tcp, f.lan, f.server, 300, 53}, {tcp, f.lan, f.server, 300, 54}, {tcp, f.lan, f.server, 301, 54}}
		})},
		{"DNAT with a base port", fmt.Sprintf(dnat, "udp", "8000-8010/50"), firsts(func(i int) (list []flow) {
			for _, port := range []uint16{50, 53, 60, 61, 49, 0, 65535, 8005} {
				list = append(list, flow{udp, families[i].lan, families[i].server, 5000, port})
			}
			return list
		})},
		{"DNAT --random", "-A PREROUTING -i lan0 -p udp -j DNAT --to-destination {[real]}:8000-8009 --random", sources(is(udp), 3, 5000)},
		{"DNAT of a ping", "-A PREROUTING -i lan0 -j DNAT --to-destination {real}", sources(ping, 2, 9)},
		{"REDIRECT", "-A PREROUTING -i lan0 -p udp -j REDIRECT --to-ports 9999", sources(is(udp), 2, 5000)},
		{"REDIRECT --to-ports range", "-A PREROUTING -i lan0 -p tcp -j REDIRECT --to-ports 9990-9999", sources(is(tcp), 2, 5000)},
		{"a closed connection is evicted for a later one", fmt.Sprintf(snat, "tcp", "7000"), func(i int) []gen.Packet {
			f := families[i]
			a, b := flow{tcp, f.lan, f.server, 5000, 80}, flow{tcp, f.lan2, f.server, 6000, 80}
			return append(talk(a, a.via(f.nat, 7000)), from("lan0", b.tcp(S, 500, 0), b.tcp(S, 9000, 0), b.tcp(S, 9000, 0))...)
		}},
		{"a closed one is not when the port would be kept", fmt.Sprintf(snat, "tcp", "7000"), func(i int) []gen.Packet {
			f := families[i]
			a, b := flow{tcp, f.lan, f.server, 5000, 80}, flow{tcp, f.lan2, f.server, 7000, 80}
			return append(talk(a, a.via(f.nat, 7000)), from("lan0", b.tcp(S, 9000, 0))...)
		}},
		{"an open connection is not", fmt.Sprintf(snat, "tcp", "7000"), func(i int) []gen.Packet {
			f := families[i]
			a, b := flow{tcp, f.lan, f.server, 5000, 80}, flow{tcp, f.lan2, f.server, 6000, 80}
			return append(talk(a, a.via(f.nat, 7000))[:4], from("lan0", b.tcp(S, 9000, 0))...)
		}},
		{"a closed one in a range of many", fmt.Sprintf(snat, "tcp", "7000-7001"), func(i int) []gen.Packet {
			f := families[i]
			a, b := flow{tcp, f.lan, f.server, 5000, 80}, flow{tcp, f.lan2, f.server, 6000, 80}
			list := from("lan0", flow{tcp, f.lan, f.server, 7001, 80}.tcp(S, 9000, 0))
			a.a = 7000
			list = append(list, talk(a, a.via(f.nat, 7000))...)
			return append(list, from("lan0", b.tcp(S, 9000, 0))...)
		}},
		{"a connection is opened again", fmt.Sprintf(snat, "tcp", "7000-7999"), func(i int) []gen.Packet {
			f := families[i]
			a := flow{tcp, f.lan, f.server, 7005, 80}
			return append(talk(a, a.via(f.nat, 7005)), from("lan0", a.tcp(S, 70000, 0))...)
		}},
		{"a null binding changes a port that is taken", "-A POSTROUTING -s {lan} -o wan0 -j SNAT --to-source {lan2}", func(i int) []gen.Packet {
			f := families[i]
			return from("lan0", flow{udp, f.lan, f.server, 5000, 53}.packet(1), flow{udp, f.lan2, f.server, 5000, 53}.packet(1), flow{tcp, f.lan, f.server, 5000, 53}.packet(1), flow{tcp, f.lan2, f.server, 5000, 53}.packet(1),
				flow{f.icmp, f.lan, f.server, 5, 0}.packet(1), flow{f.icmp, f.lan2, f.server, 5, 0}.packet(1))
		}},
		{"a stranger to a masqueraded port", "-A POSTROUTING -o wan0 -j SNAT --to-source {nat}", func(i int) []gen.Packet {
			f := families[i]
			list := from("lan0", flow{udp, f.lan, f.server, 5000, 53}.packet(1))
			return append(list, from("wan0", flow{udp, f.hop, f.nat, 53, 5000}.packet(1), flow{udp, f.server, f.nat, 53, 5000}.packet(1))...)
		}},
		{"the other side begins at the same time, translated", "-A POSTROUTING -o wan0 -j SNAT --to-source {nat}\n-A PREROUTING -i wan0 -j DNAT --to-destination {lan}", func(i int) []gen.Packet {
			f := families[i]
			list := from("wan0", flow{udp, f.server, f.nat, 53, 5000}.packet(1))
			return append(list, from("lan0", flow{udp, f.lan2, f.server, 5000, 53}.packet(1), flow{udp, f.lan, f.server, 5000, 53}.packet(1))...)
		}},
		{"the answer's tuple is a connection of another zone from the other side", " ", func(i int) []gen.Packet {
			f := families[i]
			list := from("lan0", flow{udp, f.lan, f.server, 5000, 53}.packet(1), flow{tcp, f.lan, f.server, 5000, 53}.packet(1))
			return append(list, from("wan0", flow{udp, f.server, f.lan, 53, 5000}.packet(1), flow{tcp, f.server, f.lan, 53, 5000}.packet(1))...)
		}},
		{"NETMAP", "-A POSTROUTING -o wan0 -j NETMAP --to {netmap}\n-A PREROUTING -i wan0 -j NETMAP --to {inside}", func(i int) []gen.Packet {
			f := families[i]
			far := []string{"203.0.113.10", "2001:db8:2::10"}[i]
			list := from("lan0", flow{udp, f.lan, f.server, 5000, 53}.packet(1), flow{udp, f.lan2, f.server, 5000, 53}.packet(1))
			return append(list, from("wan0", flow{udp, f.server, far, 53, 5000}.packet(1), flow{udp, f.hop, far, 53, 5000}.packet(1))...)
		}},
	}
	raw := map[string]string{
		"the answer's tuple is a connection of another zone from the other side": "*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A PREROUTING -i lan0 -j CT --zone-reply 6\nCOMMIT\n",
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := both(c.rules)
			m.Rules4, m.Rules6 = m.Rules4+raw[c.name], m.Rules6+raw[c.name]
			for i := range families {
				m.Packets = append(m.Packets, c.packets(i)...)
			}
			compare(t, r, m)
		})
	}
}
