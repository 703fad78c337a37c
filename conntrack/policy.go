package conntrack

import "weir/packet"

// TimeoutPolicy is a named set of timeouts for one protocol that rules attach
// to new connections (nfct timeout). Values are in ns in the order of the
// protocol's timeouts: for TCP those of Config.TCPTimeouts, for SCTP those of
// Config.SCTPTimeouts, for UDP and GRE unreplied and replied, else one. A
// value of 0 is taken from the sysctl.
type TimeoutPolicy struct {
	Name   string
	Family packet.Family
	Proto  uint8
	Values [NumTCPTimeouts]int64
}

// AddTimeoutPolicy makes a policy known to templates; one of the same name is
// replaced for new and old connections. At most 254 are held; it reports
// whether there was room.
func (tb *Table) AddTimeoutPolicy(p TimeoutPolicy) bool {
	for i := range tb.policies {
		if tb.policies[i].Name == p.Name {
			tb.policies[i] = p
			return true
		}
	}
	if len(tb.policies) == longPolicy-1 {
		return false
	}
	tb.policies = append(tb.policies, p)
	return true
}

// policyFor is the number of the policy that a template names, 0 if it is
// unknown or for another protocol.
func (tb *Table) policyFor(tmpl *Template, t *Tuple) uint8 {
	if tmpl == nil || tmpl.TimeoutPolicy == "" {
		return 0
	}
	for i := range tb.policies {
		p := &tb.policies[i]
		if p.Name == tmpl.TimeoutPolicy && p.Fits(t.L3, t.Proto) {
			return uint8(i + 1)
		}
	}
	return 0
}

// timeout is the i-th timeout of a connection: that of its policy, else sysctl.
func (tb *Table) timeout(c *Conn, i int, sysctl int64) int64 {
	if c.policy != 0 {
		return tb.policyTimeout(c, i, sysctl)
	}
	return sysctl
}

func (tb *Table) policyTimeout(c *Conn, i int, sysctl int64) int64 {
	if c.policy == longPolicy {
		return max(sysctl, longTimeout(c.Proto(), i))
	}
	if v := tb.policies[c.policy-1].Values[i]; v != 0 {
		return v
	}
	return sysctl
}
