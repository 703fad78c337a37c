package conntrack

import (
	"strconv"
	"strings"

	"weir/packet"
)

// policyTimeouts are the timeouts of a protocol as nfct(8) names them, in the
// order of TimeoutPolicy.Values; nil for a protocol that has none. 255 is
// every protocol without a tracker.
func policyTimeouts(proto uint8) []string {
	switch proto {
	case packet.TCP:
		return []string{"", "SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT", "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT", "CLOSE",
			"SYN_SENT2", "RETRANS", "UNACKNOWLEDGED"}
	case packet.SCTP:
		return []string{"", "CLOSED", "COOKIE_WAIT", "COOKIE_ECHOED", "ESTABLISHED", "SHUTDOWN_SENT", "SHUTDOWN_RECD", "SHUTDOWN_ACK_SENT"}
	case packet.UDP, packet.UDPLite, packet.GRE:
		return []string{"UNREPLIED", "REPLIED"}
	case packet.ICMP, packet.ICMPv6, genericPolicy:
		return []string{"TIMEOUT"}
	}
	return nil
}

// genericPolicy is the protocol of a policy for all that have no tracker.
const genericPolicy = 255

// policyProto is the protocol by which a policy knows another.
func policyProto(proto uint8) uint8 {
	if proto == genericPolicy || policyTimeouts(proto) == nil {
		return genericPolicy
	}
	return proto
}

// Fits reports a policy for the family and protocol of a rule.
func (p *TimeoutPolicy) Fits(f packet.Family, proto uint8) bool {
	return p.Family == f && p.Proto == policyProto(proto)
}

// ParsePolicies reads timeout policies as "nfct list timeout" prints them. An
// error has the line and column where it stands, from 1; line 0 is no error.
func ParsePolicies(text []byte) (list []TimeoutPolicy, line, col int, msg string) {
	const outside, inside, values = 0, 1, 2
	depth := outside
	var p TimeoutPolicy
	for i, l := range strings.Split(string(text), "\n") {
		word := strings.TrimSpace(l)
		at := len(l) - len(strings.TrimLeft(l, " \t")) + 1
		bad := func(msg string) ([]TimeoutPolicy, int, int, string) { return nil, i + 1, at, msg }
		key, value, pair := strings.Cut(strings.TrimSuffix(word, ","), " = ")
		switch {
		case word == "" || word[0] == '#':
		case depth == outside && pair && value == "{" && len(key) > 1 && key[0] == '.':
			p, depth = TimeoutPolicy{Name: key[1:]}, inside
			if len(p.Name) > 31 {
				return bad("the name of a policy has at most 31 bytes")
			}
		case depth == inside && word == ".policy = {":
			if p.Family == 0 || policyTimeouts(p.Proto) == nil {
				return bad(".l3proto (2 or 10) and .l4proto have to stand before .policy")
			}
			depth = values
		case depth == values && word == "},":
			depth = inside
		case depth == inside && word == "};":
			for _, o := range list {
				if o.Name == p.Name {
					return bad("there are two policies " + p.Name)
				}
			}
			list, depth = append(list, p), outside
		case depth != outside && pair && key[0] == '.':
			n, err := strconv.ParseUint(value, 10, 32)
			if err != nil {
				at += len(key) + 3
				return bad(strconv.Quote(value) + " is not a number")
			}
			if depth == inside {
				switch {
				case key == ".l3proto" && n == 2:
					p.Family = packet.IPv4
				case key == ".l3proto" && n == 10:
					p.Family = packet.IPv6
				case key == ".l4proto" && n <= 255 && policyTimeouts(uint8(n)) != nil:
					p.Proto = uint8(n)
				default:
					return bad("no such family or protocol: " + word)
				}
				continue
			}
			slot := -1
			for j, name := range policyTimeouts(p.Proto) {
				if name != "" && name == key[1:] {
					slot = j
				}
			}
			if slot < 0 {
				return bad(key + " is not a timeout of this protocol")
			}
			// A timeout of nothing is one tick: 0 would be the sysctl's.
			p.Values[slot] = max(int64(n)*second, 1)
		default:
			return bad(`not what "nfct list timeout" prints`)
		}
	}
	if depth != outside {
		return nil, strings.Count(string(text), "\n") + 1, 1, "policy " + p.Name + " has no end"
	}
	return list, 0, 0, ""
}
