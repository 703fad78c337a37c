package helper

import (
	"encoding/binary"

	"weir/conntrack"
	"weir/hook"
	"weir/nat"
	"weir/packet"
)

// pptp expects the GRE packets of a call, in both directions, and keeps calls of
// translated clients apart (RFC 2637). One call a control connection, which the
// client (PNS) opens. Linux: nf_conntrack_pptp.c, nf_nat_pptp.c.
func pptp() helper {
	return helper{name: "pptp", families: four(), proto: packet.TCP, classes: one(2, 300*second), help: helpPPTP, destroy: endPPTP}
}

// What the helper remembers of a control connection.
const (
	pptpSession = iota // state of the session
	pptpCall           // state of the call
	pptpPAC            // call id of the server, as it goes over the net
	pptpPNS            // call id of the client, as the server sees it
	pptpNATPNS         // call id of the client, as the client chose it
	pptpNATPAC         // call id of the server, when the call began
)

// States of a session.
const (
	sessionNone = iota
	sessionError
	sessionStopping
	sessionRequested
	sessionConfirmed
)

// States of a call.
const (
	callNone = iota
	callError
	callOutRequested
	callOutConfirmed
	callInRequested
	callInAccepted
	callInConfirmed
	callClearing
)

// Control messages (RFC 2637 section 1.4).
const (
	startRequest     = 1
	startReply       = 2
	stopRequest      = 3
	stopReply        = 4
	echoRequest      = 5
	echoReply        = 6
	outCallRequest   = 7
	outCallReply     = 8
	inCallRequest    = 9
	inCallReply      = 10
	inCallConnect    = 11
	clearRequest     = 12
	disconnectNotify = 13
	wanError         = 14
	setLinkInfo      = 15
)

// pptpLen is how long the body of a message is at least.
func pptpLen(msg uint16) int {
	lengths := [...]int{
		startRequest: 144, startReply: 144, stopRequest: 4, stopReply: 4, outCallRequest: 156, outCallReply: 20,
		inCallRequest: 208, inCallReply: 12, inCallConnect: 16, clearRequest: 4, disconnectNotify: 136, wanError: 28, setLinkInfo: 12,
	}
	if int(msg) >= len(lengths) {
		return 0
	}
	return lengths[msg]
}

func helpPPTP(k *call) hook.Verdict {
	const header, control, cookie = 12, 1, 0x1a2b3c4d
	if !k.established() {
		return hook.Accept
	}
	off, data, ok := k.tcp()
	be := binary.BigEndian
	if !ok || len(data) < header || be.Uint16(data[2:]) != control || be.Uint32(data[4:]) != cookie {
		return hook.Accept
	}
	msg, body := be.Uint16(data[8:]), data[header:]
	if len(body) < pptpLen(msg) {
		return hook.Accept
	}
	at := -1 // of the call id to be rewritten, in the body
	id := uint16(0)
	if k.dir == conntrack.Original {
		ok = k.pptpOut(msg, body)
		at, id = k.pptpRewriteOut(msg, ok)
	} else {
		ok = k.pptpIn(msg, body)
		at, id = k.pptpRewriteIn(msg)
	}
	if !ok || at < 0 || !k.translated() {
		return hook.Accept
	}
	if !k.replace(off+header+at, 2, be.AppendUint16(nil, id), true) {
		return k.t.Drop(hook.ReasonHelper)
	}
	return hook.Accept
}

// pptpOut follows what the client says; false if it fits nowhere.
func (k *call) pptpOut(msg uint16, body []byte) bool {
	const accepted = 1
	d, be := k.tb.HelpData(k.c), binary.BigEndian
	switch msg {
	case startRequest:
		if d[pptpSession] != sessionNone {
			return false
		}
		d[pptpSession] = sessionRequested
	case stopRequest:
		d[pptpSession] = sessionStopping
	case outCallRequest:
		if d[pptpSession] != sessionConfirmed {
			return false
		}
		d[pptpCall], d[pptpPNS] = callOutRequested, uint32(be.Uint16(body))
	case inCallReply:
		if c := d[pptpCall]; c != callInRequested && c != callInAccepted || d[pptpPAC] != uint32(be.Uint16(body[2:])) {
			return false
		}
		d[pptpCall] = callNone
		if body[4] == accepted {
			d[pptpCall], d[pptpPNS] = callInAccepted, uint32(be.Uint16(body))
		}
	case clearRequest:
		if d[pptpSession] != sessionConfirmed {
			return false
		}
		d[pptpCall] = callClearing
	case setLinkInfo, echoRequest, echoReply:
	default:
		return false
	}
	return true
}

// pptpIn follows what the server says; false if it fits nowhere.
func (k *call) pptpIn(msg uint16, body []byte) bool {
	const good = 1
	d, be := k.tb.HelpData(k.c), binary.BigEndian
	confirmed := d[pptpSession] == sessionConfirmed
	switch msg {
	case startReply:
		if d[pptpSession] < sessionRequested {
			return false
		}
		d[pptpSession] = sessionError
		if body[2] == good {
			d[pptpSession] = sessionConfirmed
		}
	case stopReply:
		if d[pptpSession] > sessionStopping {
			return false
		}
		d[pptpSession] = sessionError
		if body[0] == good {
			d[pptpSession] = sessionNone
		}
	case outCallReply:
		if !confirmed || d[pptpCall] != callOutRequested && d[pptpCall] != callOutConfirmed ||
			d[pptpPNS] != uint32(be.Uint16(body[2:])) {
			return false
		}
		d[pptpCall] = callNone
		if body[4] == good {
			d[pptpCall], d[pptpPAC] = callOutConfirmed, uint32(be.Uint16(body))
			k.expectGRE(be.Uint16(body), be.Uint16(body[2:]))
		}
	case inCallRequest:
		if !confirmed {
			return false
		}
		d[pptpCall], d[pptpPAC] = callInRequested, uint32(be.Uint16(body))
	case inCallConnect:
		if !confirmed || d[pptpCall] != callInAccepted && d[pptpCall] != callInConfirmed || d[pptpPNS] != uint32(be.Uint16(body)) {
			return false
		}
		d[pptpCall] = callInConfirmed
		k.expectGRE(uint16(d[pptpPAC]), be.Uint16(body))
	case disconnectNotify:
		d[pptpCall] = callNone
		endPPTP(k.tb, k.c, k.t.Now)
	case wanError, setLinkInfo, echoRequest, echoReply:
	default:
		return false
	}
	return true
}

// pptpRewriteOut says where a translated client's message has its call id, and
// what the server is to see. The TCP source port makes ids unique.
func (k *call) pptpRewriteOut(msg uint16, fits bool) (at int, id uint16) {
	d := k.tb.HelpData(k.c)
	switch msg {
	case outCallRequest:
		if fits && k.translated() {
			d[pptpNATPNS] = d[pptpPNS]
			d[pptpPNS] = uint32(k.c.Tuple[conntrack.Reply].DstL4)
		}
	case inCallReply, clearRequest:
	default:
		return -1, 0
	}
	return 0, uint16(d[pptpPNS])
}

// pptpRewriteIn says where a message to a translated client has the client's
// call id, and what the client is to see.
func (k *call) pptpRewriteIn(msg uint16) (at int, id uint16) {
	id = uint16(k.tb.HelpData(k.c)[pptpNATPNS])
	switch msg {
	case outCallReply:
		return 2, id
	case inCallConnect, wanError, disconnectNotify, setLinkInfo:
		return 0, id
	}
	return -1, 0
}

// expectGRE expects the packets of a call from both ends.
// Linux: exp_gre, pptp_exp_gre.
func (k *call) expectGRE(id, peer uint16) {
	var e [2]conntrack.Expect
	for d := range e {
		t := &k.c.Tuple[d]
		to, from := id, peer
		if conntrack.Dir(d) == conntrack.Reply {
			to, from = peer, id
		}
		e[d] = k.expect(0, packet.GRE, &t.Src, t.Dst, to)
		e[d].Tuple.SrcL4, e[d].SrcL4Mask, e[d].Fn = from, 0xffff, fnPPTP
	}
	if k.translated() {
		d := k.tb.HelpData(k.c)
		d[pptpNATPAC] = d[pptpPAC]
		out, in := &e[conntrack.Original], &e[conntrack.Reply]
		out.SavedL4, out.Dir = uint16(d[pptpPNS]), conntrack.Original
		out.Tuple.SrcL4, out.Tuple.DstL4 = uint16(d[pptpNATPNS]), uint16(d[pptpPAC])
		in.SavedL4, in.Dir = uint16(d[pptpNATPNS]), conntrack.Reply
		in.Tuple.SrcL4, in.Tuple.DstL4 = uint16(d[pptpNATPAC]), uint16(d[pptpPNS])
	}
	a, res := k.enter(&e[0], false)
	if res != conntrack.ExpectOK {
		return
	}
	b, res := k.enter(&e[1], false)
	if res != conntrack.ExpectOK {
		k.tb.Unexpect(a, k.t.Now)
		return
	}
	if k.tb.AddGREKey(k.c, conntrack.Original, &a.Tuple) {
		if k.tb.AddGREKey(k.c, conntrack.Reply, &b.Tuple) {
			return
		}
		k.tb.ForgetGREKeys(k.c.ID())
	}
	k.tb.Unexpect(b, k.t.Now)
	k.tb.Unexpect(a, k.t.Now)
}

// pptpExpected finishes the first GRE connection of a call: the other direction
// is not expected any more. Linux: pptp_expectfn, pptp_nat_expected.
func pptpExpected(t *hook.Traversal, c, master *conntrack.Conn, e *conntrack.Expect) {
	tb := t.Env.CT
	zone := max(c.Tuple[0].Zone, c.Tuple[1].Zone)
	other := func(x conntrack.Tuple) {
		x.Zone = 0
		if o := tb.FindExpect(&x, zone); o != nil {
			tb.Unexpect(o, t.Now)
		}
	}
	if master.Status&conntrack.NATMask == 0 {
		if x, ok := e.Tuple.Inverse(); ok {
			other(x)
		}
		return
	}
	from := &master.Tuple[1-e.Dir]
	x := conntrack.Tuple{L3: packet.IPv4, Proto: packet.GRE, Src: from.Src, Dst: from.Dst}
	if e.Dir == conntrack.Original {
		d := tb.HelpData(master)
		x.SrcL4, x.DstL4 = uint16(d[pptpPAC]), uint16(d[pptpPNS])
	}
	// For the reply Linux asks the new connection for call ids, which has none.
	other(x)
	for _, m := range []nat.Manip{nat.Source, nat.Destination} {
		r := nat.Range{Flags: nat.MapIPs, MinAddr: from.Dst}
		if m == nat.Destination {
			r.MinAddr = from.Src
		}
		r.MaxAddr = r.MinAddr
		if (m == nat.Source) == (e.Dir == conntrack.Original) {
			r.Flags |= nat.ProtoSpecified
			r.MinPort, r.MaxPort = e.SavedL4, e.SavedL4
		}
		nat.Setup(t, c, &r, m)
	}
}

// endPPTP ends the call of a control connection, whether its packets were seen
// or are expected only. Linux: pptp_destroy_siblings.
func endPPTP(tb *conntrack.Table, c *conntrack.Conn, now int64) {
	tb.ForgetGREKeys(c.ID())
	d := tb.HelpData(c)
	zone := max(c.Tuple[0].Zone, c.Tuple[1].Zone)
	for dir, id := range [2][2]uint32{{d[pptpPNS], d[pptpPAC]}, {d[pptpPAC], d[pptpPNS]}} {
		t := c.Tuple[dir]
		t.Proto, t.SrcL4, t.DstL4 = packet.GRE, uint16(id[0]), uint16(id[1])
		if sibling, _ := tb.Lookup(&t, now); sibling != nil {
			tb.Kill(sibling, now)
			continue
		}
		t.Zone = 0
		if e := tb.FindExpect(&t, zone); e != nil {
			tb.Unexpect(e, now)
		}
	}
}
