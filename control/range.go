package control

import (
	"net/netip"
	"strconv"
	"strings"

	"weir/packet"
)

// portRange is the ports that a rule gives to translated connections.
type portRange struct {
	from, to netip.Addr // addresses that it gives; zero is any (MASQUERADE)
	proto    string     // empty is any
	ports    int
}

// ranges reads the ports that SNAT and MASQUERADE rules give.
func (s *Server) ranges() (list []portRange) {
	for _, f := range []packet.Family{packet.IPv4, packet.IPv6} {
		for _, c := range s.Chains(f, "nat") {
			for i := range c.Rules {
				if r, ok := rangeOf(&c.Rules[i]); ok {
					list = append(list, r)
				}
			}
		}
	}
	return list
}

// rangeOf reads one rule.
func rangeOf(r *Rule) (p portRange, ok bool) {
	p.ports = Ports
	switch r.Target {
	case "MASQUERADE":
		if v, has := option(r.Text, "--to-ports"); has {
			p.ports = span(v)
		}
	case "SNAT":
		v, _ := option(r.Text, "--to-source")
		if strings.HasPrefix(v, "[") { // [A-B]:ports
			if at := strings.LastIndex(v, "]:"); at > 0 {
				p.ports = span(v[at+2:])
				v = v[:at]
			}
			v = strings.Trim(v, "[]")
		} else if at := strings.LastIndexByte(v, ':'); at > 0 && strings.Count(v, ":") == 1 {
			p.ports = span(v[at+1:])
			v = v[:at]
		}
		from, to, _ := strings.Cut(v, "-")
		var err error
		if p.from, err = netip.ParseAddr(from); err != nil {
			return p, false
		}
		if p.to, err = netip.ParseAddr(to); err != nil {
			p.to = p.from
		}
	default:
		return p, false
	}
	p.proto, _ = option(r.Text, "-p")
	return p, p.ports > 0
}

// option is the word behind an option of a rule.
func option(rule, name string) (string, bool) {
	_, rest, ok := strings.Cut(" "+rule, " "+name+" ")
	if !ok {
		return "", false
	}
	word, _, _ := strings.Cut(rest, " ")
	return word, true
}

// span is the size of a range of ports "A-B" or "A".
func span(v string) int {
	lo, hi, ranged := strings.Cut(v, "-")
	a, err := strconv.ParseUint(lo, 10, 16)
	b := a
	if err == nil && ranged {
		b, err = strconv.ParseUint(hi, 10, 16)
	}
	if err != nil || b < a {
		return Ports
	}
	return int(b-a) + 1
}

// capacity is how many ports an external address has for a peer: the most that
// a rule gives it.
func capacity(list []portRange, external netip.Addr, proto string) int {
	most := 0
	for _, r := range list {
		if r.from.IsValid() && (external.Less(r.from) || r.to.Less(external)) || r.proto != "" && r.proto != proto {
			continue
		}
		most = max(most, r.ports)
	}
	if most == 0 {
		return Ports // the rule is gone, the connections live on
	}
	return most
}
