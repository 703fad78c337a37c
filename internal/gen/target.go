package gen

import (
	"fmt"
	"net/netip"
	"strings"
)

// target makes the end of a rule, and the protocol that it needs ("" if any).
func (m maker) target(s spot) (text, needs string) {
	if len(s.below) > 0 && m.percent(30) {
		return oneOf(m.dice, "-j ", "-j ", "-j ", "-g ") + oneOf(m.dice, s.below...), ""
	}
	if s.user && m.percent(15) {
		return "-j RETURN", ""
	}
	switch m.weighted(30, 12, 8) {
	case 1: // counts only
		return "", ""
	case 2:
		return m.anywhere(), ""
	}
	switch s.table {
	case "raw":
		return m.rawTarget(), ""
	case "mangle":
		return m.mangleTarget(s)
	case "nat":
		return m.natTarget(s)
	case "filter":
		return m.filterTarget(s)
	}
	return m.end(), ""
}

// anywhere is a target of every table.
func (m maker) anywhere() string {
	switch m.weighted(4, 3, 2, 1) {
	case 0:
		return m.markTarget()
	case 1:
		return m.connmarkTarget()
	case 3: // one name, which must have the same times everywhere
		return "-j RATEEST --rateest-name r --rateest-interval 8s --rateest-ewmalog 20s"
	}
	return "-j LOG --log-prefix " + oneOf(m.dice, "x", `"two words "`) + oneOf(m.dice, "", " --log-level 1", " --log-tcp-sequence", " --log-tcp-options --log-ip-options --log-uid", " --log-macdecode")
}

func (m maker) markTarget() string {
	switch m.weighted(3, 3, 1, 1, 1) {
	case 0:
		return "-j MARK --set-xmark " + m.mask()
	case 1:
		return "-j MARK --set-mark " + m.mask()
	case 2:
		return "-j MARK --and-mark 0xfe"
	case 3:
		return "-j MARK --or-mark 0x10"
	}
	return "-j MARK --xor-mark 0x3"
}

func (m maker) connmarkTarget() string {
	switch m.weighted(2, 2, 3, 3, 1, 1, 1) {
	case 0:
		return "-j CONNMARK --set-xmark " + m.mask()
	case 1:
		return "-j CONNMARK --set-mark " + m.mask()
	case 2:
		return "-j CONNMARK --save-mark" + oneOf(m.dice, "", " --nfmask 0xff --ctmask 0xff", " --nfmask 0x0f --ctmask 0xffffffff", " --mask 0xff")
	case 3:
		return "-j CONNMARK --restore-mark" + oneOf(m.dice, "", " --nfmask 0xff --ctmask 0xff", " --nfmask 0x0f --ctmask 0xffffffff", " --mask 0xff")
	case 4:
		return "-j CONNMARK --and-mark 0xfe"
	case 5:
		return "-j CONNMARK --or-mark 0x10"
	}
	return "-j CONNMARK --xor-mark 0x3"
}

func (m maker) end() string { return "-j " + oneOf(m.dice, "ACCEPT", "ACCEPT", "ACCEPT", "DROP") }

func (m maker) rawTarget() string {
	switch m.weighted(3, 3, 2, 1, 1, 1, 4) {
	case 0:
		return "-j CT --notrack"
	case 1:
		return fmt.Sprintf("-j CT --zone %d", oneOf(m.dice, 1, 2, 65535))
	case 2:
		return "-j NOTRACK"
	case 3:
		return "-j CT --zone-orig 7"
	case 4:
		return "-j CT --zone-reply 8"
	case 5:
		return "-j CT " + oneOf(m.dice, "--zone mark", "--zone-orig mark", "--ctevents new,destroy", "--ctevents assured,mark")
	}
	return m.end()
}

func (m maker) mangleTarget(s spot) (text, needs string) {
	switch m.weighted(5, 4, 4, 3, 4) {
	case 0:
		if s.f == 0 {
			return "-j TTL " + m.change("ttl"), ""
		}
		return "-j HL " + m.change("hl"), ""
	case 1:
		return "-j TOS " + oneOf(m.dice, "--set-tos 0x10/0x3f", "--set-tos 0xff", "--set-tos 0x02/0x03", "--and-tos 0xfc", "--or-tos 0x20", "--xor-tos 0x08"), ""
	case 2:
		return "-j DSCP " + oneOf(m.dice, "--set-dscp 0x2e", "--set-dscp 0", "--set-dscp 63", "--set-dscp-class AF21", "--set-dscp-class CS5"), ""
	case 3:
		// TCPMSS wants a rule that matches SYN packets only.
		t := fmt.Sprintf("--set-mss %d", oneOf(m.dice, 536, 1000, 1240, 1460))
		if s.at("FORWARD", "OUTPUT", "POSTROUTING") && m.percent(50) {
			t = "--clamp-mss-to-pmtu"
		}
		return "-m tcp --tcp-flags " + oneOf(m.dice, "SYN,RST SYN", "FIN,SYN,RST,ACK SYN") + " -j TCPMSS " + t, "tcp"
	}
	return m.end(), ""
}

func (m maker) change(name string) string {
	return fmt.Sprintf("--%s-%s", name, oneOf(m.dice, "set 0", "set 1", "set 5", "set 64", "set 255", "inc 1", "inc 200", "dec 1", "dec 70"))
}

func (m maker) filterTarget(s spot) (text, needs string) {
	if m.percent(35) {
		types := []string{"icmp-net-unreachable", "icmp-host-unreachable", "icmp-proto-unreachable", "icmp-port-unreachable", "icmp-net-prohibited", "icmp-host-prohibited", "icmp-admin-prohibited"}
		if s.f == 1 {
			types = []string{"icmp6-no-route", "icmp6-adm-prohibited", "icmp6-addr-unreachable", "icmp6-port-unreachable", "icmp6-policy-fail", "icmp6-reject-route"}
		}
		if m.percent(30) {
			return "-j REJECT --reject-with tcp-reset", "tcp"
		}
		if m.percent(10) {
			return "-j REJECT", ""
		}
		return "-j REJECT --reject-with " + oneOf(m.dice, types...), ""
	}
	return m.end(), ""
}

// natTarget makes a translation. Ports need a protocol that has them.
func (m maker) natTarget(s spot) (text, needs string) {
	needs = oneOf(m.dice, "", "tcp", "udp")
	rnd := func(all ...string) string {
		if m.percent(65) {
			return ""
		}
		return " " + oneOf(m.dice, all...)
	}
	if m.percent(10) {
		return "-j ACCEPT", ""
	}
	if m.percent(12) {
		return "-j NETMAP --to " + netip.PrefixFrom(m.w.free(m.dice, s.f), oneOf(m.dice, 1, 2, 3, 8)*-1+32+96*s.f).Masked().String(), ""
	}
	switch s.hook {
	case "POSTROUTING":
		if m.percent(45) {
			t := "-j MASQUERADE"
			if needs != "" && m.percent(40) {
				t += " --to-ports " + m.portRange()
			}
			return t + rnd("--random", "--random-fully"), needs
		}
		fallthrough
	case "INPUT":
		return "-j SNAT --to-source " + m.place(s, needs, false) + rnd("--random", "--random-fully", "--persistent"), needs
	}
	if m.percent(30) {
		t := "-j REDIRECT"
		if needs != "" && m.percent(60) {
			t += " --to-ports " + m.portRange()
		}
		return t + rnd("--random"), needs
	}
	return "-j DNAT --to-destination " + m.place(s, needs, true) + rnd("--random", "--persistent"), needs
}

// portRange is p or p-q, often so narrow that it fills up.
func (m maker) portRange() string {
	p := m.port()
	switch m.weighted(3, 3, 2) {
	case 0:
		return fmt.Sprint(p)
	case 1:
		return fmt.Sprintf("%d-%d", min(p, 65530), min(p, 65530)+m.between(1, 5))
	}
	return oneOf(m.dice, "1024-65535", "6000-6999", "1-511", "1-65535")
}

// place is the new address and port of SNAT or DNAT.
func (m maker) place(s spot, proto string, dst bool) string {
	var a, b netip.Addr
	if dst && m.percent(70) {
		a, _ = m.w.host(m.dice, s.f)
		b = a
	} else {
		a, b = m.w.free(m.dice, s.f), m.w.free(m.dice, s.f)
		if m.percent(40) {
			a = m.w.own(m.dice, s.f)
			b = a
		}
	}
	if b.Less(a) {
		a, b = b, a
	}
	where := a.String()
	if a != b && m.percent(50) && sameNet(a, b) {
		where += "-" + b.String()
	}
	if proto == "" || m.percent(40) {
		return where
	}
	if s.f == 1 {
		where = "[" + where + "]"
	}
	ports := m.portRange()
	if dst && strings.Contains(ports, "-") && m.percent(30) {
		ports += fmt.Sprintf("/%d", m.port())
	}
	if s.f == 0 && m.percent(10) {
		return ":" + ports
	}
	return where + ":" + ports
}

// sameNet keeps ranges small: the choice in a range is a hash, and a range
// over half the address space tells nothing.
func sameNet(a, b netip.Addr) bool {
	x, y := a.AsSlice(), b.AsSlice()
	for i := range len(x) - 1 {
		if x[i] != y[i] {
			return false
		}
	}
	return true
}
