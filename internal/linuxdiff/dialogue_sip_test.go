package linuxdiff

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"weir/internal/wire"
)

// sipSide is one end of a SIP conversation.
type sipSide struct {
	host party
	port uint16
	peer netip.AddrPort // as it sees the other end
	tcp  *end
	by   string // the other end's device
}

// sipTalk is a conversation with its counters.
type sipTalk struct {
	p    *player
	a, b *sipSide
	cseq int
	last string // what arrived last
}

// send lets one side say something, and returns what arrived.
func (t *sipTalk) send(from, to *sipSide, text string) string {
	if from.tcp != nil {
		got := from.tcp.say(text)
		to.peer = from.tcp.other.peer
		return got
	}
	v, ok := t.p.datagram(from.host, from.port, from.peer, []byte(text), from.by)
	if !ok {
		return ""
	}
	sport, dport := v.Ports()
	to.peer, to.port, to.host.addr = netip.AddrPortFrom(v.Src, sport), dport, v.Dst
	return string(v.L4[8:])
}

// hostport is an address as SIP writes it.
func hostport(a netip.Addr, port uint16) string { return netip.AddrPortFrom(a, port).String() }

func inBrackets(a netip.Addr) string {
	if a.Is6() {
		return "[" + a.String() + "]"
	}
	return a.String()
}

// odd replaces a few things that the parsers care about.
func (t *sipTalk) odd(s string) string {
	p := t.p
	if !p.chance(12) {
		return s
	}
	for range 1 + p.r.IntN(2) {
		pairs := [][2]string{
			{"Contact:", "m:"}, {"Via:", "v:"}, {"Content-Length:", "l:"}, {"From:", "f:"}, {"To: ", "t:\r\n "}, {"CSeq: ", "CSeq:  "},
			{"Via: ", "Via:\r\n\t"}, {";branch", ";rport=5060;branch"}, {"sip:", "SIP:"}, {"Contact: <", "Contact: <sip:x@192.0.2.77>, <"},
			{"Content-Length: ", "Content-Length: 0"}, {"\r\n\r\n", "\n\n"}, {"c=IN", "c=XX"}, {"o=", "O="}, {"m=audio", "m=audi0"}, {"m=audio ", "m=video "},
			{"\r\nCSeq", "\r\nX-Y: z\r\n folded\r\nCSeq"}, {":5060", ""}, {":5060", ":506"}, {":5060", ":99999"}, {"Expires: ", "Expires: 9"},
			{";expires=", ";q=1;expires="}, {"INVITE sip", "INVITE  sip"}, {"SIP/2.0 200", "sip/2.0 200"}, {"SIP/2.0 200", "SIP/2.0 486"},
			{"CSeq: ", "CSeq: 99999999999"}, {"m=audio ", "m=audio 9"}, {"v=0", "v="}, {"\r\nm=", "\nm="},
		}
		x := pairs[p.r.IntN(len(pairs))]
		s = strings.Replace(s, x[0], x[1], 1)
	}
	return s
}

// message puts a message together; the first line and the body are given.
func (t *sipTalk) message(from *sipSide, first, method, via, contact, body string, more ...string) string {
	proto := "UDP"
	if from.tcp != nil {
		proto = "TCP"
	}
	if via == "" {
		via = hostport(from.host.addr, from.port)
	}
	h := []string{
		first, fmt.Sprintf("Via: SIP/2.0/%s %s;branch=z9hG4bK%d", proto, via, t.cseq),
		fmt.Sprintf("From: <sip:alice@%s>;tag=1", hostport(t.a.host.addr, t.a.port)),
		fmt.Sprintf("To: <sip:bob@%s>", hostport(t.b.host.addr, t.b.port)),
		"Call-ID: 1234@" + inBrackets(t.a.host.addr), fmt.Sprintf("CSeq: %d %s", t.cseq, method),
	}
	if contact != "" {
		h = append(h, "Contact: "+contact)
	}
	h = append(h, more...)
	if body != "" {
		h = append(h, "Content-Type: application/sdp")
	}
	h = append(h, "Content-Length: "+strconv.Itoa(len(body)), "", body)
	return t.odd(strings.Join(h, "\r\n"))
}

// description is a session description with one to three streams.
func (t *sipTalk) description(a netip.Addr) string {
	p := t.p
	fam := "IP4"
	if a.Is6() {
		fam = "IP6"
	}
	if p.chance(8) {
		a = host(a.Is6(), p.chance(50), 66) // a third party
	}
	c := fmt.Sprintf("c=IN %s %s\r\n", fam, a)
	s := fmt.Sprintf("v=0\r\no=alice 1 1 IN %s %s\r\ns=-\r\n", fam, a)
	inMedia := p.chance(30)
	if !inMedia {
		s += c
	}
	s += "t=0 0\r\n"
	for i := range 1 + p.r.IntN(3) {
		port := 1024 + p.r.IntN(60000)
		if p.chance(70) {
			port &^= 1
		}
		if p.chance(10) {
			port = []int{0, 80, 70000, 65535, 5004}[p.r.IntN(5)]
		}
		s += fmt.Sprintf("m=%s %d RTP/AVP 0\r\n", []string{"audio", "video", "image", "text", "audio"}[(i+p.r.IntN(3))%5], port)
		if inMedia || p.chance(10) {
			s += c
		}
		s += "a=rtpmap:0 PCMU/8000\r\n"
	}
	return s
}

// streams reads where media goes from what arrived.
func streams(text string) (list []netip.AddrPort) {
	var session, a netip.Addr
	port := 0
	flush := func() {
		if port > 0 && port < 65536 && a.IsValid() {
			list = append(list, netip.AddrPortFrom(a, uint16(port)))
		}
		port = 0
	}
	for _, l := range strings.Split(text, "\n") {
		f := strings.Fields(l)
		switch {
		case strings.HasPrefix(l, "c=") && len(f) == 3:
			a, _ = netip.ParseAddr(f[2])
			if port == 0 {
				session = a
			}
		case strings.HasPrefix(l, "m=") && len(f) > 2:
			flush()
			a = session
			port, _ = strconv.Atoi(f[1])
		}
	}
	flush()
	return list
}

// talk sends media where each side was told.
func (t *sipTalk) talk(from *sipSide, to *sipSide, told string, own []netip.AddrPort) {
	for i, x := range streams(told) {
		if !t.p.chance(70) {
			continue
		}
		src := uint16(1024 + t.p.r.IntN(60000))
		if i < len(own) && t.p.chance(70) {
			src = own[i].Port()
		}
		port := x.Port()
		if t.p.chance(40) {
			port++
			src++
		}
		wild := t.p.wild
		t.p.wild = 0
		t.p.datagram(from.host, src, netip.AddrPortFrom(x.Addr(), port), []byte("\x80\x00sound"), from.by)
		t.p.wild = wild
	}
}

// call is INVITE, 180, 200, ACK, media, BYE.
func (t *sipTalk) call(a, b *sipSide) {
	p := t.p
	t.cseq++
	sdpA := t.description(a.host.addr)
	contact := fmt.Sprintf("<sip:alice@%s>", hostport(a.host.addr, a.port))
	got := t.send(a, b, t.message(a, "INVITE sip:bob@"+hostport(a.peer.Addr(), a.peer.Port())+" SIP/2.0", "INVITE", "", contact, sdpA, "Max-Forwards: 70"))
	if p.chance(15) { // again
		got = t.send(a, b, t.message(a, "INVITE sip:bob@"+hostport(a.peer.Addr(), a.peer.Port())+" SIP/2.0", "INVITE", "", contact, sdpA))
	}
	if p.chance(30) {
		p.compare()
	}
	via := hostport(b.peer.Addr(), b.peer.Port())
	if v := viaOf(got); v != "" {
		via = v
	}
	t.send(b, a, t.message(b, "SIP/2.0 180 Ringing", "INVITE", via, "", ""))
	sdpB := t.description(b.host.addr)
	code := "200 OK"
	if p.chance(15) {
		code = []string{"183 Progress", "486 Busy", "404 Not", "600 No"}[p.r.IntN(4)]
	}
	extra := ""
	if p.chance(20) {
		extra = ";received=" + b.peer.Addr().String() + ";rport=" + strconv.Itoa(int(b.peer.Port())) + ";maddr=" + inBrackets(b.host.addr)
	}
	back := t.send(b, a, t.message(b, "SIP/2.0 "+code, "INVITE", via+extra, fmt.Sprintf("<sip:bob@%s>", hostport(b.host.addr, b.port)), sdpB))
	t.send(a, b, t.message(a, "ACK sip:bob@"+hostport(a.peer.Addr(), a.peer.Port())+" SIP/2.0", "ACK", "", contact, ""))
	if p.chance(50) {
		p.compare()
	}
	t.talk(b, a, got, streams(sdpB))
	t.talk(a, b, back, streams(sdpA))
	t.talk(b, a, got, streams(sdpB))
	if p.chance(60) {
		t.cseq++
		t.send(a, b, t.message(a, "BYE sip:bob@"+hostport(a.peer.Addr(), a.peer.Port())+" SIP/2.0", "BYE", "", "", ""))
		t.send(b, a, t.message(b, "SIP/2.0 200 OK", "BYE", via, "", ""))
	}
}

func viaOf(text string) string {
	_, rest, ok := strings.Cut(text, "Via: SIP/2.0/")
	if !ok || len(rest) < 5 {
		return ""
	}
	v, _, _ := strings.Cut(rest[4:], ";")
	if _, err := netip.ParseAddrPort(v); err != nil {
		return ""
	}
	return v
}

// register is REGISTER and its answer, and a call to what was registered.
func (t *sipTalk) register(a, b *sipSide) {
	p := t.p
	t.cseq++
	port := a.port
	if p.chance(20) {
		port = uint16(1024 + p.r.IntN(60000))
	}
	addr := a.host.addr
	if p.chance(8) {
		addr = b.host.addr
	}
	param, more := "", []string(nil)
	switch p.r.IntN(4) {
	case 0:
		param = ";expires=" + strconv.Itoa(p.r.IntN(4)*1200)
	case 1:
		param = ";transport=" + []string{"udp", "tcp"}[p.r.IntN(2)]
		more = []string{"Expires: 600"}
	default:
		more = []string{"Expires: " + strconv.Itoa(p.r.IntN(3)*1800)}
	}
	got := t.send(a, b, t.message(a, "REGISTER sip:"+inBrackets(b.host.addr)+" SIP/2.0", "REGISTER", "",
		fmt.Sprintf("<sip:alice@%s>%s", hostport(addr, port), param), "", more...))
	if p.chance(40) {
		p.compare()
	}
	contact := ""
	if _, rest, ok := strings.Cut(got, "Contact: "); ok {
		contact, _, _ = strings.Cut(rest, "\r\n")
	}
	if p.chance(20) {
		contact = fmt.Sprintf("<sip:x@%s>;expires=60, %s", hostport(host(addr.Is6(), true, 44), 5060), contact)
	}
	via := viaOf(got)
	if via == "" {
		via = hostport(b.peer.Addr(), b.peer.Port())
	}
	code := []string{"200 OK", "200 OK", "200 OK", "100 Trying", "401 Unauthorized"}[p.r.IntN(5)]
	t.send(b, a, t.message(b, "SIP/2.0 "+code, "REGISTER", via, contact, "", more...))
	if p.chance(60) {
		p.compare()
	}
	if u, err := netip.ParseAddrPort(between(contact, "@", ">")); err == nil && p.chance(70) && a.tcp == nil {
		// A call from the registrar, from its port or another.
		in := &sipTalk{p: p, a: &sipSide{host: b.host, port: b.port, peer: u, by: b.by}, b: &sipSide{host: a.host, port: port, by: a.by}, cseq: 100 + t.cseq}
		if p.chance(60) {
			in.a.port = uint16(1024 + p.r.IntN(60000))
		}
		in.b.peer = netip.AddrPortFrom(in.a.host.addr, in.a.port)
		in.call(in.a, in.b)
	}
}

func between(s, from, to string) string {
	_, s, _ = strings.Cut(s, from)
	s, _, _ = strings.Cut(s, to)
	return s
}

// playSIP registers and calls.
func playSIP(tcp bool) func(p *player, cl, sv party, at netip.Addr) {
	return func(p *player, cl, sv party, at netip.Addr) {
		t := &sipTalk{p: p, cseq: p.r.IntN(1000)}
		t.a = &sipSide{host: cl, port: 5060, peer: netip.AddrPortFrom(at, 5060), by: sv.dev}
		t.b = &sipSide{host: sv, port: 5060, by: cl.dev, peer: netip.AddrPortFrom(cl.addr, 5060)}
		if p.chance(30) {
			t.a.port = uint16(1024 + p.r.IntN(60000))
		}
		if tcp {
			c, s := p.connect(cl, t.a.port, t.a.peer, sv)
			if c == nil {
				return
			}
			t.a.tcp, t.b.tcp, t.b.peer = c, s, s.peer
			t.b.host.addr = s.host.addr
		}
		for range 1 + p.r.IntN(3) {
			if p.chance(40) {
				t.register(t.a, t.b)
			} else if p.chance(80) || tcp {
				t.call(t.a, t.b)
			} else {
				t.call(t.b, t.a)
			}
		}
		if tcp && p.chance(40) {
			// Two messages in one segment.
			t.cseq++
			x := t.message(t.a, "OPTIONS sip:bob@"+inBrackets(at)+" SIP/2.0", "OPTIONS", "", fmt.Sprintf("<sip:alice@%s>", hostport(t.a.host.addr, t.a.port)), "")
			y := t.message(t.a, "INVITE sip:bob@"+inBrackets(at)+" SIP/2.0", "INVITE", "", fmt.Sprintf("<sip:alice@%s>", hostport(t.a.host.addr, t.a.port)), t.description(t.a.host.addr))
			t.a.tcp.say(x + y)
			t.b.tcp.say(t.message(t.b, "SIP/2.0 200 OK", "OPTIONS", "", "", ""))
		}
		if tcp && p.chance(30) {
			t.a.tcp.send(wire.FIN|wire.ACK, nil, nil)
		}
	}
}
