package helper

import (
	"bytes"
	"encoding/binary"

	"weir/conntrack"
	"weir/hook"
	"weir/packet"
)

// sipUDP and sipTCP expect the media streams of calls and, for a client that
// registered, the calls themselves (RFC 3261, RFC 4566).
// Linux: nf_conntrack_sip.c, nf_nat_sip.c, with the parameters of the module as
// they are without being set: media and calls between the ends of the signalling
// only.
func sipUDP() helper {
	return helper{name: "sip", families: both(), proto: packet.UDP, classes: sipClasses(), help: helpSIPUDP}
}

func sipTCP() helper {
	return helper{name: "sip", families: both(), proto: packet.TCP, classes: sipClasses(), help: helpSIPTCP}
}

// Classes of expectations.
const (
	sipSignalling = iota
	sipAudio
	sipVideo
	sipImage
)

func sipClasses() []conntrack.ExpectPolicy {
	const timeout = 180 * second
	return []conntrack.ExpectPolicy{
		sipSignalling: {Name: "signalling", Max: 1, Timeout: timeout}, sipAudio: {Name: "audio", Max: 4, Timeout: timeout},
		sipVideo: {Name: "video", Max: 4, Timeout: timeout}, sipImage: {Name: "image", Max: 2, Timeout: timeout},
	}
}

// What the helper remembers of a connection.
const (
	sipRegister = iota // CSeq of the last REGISTER
	sipInvite          // CSeq of the last INVITE
	sipForced          // the port at which the client wants answers, 0 for its own
)

// sipShortest is the length of "SIP/2.0 200".
const sipShortest = 11

const sipTimeout = 3600 * second

func helpSIPUDP(k *call) hook.Verdict {
	off, data, ok := k.udp()
	if !ok {
		return hook.Accept
	}
	k.tb.Refresh(k.c, sipTimeout, k.t.Now)
	k.linear()
	if len(data) < sipShortest {
		return hook.Accept
	}
	m := sip{k, off, len(data)}
	return m.message()
}

// helpSIPTCP takes the messages of a segment one after the other. One that is
// not whole goes by unseen.
func helpSIPTCP(k *call) hook.Verdict {
	if !k.established() {
		return hook.Accept
	}
	off, data, ok := k.tcp()
	if !ok {
		return hook.Accept
	}
	k.tb.Refresh(k.c, sipTimeout, k.t.Now)
	k.linear()
	if len(data) < sipShortest {
		return hook.Accept
	}
	v, total := hook.Accept, int16(0)
	for left := len(data); ; {
		m := sip{k, off, left}
		n := m.length()
		if n == 0 {
			break
		}
		if n > left {
			return hook.Accept
		}
		m.n = n
		if v = m.message(); v != hook.Accept {
			return v
		}
		total += int16(m.n - n)
		off += m.n
		left -= n
	}
	if k.translated() {
		k.tb.SetSeqAdj(k.c, k.dir, binary.BigEndian.Uint32(k.t.Pkt.Data[k.t.Pkt.L4+4:]), int32(total))
	}
	return v
}

// length is how long the first message is, by its Content-Length; 0 if that
// cannot be known.
func (m *sip) length() int {
	s, f := m.header(0, hdrLength())
	if f != there {
		return 0
	}
	b := m.bytes()
	size, n := sipNumber(b[s.at:])
	if n == 0 || uint64(size) > uint64(len(b)) {
		return 0
	}
	end := bytes.Index(b[s.at+n:], []byte("\r\n\r\n"))
	if end < 0 {
		return 0
	}
	return s.at + n + end + 4 + int(size)
}

// message follows one message. Linux: process_sip_msg.
func (m *sip) message() hook.Verdict {
	v := hook.Accept
	if hasFold(m.bytes(), "sip/2.0 ") {
		v = m.response()
	} else {
		v = m.request()
	}
	if v == hook.Accept && m.translated() {
		return m.rewrite()
	}
	return v
}

// method is a kind of request.
type method struct {
	name     string // small
	request  func(m *sip, cseq uint32) hook.Verdict
	response func(m *sip, cseq, code uint32) hook.Verdict
}

// sipMethods are the requests that open or end something.
func sipMethods() []method {
	sdp := func(m *sip, _ uint32) hook.Verdict { return m.sdp() }
	return []method{
		{"invite", (*sip).invite, (*sip).inviteAnswer},
		{"update", sdp, (*sip).inviteAnswer},
		{"ack", sdp, nil},
		{"prack", sdp, (*sip).inviteAnswer},
		{"bye", func(m *sip, _ uint32) hook.Verdict { return m.flush(true) }, nil},
		{"register", (*sip).register, (*sip).registerAnswer},
	}
}

// cseq is the number of the request, and where the method's name follows.
func (m *sip) cseq() (v uint32, end int, ok bool) {
	s, f := m.header(0, hdrCSeq())
	if f != there {
		m.drop("cannot parse cseq")
		return 0, 0, false
	}
	v, n := sipNumber(m.bytes()[s.at:])
	if n == 0 {
		m.drop("cannot get cseq")
		return 0, 0, false
	}
	return v, s.at + s.n + 1, true
}

// request. Linux: process_sip_request.
func (m *sip) request() hook.Verdict {
	d := m.tb.HelpData(m.c)
	if u, f := m.uriIn(nil, hdrViaUDP(), nil); f == there && u.port != m.own().SrcL4 && u.addr == m.own().Src {
		d[sipForced] = uint32(u.port)
	}
	b := m.bytes()
	for _, x := range sipMethods() {
		n := len(x.name)
		if len(b) < n+2 || !hasFold(b, x.name) || b[n] != ' ' || !isAlpha(b[n+1]) {
			continue
		}
		cseq, _, ok := m.cseq()
		if !ok {
			return hook.Drop
		}
		return x.request(m, cseq)
	}
	return hook.Accept
}

// response. Linux: process_sip_response.
func (m *sip) response() hook.Verdict {
	const prefix = 8 // "SIP/2.0 "
	b := m.bytes()
	if len(b) < sipShortest {
		return hook.Accept
	}
	code, _ := sipNumber(b[prefix:])
	if code == 0 {
		return m.drop("cannot get code")
	}
	cseq, at, ok := m.cseq()
	if !ok {
		return hook.Drop
	}
	for _, x := range sipMethods() {
		if x.response != nil && at <= len(b) && hasFold(b[at:], x.name) {
			return x.response(m, cseq, code)
		}
	}
	return hook.Accept
}

func (m *sip) invite(cseq uint32) hook.Verdict {
	m.flush(true)
	v := m.sdp()
	if v == hook.Accept {
		m.tb.HelpData(m.c)[sipInvite] = cseq
	}
	return v
}

// inviteAnswer takes the media of an answer, or ends those of a call that failed.
func (m *sip) inviteAnswer(cseq, code uint32) hook.Verdict {
	if code >= 100 && code <= 299 {
		return m.sdp()
	}
	if m.tb.HelpData(m.c)[sipInvite] == cseq {
		m.flush(true)
	}
	return hook.Accept
}

// flush removes the expectations of media, or the one of calls.
func (m *sip) flush(media bool) hook.Verdict {
	m.tb.ExpectedBy(m.c, func(e *conntrack.Expect) bool {
		if (e.Class != sipSignalling) != media {
			return true
		}
		m.tb.Unexpect(e, m.t.Now)
		return media
	})
	return hook.Accept
}

// register expects calls to a client, which count once the registrar agreed.
// Linux: process_register_request.
func (m *sip) register(cseq uint32) hook.Verdict {
	if m.c.Has(conntrack.Expected) {
		return hook.Accept
	}
	expires := m.expires()
	u, f := m.uriIn(nil, hdrContact(), nil)
	switch {
	case f == broken:
		return m.drop("cannot parse contact")
	case f == absent, u.addr != m.own().Src, !m.transport(u.at + u.n):
		return hook.Accept
	}
	if _, v, f := m.numberParameter(u.at+u.n, "expires="); f == broken {
		return m.drop("cannot parse expires")
	} else if f == there {
		expires = v
	}
	v := hook.Accept
	if expires != 0 {
		src := m.other().Src
		e := m.expect(sipSignalling, m.c.Proto(), &src, u.addr, u.port)
		e.Assign, e.Flags = m.id, conntrack.ExpectPermanent|conntrack.ExpectInactive
		if m.translated() {
			v = m.expectTranslated(&e, u.span)
		} else if _, res := m.enter(&e, false); res != conntrack.ExpectOK {
			v = m.drop("cannot add expectation")
		}
	}
	if v == hook.Accept {
		m.tb.HelpData(m.c)[sipRegister] = cseq
	}
	return v
}

// expires is the Expires header, 0 without.
func (m *sip) expires() uint32 {
	s, f := m.header(0, hdrExpires())
	if f != there {
		return 0
	}
	v, _ := sipNumber(m.bytes()[s.at:])
	return v
}

// registerAnswer makes the expectation count, or removes it.
// Linux: process_register_response.
func (m *sip) registerAnswer(cseq, code uint32) hook.Verdict {
	if m.tb.HelpData(m.c)[sipRegister] != cseq || code >= 100 && code <= 199 {
		return hook.Accept
	}
	if code < 200 || code > 299 {
		return m.flush(false)
	}
	all := m.expires()
	at, inList := 0, false
	for {
		expires := all
		u, f := m.uriIn(&at, hdrContact(), &inList)
		if f == broken {
			return m.drop("cannot parse contact")
		}
		if f == absent {
			break
		}
		if u.addr != m.own().Dst || !m.transport(u.at+u.n) {
			continue
		}
		if _, v, f := m.numberParameter(u.at+u.n, "expires="); f == broken {
			return m.drop("cannot parse expires")
		} else if f == there {
			expires = v
		}
		if expires == 0 {
			break
		}
		if m.activate(&u, int64(expires)*second) {
			return hook.Accept
		}
	}
	return m.flush(false)
}

// activate makes an expectation of calls count for a time.
// Linux: refresh_signalling_expectation.
func (m *sip) activate(u *uri, timeout int64) (ok bool) {
	m.tb.ExpectedBy(m.c, func(e *conntrack.Expect) bool {
		t := &e.Tuple
		if e.Class != sipSignalling || t.Dst != u.addr || t.DstL4 != u.port || t.Proto != m.c.Proto() {
			return true
		}
		m.tb.RenewExpect(e, timeout, m.t.Now)
		e.Flags &^= conntrack.ExpectInactive
		if m.t.Trace.On() {
			m.tell("the registrar agreed: calls are expected, " + describe(e))
		}
		ok = true
		return false
	})
	return ok
}
