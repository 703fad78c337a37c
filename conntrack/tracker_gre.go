package conntrack

// GREState is a GRE connection's own timeouts, ns: the PPTP helper raises
// them.
type GREState struct{ Timeout, StreamTimeout int64 }

// trackGRE. Linux: net/netfilter/nf_conntrack_proto_gre.c.
func trackGRE(v *visit) result {
	g := v.c.GRE()
	if v.fresh() {
		g.Timeout = v.tb.timeout(v.c, 0, v.tb.cfg.GRETimeout)
		g.StreamTimeout = v.tb.timeout(v.c, 1, v.tb.cfg.GREStreamTimeout)
	}
	if v.c.Status&SeenReply == 0 {
		v.refresh(g.Timeout)
		return accepted
	}
	v.refresh(g.StreamTimeout)
	if v.c.Status&NATClash == 0 {
		v.assure()
	}
	return accepted
}
