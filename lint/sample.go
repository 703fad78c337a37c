package lint

import (
	"fmt"
	"strings"

	"weir/conntrack"
	"weir/packet"
	"weir/xtables"
)

// Sample is one packet with all that rules ask about it.
type Sample struct {
	Family packet.Family
	// In and Out are names; empty is none.
	In, Out string
	State   conntrack.State
	NAT     uint8 // 1: the source is translated, 2: the destination is
	Mark    uint32
	// Packet is the packet as a line without the interface, see package
	// scenario/line.
	Packet string
}

// Line is the packet with the interface by which it comes, as weir trace
// --packet takes it.
func (s *Sample) Line() string {
	in := s.In
	if in == "" {
		in = "local"
	}
	return in + " " + s.Packet
}

// likes are the values that a picture of a packet prefers, best first.
type likes [xtables.NumFields][]xtables.Value

// small makes values of numbers.
func small(ns ...uint64) (vs []xtables.Value) {
	for _, n := range ns {
		vs = append(vs, xtables.Value{Lo: n})
	}
	return vs
}

// pick is a value of the set that is liked, the nth way.
func pick(f xtables.Field, s spans, liked []xtables.Value, n int) xtables.Value {
	names := f == xtables.FieldIn || f == xtables.FieldOut
	var fit []xtables.Value
	for _, v := range liked {
		if s.has(v) {
			fit = append(fit, v)
		}
	}
	for i := 0; i < len(s) && i < 4; i++ {
		wide := next(s[i].Lo) // the first host of a network
		if names {
			wide = xtables.NameSpan(xtables.ValueName(s[i].Lo) + "0").Lo
		}
		for _, v := range []xtables.Value{wide, s[i].Lo, s[i].Hi} {
			if s.has(v) && (!names || named(v)) {
				fit = append(fit, v)
			}
		}
	}
	if len(fit) == 0 {
		return xtables.Value{}
	}
	// Ports change first, then addresses, then the rest.
	switch f {
	case xtables.FieldSrcPort:
		n /= 3
	case xtables.FieldDst:
		n /= 4
	case xtables.FieldSrc:
		n /= 8
	case xtables.FieldIn, xtables.FieldOut, xtables.FieldState:
		n /= 16
	}
	return fit[n%len(fit)]
}

// named reports the value of a name that an interface can have, or of none.
func named(v xtables.Value) bool {
	name := xtables.ValueName(v)
	for i := range len(name) {
		if name[i] <= ' ' || name[i] > '~' || name[i] == '/' || name[i] == ':' {
			return false
		}
	}
	return len(name) < 16 && xtables.NameSpan(name).Lo == v
}

// shape narrows a box to what a packet of a protocol has.
func shape(b *box, proto uint64, fragment bool) bool {
	ports, flags, icmp := false, false, false
	switch {
	case fragment:
	case proto == packet.TCP:
		ports, flags = true, true
	case proto == packet.UDP, proto == packet.UDPLite, proto == packet.SCTP, proto == packet.DCCP:
		ports = true
	case proto == packet.ICMP, proto == packet.ICMPv6:
		icmp = true
	}
	has := func(f xtables.Field, on bool) bool {
		none, _ := xtables.FieldNone(f)
		if on {
			return b.limit(f, spans{xtables.Span{Hi: prev(none)}})
		}
		return b.limit(f, spans{{Lo: none, Hi: none}})
	}
	frag := uint64(0)
	if fragment {
		frag = 1
	}
	return b.limit(xtables.FieldProto, spans{xtables.Num(proto, proto)}) &&
		has(xtables.FieldSrcPort, ports) && has(xtables.FieldDstPort, ports) &&
		has(xtables.FieldTCPFlags, flags) && has(xtables.FieldICMP, icmp) &&
		b.limit(xtables.FieldFragment, spans{xtables.Num(frag, frag)})
}

// sample makes a packet of a box, the nth of many ways; false if this way
// leads to none.
func (s *space) sample(b *box, l *likes, n int) (out Sample, ok bool) {
	protos := small(packet.TCP, packet.UDP, packet.ICMP)
	if s.family == packet.IPv6 {
		protos = small(packet.TCP, packet.UDP, packet.ICMPv6)
	}
	for _, x := range b.f[xtables.FieldProto] {
		protos = append(protos, x.Lo, x.Hi)
	}
	var c box
	for i := 0; i < 2*len(protos) && !ok; i++ {
		c = *b
		p := protos[(i+n/7)%len(protos)]
		ok = p.Lo < 256 && shape(&c, p.Lo, i >= len(protos)) &&
			(s.family == packet.IPv4 || p.Lo != packet.ICMP) && (s.family == packet.IPv6 || p.Lo != packet.ICMPv6)
	}
	if !ok {
		return out, false
	}
	at := func(f xtables.Field) xtables.Value { return pick(f, c.f[f], l[f], n) }
	num := func(f xtables.Field) uint64 { return at(f).Lo }
	out = Sample{Family: s.family, In: xtables.ValueName(at(xtables.FieldIn)), Out: xtables.ValueName(at(xtables.FieldOut)),
		State: conntrack.State(num(xtables.FieldState)), NAT: uint8(num(xtables.FieldNAT)), Mark: uint32(num(xtables.FieldMark))}
	if out.NAT != 0 && (out.State == conntrack.StateInvalid || out.State == conntrack.StateUntracked) {
		return out, false
	}
	flags := []xtables.Value{}
	if out.State == conntrack.StateNew {
		flags = small(packet.TCPSyn)
	}
	flags = append(flags, small(packet.TCPAck, packet.TCPSyn, packet.TCPAck|packet.TCPPsh, packet.TCPFin|packet.TCPAck, packet.TCPRst)...)
	proto := num(xtables.FieldProto)
	var t strings.Builder
	src := xtables.ValueAddr(s.family, at(xtables.FieldSrc)).IP(s.family)
	dst := xtables.ValueAddr(s.family, at(xtables.FieldDst)).IP(s.family)
	word, ports := protoWord(proto)
	t.WriteString(word)
	size := 20
	if s.family == packet.IPv6 {
		size = 40
	}
	frag := num(xtables.FieldFragment) == 1
	if ports {
		sp, dp := num(xtables.FieldSrcPort), num(xtables.FieldDstPort)
		if frag {
			sp, dp = 0, 0
		}
		if s.family == packet.IPv6 {
			fmt.Fprintf(&t, " [%s]:%d > [%s]:%d", src, sp, dst, dp)
		} else {
			fmt.Fprintf(&t, " %s:%d > %s:%d", src, sp, dst, dp)
		}
	} else {
		fmt.Fprintf(&t, " %s > %s", src, dst)
	}
	switch {
	case frag:
		size += 8
		t.WriteString(" frag=1:1480:last len=8")
	case proto == packet.TCP:
		size += 20
		t.WriteString(" " + flagWord(pick(xtables.FieldTCPFlags, c.f[xtables.FieldTCPFlags], flags, n).Lo))
	case proto == packet.ICMP || proto == packet.ICMPv6:
		size += 8
		v := num(xtables.FieldICMP)
		fmt.Fprintf(&t, " %d/%d", v>>8, v&255)
	case proto == packet.UDP, proto == packet.UDPLite:
		size += 8
	default:
		size = -1
	}
	if c.f[xtables.FieldLength] != nil {
		want := int(num(xtables.FieldLength))
		if want < size && c.f[xtables.FieldLength].has(xtables.Value{Lo: uint64(max(size, 0))}) {
			want = size
		}
		if size < 0 || want < size || want > 65535 || frag {
			return out, false
		}
		if want > size {
			fmt.Fprintf(&t, " len=%d", want-size)
		}
	}
	if c.f[xtables.FieldTTL] != nil {
		fmt.Fprintf(&t, " ttl=%d", num(xtables.FieldTTL))
	}
	if c.f[xtables.FieldTOS] != nil {
		fmt.Fprintf(&t, " tos=%d", num(xtables.FieldTOS))
	}
	if v := num(xtables.FieldLink); v < 4 && v > 0 {
		t.WriteString(" link=" + [4]string{"host", "broadcast", "multicast", "other"}[v])
	}
	out.Packet = t.String()
	return out, true
}

// protoWord is the word for a protocol in a line.
func protoWord(p uint64) (word string, ports bool) {
	switch p {
	case packet.TCP:
		return "tcp", true
	case packet.UDP:
		return "udp", true
	case packet.UDPLite:
		return "udplite", true
	case packet.SCTP:
		return "sctp", true
	case packet.DCCP:
		return "dccp", true
	case packet.ICMP:
		return "icmp", false
	case packet.ICMPv6:
		return "icmp6", false
	}
	return fmt.Sprintf("proto=%d", p), false
}

func flagWord(v uint64) string {
	s := ""
	for _, x := range []struct {
		bit  uint64
		char string
	}{{packet.TCPSyn, "S"}, {packet.TCPFin, "F"}, {packet.TCPRst, "R"}, {packet.TCPPsh, "P"}, {packet.TCPUrg, "U"}, {packet.TCPAck, "A"}} {
		if v&x.bit != 0 {
			s += x.char
		}
	}
	if s == "" {
		return "none"
	}
	return s
}

// replaceWord puts another word for one of a line.
func replaceWord(text, word, by string) string {
	ws := strings.Fields(text)
	for i := range ws {
		if ws[i] == word {
			ws[i] = by
		}
	}
	return strings.Join(ws, " ")
}

// reply is the answer to a SYN that leaves this machine.
func reply(s Sample) (Sample, bool) {
	ws := strings.Fields(s.Packet)
	if len(ws) < 5 || ws[2] != ">" {
		return s, false
	}
	ws[1], ws[3] = ws[3], ws[1]
	s.Packet = replaceWord(strings.Join(ws, " "), "S", "SA")
	s.In, s.Out, s.State = s.Out, "", conntrack.StateEstablished
	return s, true
}
