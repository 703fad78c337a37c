package target

import (
	"weir/hook"
	"weir/packet"
	"weir/xtables"
	"weir/xtables/args"
)

// Reject is -j REJECT: drops the packet and tells its sender.
func Reject() xtables.TargetExt {
	return xtables.TargetExt{
		Name: "REJECT", Families: xtables.Both, Tables: []string{"filter"},
		Points:  hook.MaskOf(hook.Input, hook.Forward, hook.Output),
		Options: one("reject-with"), Parse: parseReject,
		Doc: "all types of both families",
	}
}

// rejectType is a kind of answer: a code of "destination unreachable", or a
// TCP reset.
type rejectType struct {
	name, alias string
	code        uint8
	reset       bool
}

// rejectTypes is in the order in which iptables looks for an abbreviation.
func rejectTypes(f packet.Family) []rejectType {
	if f == packet.IPv6 {
		return []rejectType{
			{"icmp6-no-route", "no-route", 0, false},
			{"icmp6-adm-prohibited", "adm-prohibited", 1, false},
			{"icmp6-addr-unreachable", "addr-unreach", 3, false},
			{"icmp6-port-unreachable", "port-unreach", 4, false},
			{"tcp-reset", "tcp-reset", 0, true},
			{"icmp6-policy-fail", "policy-fail", 5, false},
			{"icmp6-reject-route", "reject-route", 6, false},
		}
	}
	return []rejectType{
		{"icmp-net-unreachable", "net-unreach", 0, false},
		{"icmp-host-unreachable", "host-unreach", 1, false},
		{"icmp-proto-unreachable", "proto-unreach", 2, false},
		{"icmp-port-unreachable", "port-unreach", 3, false},
		{"icmp-net-prohibited", "net-prohib", 9, false},
		{"icmp-host-prohibited", "host-prohib", 10, false},
		{"tcp-reset", "tcp-rst", 0, true},
		{"icmp-admin-prohibited", "admin-prohib", 13, false},
	}
}

type rejectTarget struct{ typ rejectType }

func parseReject(c *xtables.Context, given []xtables.Given) (xtables.Target, error) {
	m := &rejectTarget{rejectTypes(c.Family)[3]} // port unreachable
	g := args.Find(given, "reject-with")
	if g == nil {
		return m, nil
	}
	word, found := args.Text(g), false
	for _, r := range rejectTypes(c.Family) {
		if args.Prefix(r.name, word) || args.Prefix(r.alias, word) {
			m.typ, found = r, true
			break
		}
	}
	if !found {
		return nil, args.Bad(g, "a way to reject")
	}
	if m.typ.reset && (c.Proto != packet.TCP || c.ProtoInvert) {
		return nil, &xtables.Error{Pos: g.Args[0].Pos, Msg: "--reject-with tcp-reset needs -p tcp",
			Said: "Invalid argument. Run `dmesg' for more information", Status: 1} // the kernel refuses it
	}
	return m, nil
}

// Do answers where Linux would and drops. What concerns the packet itself is
// judged here (fragments, the checksum when ICMP answers); addresses, routes,
// rates and what concerns a segment are the emitter's.
//
// Linux: net/ipv4/netfilter/nf_reject_ipv4.c, net/ipv6/netfilter/nf_reject_ipv6.c.
func (m *rejectTarget) Do(t *hook.Traversal) xtables.Code {
	t.Why = hook.ReasonReject
	p := t.Pkt
	if p.FragOff != 0 || p.Family == packet.IPv6 && (p.L4 < 0 || p.L4 >= len(p.Data)) {
		return xtables.Drop
	}
	if m.typ.reset {
		t.Env.Emit.TCPReset(t)
		return xtables.Drop
	}
	if !p.Summed && !p.Offload.Good() && !answerable(p) {
		return xtables.Drop
	}
	typ := uint8(3)
	if p.Family == packet.IPv6 {
		typ = 1
	}
	t.Env.Emit.ICMPError(t, typ, m.typ.code, 0)
	return xtables.Drop
}

// answerable verifies the checksum of the whole payload, for the protocols
// that have one; Linux takes it for granted that all it does not know do.
func answerable(p *packet.Packet) bool {
	if p.L4 < 0 {
		return false
	}
	h := p.Data[p.L4:]
	switch p.Proto {
	case packet.UDP:
		if len(h) >= 8 && h[6]|h[7] == 0 {
			return true
		}
	case packet.AH, packet.ESP, packet.SCTP, packet.UDPLite, packet.GRE: // DCCP left this list in 6.16
		return true
	}
	return sumsUp(p, h)
}

// sumsUp verifies the Internet checksum over h, with a pseudo header where the
// kernel takes one: TCP and UDP, and everything over IPv6.
func sumsUp(p *packet.Packet, h []byte) bool {
	var acc uint32
	if p.Family == packet.IPv6 || p.Proto == packet.TCP || p.Proto == packet.UDP {
		acc = packet.PseudoSum(p.Family, p.Src(), p.Dst(), p.Proto, len(h))
	}
	if p.Family == packet.IPv4 {
		// Linux sums the header too (nf_ip_checksum); it is wrong after an
		// option was filled in on arrival.
		acc = packet.Sum(p.Data[:p.HeaderLen()], acc)
	}
	return packet.Fold(packet.Sum(h, acc)) == 0xffff
}

func (m *rejectTarget) AppendArgs(b []byte) []byte {
	return args.Word(args.Name(b, false, "reject-with"), m.typ.name)
}
