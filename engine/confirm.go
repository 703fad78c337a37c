package engine

import (
	"weir/conntrack"
	"weir/helper"
	"weir/hook"
	"weir/trace"
)

// confirm is the last function of the last hook: it moves the sequence numbers
// of a connection whose data changed its length, and puts a new connection into
// the table. Linux: nf_confirm.
func (m *Machine) confirm(t *hook.Traversal) hook.Verdict {
	c := t.CT.Conn
	if c == nil {
		return hook.Accept
	}
	if c.Extended() && t.CT.Info != conntrack.InfoRelatedReply && t.Pkt.L4 >= 0 {
		if v := m.extended(t); v != hook.Accept {
			return v
		}
	}
	fresh := t.Trace.On() && !c.Has(confirmedStatus)
	out := m.env.CT.Confirm(&t.CT, t.Pkt, t.Now)
	if !out.OK {
		if t.Trace.On() {
			t.Trace.Add(trace.Step{Kind: trace.KindConfirm, Text: m.env.CT.Why(), Verdict: "DROP"})
		}
		return t.Drop(reasonOf(out.Cause))
	}
	if fresh {
		m.traceConfirm(t)
	}
	return hook.Accept
}

// extended does what connections with an extension need. Errors of ICMP come
// here too when they answer the reply direction, as in Linux.
func (m *Machine) extended(t *hook.Traversal) hook.Verdict {
	c := t.CT.Conn
	// As it was before the helper changed the length of this very packet.
	adjust := c.Has(conntrack.SeqAdjust) && (t.In == nil || !t.In.Loopback)
	rewritten := false
	if id := m.env.CT.Helper(c); id != 0 {
		var v hook.Verdict
		if v, rewritten = m.helpers.Help(t, id); v != hook.Accept {
			return v
		}
	}
	if !adjust {
		return hook.Accept
	}
	if !m.env.CT.AdjustSeq(c, t.CT.Info.Dir(), t.Pkt.Payload()) {
		if t.Trace.On() {
			t.Trace.Add(trace.Step{Kind: trace.KindHelper, Text: "sequence numbers cannot be moved: broken TCP options", Verdict: "DROP"})
		}
		return t.Drop(hook.ReasonHelper)
	}
	if rewritten && c.Proto() == t.Pkt.Proto {
		helper.SumAnew(t.Pkt)
	}
	return hook.Accept
}
