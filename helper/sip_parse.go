package helper

import "weir/packet"

// sip is a SIP message inside a packet: n bytes at offset off. Positions are
// counted from its beginning.
type sip struct {
	*call
	off, n int
}

// bytes is the message. It changes when the message is rewritten.
func (m *sip) bytes() []byte { return m.t.Pkt.Data[m.off : m.off+m.n] }

const sipPort = 5060

// found is what a search in a message says.
type found int8

const (
	broken found = -1 // there, and not to be understood
	absent found = 0
	there  found = 1
)

// span is a part of a message.
type span struct{ at, n int }

// uri is an address and port in a message, and where they stand.
type uri struct {
	span
	addr packet.Addr
	port uint16
}

// sipHeader is a header field: its name, its short form if it has one, the word
// behind which its value is looked for, and how long the value is.
type sipHeader struct {
	name, short, search string
	// measure returns how long the value at b[i:] is, and how far behind i it
	// begins; 0 is no value.
	measure func(m *sip, b []byte, i int) (shift, n int)
}

// The header fields that matter (RFC 3261 section 20). Names are small.
func hdrCSeq() *sipHeader    { return &sipHeader{"cseq", "", "", digitsAt} }
func hdrFrom() *sipHeader    { return &sipHeader{"from", "f", "sip:", userAddressAt} }
func hdrTo() *sipHeader      { return &sipHeader{"to", "t", "sip:", userAddressAt} }
func hdrContact() *sipHeader { return &sipHeader{"contact", "m", "sip:", userAddressAt} }
func hdrViaUDP() *sipHeader  { return &sipHeader{"via", "v", "udp ", addressAt} }
func hdrViaTCP() *sipHeader  { return &sipHeader{"via", "v", "tcp ", addressAt} }
func hdrExpires() *sipHeader { return &sipHeader{"expires", "", "", digitsAt} }
func hdrLength() *sipHeader  { return &sipHeader{"content-length", "l", "", digitsAt} }

func digitsAt(_ *sip, b []byte, i int) (shift, n int) {
	for i+n < len(b) && isDigit(b[i+n]) {
		n++
	}
	return 0, n
}

// addressAt measures an address with its port.
func addressAt(m *sip, b []byte, i int) (shift, n int) {
	_, end, ok := m.address(b, i, true)
	if !ok {
		return 0, 0
	}
	if _, end, ok = portAt(b, end); !ok {
		return 0, 0
	}
	return 0, end - i
}

// userAddressAt is addressAt behind a user's name and an at sign.
func userAddressAt(m *sip, b []byte, i int) (shift, n int) {
	for j := i; j < len(b) && b[j] != '\r' && b[j] != '\n'; j++ {
		if b[j] == '@' {
			shift = j + 1 - i
			break
		}
	}
	_, n = addressAt(m, b, i+shift)
	return shift, n
}

// address reads an address at b[i:] and returns its end. With brackets an IPv6
// address stands in them, else it may.
func (m *sip) address(b []byte, i int, brackets bool) (a packet.Addr, end int, ok bool) {
	if m.own().L3 == packet.IPv4 {
		a, n, ok := address4(b[min(i, len(b)):], anything)
		return a, i + n, ok
	}
	if i < len(b) && b[i] == '[' {
		i++
	} else if brackets {
		return a, i, false
	}
	a, n, ok := address6(b[min(i, len(b)):], anything)
	if !ok {
		return a, i, false
	}
	if i += n; i < len(b) && b[i] == ']' {
		i++
	} else if brackets {
		return a, i, false
	}
	return a, i, true
}

// portAt reads a colon and a port from 1024 on. Without a colon it is SIP's.
func portAt(b []byte, i int) (port uint16, end int, ok bool) {
	if i >= len(b) {
		return 0, i, false
	}
	if b[i] != ':' {
		return sipPort, i, true
	}
	i++
	v, n := 0, 0
	for ; i < len(b) && isDigit(b[i]); i++ {
		v = v*10 + int(b[i]-'0')
		if n++; n > 5 {
			return 0, i, false
		}
	}
	if n == 0 || i >= len(b) || v < 1024 || v > 65535 {
		return 0, i, false
	}
	return uint16(v), i, true
}

// sipNumber reads a number of 32 bits; one that is larger is none.
func sipNumber(b []byte) (v uint32, n int) {
	const longest = 11
	u := uint64(0)
	for n < len(b) && isDigit(b[n]) {
		u = u*10 + uint64(b[n]-'0')
		if n == longest || u > 1<<32-1 {
			return 0, 0
		}
		n++
	}
	return uint32(u), n
}

// continues returns where a folded line goes on whose first half ends at i; -1
// if it does not.
func continues(b []byte, i int) int {
	if i++; i >= len(b) {
		return -1
	}
	if b[i-1] == '\r' && b[i] == '\n' {
		if i++; i >= len(b) {
			return -1
		}
	}
	if b[i] != ' ' && b[i] != '\t' {
		return -1
	}
	for i < len(b) && (b[i] == ' ' || b[i] == '\t') {
		i++
	}
	return i
}

// skipSpace skips blanks, and one fold of the line; -1 if that is its end.
func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t') {
		i++
	}
	if i < len(b) && (b[i] == '\r' || b[i] == '\n') {
		return continues(b, i)
	}
	return i
}

// searchHeader looks for a word in a header's value, from i on; -1 if it is not
// there. As in Linux it is not found at the very end.
func searchHeader(b []byte, i int, word string) int {
	limit := len(b) - len(word)
	if limit < 0 {
		return -1
	}
	for ; i < limit; i++ {
		if b[i] == '\r' || b[i] == '\n' {
			if i = continues(b[:limit], i); i < 0 {
				return -1
			}
			continue
		}
		if hasFold(b[i:], word) {
			return i
		}
	}
	return -1
}

// lineAfter returns the beginning of the next line if one ends at i. line is
// false if none does; -1 is the end of the message.
func lineAfter(b []byte, i int) (next int, line bool) {
	if b[i] != '\r' && b[i] != '\n' {
		return i, false
	}
	if i++; i >= len(b) {
		return -1, true
	}
	if b[i-1] == '\r' && b[i] == '\n' {
		if i++; i >= len(b) {
			return -1, true
		}
	}
	return i, true
}

// header looks for a header field from a position on. What cannot be understood
// has its place in the span, from which the search can go on.
// Linux: ct_sip_get_header.
func (m *sip) header(from int, h *sipHeader) (s span, f found) {
	b := m.bytes()
	for i := from; i < len(b); i++ {
		next, line := lineAfter(b, i)
		if next < 0 {
			break
		}
		if i = next; !line || b[i] == ' ' || b[i] == '\t' {
			continue
		}
		switch {
		case hasFold(b[i:], h.name):
			i += len(h.name)
		case h.short != "" && len(b)-i >= len(h.short)+1 && hasFold(b[i:], h.short) && !isAlpha(b[i+len(h.short)]):
			i += len(h.short)
		default:
			continue
		}
		if i = skipSpace(b, i); i < 0 || i >= len(b) || b[i] != ':' || i+1 >= len(b) {
			return s, absent
		}
		if i = skipSpace(b, i+1); i < 0 {
			return s, absent
		}
		return m.value(h, i)
	}
	return s, absent
}

// value finds a header's value behind position i.
func (m *sip) value(h *sipHeader, i int) (s span, f found) {
	b := m.bytes()
	s.at = i
	if h.search != "" {
		if i = searchHeader(b, i, h.search); i < 0 {
			return s, broken
		}
		i += len(h.search)
	}
	shift, n := h.measure(m, b, i)
	if n == 0 {
		return s, broken
	}
	return span{i + shift, n}, there
}

// next looks for the next value in a list with commas.
// Linux: ct_sip_next_header.
func (m *sip) next(from int, h *sipHeader) (s span, f found) {
	b := m.bytes()
	i := searchHeader(b, from, ",")
	if i < 0 {
		return s, absent
	}
	if i = searchHeader(b, i, h.search); i < 0 {
		return s, absent
	}
	i += len(h.search)
	s.at = i
	shift, n := h.measure(m, b, i)
	if n == 0 {
		return s, broken
	}
	return span{i + shift, n}, there
}

// walk looks for the first value that can be understood. inList, if it is not
// nil, says that from is inside a list, and whether the value is.
// Linux: ct_sip_walk_headers.
func (m *sip) walk(from int, h *sipHeader, inList *bool) (s span, ok bool) {
	if inList != nil && *inList {
		for {
			s, f := m.next(from, h)
			if f == there {
				return s, true
			}
			if f == absent {
				break
			}
			from = s.at
		}
		*inList = false
	}
	for {
		s, f := m.header(from, h)
		if f == absent {
			return s, false
		}
		if f == there {
			if inList != nil {
				*inList = true
			}
			return s, true
		}
		from = s.at
	}
}

// uriIn reads the address of the first header that has one, from *from on if
// that is not nil, which is moved behind it.
// Linux: ct_sip_parse_header_uri.
func (m *sip) uriIn(from *int, h *sipHeader, inList *bool) (u uri, f found) {
	start := 0
	if from != nil {
		start = *from
	}
	s, ok := m.walk(start, h, inList)
	u.span = s
	if !ok {
		return u, absent
	}
	b := m.bytes()
	a, end, ok := m.address(b, s.at, true)
	if !ok {
		return u, broken
	}
	u.addr = a
	if u.port, end, ok = portAt(b, end); !ok {
		return u, broken
	}
	if from != nil {
		*from = end
	}
	return u, there
}

// parameters is what stands between a position and the next comma.
func (m *sip) parameters(from int) []byte {
	b := m.bytes()
	if i := searchHeader(b, from, ","); i >= 0 {
		return b[:i]
	}
	return b
}

// parameter finds the value of a parameter behind a position.
func (m *sip) parameter(from int, name string) (s span, ok bool) {
	b := m.parameters(from)
	i := searchHeader(b, from, name)
	if i < 0 {
		return s, false
	}
	i += len(name)
	end := searchHeader(b, i, ";")
	if end < 0 {
		end = len(b)
	}
	return span{i, end - i}, true
}

// addressParameter is parameter for an address.
func (m *sip) addressParameter(from int, name string, brackets bool) (s span, a packet.Addr, ok bool) {
	b := m.parameters(from)
	i := searchHeader(b, from, name)
	if i < 0 {
		return s, a, false
	}
	i += len(name)
	a, end, ok := m.address(b, i, brackets)
	return span{i, end - i}, a, ok
}

// numberParameter is parameter for a number.
func (m *sip) numberParameter(from int, name string) (s span, v uint32, f found) {
	b := m.parameters(from)
	i := searchHeader(b, from, name)
	if i < 0 {
		return s, 0, absent
	}
	i += len(name)
	v, n := sipNumber(b[i:])
	if n == 0 {
		return s, 0, broken
	}
	return span{i, n}, v, there
}

// transport reports that the transport parameter, if there is one, names the
// protocol that carries the message. Linux: ct_sip_parse_transport.
func (m *sip) transport(from int) bool {
	s, ok := m.parameter(from, "transport=")
	if !ok {
		return true
	}
	b := m.bytes()[s.at:]
	switch {
	case hasFold(b, "tcp"):
		return m.c.Proto() == packet.TCP
	case hasFold(b, "udp"):
		return m.c.Proto() == packet.UDP
	}
	return false
}

// requestURI reads the address in a request's first line.
// Linux: ct_sip_parse_request.
func (m *sip) requestURI() (u uri, f found) {
	b := m.bytes()
	i := 0
	for i < len(b) && isAlpha(b[i]) {
		i++
	}
	if i == 0 {
		return u, absent
	}
	if i++; i >= len(b) {
		return u, absent
	}
	for ; i < len(b)-4; i++ {
		if b[i] == '\r' || b[i] == '\n' {
			return u, broken
		}
		if hasFold(b[i:], "sip:") {
			i += 4
			break
		}
	}
	shift, n := userAddressAt(m, b, i)
	if n == 0 {
		return u, absent
	}
	i += shift
	a, end, ok := m.address(b, i, true)
	if !ok {
		return u, broken
	}
	u.addr = a
	if u.port, end, ok = portAt(b, end); !ok {
		return u, broken
	}
	if end == i {
		return u, absent
	}
	u.span = span{i, end - i}
	return u, there
}
