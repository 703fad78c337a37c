package gen

import (
	"fmt"
	"strings"
)

// match makes one match that goes with any protocol.
func (m maker) match(s spot) string {
	n := m.not
	switch m.weighted(30, 8, 8, 8, 5, 10, 8, 8, 8, 6, 8, 6, 6, 4) {
	case 0:
		return m.conntrack(s)
	case 1:
		return fmt.Sprintf("-m state %s--state %s", n(), strings.Join(some(m.dice, m.between(1, 3), "INVALID", "NEW", "RELATED", "ESTABLISHED", "UNTRACKED"), ","))
	case 2:
		return fmt.Sprintf("-m mark %s--mark %s", n(), m.mask())
	case 3:
		return fmt.Sprintf("-m connmark %s--mark %s", n(), m.mask())
	case 4:
		return "-m comment --comment " + oneOf(m.dice, "plain", `"two words"`, `"a \"quoted\" word"`, `"back\\slash"`)
	case 5:
		return m.addrtype(s)
	case 6:
		lo, hi := m.pair(s.f)
		lo2, hi2 := m.pair(s.f)
		switch m.weighted(3, 3, 1) {
		case 0:
			return fmt.Sprintf("-m iprange %s--src-range %s-%s", n(), lo, hi)
		case 1:
			return fmt.Sprintf("-m iprange %s--dst-range %s-%s", n(), lo, hi)
		}
		return fmt.Sprintf("-m iprange %s--src-range %s-%s %s--dst-range %s-%s", n(), lo, hi, n(), lo2, hi2)
	case 7:
		return fmt.Sprintf("-m length %s--length %s", n(), m.span(":", 0, 20, 28, 29, 40, 41, 48, 60, 61, 100, 576, 1280, 1500, 65535))
	case 8:
		return m.hopLimit(s)
	case 9: // so slow that nothing is refilled while a scenario runs
		return fmt.Sprintf("-m limit --limit %s --limit-burst %d", oneOf(m.dice, "1/hour", "3/hour", "100/day"), oneOf(m.dice, 1, 2, 5, 6, 20))
	case 10:
		every := oneOf(m.dice, 1, 2, 3, 5)
		return fmt.Sprintf("-m statistic --mode nth %s--every %d --packet %d", n(), every, m.IntN(every))
	case 11:
		if s.f == 0 && m.percent(30) {
			return fmt.Sprintf("-m tos %s--tos %s", n(), oneOf(m.dice, "Minimize-Delay", "Maximize-Throughput", "Maximize-Reliability", "Minimize-Cost", "Normal-Service"))
		}
		return fmt.Sprintf("-m tos %s--tos %s", n(), oneOf(m.dice, "0x00/0xff", "0x10/0x3f", "0xc0/0xff", "0xb8", "0x08/0x08", "0/0", "0x02/0x03"))
	case 12:
		if m.percent(40) {
			return fmt.Sprintf("-m dscp %s--dscp-class %s", n(), oneOf(m.dice, "BE", "EF", "AF11", "AF43", "CS1", "CS6", "CS7"))
		}
		return fmt.Sprintf("-m dscp %s--dscp %s", n(), oneOf(m.dice, "0", "0x2e", "0x30", "63", "0x02"))
	default:
		return fmt.Sprintf("-m pkttype %s--pkt-type %s", n(), oneOf(m.dice, "unicast", "broadcast", "multicast"))
	}
}

// conntrack makes -m conntrack with one to four conditions.
func (m maker) conntrack(s spot) string {
	n := m.not
	var parts []string
	add := func(format string, a ...any) { parts = append(parts, fmt.Sprintf(format, a...)) }
	if m.percent(65) {
		add("%s--ctstate %s", n(), strings.Join(some(m.dice, m.between(1, 3), "INVALID", "NEW", "RELATED", "ESTABLISHED", "UNTRACKED", "SNAT", "DNAT"), ","))
	}
	if m.percent(15) {
		add("%s--ctproto %s", n(), oneOf(m.dice, "tcp", "udp", "icmp", "58", "253", "47"))
	}
	for _, o := range []string{"--ctorigsrc", "--ctorigdst", "--ctreplsrc", "--ctrepldst"} {
		if m.percent(8) {
			add("%s%s %s", n(), o, m.network(s.f))
		}
	}
	for _, o := range []string{"--ctorigsrcport", "--ctorigdstport", "--ctreplsrcport", "--ctrepldstport"} {
		if m.percent(8) {
			a, b := m.port(), m.port()
			if m.percent(50) {
				b = a
			}
			if a == b {
				add("%s%s %d", n(), o, a)
			} else {
				add("%s%s %d:%d", n(), o, min(a, b), max(a, b))
			}
		}
	}
	if m.percent(20) {
		add("%s--ctstatus %s", n(), oneOf(m.dice, "NONE", "EXPECTED", "SEEN_REPLY", "ASSURED", "CONFIRMED", "SEEN_REPLY,ASSURED", "EXPECTED,CONFIRMED"))
	}
	if m.percent(10) { // borders that no timeout comes near
		add("%s--ctexpire %s", n(), oneOf(m.dice, "5:45", "0:90", "0:45", "90:250", "250:400000", "1000:4294967295", "45:1000", "5"))
	}
	if m.percent(15) || len(parts) == 0 {
		add("--ctdir %s", oneOf(m.dice, "ORIGINAL", "REPLY"))
	}
	return "-m conntrack " + strings.Join(parts, " ")
}

// addrtype makes -m addrtype. A device that is not there yet, or not any
// more, cannot limit it.
func (m maker) addrtype(s spot) string {
	types := []string{"UNSPEC", "UNICAST", "LOCAL", "MULTICAST", "UNREACHABLE", "ANYCAST"}
	if s.f == 0 {
		types = []string{"UNSPEC", "UNICAST", "LOCAL", "BROADCAST", "MULTICAST", "BLACKHOLE", "UNREACHABLE", "PROHIBIT"}
	}
	list := func() string { return strings.Join(some(m.dice, m.weighted(0, 4, 1), types...), ",") }
	var parts []string
	switch m.weighted(4, 4, 1) {
	case 0:
		parts = append(parts, m.not()+"--src-type "+list())
	case 1:
		parts = append(parts, m.not()+"--dst-type "+list())
	case 2:
		parts = append(parts, m.not()+"--src-type "+list(), m.not()+"--dst-type "+list())
	}
	// IPv6 knows no type but UNICAST and LOCAL for one device.
	if m.percent(15) {
		switch {
		case s.at("PREROUTING", "INPUT"):
			parts = append(parts, "--limit-iface-in")
		case s.at("OUTPUT", "POSTROUTING"):
			parts = append(parts, "--limit-iface-out")
		case s.at("FORWARD"):
			parts = append(parts, oneOf(m.dice, "--limit-iface-in", "--limit-iface-out"))
		}
	}
	return "-m addrtype " + strings.Join(parts, " ")
}

func (m maker) hopLimit(s spot) string {
	v := oneOf(m.dice, 0, 1, 2, 63, 64, 65, 128, 255)
	name := "ttl"
	if s.f == 1 {
		name = "hl"
	}
	switch m.weighted(2, 1, 1) {
	case 0:
		return fmt.Sprintf("-m %s %s--%s-eq %d", name, m.not(), name, v)
	case 1:
		return fmt.Sprintf("-m %s --%s-lt %d", name, name, v)
	}
	return fmt.Sprintf("-m %s --%s-gt %d", name, name, v)
}
