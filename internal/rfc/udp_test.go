package rfc

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"weir/internal/wire"
)

// endpoints is how many outer endpoints a source has when another host wants the
// same port at the same servers.
func endpoints(proto uint8) func(*bed) string {
	return func(k *bed) string {
		list := []end{k.open(proto, at(a, 5000), at(r2, 80))}
		k.open(proto, at(b, 5000), at(r1, 80))
		list = append(list, k.open(proto, at(a, 5000), at(r1, 80)), k.open(proto, at(a, 5000), at(r1, 81)))
		return fmt.Sprintf("%d for 3 destinations", count(list))
	}
}

// overload is whether two hosts have one outer endpoint.
func overload(proto uint8) func(*bed) string {
	return func(k *bed) string {
		if k.open(proto, at(a, 5000), at(r1, 80)) == k.open(proto, at(b, 5000), at(r2, 80)) {
			return "two hosts have one"
		}
		return "none"
	}
}

// letIn is who is let in to what a source of r1:80 has.
func letIn(proto uint8) func(*bed) string {
	return func(k *bed) string {
		outer := k.open(proto, at(a, 5000), at(r1, 80))
		same, other := k.in(proto, at(r1, 81), outer, at(a, 5000)), k.in(proto, at(r2, 80), outer, at(a, 5000))
		switch {
		case same && other:
			return "everybody is let in"
		case same:
			return "the server's address is let in"
		case other:
			return "others are let in, the server is not"
		}
		return "nobody is let in"
	}
}

// hairpin is what becomes of packets of one host inside to another's endpoint.
func hairpin(proto uint8) func(*bed) string {
	return func(k *bed) string {
		outer := k.open(proto, at(a, 5000), at(r1, 80))
		out := k.send(first(proto, at(b, 6000), outer))
		if len(out) != 1 || out[0].dev != "lan" || out[0].dst() != at(a, 5000) {
			return "not passed on"
		}
		from := out[0].src()
		answer := udp(at(a, 5000), from, "answer")
		if proto == wire.ProtoTCP {
			answer = tcp(at(a, 5000), from, wire.SYN|wire.ACK, 700, 101)
		}
		back := k.send(answer)
		if len(back) != 1 || back[0].src() != outer || back[0].dst() != at(b, 6000) {
			return "passed on, and the answer is lost"
		}
		if from == k.open(proto, at(b, 6000), at(r1, 80)) && from.addr == ext {
			return "passed on from the outer endpoint, and so is the answer"
		}
		return "passed on from the inner address"
	}
}

// timer is how long an idle connection or mapping lasts.
func timer(proto uint8, times ...int64) func(*bed) string {
	return func(k *bed) string {
		return lasts(k, setting{filtering: "address-dependent"}, times, func(n *bed) end {
			return n.open(proto, at(a, 5000), at(r1, 80))
		}, func(n *bed, outer end) bool {
			return n.arrives(udp(at(r1, 80), outer, "answer"), at(a, 5000))
		})
	}
}

// renews is whether a packet of a direction keeps a mapping for as long again.
func renews(outbound bool) func(*bed) string {
	return func(k *bed) string {
		life := int64(119)
		if k.rfc {
			life = 299
		}
		outer := k.open(wire.ProtoUDP, at(a, 5000), at(r1, 80))
		// As much as a stream, which lives longer.
		for range 2 {
			k.now += 3 * second
			k.arrives(udp(at(r1, 80), outer, "answer"), at(a, 5000))
			k.send(udp(at(a, 5000), at(r1, 80), "more"))
		}
		for range 3 {
			k.now += life * second
			if outbound && k.open(wire.ProtoUDP, at(a, 5000), at(r1, 80)) != outer ||
				!outbound && !k.arrives(udp(at(r1, 80), outer, "more"), at(a, 5000)) {
				return "no"
			}
		}
		k.now += life * second
		return yes(k.arrives(udp(at(r1, 80), outer, "more"), at(a, 5000)))
	}
}

// icmpError is an error about a packet that left, as it stood outside.
func icmpError(from end, about left, typ, code uint8) []byte {
	return ip(wire.ProtoICMP, from, at(about.Src, 0), wire.ICMP(from.addr, about.Src, typ, code, 0, about.Raw))
}

// survives is whether errors of ICMP leave a connection alone, and passed tells
// whether they come through, translated.
func survives(proto uint8) func(*bed) string {
	return func(k *bed) string {
		out := k.send(first(proto, at(a, 5000), at(r1, 80)))
		for _, e := range [][2]uint8{{3, 3}, {3, 1}, {11, 0}} {
			k.send(icmpError(at(r2, 0), out[0], e[0], e[1]))
		}
		answer := udp(at(r1, 80), out[0].src(), "answer")
		if proto == wire.ProtoTCP {
			answer = tcp(at(r1, 80), out[0].src(), wire.SYN|wire.ACK, 300, 101)
		}
		if k.arrives(answer, at(a, 5000)) {
			return "it lives on"
		}
		return "it ends"
	}
}

// errorComes is whether an error about what a host sent comes to it in the form in
// which it knows its packet.
func errorComes(proto uint8, from end, typ, code uint8) func(*bed) string {
	return func(k *bed) string {
		sent := first(proto, at(a, 5000), at(r1, 80))
		want := slices.Clone(sent)
		out := k.send(sent)
		got := k.send(icmpError(from, out[0], typ, code))
		if len(got) != 1 || got[0].dev != "lan" || got[0].Dst != a || got[0].Src != from.addr || got[0].L4[0] != typ || got[0].L4[1] != code {
			return "no"
		}
		inner := got[0].L4[8:]
		want[8]-- // the TTL that it had when it left
		wire.FixIP(want)
		if !bytes.Equal(inner[12:28], want[12:28]) {
			return "passed on, but not reverted"
		}
		return "yes"
	}
}

func rows4787() []row {
	const rfc = "4787"
	many := setting{target: "SNAT --to-source 203.0.113.2-203.0.113.9"}
	return []row{
		{rfc, "REQ-1", "UDP: one outer endpoint for all destinations", "2 for 3 destinations", "1 for 3 destinations", setting{}, endpoints(wire.ProtoUDP)},
		{rfc, "REQ-2", "of several outer addresses a host has one", "several", "one", many, func(k *bed) string {
			var list []end
			for to, i := r1, uint16(0); i < 32; to, i = to.Next(), i+1 {
				list = append(list, at(k.open(wire.ProtoUDP, at(a, 5000+i), at(to, 80)).addr, 0))
			}
			if count(list) == 1 {
				return "one"
			}
			return "several"
		}},
		{rfc, "REQ-3", "UDP: no two hosts at one outer endpoint", "two hosts have one", "none", setting{}, overload(wire.ProtoUDP)},
		{rfc, "REQ-3a", "ports below 1024 stay below, others above", "yes", "yes", setting{}, func(k *bed) string {
			good := true
			for i := range byte(20) {
				h := end{addr: a, port: 700}
				h.addr = a.Prev()
				for range i {
					h.addr = h.addr.Next()
				}
				low := k.open(wire.ProtoUDP, h, at(r1, 80))
				h.port = 40000
				high := k.open(wire.ProtoUDP, h, at(r1, 80))
				good = good && low.addr == ext && low.port < 1024 && high.port >= 1024
			}
			return yes(good)
		}},
		{rfc, "REQ-4", "UDP: an even port stays even, an odd one odd", "no", "yes", setting{}, func(k *bed) string {
			h, good := a, true
			for range 40 {
				for _, port := range []uint16{5000, 5001, 700, 701} {
					e := k.open(wire.ProtoUDP, at(h, port), at(r1, 80))
					good = good && e.addr == ext && e.port%2 == port%2
				}
				h = h.Next()
			}
			return yes(good)
		}},
		{rfc, "REQ-5", "UDP: an idle mapping lasts 2 minutes, better 5", "30 s", "300 s", setting{}, timer(wire.ProtoUDP, 29, 30, 119, 120, 299, 300)},
		{rfc, "REQ-6", "a packet from inside renews it", "yes", "yes", setting{}, renews(true)},
		{rfc, "REQ-6a", "one from outside may", "yes", "yes", setting{}, renews(false)},
		{rfc, "REQ-8", "UDP: endpoint-independent filtering, for transparency", "nobody is let in", "everybody is let in", setting{}, letIn(wire.ProtoUDP)},
		{rfc, "REQ-8", "UDP: address-dependent filtering, to be stricter", "nobody is let in", "the server's address is let in", setting{filtering: "address-dependent"}, letIn(wire.ProtoUDP)},
		{rfc, "REQ-9", "UDP: hairpinning, with the outer source (a)", "not passed on", "passed on from the outer endpoint, and so is the answer", setting{}, hairpin(wire.ProtoUDP)},
		{rfc, "REQ-10", "no helper touches UDP unless asked", "yes", "yes", setting{}, func(k *bed) string {
			text := "OPTIONS sip:x@198.51.100.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10:5060\r\n\r\n"
			out := k.send(udp(at(a, 5060), at(r1, 5060), text))
			return yes(len(out) == 1 && string(out[0].L4[8:]) == text)
		}},
		{rfc, "REQ-11", "what is outside never changes, whatever others do", "it changes", "it stays", setting{}, func(k *bed) string {
			outer := k.open(wire.ProtoUDP, at(a, 5000), at(r1, 80))
			for h, i := b, uint16(0); i < 200; h, i = h.Next(), i+1 {
				k.open(wire.ProtoUDP, at(h, 5000), at(r2, 80+i%4))
			}
			for i := range uint16(4) {
				if k.open(wire.ProtoUDP, at(a, 5000), at(r2, 80+i)) != outer {
					return "it changes"
				}
			}
			return "it stays"
		}},
		{rfc, "REQ-12", "ICMP errors do not end a mapping", "it lives on", "it lives on", setting{}, survives(wire.ProtoUDP)},
		{rfc, "REQ-12a", "errors come in whoever sends them", "yes", "yes", setting{}, errorComes(wire.ProtoUDP, at(r2, 0), 11, 0)},
		{rfc, "REQ-12b", "Destination Unreachable comes in", "yes", "yes", setting{}, errorComes(wire.ProtoUDP, at(r1, 0), 3, 3)},
		{rfc, "REQ-13", "what is too big with DF is answered", "yes", "yes", setting{}, func(k *bed) string {
			d := udp(at(a, 5000), at(r1, 80), string(make([]byte, 1440)))
			d[6] |= 0x40
			wire.FixIP(d)
			out := k.send(d)
			return yes(len(out) == 1 && out[0].Dst == a && out[0].L4[0] == 3 && out[0].L4[1] == 4 && binary.BigEndian.Uint16(out[0].L4[6:]) == 1400)
		}},
		{rfc, "REQ-13a", "without DF it is sent in fragments, in order", "yes", "yes", setting{}, func(k *bed) string {
			out := k.send(udp(at(a, 5000), at(r1, 80), string(make([]byte, 1440))))
			return yes(len(out) == 2 && out[0].Raw[6]&0x20 != 0 && out[0].Raw[7] == 0 && out[1].Raw[6]&0x20 == 0 && out[1].Raw[7] != 0)
		}},
		{rfc, "REQ-14", "fragments are taken in any order", "yes", "yes", setting{}, func(k *bed) string {
			outer := k.open(wire.ProtoUDP, at(a, 5000), at(r1, 80))
			whole := udp(at(r1, 80), outer, string(make([]byte, 1000)))
			one, two := slices.Clone(whole[:20+512]), append(slices.Clone(whole[:20]), whole[20+512:]...)
			for i, f := range [][]byte{one, two} {
				binary.BigEndian.PutUint16(f[2:], uint16(len(f)))
				binary.BigEndian.PutUint16(f[6:], [2]uint16{1 << 13, 512 / 8}[i])
				wire.FixIP(f)
			}
			k.send(two)
			out := k.send(one) // they leave as large as they came
			return yes(len(out) == 2 && out[0].dst() == at(a, 5000) && out[1].Dst == a)
		}},
	}
}
