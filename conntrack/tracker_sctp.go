package conntrack

import "encoding/binary"

const sctpHeaderLen = 12

// chunkSet is which chunk types a packet holds.
type chunkSet [256 / 64]uint64

func (s *chunkSet) add(t uint8)      { s[t/64] |= 1 << (t % 64) }
func (s *chunkSet) has(t uint8) bool { return s[t/64]&(1<<(t%64)) != 0 }
func (s *chunkSet) hasAny(ts ...uint8) bool {
	for _, t := range ts {
		if s.has(t) {
			return true
		}
	}
	return false
}

// initLen is an INIT or INIT ACK chunk without its parameters.
const initLen = 20

// nextChunk is the packet from the chunk at the head of b on, and what lies
// behind that chunk and its padding. A last chunk may be cut off. ok is false
// at the end.
func nextChunk(b []byte) (chunk, rest []byte, ok bool) {
	if len(b) < 4 {
		return nil, nil, false
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	if n == 0 {
		return nil, nil, false
	}
	padded := (n + 3) &^ 3
	return b, b[min(padded, len(b)):], true
}

// readChunks checks which chunks stand where. Linux: do_basic_checks.
func readChunks(b []byte) (set chunkSet, ok bool) {
	count, alone := 0, false
	for len(b) >= 4 {
		chunk, rest, more := nextChunk(b)
		if !more {
			return set, false // a length of zero
		}
		typ := chunk[0]
		switch typ {
		case chunkInit, chunkInitAck, chunkShutdownComplete:
			alone = true
		case chunkCookieEcho, chunkCookieAck:
			if count != 0 {
				return set, false
			}
		}
		if alone && count != 0 {
			return set, false
		}
		set.add(typ)
		count++
		b = rest
	}
	return set, count != 0
}

// trackSCTP. Linux: nf_conntrack_proto_sctp.c nf_conntrack_sctp_packet.
func trackSCTP(v *visit) result {
	if len(v.b) < sctpHeaderLen {
		return v.fail(whyShort)
	}
	if v.badChecksum() {
		return v.fail(whyChecksum)
	}
	set, ok := readChunks(v.b[sctpHeaderLen:])
	if !ok {
		return v.fail(whySCTPChunks)
	}
	tag := binary.BigEndian.Uint32(v.b[4:])
	s := v.c.SCTP()
	if v.fresh() {
		if set.hasAny(chunkAbort, chunkShutdownComplete, chunkCookieAck) || !v.beginSCTP(s, tag) {
			return v.fail(whyInvalidNew)
		}
	}
	if !set.hasAny(chunkInit, chunkShutdownComplete, chunkCookieEcho, chunkAbort, chunkShutdownAck,
		chunkHeartbeat, chunkHeartbeatAck) && tag != s.Tag[v.dir] {
		return v.fail(whySCTPTag)
	}
	w := sctpWalk{visit: v, s: s, tag: tag, data: set.has(chunkData), state: s.State}
	for chunk, rest, more := nextChunk(v.b[sctpHeaderLen:]); more; chunk, rest, more = nextChunk(rest) {
		if why := w.chunk(chunk); why != whyNothing {
			return v.fail(why)
		}
	}
	if w.ignore {
		return accepted
	}
	v.refresh(v.tb.timeout(v.c, int(w.state), v.tb.cfg.SCTPTimeouts[w.state]))
	return accepted
}

// beginSCTP sets up a connection from its first packet. Linux: sctp_new.
func (v *visit) beginSCTP(s *SCTPState, tag uint32) bool {
	*s = SCTPState{}
	state := SCTPNone
	for chunk, rest, more := nextChunk(v.b[sctpHeaderLen:]); more; chunk, rest, more = nextChunk(rest) {
		state = sctpNext(Original, chunk[0], SCTPNone)
		if state == SCTPNone || state == sctpInvalid {
			return false
		}
		switch chunk[0] {
		case chunkInit:
			if tag != 0 || len(chunk) < initLen {
				return false
			}
			s.Tag[Reply] = binary.BigEndian.Uint32(chunk[4:])
		case chunkHeartbeat:
			s.Tag[Original] = tag
		case chunkShutdownAck:
			s.Tag[Reply] = tag
		}
	}
	return state != SCTPNone
}

// sctpWalk is the way through one packet's chunks.
type sctpWalk struct {
	*visit
	s      *SCTPState
	tag    uint32 // of the packet
	data   bool   // holds DATA
	ignore bool   // goes on and changes nothing more
	state  SCTPStateName
}

// chunk makes one chunk's transition; a reason means that it is invalid.
func (w *sctpWalk) chunk(b []byte) whyKind {
	s, dir, typ := w.s, w.dir, b[0]
	skip, why := w.checkTag(b)
	if skip || why != whyNothing {
		return why
	}
	old := s.State
	next := sctpNext(dir, typ, old)
	if next == sctpInvalid {
		return whySCTPState
	}
	switch typ {
	case chunkInit:
		if len(b) < initLen {
			return whySCTPChunks
		}
		w.markInit(binary.BigEndian.Uint32(b[4:]))
		if old == SCTPClosed && next == SCTPClosed && !w.fresh() {
			w.ignore = true
		}
	case chunkInitAck:
		if why := w.initAck(b); why != whyNothing {
			return why
		}
	}
	s.State, w.state = next, next
	if old != next {
		w.c.note(EventBitProtoInfo)
		if next == SCTPEstablished {
			w.assure()
		}
	}
	return whyNothing
}

// markInit remembers the peer's tag and who began. An INIT that repeats the
// known tag says nothing new. When both began before, the later one counts.
func (w *sctpWalk) markInit(tag uint32) {
	s, dir := w.s, w.dir
	if w.fresh() || tag != s.Tag[1-dir] {
		if s.init[0] && s.init[1] {
			s.init[1-dir] = false
		}
		s.init[dir] = true
	}
	s.Tag[1-dir] = tag
}

// initAck takes the peer's tag; of two INITs that crossed, it must answer the
// one that stands.
func (w *sctpWalk) initAck(b []byte) whyKind {
	if len(b) < initLen {
		return whySCTPChunks
	}
	s, dir := w.s, w.dir
	tag, known := binary.BigEndian.Uint32(b[4:]), s.Tag[1-dir]
	if !s.init[1-dir] && known != 0 && known != tag {
		return whySCTPTag
	}
	if s.init[0] && s.init[1] && known != tag {
		return whySCTPTag
	}
	s.Tag[1-dir] = tag
	return whyNothing
}

// checkTag compares the packet's verification tag as the chunk's type asks
// (RFC 9260 section 8.5). skip is a heartbeat that is let through.
func (w *sctpWalk) checkTag(b []byte) (skip bool, why whyKind) {
	s, dir := w.s, w.dir
	switch b[0] {
	case chunkInit:
		if w.tag != 0 {
			return false, whySCTPTag
		}
	case chunkAbort, chunkShutdownComplete:
		// With the T bit the sender had no tag and reflected ours.
		want := s.Tag[dir]
		if b[1]&1 != 0 {
			want = s.Tag[1-dir]
		}
		if w.tag != want {
			return false, whySCTPTag
		}
	case chunkCookieEcho:
		if w.tag != s.Tag[dir] {
			return false, whySCTPTag
		}
	case chunkCookieAck:
		s.init = [2]bool{}
	case chunkHeartbeat:
		return w.heartbeat()
	case chunkHeartbeatAck:
		return false, w.heartbeatAck()
	}
	return false, whyNothing
}

func (w *sctpWalk) heartbeat() (skip bool, why whyKind) {
	s, dir := w.s, w.dir
	switch {
	case s.Tag[dir] == 0:
		s.Tag[dir] = w.tag
	case w.tag == s.Tag[dir]:
		s.hbFailed = false
	case w.data || w.ignore:
		return false, whySCTPTag
	default:
		s.hbFailed, s.lastDir = true, dir
		w.ignore = true
		return true, whyNothing
	}
	return false, whyNothing
}

func (w *sctpWalk) heartbeatAck() whyKind {
	s, dir := w.s, w.dir
	switch {
	case s.Tag[dir] == 0:
		s.Tag[dir] = w.tag
	case w.tag == s.Tag[dir]:
		s.hbFailed = false
	case !s.hbFailed || s.lastDir == dir || w.data || w.ignore:
		return whySCTPTag
	default:
		s.hbFailed = false
		s.Tag[dir], s.Tag[1-dir] = w.tag, 0
	}
	return whyNothing
}
