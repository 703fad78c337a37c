package rfc

import (
	"encoding/binary"
	"fmt"
	"slices"

	"weir/internal/wire"
)

// query is an ICMP query that left, and whether its answer came back.
func query(k *bed) (left, bool) {
	out := k.send(echo(at(a, 7), at(r1, 7), false))
	if len(out) != 1 || out[0].dev != "wan" {
		return left{}, false
	}
	return out[0], k.arrives(echo(at(r1, 7), out[0].src(), true), at(a, 7))
}

func rows5508() []row {
	const rfc = "5508"
	one := setting{match: "-p udp", target: "SNAT --to-source 203.0.113.2:6000-6003"}
	return []row{
		{rfc, "REQ-1", "queries from inside go out, their answers come in", "yes", "yes", setting{}, func(k *bed) string {
			_, ok := query(k)
			return yes(ok)
		}},
		{rfc, "REQ-1a", "a query's id is the same for all destinations", "2 for 2 destinations", "1 for 2 destinations", setting{}, func(k *bed) string {
			list := []end{k.open(wire.ProtoICMP, at(a, 7), at(r2, 0))}
			k.open(wire.ProtoICMP, at(b, 7), at(r1, 0))
			list = append(list, k.open(wire.ProtoICMP, at(a, 7), at(r1, 0)))
			return fmt.Sprintf("%d for 2 destinations", count(list))
		}},
		{rfc, "REQ-2", "a query lasts 60 seconds", "30 s", "60 s", setting{}, func(k *bed) string {
			return lasts(k, setting{}, []int64{29, 30, 59, 60}, func(n *bed) end {
				return n.open(wire.ProtoICMP, at(a, 7), at(r1, 0))
			}, func(n *bed, outer end) bool {
				return n.arrives(echo(at(r1, 7), outer, true), at(a, 7))
			})
		}},
		{rfc, "REQ-3", "an error with a wrong checksum is not passed on", "yes", "yes", setting{}, func(k *bed) string {
			out := k.send(first(wire.ProtoUDP, at(a, 5000), at(r1, 80)))
			d := icmpError(at(r2, 0), out[0], 3, 1)
			d[20+3] ^= 1
			return yes(!k.arrives(d, at(a, 0)) && len(k.send(slices.Clone(d))) == 0)
		}},
		{rfc, "REQ-3b", "IP options in the quoted packet are no hindrance", "yes", "yes", setting{}, func(k *bed) string {
			l4 := wire.Datagram(wire.ProtoUDP, a, r1, 5000, 80, nil)
			out := k.send(wire.IP{Src: a, Dst: r1, Proto: wire.ProtoUDP, TTL: 64, Options: []byte{1, 1, 1, 0}}.Packet(l4))
			if len(out) != 1 {
				return "no"
			}
			got := k.send(icmpError(at(r2, 0), out[0], 3, 1))
			return yes(len(got) == 1 && got[0].Dst == a && binary.BigEndian.Uint16(got[0].L4[8+24:]) == 5000)
		}},
		{rfc, "REQ-3c", "the checksum of the quoted datagram does not count", "yes", "yes", setting{}, func(k *bed) string {
			out := k.send(first(wire.ProtoUDP, at(a, 5000), at(r1, 80)))
			out[0].L4[6] ^= 1
			got := k.send(icmpError(at(r2, 0), out[0], 3, 1))
			return yes(len(got) == 1 && got[0].Dst == a)
		}},
		{rfc, "REQ-4", "an error from outside is reverted, its type stays", "yes", "yes", setting{}, errorComes(wire.ProtoUDP, at(r2, 0), 3, 13)},
		{rfc, "REQ-4", "one about nothing that is known is not passed on", "yes", "yes", setting{}, func(k *bed) string {
			about := left{View: wire.View{Raw: udp(at(ext, 5000), at(r1, 80), ""), Src: ext}}
			return yes(len(k.send(icmpError(at(r2, 0), about, 3, 1))) == 0)
		}},
		{rfc, "REQ-5", "an error from inside is reverted and has the outer source", "yes", "yes", setting{}, func(k *bed) string {
			outer := k.open(wire.ProtoUDP, at(a, 5000), at(r1, 80))
			got := k.send(udp(at(r1, 80), outer, "answer"))
			out := k.send(icmpError(at(a, 0), left{View: wire.View{Raw: got[0].Raw, Src: r1}}, 3, 3))
			if len(out) != 1 || out[0].dev != "wan" || out[0].Src != ext || out[0].Dst != r1 || out[0].L4[0] != 3 || out[0].L4[1] != 3 {
				return "no"
			}
			inner, _ := wire.Parse(out[0].L4[8:])
			return yes(inner.Src == r1 && inner.Dst == ext && binary.BigEndian.Uint16(inner.L4[2:]) == outer.port)
		}},
		{rfc, "REQ-6", "an error about a query neither renews nor ends it", "yes", "yes", setting{}, func(k *bed) string {
			try := func(wait int64) bool {
				n := newBed(k.t, setting{}, k.rfc)
				out := n.send(echo(at(a, 7), at(r1, 0), false))
				n.now += 20 * second
				n.send(icmpError(at(r2, 0), out[0], 11, 0))
				n.now += (wait - 20) * second
				return n.arrives(echo(at(r1, 7), out[0].src(), true), at(a, 7))
			}
			life := int64(30)
			if k.rfc {
				life = 60
			}
			return yes(try(life-1) && !try(life+1))
		}},
		{rfc, "REQ-7", "an error about a hairpinned packet comes to its sender", "nothing is hairpinned", "yes", setting{}, func(k *bed) string {
			outer := k.open(wire.ProtoUDP, at(a, 5000), at(r1, 80))
			got := k.send(udp(at(b, 6000), outer, "hello"))
			if len(got) != 1 || got[0].dst() != at(a, 5000) {
				return "nothing is hairpinned"
			}
			out := k.send(icmpError(at(a, 0), got[0], 3, 3))
			if len(out) != 1 || out[0].dev != "lan" || out[0].Dst != b {
				return "no"
			}
			inner, _ := wire.Parse(out[0].L4[8:])
			return yes(inner.Src == b && inner.Dst == ext && binary.BigEndian.Uint16(inner.L4) == 6000 && binary.BigEndian.Uint16(inner.L4[2:]) == outer.port)
		}},
		{rfc, "REQ-8", "who gets no mapping is told so (code 13)", "no", "yes", one, func(k *bed) string {
			h := a
			for range 6 {
				out := k.send(ip(wire.ProtoUDP, at(h, 5000), at(r1, 80), wire.Datagram(wire.ProtoUDP, h, r1, 5000, 80, nil)))
				if len(out) == 1 && out[0].dev == "lan" && out[0].Dst == h && out[0].L4[0] == 3 && out[0].L4[1] == 13 {
					return "yes"
				}
				h = h.Next()
			}
			return "no"
		}},
		{rfc, "REQ-10", "the machine answers when the time to live is over", "yes", "yes", setting{}, func(k *bed) string {
			d := udp(at(a, 5000), at(r1, 80), "x")
			d[8] = 1
			wire.FixIP(d)
			out := k.send(d)
			return yes(len(out) == 1 && out[0].Dst == a && out[0].L4[0] == 11)
		}},
	}
}

func rows7857() []row {
	const rfc = "7857"
	many := setting{target: "SNAT --to-source 203.0.113.2-203.0.113.9"}
	return []row{
		{rfc, "2.1", "a connection that is not open yet lasts 4 minutes", "120 s", "240 s", setting{}, synTimer},
		{rfc, "2.2", "a reset is passed on, and 4 minutes pass before the end", "10 s", "240 s", setting{}, resetTimer},
		{rfc, "3", "a port for two destinations: not with endpoint-independent mapping", "two hosts have one", "none", setting{}, overload(wire.ProtoUDP)},
		{rfc, "4", "a host has one address for all protocols", "several", "one", many, func(k *bed) string {
			var list []end
			for i := range uint16(8) {
				for _, proto := range []uint8{wire.ProtoUDP, wire.ProtoTCP, wire.ProtoICMP} {
					to := r1
					for range i {
						to = to.Next()
					}
					list = append(list, at(k.open(proto, at(a, 5000+i), at(to, 80)).addr, 0))
				}
			}
			if count(list) == 1 {
				return "one"
			}
			return "several"
		}},
		{rfc, "5", "a mapping of UDP is none of TCP", "yes", "yes", setting{}, func(k *bed) string {
			k.open(wire.ProtoUDP, at(b, 5000), at(r1, 80))
			udps, tcps := k.open(wire.ProtoUDP, at(a, 5000), at(r1, 80)), k.open(wire.ProtoTCP, at(a, 5000), at(r1, 80))
			return yes(tcps == at(ext, 5000) && udps != tcps)
		}},
		{rfc, "6", "what lets UDP in lets no TCP in", "nothing is let in", "yes", setting{}, func(k *bed) string {
			outer := k.open(wire.ProtoUDP, at(a, 5000), at(r1, 80))
			if !k.in(wire.ProtoUDP, at(r2, 9), outer, at(a, 5000)) {
				return "nothing is let in"
			}
			return yes(!k.in(wire.ProtoTCP, at(r2, 9), outer, at(a, 5000)))
		}},
		{rfc, "7.1", "an error from inside does not renew a mapping", "yes", "yes", setting{}, func(k *bed) string {
			try := func(wait int64) bool {
				n := newBed(k.t, setting{filtering: "address-dependent"}, k.rfc)
				outer := n.open(wire.ProtoUDP, at(a, 5000), at(r1, 80))
				got := n.send(udp(at(r1, 80), outer, "answer"))
				n.now += 20 * second
				n.send(icmpError(at(a, 0), left{View: wire.View{Raw: got[0].Raw, Src: r1}}, 3, 3))
				n.now += (wait - 20) * second
				return n.arrives(udp(at(r1, 80), outer, "answer"), at(a, 5000))
			}
			life := int64(30)
			if k.rfc {
				life = 300
			}
			return yes(try(life-1) && !try(life+1))
		}},
		{rfc, "8", "port parity may be left away", "not kept", "kept", setting{}, func(k *bed) string {
			k.open(wire.ProtoUDP, at(b, 5001), at(r1, 80))
			for h, i := a, 0; i < 8; h, i = h.Next(), i+1 {
				if k.open(wire.ProtoUDP, at(h, 5001), at(r1, 80)).port%2 == 0 {
					return "not kept"
				}
			}
			return "kept"
		}},
		{rfc, "9", "ports are chosen at random, if --random says so", "yes", "yes", setting{target: "MASQUERADE --random"}, func(k *bed) string {
			kept, list := 0, []uint16{}
			for i := range uint16(20) {
				e := k.open(wire.ProtoUDP, at(a, 5000+i), at(r1, 80))
				if list = append(list, e.port); e.port == 5000+i {
					kept++
				}
			}
			return yes(kept <= 1 && count(list) == 20 && !slices.IsSorted(list))
		}},
		{rfc, "11", "a query's mapping may end with the last query", "yes", "yes", setting{}, func(k *bed) string {
			out, _ := query(k)
			k.wait(121)
			return yes(!k.arrives(echo(at(r1, 7), out.src(), true), at(a, 7)))
		}},
		{rfc, "12", "errors about hairpinned packets are passed on", "nothing is hairpinned", "yes", setting{}, func(k *bed) string {
			outer := k.open(wire.ProtoUDP, at(a, 5000), at(r1, 80))
			got := k.send(udp(at(b, 6000), outer, "hello"))
			if len(got) != 1 || got[0].dst() != at(a, 5000) {
				return "nothing is hairpinned"
			}
			out := k.send(icmpError(at(a, 0), got[0], 3, 3))
			return yes(len(out) == 1 && out[0].Dst == b)
		}},
	}
}
