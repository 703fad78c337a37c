package engine

import (
	"weir/conntrack"
	"weir/helper"
	"weir/hook"
	"weir/nat"
	"weir/packet"
	"weir/xtables"
)

// side is what a machine has once per family.
type side struct {
	rules *xtables.Ruleset
	// tracked: conntrack runs, and so does defragmentation, which alone is
	// defrags. As in Linux, the first rule that needs them switches them on for
	// its family.
	tracked, defrags bool

	raw, mangle, nat, filter, security *xtables.Table // nil: the table was never used
}

// of is the side of a packet's family.
func (m *Machine) of(t *hook.Traversal) *side {
	if t.Pkt.Family == packet.IPv6 {
		return &m.sides[1]
	}
	return &m.sides[0]
}

func walk(tb *xtables.Table, t *hook.Traversal) hook.Verdict {
	if tb == nil {
		return hook.Accept
	}
	return tb.Walk(t)
}

func (m *Machine) raw(t *hook.Traversal) hook.Verdict      { return walk(m.of(t).raw, t) }
func (m *Machine) mangle(t *hook.Traversal) hook.Verdict   { return walk(m.of(t).mangle, t) }
func (m *Machine) filter(t *hook.Traversal) hook.Verdict   { return walk(m.of(t).filter, t) }
func (m *Machine) security(t *hook.Traversal) hook.Verdict { return walk(m.of(t).security, t) }

// walkNAT is what NAT asks for a connection's first packet.
func (m *Machine) walkNAT(t *hook.Traversal) hook.Verdict { return walk(m.of(t).nat, t) }

// defrag makes fragments whole where they are tracked.
func (m *Machine) defrag(t *hook.Traversal) hook.Verdict {
	if !m.of(t).defrags {
		return hook.Accept
	}
	return m.router.Defrag(t)
}

// track is conntrack's way in. Linux: nf_conntrack_in.
func (m *Machine) track(t *hook.Traversal) hook.Verdict {
	if !m.of(t).tracked {
		return hook.Accept
	}
	if m.memory.judged {
		m.memory.judged = false
		m.logInvalid(t)
		return m.tracked(t, m.memory.verdict)
	}
	if t.Template != nil {
		t.CT = conntrack.Ref{} // it carried the template
	}
	before := t.CT
	out := m.env.CT.Track(t.Pkt, t.Template, &t.CT, t.Mark, t.Point == hook.Prerouting, t.Now)
	t.Template = nil
	met := m.env.CT.Met()
	if t.Trace.On() {
		m.traceTrack(t, before)
	}
	if met != nil && t.CT.Conn != nil {
		helper.Expected(t, met)
	}
	m.logInvalid(t)
	return m.tracked(t, out)
}

func (m *Machine) tracked(t *hook.Traversal, out conntrack.Outcome) hook.Verdict {
	if !out.OK {
		return t.Drop(reasonOf(out.Cause))
	}
	return hook.Accept
}

// nat translates. Linux: nf_nat_inet_fn and its wrappers.
func (m *Machine) nat(t *hook.Traversal) hook.Verdict {
	if m.of(t).nat == nil {
		return hook.Accept
	}
	return nat.Hook(t, m.walkNAT)
}

// natOutput translates a packet of this machine's own and routes it again when
// the connection's destination differs. Linux: nf_nat_ipv4_local_fn.
func (m *Machine) natOutput(t *hook.Traversal) hook.Verdict {
	v := m.nat(t)
	if c := t.CT.Conn; v == hook.Accept && c != nil {
		d := t.CT.Info.Dir()
		if c.Tuple[d].Dst != c.Tuple[1-d].Src {
			return m.router.Reroute(t)
		}
	}
	return v
}

// mangleOutput walks mangle and routes the packet again when the walk changed
// what routing looks at. Linux: ipt_mangle_out, ip6t_mangle_out.
func (m *Machine) mangleOutput(t *hook.Traversal) hook.Verdict {
	if m.of(t).mangle == nil {
		return hook.Accept
	}
	before := routeInputs(t)
	v := m.mangle(t)
	if v == hook.Accept && routeInputs(t) != before {
		return m.router.Reroute(t)
	}
	return v
}

// routingInputs is what mangle OUTPUT compares before and after its walk.
type routingInputs struct {
	src, dst  packet.Addr
	mark      uint32
	tos       uint8
	hopLimit  uint8
	flowLabel [4]byte
}

func routeInputs(t *hook.Traversal) routingInputs {
	in := routingInputs{src: t.Pkt.Src(), dst: t.Pkt.Dst(), mark: t.Mark, tos: t.Pkt.TOS()}
	if t.Pkt.Family == packet.IPv6 {
		in.hopLimit = t.Pkt.TTL()
		in.flowLabel = [4]byte(t.Pkt.Data[:4])
	}
	return in
}
