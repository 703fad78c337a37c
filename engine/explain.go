package engine

import (
	"strconv"

	"weir/conntrack"
	"weir/hook"
	"weir/trace"
)

const confirmedStatus = conntrack.Confirmed

// reasonOf is the reason of a drop that conntrack asks for.
func reasonOf(c conntrack.Cause) hook.Reason {
	switch c {
	case conntrack.CauseTableFull:
		return hook.ReasonTableFull
	case conntrack.CauseClash, conntrack.CauseChainTooLong:
		return hook.ReasonClash
	case conntrack.CauseDying:
		return hook.ReasonDying
	default:
		return hook.ReasonInvalidTracked
	}
}

// logInvalid writes the line that nf_conntrack_log_invalid asks for.
func (m *Machine) logInvalid(t *hook.Traversal) {
	if m.env.Log != nil && m.env.CT.LogsWhy(t.Pkt.Proto) {
		m.env.Log.Log(t, hook.LogRecord{
			Source: "nf_ct_proto_" + strconv.Itoa(int(t.Pkt.Proto)), Level: 4, Text: m.env.CT.Why(),
		})
	}
}

// traceTrack tells what conntrack made of the packet.
func (m *Machine) traceTrack(t *hook.Traversal, before conntrack.Ref) {
	s := trace.Step{Kind: trace.KindConntrack, Match: t.CT.Conn != nil, Verdict: "ACCEPT"}
	state := t.CT.State()
	switch {
	case before != conntrack.Ref{}:
		s.Text = "has its connection already"
	case t.CT.Untracked():
		s.Text = "never tracked"
	case t.CT.Conn == nil:
		s.Text = "INVALID: " + m.env.CT.Why()
	default:
		s.Text = describe(t)
		if why := m.env.CT.Why(); why != "" {
			s.Text += "; " + why
		}
	}
	s.Detail = append(s.Detail, trace.Pair{Key: "state", Value: state.String()})
	if c := t.CT.Conn; c != nil {
		dir := "original"
		if t.CT.Info.Dir() == conntrack.Reply {
			dir = "reply"
		}
		s.Detail = append(s.Detail,
			trace.Pair{Key: "conn", Value: strconv.FormatUint(c.Seq, 10)},
			trace.Pair{Key: "dir", Value: dir})
		if tcp := c.TCP(); tcp != nil {
			s.Detail = append(s.Detail, trace.Pair{Key: "tcp", Value: tcp.State.String()})
		}
	}
	t.Trace.Add(s)
}

// describe names the packet's connection and what the packet is to it.
func describe(t *hook.Traversal) string {
	c := t.CT.Conn
	id := "#" + strconv.FormatUint(c.Seq, 10)
	text := t.CT.State().String() + " " + id
	if !c.Has(conntrack.Confirmed) {
		text = "new " + id
	} else if t.CT.Info.Dir() == conntrack.Reply {
		text += " reply"
	}
	if tcp := c.TCP(); tcp != nil && t.CT.State() != conntrack.StateRelated {
		text += " " + tcp.State.String()
	}
	if !c.Has(conntrack.Confirmed) {
		text += ", unconfirmed"
	}
	return text
}

// traceConfirm tells that a new connection entered the table.
func (m *Machine) traceConfirm(t *hook.Traversal) {
	c := t.CT.Conn
	s := trace.Step{Kind: trace.KindConfirm, Match: true, Verdict: "ACCEPT"}
	switch {
	case c == nil || !c.Has(conntrack.Confirmed):
		s.Text = "stays unconfirmed: the connection of the packet that this answers"
	case c.Has(conntrack.NATClash):
		id := strconv.FormatUint(c.Seq, 10)
		s.Text = "#" + id + " lost a clash: only its reply is entered, for a second"
		s.Detail = []trace.Pair{{Key: "conn", Value: id}}
	default:
		id := strconv.FormatUint(c.Seq, 10)
		s.Text = "#" + id + " confirmed, " + strconv.FormatInt(c.Expires(t.Now)/1e9, 10) + " s"
		s.Detail = []trace.Pair{{Key: "conn", Value: id}}
	}
	t.Trace.Add(s)
}
