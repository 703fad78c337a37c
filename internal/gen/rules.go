package gen

import (
	"fmt"
	"net/netip"
	"strings"
)

// spot is where a rule stands.
type spot struct {
	f     int // 0 IPv4, 1 IPv6
	table string
	hook  string // the built-in chain that leads here
	user  bool   // in a chain of the user's
	below []string
}

func (s spot) at(hooks ...string) bool {
	for _, h := range hooks {
		if s.hook == h {
			return true
		}
	}
	return false
}

// maker makes rules for one machine.
type maker struct {
	dice
	w *world
}

// tableChains lists tables in the order of iptables-save.
var tableChains = []struct {
	name   string
	chains []string
}{
	{"raw", []string{"PREROUTING", "OUTPUT"}},
	{"mangle", []string{"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"}},
	{"nat", []string{"PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"}},
	{"filter", []string{"INPUT", "FORWARD", "OUTPUT"}},
	{"security", []string{"INPUT", "FORWARD", "OUTPUT"}},
}

// rules makes all tables of a family. Every table is there: an empty nat
// table still keeps tuples unique, and the last rule of security needs
// connection tracking, which Linux starts only for a rule that does.
func (m maker) rules(f int, trace bool) string {
	var b strings.Builder
	for _, t := range tableChains {
		fmt.Fprintf(&b, "*%s\n", t.name)
		var lines []string
		if t.name == "raw" && trace {
			lines = append(lines, "-A PREROUTING -j TRACE", "-A OUTPUT -j TRACE")
		}
		for _, c := range t.chains {
			fmt.Fprintf(&b, ":%s %s [0:0]\n", c, m.policy(t.name))
			// Each user chain belongs to one built-in chain, which keeps
			// targets where they are allowed, and jumps only go on to
			// later chains, so that there are no loops.
			var user []string
			for i := range m.weighted(60, 25, 15) {
				user = append(user, fmt.Sprintf("%s_%s_%d", strings.ToLower(t.name[:3]), strings.ToLower(c), i))
			}
			s := spot{f: f, table: t.name, hook: c, below: user}
			lines = append(lines, m.chain(c, s, m.weighted(25, 30, 20, 15, 10))...)
			if t.name == "nat" && c == "POSTROUTING" && m.percent(50) {
				lines = append(lines, "-A POSTROUTING -o wan0 -j MASQUERADE")
			}
			for i, u := range user {
				fmt.Fprintf(&b, ":%s - [0:0]\n", u)
				s.user, s.below = true, user[i+1:]
				lines = append(lines, m.chain(u, s, m.weighted(10, 30, 40, 20))...)
			}
		}
		if t.name == "security" {
			lines = append(lines, "-A FORWARD -m conntrack --ctstate NEW")
		}
		for _, l := range lines {
			b.WriteString(l + "\n")
		}
		b.WriteString("COMMIT\n")
	}
	return b.String()
}

func (m maker) policy(table string) string {
	if table == "filter" && m.percent(12) || table != "nat" && m.percent(1) {
		return "DROP"
	}
	return "ACCEPT"
}

func (m maker) chain(name string, s spot, n int) (lines []string) {
	for range n {
		lines = append(lines, "-A "+name+" "+m.rule(s))
	}
	return lines
}

// rule makes one rule, without its chain.
func (m maker) rule(s spot) string {
	target, needs := m.target(s)
	// A translation that nearly nothing reaches tests nearly nothing.
	rare := 1
	if s.table == "nat" && m.percent(70) {
		rare = 5
	}
	var parts []string
	add := func(format string, a ...any) { parts = append(parts, fmt.Sprintf(format, a...)) }

	proto := needs
	if proto == "" && m.percent(45/rare) {
		proto = oneOf(m.dice, "tcp", "tcp", "udp", "udp", "icmp", "253", "esp", "gre", "udplite", "sctp")
	}
	if proto == "icmp" && s.f == 1 {
		proto = "ipv6-icmp"
	}
	if m.percent(25 / rare) {
		add("%s-s %s", m.not(), m.network(s.f))
	}
	if m.percent(25 / rare) {
		add("%s-d %s", m.not(), m.network(s.f))
	}
	if m.percent(20/rare) && (s.user || !s.at("OUTPUT", "POSTROUTING")) {
		add("%s-i %s", m.not(), m.device())
	}
	if m.percent(20) && (s.user || !s.at("PREROUTING", "INPUT")) {
		add("%s-o %s", m.not(), m.device())
	}
	inverted := false
	if proto != "" {
		inverted = needs == "" && m.percent(8)
		if inverted {
			add("! -p %s", proto)
		} else {
			add("-p %s", proto)
		}
	}
	if s.f == 0 && m.percent(3) {
		add("%s-f", m.not())
	}
	if !inverted && proto != "" && m.percent(65/rare) {
		if x := m.protocolMatch(s, proto); x != "" {
			add("%s", x)
		}
	}
	for range m.weighted(45*rare, 40, 12, 3) {
		// iptables takes the options of one extension once a rule when
		// another one in between shares them.
		x := m.match(s)
		if !strings.Contains(strings.Join(parts, " ")+" ", "-m "+strings.Fields(x)[1]+" ") {
			add("%s", x)
		}
	}
	// What ends a packet's life does so for some packets only.
	if strings.HasPrefix(target, "-j DROP") || strings.HasPrefix(target, "-j REJECT") {
		if len(parts) == 0 || m.percent(50) {
			add("-m statistic --mode nth --every %d --packet %d", 4, m.IntN(4))
		}
	}
	add("%s", target)
	return strings.TrimSpace(strings.Join(parts, " "))
}

func (m maker) device() string {
	return oneOf(m.dice, lan, wan, dmz, "lo", "lan+", "w+", "dmz0+", "eth0", "+")
}

// network is an address or network that packets may carry.
func (m maker) network(f int) string {
	a := m.address(f)
	bits := a.BitLen()
	n := oneOf(m.dice, bits, bits, bits-1, bits-2, bits-7, bits-8, 24, 16, 1, 0, 64*f+24*(1-f))
	if m.percent(3) { // a mask that is no prefix
		if f == 0 {
			return a.String() + "/255.0.255.255"
		}
		return a.String() + "/ffff:ffff:0:ffff::"
	}
	return netip.PrefixFrom(a, n).Masked().String()
}

// address is any address that packets may carry.
func (m maker) address(f int) netip.Addr {
	switch m.weighted(5, 2, 2) {
	case 0:
		a, _ := m.w.host(m.dice, f)
		return a
	case 1:
		return m.w.own(m.dice, f)
	}
	return m.w.free(m.dice, f)
}

// pair is two addresses in order.
func (m maker) pair(f int) (lo, hi netip.Addr) {
	lo, hi = m.address(f), m.address(f)
	if hi.Less(lo) {
		lo, hi = hi, lo
	}
	return lo, hi
}

func (m maker) port() int { return oneOf(m.dice, ports...) }

// portSpan is a port, lo:hi, :hi or lo:.
func (m maker) portSpan() string {
	a, b := m.port(), m.port()
	switch m.weighted(5, 3, 1, 1) {
	case 1:
		return fmt.Sprintf("%d:%d", min(a, b), max(a, b))
	case 2:
		return fmt.Sprintf(":%d", a)
	case 3:
		return fmt.Sprintf("%d:", a)
	}
	return fmt.Sprint(a)
}

// mask is a value with an optional mask.
func (m maker) mask() string {
	v := oneOf(m.dice, "0", "0x1", "0x2", "0x3", "0xff", "0xffff0000", "0xffffffff", "16")
	if m.percent(50) {
		return v
	}
	return v + "/" + oneOf(m.dice, "0", "0x1", "0x3", "0xff", "0xf0", "0xffffffff")
}

// hasPorts says whether -m multiport may stand with a protocol.
func hasPorts(proto string) bool {
	return proto == "tcp" || proto == "udp" || proto == "udplite" || proto == "sctp"
}

// icmpTypes are types and codes that packets carry.
func (m maker) icmpType(f int) string {
	if f == 0 {
		return oneOf(m.dice, "8", "0", "3", "3/1", "3/3", "3/4", "11", "11/0", "5", "12", "13", "any", "echo-request", "fragmentation-needed", "40")
	}
	return oneOf(m.dice, "128", "129", "1", "1/4", "2", "2/0", "3", "3/0", "4", "137", "echo-request", "packet-too-big", "200")
}

var tcpFlags = []string{"SYN", "ACK", "FIN", "RST", "URG", "PSH"}

// protocolMatch is the match that goes with -p.
func (m maker) protocolMatch(s spot, proto string) string {
	if hasPorts(proto) && m.percent(25) {
		return m.multiport()
	}
	var parts []string
	add := func(format string, a ...any) { parts = append(parts, fmt.Sprintf(format, a...)) }
	switch proto {
	case "tcp":
		if m.percent(25) {
			return fmt.Sprintf("-m tcpmss %s--mss %s", m.not(), m.span(":", 0, 536, 1200, 1220, 1240, 1400, 1460, 65535))
		}
		if m.percent(30) {
			add("%s--sport %s", m.not(), m.portSpan())
		}
		if m.percent(40) {
			add("%s--dport %s", m.not(), m.portSpan())
		}
		switch m.weighted(5, 3, 3) {
		case 1:
			mask := some(m.dice, m.between(1, 6), tcpFlags...)
			comp := some(m.dice, m.IntN(len(mask)+1), mask...)
			c := strings.Join(comp, ",")
			if c == "" {
				c = "NONE"
			}
			add("%s--tcp-flags %s %s", m.not(), strings.Join(mask, ","), c)
		case 2:
			add("%s--syn", m.not())
		}
		if m.percent(20) {
			add("%s--tcp-option %d", m.not(), oneOf(m.dice, 2, 3, 4, 5, 8, 254))
		}
	case "udp":
		if m.percent(40) {
			add("%s--sport %s", m.not(), m.portSpan())
		}
		if m.percent(60) {
			add("%s--dport %s", m.not(), m.portSpan())
		}
	case "icmp":
		add("%s--icmp-type %s", m.not(), m.icmpType(0))
	case "ipv6-icmp":
		return fmt.Sprintf("-m icmp6 %s--icmpv6-type %s", m.not(), m.icmpType(1))
	default:
		return ""
	}
	if len(parts) == 0 {
		return ""
	}
	return "-m " + proto + " " + strings.Join(parts, " ")
}

func (m maker) multiport() string {
	var list []string
	for left := m.between(1, 15); left > 0; left-- {
		if left >= 2 && m.percent(30) {
			a, b := m.port(), m.port()
			if a == b {
				b = min(65535, a+1)
				a = b - 1
			}
			list = append(list, fmt.Sprintf("%d:%d", min(a, b), max(a, b)))
			left--
		} else {
			list = append(list, fmt.Sprint(m.port()))
		}
	}
	return fmt.Sprintf("-m multiport %s%s %s", m.not(), oneOf(m.dice, "--sports", "--dports", "--ports"), strings.Join(list, ","))
}
