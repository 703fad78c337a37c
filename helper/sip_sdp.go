package helper

import (
	"strconv"

	"weir/conntrack"
	"weir/hook"
	"weir/packet"
)

// sdpLine is a line of a session description: its letter, the word behind which
// its value is looked for, and how long the value is.
type sdpLine struct {
	name, search string // name in small letters
	measure      func(m *sip, b []byte, i int) (shift, n int)
}

// The lines that matter (RFC 4566 section 5).
func (m *sip) sdpVersion() *sdpLine    { return &sdpLine{"v=", "", digitsAt} }
func (m *sip) sdpMedia() *sdpLine      { return &sdpLine{"m=", "", mediaAt} }
func (m *sip) sdpOwner() *sdpLine      { return &sdpLine{"o=", m.sdpFamily(), plainAddressAt} }
func (m *sip) sdpConnection() *sdpLine { return &sdpLine{"c=", m.sdpFamily(), plainAddressAt} }

func (m *sip) sdpFamily() string {
	if m.own().L3 == packet.IPv4 {
		return "IN IP4 "
	}
	return "IN IP6 "
}

// mediaAt measures a kind of media and a port.
func mediaAt(_ *sip, b []byte, i int) (shift, n int) {
	for i+n < len(b) && isAlpha(b[i+n]) {
		n++
	}
	if i+n >= len(b) || b[i+n] != ' ' {
		return 0, 0
	}
	n++
	_, digits := digitsAt(nil, b, i+n)
	return 0, n + digits
}

// plainAddressAt measures an address without brackets.
func plainAddressAt(m *sip, b []byte, i int) (shift, n int) {
	_, n, ok := m.plainAddress(b[min(i, len(b)):])
	if !ok {
		return 0, 0
	}
	return 0, n
}

func (m *sip) plainAddress(b []byte) (packet.Addr, int, bool) {
	if m.own().L3 == packet.IPv4 {
		return address4(b, anything)
	}
	return address6(b, anything)
}

// line looks for a line from a position on, not behind one that is until, if
// that is not nil. Linux: ct_sip_get_sdp_header.
func (m *sip) line(from int, l, until *sdpLine) (s span, f found) {
	b := m.bytes()
	for i := from; i < len(b); i++ {
		next, line := lineAfter(b, i)
		if next < 0 {
			break
		}
		if i = next; !line {
			continue
		}
		if until != nil && hasFold(b[i:], until.name) {
			break
		}
		if !hasFold(b[i:], l.name) {
			continue
		}
		i += len(l.name)
		s.at = i
		if l.search != "" {
			if i = searchLine(b, i, l.search); i < 0 {
				return s, broken
			}
			i += len(l.search)
		}
		shift, n := l.measure(m, b, i)
		if n == 0 {
			return s, broken
		}
		return span{i + shift, n}, there
	}
	return s, absent
}

// searchLine looks for a word in the line; not at the very end of the message,
// as in Linux.
func searchLine(b []byte, i int, word string) int {
	for ; i < len(b)-len(word); i++ {
		if b[i] == '\r' || b[i] == '\n' {
			return -1
		}
		if string(b[i:i+len(word)]) == word {
			return i
		}
	}
	return -1
}

// connection is the address in a c= line before the next m= line.
func (m *sip) connection(from int) (a packet.Addr, ok bool) {
	s, f := m.line(from, m.sdpConnection(), m.sdpMedia())
	if f != there {
		return a, false
	}
	a, _, ok = m.plainAddress(m.bytes()[s.at : s.at+s.n])
	return a, ok
}

// media is the class of a kind of media, and how long its name is with the blank.
func mediaClass(b []byte) (class uint8, n int) {
	for i, name := range []string{"audio ", "video ", "image "} {
		if len(b) >= len(name) && string(b[:len(name)]) == name {
			return sipAudio + uint8(i), len(name)
		}
	}
	return 0, 0
}

// sdp expects the media that a message describes, up to three streams.
// Linux: process_sdp.
func (m *sip) sdp() hook.Verdict {
	const streams = 3
	s, f := m.line(0, m.sdpVersion(), nil)
	if f != there {
		return hook.Accept
	}
	begin := s.at
	session, inSession := m.connection(begin)
	to, known := session, inSession // where the last stream goes, or the session
	at := begin
	for n := 0; n < streams; {
		if s, f = m.line(at, m.sdpMedia(), nil); f != there {
			break
		}
		at = s.at
		b := m.bytes()
		class, name := mediaClass(b[s.at : s.at+s.n])
		if name == 0 {
			at += s.n
			continue
		}
		at += name
		medialen := s.n - name
		port, digits := sipNumber(b[at:])
		if port == 0 || digits == 0 {
			continue
		}
		if port < 1024 || port > 65535 {
			return m.drop("wrong port " + strconv.FormatUint(uint64(port), 10))
		}
		own, inMedia := m.connection(at)
		switch {
		case inMedia:
			to, known = own, true
		case inSession:
			to, known = session, true
		default:
			return m.drop("cannot parse SDP message")
		}
		if v := m.stream(&to, uint16(port), class, span{at, medialen}); v != hook.Accept {
			m.log("cannot add expectation for voice")
			return v
		}
		if inMedia && m.translated() && !m.rewriteLine(at, m.sdpConnection(), &to) {
			return m.drop("cannot mangle SDP")
		}
		n++
	}
	if m.translated() && known {
		return m.rewriteSession(begin, &to)
	}
	return hook.Accept
}

// stream expects one stream of media and what controls it, to an address that is
// replaced by the one that is to be announced. Linux: set_expected_rtp_rtcp.
func (m *sip) stream(to *packet.Addr, port uint16, class uint8, where span) hook.Verdict {
	if *to != m.own().Src {
		return hook.Accept
	}
	src := m.other().Src
	direct, known := m.direct(&src, to, &port, class)
	port &^= 1
	if direct && !m.rewritePort(where, port) {
		return m.t.Drop(hook.ReasonHelper)
	}
	if known {
		return hook.Accept
	}
	rtp := m.expect(class, packet.UDP, &src, *to, port)
	rtcp := m.expect(class, packet.UDP, &src, *to, port+1)
	if m.translated() && !direct {
		return m.streamTranslated(&rtp, &rtcp, where, to)
	}
	x, res := m.enter(&rtp, true)
	if res != conntrack.ExpectOK && res != conntrack.ExpectAlready {
		return m.t.Drop(hook.ReasonHelper)
	}
	if _, other := m.enter(&rtcp, true); other != conntrack.ExpectOK && other != conntrack.ExpectAlready {
		if res == conntrack.ExpectOK {
			m.tb.Unexpect(x, m.t.Now)
		}
		return m.t.Drop(hook.ReasonHelper)
	}
	return hook.Accept
}

// direct looks whether another connection of the helper expects the same stream.
// If that one is translated, and this one too, the ends can reach each other
// without the machine: to and port become the untranslated ones. known says that
// nothing needs to be expected.
func (m *sip) direct(src, to *packet.Addr, port *uint16, class uint8) (direct, known bool) {
	t := conntrack.Tuple{L3: m.own().L3, Proto: packet.UDP, Src: *src}
	zone := max(m.c.Tuple[0].Zone, m.c.Tuple[1].Zone)
	for {
		t.Dst, t.DstL4 = *to, *port
		e := m.tb.FindExpect(&t, zone)
		if e == nil || e.Master == m.c.ID() || e.Helper != m.id || e.Class != class {
			return direct, false
		}
		if direct || e.SavedAddr == e.Tuple.Dst && e.SavedL4 == e.Tuple.DstL4 || !m.translated() {
			return direct, true
		}
		*to, *port, direct = e.SavedAddr, e.SavedL4, true
	}
}
