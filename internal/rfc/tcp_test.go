package rfc

import (
	"weir/internal/wire"
)

// synTimer is how long the answer to a SYN is let in.
func synTimer(k *bed) string {
	return lasts(k, setting{filtering: "address-dependent"}, []int64{59, 119, 120, 239, 240, 299}, func(n *bed) end {
		return n.open(wire.ProtoTCP, at(a, 5000), at(r1, 80))
	}, func(n *bed, outer end) bool {
		return n.arrives(tcp(at(r1, 80), outer, wire.SYN|wire.ACK, 300, 101), at(a, 5000))
	})
}

// shake opens a connection of TCP and returns its outer endpoint.
func shake(k *bed) end {
	outer := k.open(wire.ProtoTCP, at(a, 5000), at(r1, 80))
	k.send(tcp(at(r1, 80), outer, wire.SYN|wire.ACK, 300, 101))
	k.send(tcp(at(a, 5000), at(r1, 80), wire.ACK, 101, 301))
	return outer
}

// resetTimer is how long packets are let in after a reset.
func resetTimer(k *bed) string {
	return lasts(k, setting{filtering: "address-dependent"}, []int64{9, 10, 119, 120, 239, 240}, func(n *bed) end {
		outer := shake(n)
		n.send(tcp(at(r1, 80), outer, wire.RST|wire.ACK, 301, 101))
		return outer
	}, func(n *bed, outer end) bool {
		return n.arrives(tcp(at(r1, 80), outer, wire.RST|wire.ACK, 301, 101), at(a, 5000))
	})
}

func rows5382() []row {
	const rfc = "5382"
	return []row{
		{rfc, "REQ-1", "TCP: one outer endpoint for all destinations", "2 for 3 destinations", "1 for 3 destinations", setting{}, endpoints(wire.ProtoTCP)},
		{rfc, "REQ-2", "a handshake from outside, where it is let in", "no", "yes", setting{}, func(k *bed) string {
			outer := k.open(wire.ProtoTCP, at(a, 5000), at(r1, 80))
			if !k.in(wire.ProtoTCP, at(r2, 9), outer, at(a, 5000)) {
				return "no"
			}
			out := k.send(tcp(at(a, 5000), at(r2, 9), wire.SYN|wire.ACK, 700, 101))
			return yes(len(out) == 1 && out[0].src() == outer && k.arrives(tcp(at(r2, 9), outer, wire.ACK, 101, 701), at(a, 5000)))
		}},
		{rfc, "REQ-2a", "simultaneous open", "yes", "yes", setting{}, func(k *bed) string {
			outer := k.open(wire.ProtoTCP, at(a, 5000), at(r1, 80))
			if !k.arrives(tcp(at(r1, 80), outer, wire.SYN, 300, 0), at(a, 5000)) {
				return "no"
			}
			out := k.send(tcp(at(a, 5000), at(r1, 80), wire.SYN|wire.ACK, 100, 301))
			return yes(len(out) == 1 && out[0].src() == outer && k.arrives(tcp(at(r1, 80), outer, wire.SYN|wire.ACK, 300, 101), at(a, 5000)))
		}},
		{rfc, "REQ-3", "TCP: endpoint-independent filtering, for transparency", "nobody is let in", "everybody is let in", setting{}, letIn(wire.ProtoTCP)},
		{rfc, "REQ-3", "TCP: address-dependent filtering, to be stricter", "nobody is let in", "the server's address is let in", setting{filtering: "address-dependent"}, letIn(wire.ProtoTCP)},
		{rfc, "REQ-4", "a SYN that is not let in is not answered", "no", "yes", setting{filtering: "address-dependent"}, func(k *bed) string {
			outer := k.open(wire.ProtoTCP, at(a, 5000), at(r1, 80))
			return yes(len(k.send(tcp(at(r2, 80), outer, wire.SYN, 300, 0))) == 0)
		}},
		{rfc, "REQ-4", "nor does it hinder the SYN that opens the other way", "yes", "yes", setting{filtering: "address-dependent"}, func(k *bed) string {
			outer := k.open(wire.ProtoTCP, at(a, 5000), at(r1, 80))
			k.send(tcp(at(r2, 80), outer, wire.SYN, 300, 0))
			return yes(k.open(wire.ProtoTCP, at(a, 5000), at(r2, 80)) == outer && k.arrives(tcp(at(r2, 80), outer, wire.SYN, 300, 0), at(a, 5000)))
		}},
		{rfc, "REQ-5", "an idle connection lasts 2 hours 4 minutes", "yes", "yes", setting{}, func(k *bed) string {
			outer := shake(k)
			k.now += (2*60 + 4) * 60 * second
			return yes(k.arrives(tcp(at(r1, 80), outer, wire.ACK, 301, 101), at(a, 5000)))
		}},
		{rfc, "REQ-5", "one that is not open yet lasts 4 minutes", "120 s", "240 s", setting{}, synTimer},
		{rfc, "REQ-6", "no helper touches TCP unless asked", "yes", "yes", setting{}, func(k *bed) string {
			outer := k.open(wire.ProtoTCP, at(a, 5000), at(r1, 21))
			k.send(tcp(at(r1, 21), outer, wire.SYN|wire.ACK, 300, 101))
			k.send(tcp(at(a, 5000), at(r1, 21), wire.ACK, 101, 301))
			text := "PORT 192,0,2,10,20,30\r\n"
			s := wire.Segment{Sport: 5000, Dport: 21, Flags: wire.ACK | wire.PSH, Seq: 101, Ack: 301, Win: 1000, Data: []byte(text)}
			out := k.send(ip(wire.ProtoTCP, at(a, 5000), at(r1, 21), s.Bytes(a, r1)))
			return yes(len(out) == 1 && string(out[0].L4[20:]) == text)
		}},
		{rfc, "REQ-7", "TCP: no two hosts at one outer endpoint", "two hosts have one", "none", setting{}, overload(wire.ProtoTCP)},
		{rfc, "REQ-8", "TCP: hairpinning", "not passed on", "passed on from the outer endpoint, and so is the answer", setting{}, hairpin(wire.ProtoTCP)},
		{rfc, "REQ-9", "Destination Unreachable comes in", "yes", "yes", setting{}, errorComes(wire.ProtoTCP, at(r2, 0), 3, 1)},
		{rfc, "REQ-10", "ICMP errors do not end a connection", "it lives on", "it lives on", setting{}, survives(wire.ProtoTCP)},
	}
}
