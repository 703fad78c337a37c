package conntrack

import (
	"encoding/binary"

	"weir/packet"
)

// segment is the fields of a TCP header (RFC 9293 section 3.1) that matter
// here.
type segment struct {
	seq, ack uint32
	end      uint32 // seq + length, SYN and FIN counting as one
	win      uint16
	flags    uint8
	class    tcpClass
	opts     []byte
}

func (s *segment) has(f uint8) bool { return s.flags&f != 0 }

// before is sequence comparison modulo 2^32; after is before reversed.
func before(a, b uint32) bool { return int32(a-b) < 0 }
func after(a, b uint32) bool  { return int32(b-a) < 0 }

// readSegment checks a TCP header and takes it apart.
// Linux: nf_conntrack_proto_tcp.c tcp_error.
func (v *visit) readSegment(s *segment) bool {
	b := v.b
	if len(b) < 20 {
		v.tb.say(whyShort)
		return false
	}
	off := int(b[12]>>4) * 4
	if off < 20 || off > len(b) {
		v.tb.say(whyTruncated)
		return false
	}
	if v.badChecksum() {
		v.tb.say(whyChecksum)
		return false
	}
	f := b[13]
	if !tcpFlagsValid(f) {
		v.tb.say(whyTCPFlags)
		return false
	}
	be := binary.BigEndian
	s.seq, s.ack, s.win, s.flags = be.Uint32(b[4:]), be.Uint32(b[8:]), be.Uint16(b[14:]), f
	s.end = s.seq + uint32(len(b)-off)
	if f&packet.TCPSyn != 0 {
		s.end++
	}
	if f&packet.TCPFin != 0 {
		s.end++
	}
	s.opts = b[20:off]
	s.class = classOf(f)
	return true
}

// tcpFlagsValid reports the combinations that mean something. PSH, ECE and
// CWR go with all. Linux: tcp_valid_flags.
func tcpFlagsValid(f uint8) bool {
	const syn, ack, fin, rst, urg = packet.TCPSyn, packet.TCPAck, packet.TCPFin, packet.TCPRst, packet.TCPUrg
	switch f & (syn | ack | fin | rst | urg) {
	case syn, syn | urg, syn | ack, rst, rst | ack, fin | ack, fin | ack | urg, ack, ack | urg:
		return true
	}
	return false
}

// classOf sorts valid flags into the rows of the state table.
func classOf(f uint8) tcpClass {
	switch {
	case f&packet.TCPRst != 0:
		return classRst
	case f&(packet.TCPSyn|packet.TCPAck) == packet.TCPSyn|packet.TCPAck:
		return classSynAck
	case f&packet.TCPSyn != 0:
		return classSyn
	case f&packet.TCPFin != 0:
		return classFin
	case f&packet.TCPAck != 0:
		return classAck
	}
	return classNone
}

// trackTCP. Linux: nf_conntrack_proto_tcp.c nf_conntrack_tcp_packet.
func trackTCP(v *visit) result {
	var s segment
	if !v.readSegment(&s) {
		return invalid
	}
	t := v.c.TCP()
	if v.fresh() && !v.beginTCP(t, &s) {
		return v.fail(whyInvalidNew)
	}
	old := t.State
	next := tcpNext(v.dir, s.class, old)
	if next == TCPSynSent && old >= TCPTimeWait && old != TCPSynSent2 {
		if t.reopens(v.dir) {
			if v.tb.Kill(v.c, v.now) {
				return repeat
			}
			return dropped
		}
		next = tcpIgnore
	}
	checked := false // in window without looking
	switch {
	case next == tcpIgnore:
		if !t.resync(v.dir, &s) {
			return v.ignoreTCP(t, &s)
		}
		old, next = TCPSynSent, TCPSynRecv
	case next == numTCPStates && v.keepsAlive(t, &s):
		return accepted
	case next == numTCPStates:
		v.tb.why = remark{kind: whyTCPInvalid, a: uint32(s.class), b: uint32(v.dir), c: uint8(old)}
		return invalid
	case next == TCPTimeWait && old == TCPLastAck && s.class == classAck && t.lastDir != v.dir &&
		t.lastClass == classSyn && t.lastFlags&tcpExpChallenge != 0:
		// The answer of a live end to a SYN that was let through.
		t.lastFlags &^= tcpExpChallenge
		v.tb.say(whyTCPChallenge)
		return accepted
	case next == TCPSynSent2:
		t.lastFlags |= tcpSimOpen
	case next == TCPSynRecv && v.dir == Reply && s.class == classAck && t.lastFlags&tcpSimOpen != 0:
		next = TCPEstablished
	case next == TCPClose && s.class == classRst:
		verdict, keep := v.judgeReset(t, &s, old)
		if verdict == resetInvalid {
			return v.fail(whyTCPRST)
		}
		checked = verdict == resetUnchecked
		if keep {
			next = old
		}
	}
	if !checked {
		switch v.inWindow(t, &s) {
		case windowIgnore:
			return accepted
		case windowInvalid:
			v.shrink(t, &s)
			return invalid
		}
	}
	return v.advance(t, &s, old, next)
}

// beginTCP sets up a connection from its first segment.
// Linux: tcp_new.
func (v *visit) beginTCP(t *TCPState, s *segment) bool {
	next := tcpNext(Original, s.class, TCPNone)
	if next != TCPSynSent && next != TCPEstablished {
		return false
	}
	if next == TCPEstablished && !v.tb.cfg.TCPLoose {
		return false
	}
	*t = TCPState{lastClass: classNone}
	o := &t.Side[Original]
	o.End = s.end
	o.MaxWin = max(uint32(s.win), 1)
	o.MaxEnd = s.end
	if next == TCPSynSent {
		o.parseOptions(s.opts)
		return true
	}
	// Its windows may be scaled, by how much nobody knows.
	o.MaxEnd += o.MaxWin
	o.Flags = TCPSackPerm | TCPBeLiberal
	t.Side[Reply].Flags = o.Flags
	return true
}

// reopens reports that a SYN may begin a new connection in place of one that
// is over: a side closed it, or the SYN's sender reset it last.
func (t *TCPState) reopens(d Dir) bool {
	return (t.Side[0].Flags|t.Side[1].Flags)&TCPCloseInit != 0 || t.lastDir == d && t.lastClass == classRst
}

// resync takes over the values of a SYN that was let through without a change
// of state, when this SYN/ACK acknowledges it: the ends agree with each other
// and not with us.
func (t *TCPState) resync(d Dir, s *segment) bool {
	if s.class != classSynAck || t.lastClass != classSyn || t.lastDir == d || s.ack != t.lastEnd {
		return false
	}
	t.lastFlags &^= tcpExpChallenge
	t.Side[t.lastDir] = TCPSide{
		End: t.lastEnd, MaxEnd: t.lastEnd, MaxWin: max(uint32(t.lastWin), 1),
		MaxAck: t.Side[t.lastDir].MaxAck,
		Scale:  t.lastWScale, Flags: t.lastFlags,
	}
	t.Side[d] = TCPSide{Flags: t.Side[d].Flags & TCPBeLiberal}
	return true
}

// ignoreTCP lets a segment through that may be right while we are wrong, and
// remembers it: the answer will tell.
func (v *visit) ignoreTCP(t *TCPState, s *segment) result {
	t.lastClass, t.lastDir = s.class, v.dir
	t.lastSeq, t.lastEnd, t.lastWin = s.seq, s.end, s.win
	if s.class == classSyn && v.dir == Original {
		var side TCPSide
		side.parseOptions(s.opts)
		t.lastFlags, t.lastWScale = side.Flags&(TCPWindowScale|TCPSackPerm), side.Scale
		if t.State == TCPLastAck {
			t.lastFlags |= tcpExpChallenge
		}
	}
	if t.State == TCPSynSent && s.class == classAck && v.dir == Reply {
		t.lastAck = s.ack
	}
	v.tb.why = remark{kind: whyTCPIgnored, a: uint32(s.class), b: uint32(v.dir), c: uint8(t.State)}
	return accepted
}

// resetVerdict is what the sequence number of a reset says.
type resetVerdict uint8

const (
	resetInvalid   resetVerdict = iota
	resetWindow                 // the window decides
	resetUnchecked              // it stands
)

// judgeReset decides on a RST that would close the connection. keep lets it
// through without closing (RFC 5961 section 3: only an exact one closes).
func (v *visit) judgeReset(t *TCPState, s *segment, old TCPStateName) (verdict resetVerdict, keep bool) {
	switch old {
	case TCPFinWait, TCPCloseWait, TCPLastAck, TCPTimeWait, TCPClose:
		return resetUnchecked, false
	}
	peer := &t.Side[1-v.dir]
	if peer.Flags&TCPMaxAckSet != 0 && t.lastClass != classSyn {
		established := old == TCPEstablished && v.c.Status&Assured != 0
		switch {
		case s.seq == 0 && !established:
			return resetWindow, false
		case before(s.seq, peer.MaxAck) && !v.tb.cfg.TCPIgnoreInvalidRST:
			return resetInvalid, false
		case !established || s.seq == peer.MaxAck:
			return resetWindow, false
		case t.lastClass == classAck && t.lastDir == v.dir && s.seq == t.lastEnd:
			return resetWindow, false
		}
		return resetWindow, true
	}
	if s.ack == t.lastEnd && (v.c.Status&SeenReply != 0 && t.lastClass == classSyn && t.lastDir != v.dir ||
		v.c.Status&Assured == 0 && t.lastClass == classAck) {
		return resetUnchecked, false
	}
	if old == TCPSynSent && t.lastClass == classAck && t.lastDir == Reply && s.seq == t.lastAck {
		return resetUnchecked, false
	}
	return resetWindow, false
}

// shrink shortens the life of a connection whose FIN or RST from both sides
// did not fit: it is over, only not for us.
func (v *visit) shrink(t *TCPState, s *segment) {
	if v.c.Status&(Assured|FixedTimeout) != Assured || s.class != classFin && s.class != classRst {
		return
	}
	if t.lastDir == v.dir || t.lastClass != classFin && t.lastClass != classRst {
		t.lastClass, t.lastDir = s.class, v.dir
		return
	}
	unack := v.tcpTimeout(TCPUnack)
	if left := v.c.Expires(v.now); left >= 120*second && left > unack {
		v.tb.setTimeout(v.c, unack, v.now)
	}
}

func (v *visit) tcpTimeout(i int) int64 { return v.tb.timeout(v.c, i, v.tb.cfg.TCPTimeouts[i]) }

// advance makes the transition for a segment that is in window.
func (v *visit) advance(t *TCPState, s *segment, old, next TCPStateName) result {
	t.lastClass, t.lastDir, t.State = s.class, v.dir, next
	if old != next {
		if next == TCPFinWait {
			t.Side[v.dir].Flags |= TCPCloseInit
		}
		v.c.note(EventBitProtoInfo)
	}
	timeout := v.tb.tcpRefresh(v.c, t, next, s.class)
	if v.c.Status&SeenReply == 0 {
		switch {
		case s.has(packet.TCPRst):
			v.tb.killAcct(v.c, v.info, v.p, v.now)
			return accepted
		case s.class == classSyn && old == TCPSynSent:
			return accepted // repeated questions do not keep it alive
		case next == TCPEstablished:
			timeout = min(timeout, v.tcpTimeout(TCPUnack))
		}
	} else if next == TCPEstablished && (old == TCPSynRecv || old == TCPEstablished) {
		v.assure()
	}
	v.refresh(timeout)
	return accepted
}

// tcpRefresh is how long a connection lives after a segment that led to state
// next.
func (tb *Table) tcpRefresh(c *Conn, t *TCPState, next TCPStateName, class tcpClass) int64 {
	values := &tb.cfg.TCPTimeouts
	timeout := tb.timeout(c, int(next), values[next])
	retrans, unack := tb.timeout(c, TCPRetrans, values[TCPRetrans]), tb.timeout(c, TCPUnack, values[TCPUnack])
	flags := t.Side[0].Flags | t.Side[1].Flags
	switch {
	case int(t.retrans) >= tb.cfg.TCPMaxRetrans && timeout > retrans:
		return retrans
	case class == classRst:
		return tb.timeout(c, int(TCPClose), values[TCPClose])
	case flags&TCPDataUnacked != 0 && timeout > unack:
		return unack
	case t.lastWin == 0 && timeout > retrans:
		return retrans
	}
	return timeout
}

// CloseTCP ends a TCP connection that a REJECT rule answered with a reset.
// Linux: nf_conntrack_tcp_set_closing.
func (tb *Table) CloseTCP(c *Conn, now int64) {
	t := c.TCP()
	if t == nil || c.Status&(Confirmed|Dying|FixedTimeout) != Confirmed || t.State == TCPClose {
		return
	}
	t.State = TCPClose
	tb.setTimeout(c, tb.timeout(c, int(TCPClose), tb.cfg.TCPTimeouts[TCPClose]), now)
	c.note(EventBitProtoInfo)
}
