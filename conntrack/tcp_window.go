package conntrack

import (
	"encoding/binary"

	"weir/packet"
)

// window is what the window says to a segment.
type window uint8

const (
	windowAccept window = iota
	windowIgnore        // goes on and changes nothing
	windowInvalid
)

// maxAckWindow is how old an acknowledgement may be at least.
const maxAckWindow = 66000

// inWindow follows Guido van Rooij, "Real Stateful TCP Packet Filtering in IP
// Filter": a segment must lie between what the peer has acknowledged and what
// its window allows, and acknowledge what the peer has sent.
// Linux: nf_conntrack_proto_tcp.c tcp_in_window.
func (v *visit) inWindow(t *TCPState, s *segment) window {
	from, to := &t.Side[v.dir], &t.Side[1-v.dir]
	seq, ack, end := s.seq, s.ack, s.end
	sack := ack
	if to.Flags&TCPSackPerm != 0 {
		sack = highestSack(s.opts, sack)
	}
	if v.c.ext != 0 {
		off := v.tb.SeqOffset(v.c, 1-v.dir, ack-1)
		ack, sack = ack-off, sack-off
	}
	if done := v.learn(t, s, sack); done {
		return windowAccept
	}
	if !s.has(packet.TCPAck) || s.has(packet.TCPRst) && ack == 0 {
		ack, sack = to.End, to.End
	}
	if s.has(packet.TCPRst) && seq == 0 && t.State == TCPSynSent {
		seq, end = from.End, from.End
	}
	if w, done := v.judge(from, to, seq, end, sack); done {
		return w
	}
	t.moveWindow(v.dir, s, seq, ack, end, sack)
	return windowAccept
}

// moveWindow takes over what a segment within its window says. seq, ack, end
// and sack are its numbers as the connection counts them.
func (t *TCPState) moveWindow(d Dir, s *segment, seq, ack, end, sack uint32) {
	from, to, win := &t.Side[d], &t.Side[1-d], uint32(s.win)
	if !s.has(packet.TCPSyn) {
		win <<= from.Scale
	}
	from.MaxWin = max(from.MaxWin, win+(sack-ack))
	if after(end, from.End) {
		from.End = end
		from.Flags |= TCPDataUnacked
	}
	if s.has(packet.TCPAck) {
		if from.Flags&TCPMaxAckSet == 0 || after(ack, from.MaxAck) {
			from.MaxAck = ack
			from.Flags |= TCPMaxAckSet
		}
	}
	if to.MaxWin != 0 && after(end, from.MaxEnd) {
		to.MaxWin += end - from.MaxEnd
	}
	if after(sack+win, to.MaxEnd-1) {
		to.MaxEnd = sack + win
		if win == 0 {
			to.MaxEnd++
		}
	}
	if ack == to.End {
		to.Flags &^= TCPDataUnacked
	}
	if s.class == classAck {
		t.countRepeats(d, seq, ack, end, s.win)
	}
}

// learn sets up the sender's side from its first segment, or from a SYN that
// begins anew. It reports a segment that needs no check: the SYN of a
// simultaneous open.
func (v *visit) learn(t *TCPState, s *segment, sack uint32) (done bool) {
	from, to := &t.Side[v.dir], &t.Side[1-v.dir]
	syn := s.has(packet.TCPSyn)
	switch {
	case from.MaxWin == 0 && !syn:
		// In the middle, its history unknown.
		from.End = s.end
		from.MaxWin = max(uint32(s.win)<<from.Scale, 1)
		from.MaxEnd = s.end + from.MaxWin
		if to.MaxWin == 0 {
			to.End, to.MaxEnd = sack, sack
		} else if sack == to.End+1 {
			to.End++ // the answer to a keepalive
		}
		return false
	case from.MaxWin == 0:
		t.learnSyn(v.dir, s)
		return !s.has(packet.TCPAck)
	case syn && after(s.end, from.End) && (t.State == TCPSynSent || t.State == TCPSynRecv):
		t.learnSyn(v.dir, s)
		return v.dir == Reply && !s.has(packet.TCPAck)
	}
	return false
}

// learnSyn takes window and options from a SYN. Windows are scaled only when
// both sides offered it (RFC 7323 section 2.2).
func (t *TCPState) learnSyn(d Dir, s *segment) {
	from, to := &t.Side[d], &t.Side[1-d]
	from.End, from.MaxEnd = s.end, s.end
	from.MaxWin = max(uint32(s.win), 1)
	from.parseOptions(s.opts)
	if d == Reply && from.Flags&to.Flags&TCPWindowScale == 0 {
		from.Scale, to.Scale = 0, 0
	}
}

// judge applies the four bounds. done is false for a segment within all.
func (v *visit) judge(from, to *TCPSide, seq, end, sack uint32) (w window, done bool) {
	oldest := to.End - max(from.MaxWin, maxAckWindow) - 1
	inRecvWindow := to.MaxWin == 0 || after(end, from.End-to.MaxWin-1)
	if after(seq, from.MaxEnd) {
		over := end - from.MaxEnd + 1
		if to.MaxWin != 0 && inRecvWindow && after(sack, oldest) && over <= to.MaxWin && !after(sack, to.End) {
			from.End = end
			from.Flags |= TCPDataUnacked
			return v.outside(from, windowIgnore, whyOvershoot, over)
		}
		return v.outside(from, windowInvalid, whySeqOver, from.MaxEnd+1)
	}
	if after(sack, to.End) {
		return v.outside(from, windowInvalid, whyAckOver, to.End+1)
	}
	if !inRecvWindow {
		return v.outside(from, windowIgnore, whySeqUnder, from.End-to.MaxWin-1)
	}
	if !after(sack, oldest) {
		return v.outside(from, windowIgnore, whyAckUnder, oldest)
	}
	return windowAccept, false
}

// inside reports a segment to which judge has no objection.
func inside(from, to *TCPSide, seq, end, sack uint32) bool {
	return !after(seq, from.MaxEnd) && !after(sack, to.End) &&
		(to.MaxWin == 0 || after(end, from.End-to.MaxWin-1)) &&
		after(sack, to.End-max(from.MaxWin, maxAckWindow)-1)
}

// liberal reports a sender whose windows are not enforced.
func (v *visit) liberal(from *TCPSide) bool {
	return v.tb.cfg.TCPBeLiberal || from.Flags&TCPBeLiberal != 0
}

// outside is a segment beyond a bound.
func (v *visit) outside(from *TCPSide, w window, k whyKind, n uint32) (window, bool) {
	if v.liberal(from) {
		return windowAccept, true
	}
	v.tb.why = remark{kind: k, a: n}
	return w, true
}

// countRepeats counts the same acknowledgement coming again.
func (t *TCPState) countRepeats(d Dir, seq, ack, end uint32, win uint16) {
	if t.lastDir == d && t.lastSeq == seq && t.lastAck == ack && t.lastEnd == end && t.lastWin == win {
		t.retrans++
		return
	}
	t.lastDir, t.lastSeq, t.lastAck, t.lastEnd, t.lastWin, t.retrans = d, seq, ack, end, win, 0
}

// TCP option kinds (RFC 9293 section 3.2, RFC 7323, RFC 2018).
const (
	optEnd       = 0
	optNop       = 1
	optWScale    = 3
	optSackPerm  = 4
	optSack      = 5
	maxScale     = 14
	sackBaseLen  = 2
	sackBlockLen = 8
)

// parseOptions takes window scale and SACK permission from a SYN's options. A
// segment without options changes nothing. Linux: tcp_options.
func (s *TCPSide) parseOptions(b []byte) {
	if len(b) == 0 {
		return
	}
	s.Scale = 0
	s.Flags &= TCPBeLiberal
	for len(b) > 0 && b[0] != optEnd {
		if b[0] == optNop {
			b = b[1:]
			continue
		}
		if len(b) < 2 || b[1] < 2 || int(b[1]) > len(b) {
			return
		}
		switch {
		case b[0] == optSackPerm && b[1] == 2:
			s.Flags |= TCPSackPerm
		case b[0] == optWScale && b[1] == 3:
			s.Scale = min(b[2], maxScale)
			s.Flags |= TCPWindowScale
		}
		b = b[b[1]:]
	}
}

// highestSack raises ack to the highest right edge of the first SACK option
// (RFC 2018 section 3). Linux: tcp_sack.
func highestSack(b []byte, ack uint32) uint32 {
	for len(b) > 0 && b[0] != optEnd {
		if b[0] == optNop {
			b = b[1:]
			continue
		}
		if len(b) < 2 || b[1] < 2 || int(b[1]) > len(b) {
			return ack
		}
		n := int(b[1])
		if b[0] == optSack && n >= sackBaseLen+sackBlockLen && (n-sackBaseLen)%sackBlockLen == 0 {
			for i := sackBaseLen; i < n; i += sackBlockLen {
				if edge := binary.BigEndian.Uint32(b[i+4:]); after(edge, ack) {
					ack = edge
				}
			}
			return ack
		}
		b = b[n:]
	}
	return ack
}
