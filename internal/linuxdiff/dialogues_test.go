package linuxdiff

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"weir/internal/gen"
	"weir/internal/wire"
)

// dialogues are the conversations of all helpers.
func dialogues() (list []dialogue) {
	for _, v6 := range []bool{false, true} {
		list = append(list,
			dialogue{name: "ftp", v6: v6, rules: []string{"-p tcp --dport 21 -j CT --helper ftp"}, play: playFTP},
			dialogue{name: "tftp", v6: v6, rules: []string{"-p udp --dport 69 -j CT --helper tftp"}, play: playTFTP},
			dialogue{name: "amanda", v6: v6, rules: []string{"-p udp --dport 10080 -j CT --helper amanda"}, play: playAmanda},
			dialogue{name: "sip", v6: v6, rules: []string{"-p udp --dport 5060 -j CT --helper sip"}, play: playSIP(false)},
			dialogue{name: "sip over tcp", v6: v6, rules: []string{"-p tcp --dport 5060 -j CT --helper sip"}, play: playSIP(true)},
			dialogue{name: "sane", v6: v6, rules: []string{"-p tcp --dport 6566 -j CT --helper sane"}, play: playSANE},
		)
	}
	zone := func(proto string) []string {
		return []string{"-p " + proto + " --dport 21 -j CT --helper ftp --zone 7", "-p " + proto + " ! --dport 21 -j CT --zone 7"}
	}
	own := func(play func(*player, party, party, netip.Addr)) func(*player, party, party, netip.Addr) {
		return func(p *player, _, sv party, at netip.Addr) {
			if sv.dev == "wan0" {
				play(p, party{gen.Local, host(false, false, 1)}, sv, at)
			}
		}
	}
	return append(list,
		dialogue{name: "tftp of the machine itself", rules: []string{"-p udp --dport 69 -j CT --helper tftp"}, play: own(playTFTP)},
		dialogue{name: "sip of the machine itself", rules: []string{"-p udp --dport 5060 -j CT --helper sip"}, play: own(playSIP(false))},
		dialogue{name: "ftp in a zone", rules: zone("tcp"), play: playFTP},
		dialogue{name: "ftp with fewer events", rules: []string{"-p tcp --dport 21 -j CT --helper ftp --ctevents assured,destroy --expevents new"}, quiet: true, play: playFTP},
		dialogue{name: "tftp with expected events only", rules: []string{"-p udp --dport 69 -j CT --helper tftp --expevents new"}, quiet: true, play: playTFTP},
		dialogue{name: "irc", rules: []string{"-p tcp --dport 6667 -j CT --helper irc"}, play: playIRC},
		dialogue{name: "pptp", rules: []string{"-p tcp --dport 1723 -j CT --helper pptp"}, play: playPPTP},
		dialogue{name: "snmp", rules: []string{"-p udp --dport 161 -j CT --helper snmp", "-p udp --dport 162 -j CT --helper snmp_trap"}, play: playSNMP},
		dialogue{name: "netbios-ns", rules: []string{"-p udp --dport 137 -j CT --helper netbios-ns"}, play: playNetBIOS},
	)
}

// playFTP logs in and opens data connections in all ways, one after the other.
func playFTP(p *player, cl, sv party, at netip.Addr) {
	c, s := p.connect(cl, uint16(20000+p.r.IntN(20000)), netip.AddrPortFrom(at, 21), sv)
	if c == nil {
		return
	}
	s.say("220 ready\r\n")
	c.say("USER anonymous\r\n")
	s.say("331 go on\r\n")
	for range 1 + p.r.IntN(4) {
		port := uint16(1024 + p.r.IntN(60000))
		if p.chance(10) {
			port = uint16(p.r.IntN(30)) // low ports, 0 among them
		}
		a := c.host.addr
		if p.chance(8) {
			a = s.host.addr // not the sender's
		}
		var open func() (*end, *end)
		switch p.r.IntN(4) {
		case 0:
			open = p.active(s, c, c.say("PORT "+commas(a, port)+"\r\n"))
			s.say("200 PORT command successful.\r\n")
		case 1:
			open = p.active(s, c, c.say("EPRT "+eprt(a, port)+"\r\n"))
			s.say("200 EPRT command successful.\r\n")
		case 2:
			c.say("PASV\r\n")
			a = s.host.addr
			if p.chance(8) {
				a = c.host.addr
			}
			open = p.passive(c, s, s.say("227 Entering Passive Mode ("+commas(a, port)+").\r\n"))
		default:
			c.say("EPSV\r\n")
			open = p.passive(c, s, s.say(fmt.Sprintf("229 Entering Extended Passive Mode (|||%d|)\r\n", port)))
		}
		if p.chance(30) {
			p.compare()
		}
		if p.chance(85) {
			if x, y := open(); x != nil {
				x.say("a file\n")
				y.say("another\n")
				if p.chance(50) {
					x.close()
				}
			}
		}
		c.say("NOOP\r\n")
		s.say("200 fine\r\n")
	}
	switch p.r.IntN(4) {
	case 0, 1:
		c.say("QUIT\r\n")
		c.close()
	case 2:
		c.send(wire.RST, nil, nil)
	}
}

func commas(a netip.Addr, port uint16) string {
	b := a.AsSlice()
	return fmt.Sprintf("%d,%d,%d,%d,%d,%d", b[0], b[1], b[2], b[3], port>>8, port&255)
}

func eprt(a netip.Addr, port uint16) string {
	n := 1
	if a.Is6() {
		n = 2
	}
	return fmt.Sprintf("|%d|%s|%d|", n, a, port)
}

// announced reads what an end was told: the address, if one is in it, and port.
func announced(text string, fallback netip.Addr) (netip.AddrPort, bool) {
	_, text, _ = strings.Cut(text, " ")
	if i := strings.IndexByte(text, '('); i >= 0 {
		text = text[i+1:]
	}
	if f := strings.Split(text, "|"); len(f) >= 5 {
		n, err := strconv.ParseUint(f[3], 10, 16)
		a, bad := netip.ParseAddr(f[2])
		if bad != nil {
			a = fallback
		}
		return netip.AddrPortFrom(a, uint16(n)), err == nil
	}
	var b [6]byte
	f := strings.FieldsFunc(text, func(r rune) bool { return r < '0' || r > '9' })
	if len(f) < 6 {
		return netip.AddrPort{}, false
	}
	for i := range b {
		n, err := strconv.ParseUint(f[i], 10, 8)
		if err != nil {
			return netip.AddrPort{}, false
		}
		b[i] = byte(n)
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[:4])), binary.BigEndian.Uint16(b[4:])), fallback.Is4()
}

// active is the server connecting to what the client announced.
func (p *player) active(s, c *end, text string) func() (*end, *end) {
	return func() (*end, *end) {
		to, ok := announced(text, s.peer.Addr())
		if !ok {
			return nil, nil
		}
		port := uint16(20)
		if p.chance(20) {
			port = uint16(1024 + p.r.IntN(60000))
		}
		return p.connect(s.host, port, to, c.host)
	}
}

// passive is the client connecting to what the server announced.
func (p *player) passive(c, s *end, text string) func() (*end, *end) {
	return func() (*end, *end) {
		to, ok := announced(text, c.peer.Addr())
		if !ok {
			return nil, nil
		}
		return p.connect(c.host, uint16(1024+p.r.IntN(60000)), to, s.host)
	}
}

// playTFTP asks for files; the server answers from other ports.
func playTFTP(p *player, cl, sv party, at netip.Addr) {
	for range 1 + p.r.IntN(3) {
		port := uint16(1024 + p.r.IntN(60000))
		req := append([]byte{0, byte(1 + p.r.IntN(2))}, "boot.img\x00octet\x00"...)
		for range 1 + p.r.IntN(2) {
			v, ok := p.datagram(cl, port, netip.AddrPortFrom(at, 69), req, sv.dev)
			if !ok {
				return
			}
			sport, _ := v.Ports()
			answer := uint16(1024 + p.r.IntN(60000))
			if p.chance(10) {
				answer = 69
			}
			from := party{sv.dev, v.Dst}
			if p.chance(10) {
				from.addr = host(v.Src.Is6(), sv.dev == "lan0", 99) // a stranger
			}
			v, ok = p.datagram(from, answer, netip.AddrPortFrom(v.Src, sport), []byte("\x00\x03\x00\x01data"), cl.dev)
			if ok {
				back, _ := v.Ports()
				p.datagram(cl, port, netip.AddrPortFrom(v.Src, back), []byte("\x00\x04\x00\x01"), sv.dev)
			}
		}
		if p.chance(30) {
			p.compare()
		}
	}
}

// playIRC offers files and talks to another client.
func playIRC(p *player, cl, sv party, at netip.Addr) {
	c, s := p.connect(cl, uint16(20000+p.r.IntN(20000)), netip.AddrPortFrom(at, 6667), sv)
	if c == nil {
		return
	}
	s.say(":irc NOTICE AUTH :welcome\r\n")
	c.say("NICK a\r\n")
	s.say(":irc 001 a :hello\r\n")
	for range 1 + p.r.IntN(4) {
		word := []string{"SEND", "CHAT", "MOVE", "TSEND", "SCHAT", "SEND"}[p.r.IntN(6)]
		a := c.host.addr
		switch {
		case p.chance(8):
			a = s.host.addr
		case p.chance(15):
			a = s.peer.Addr() // what the server sees
		}
		port := uint32(1024 + p.r.IntN(60000))
		if p.chance(10) {
			port = uint32(p.r.IntN(140000))
		}
		arg := []string{"chat", "file.txt", "a", `"two words"`}[p.r.IntN(4)]
		b := a.As4()
		text := fmt.Sprintf("PRIVMSG b :\x01DCC %s %s %d %d 1234\x01\r\n", word, arg, binary.BigEndian.Uint32(b[:]), port)
		if p.chance(20) {
			text = strings.Repeat("\r\n", p.r.IntN(3)) + text
		}
		if p.chance(10) {
			text = strings.ToLower(text)
		}
		got := c.say(text)
		if p.chance(30) {
			p.compare()
		}
		f := strings.Fields(got)
		if len(f) < 7 || !p.chance(85) {
			continue
		}
		n, err := strconv.ParseUint(f[len(f)-3], 10, 32)
		q, bad := strconv.ParseUint(f[len(f)-2], 10, 16)
		if err != nil || bad != nil {
			continue
		}
		to := netip.AddrPortFrom(netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, uint32(n)))), uint16(q))
		x, y := p.connect(s.host, uint16(1024+p.r.IntN(60000)), to, c.host)
		if x != nil {
			x.say("hello\n")
			y.say("hello\n")
		}
		s.say("PING :irc\r\n")
		c.say("PONG :irc\r\n")
	}
	if p.chance(50) {
		c.close()
	}
}

// playAmanda asks a client for a backup; the client answers with ports.
func playAmanda(p *player, cl, sv party, at netip.Addr) {
	port := uint16(600 + p.r.IntN(400))
	for range 1 + p.r.IntN(3) {
		v, ok := p.datagram(cl, port, netip.AddrPortFrom(at, 10080), []byte("Amanda 2.4 REQ HANDLE 000 SEQ 1\nSERVICE sendbackup\n"), sv.dev)
		if !ok {
			return
		}
		sport, _ := v.Ports()
		me := party{sv.dev, v.Dst}
		q := 1024 + p.r.IntN(60000)
		text := fmt.Sprintf("Amanda 2.4 REP HANDLE 000 SEQ 1\nCONNECT DATA %d MESG %d INDEX %d\nOPTIONS ;\n", q, q+1, (q+2)*(1-p.r.IntN(2)))
		if p.chance(20) {
			text = fmt.Sprintf("CONNECT MESG %d DATA %d STATE %d INDEX %d\n", q, q, p.r.IntN(100000), p.r.IntN(200))
		}
		u, ok := p.datagram(me, 10080, netip.AddrPortFrom(v.Src, sport), []byte(text), cl.dev)
		if p.chance(30) {
			p.compare()
		}
		if !ok {
			continue
		}
		_, line, _ := strings.Cut(string(u.L4[8:]), "CONNECT ")
		f := strings.Fields(line)
		for i := 0; i+1 < len(f) && i < 6; i += 2 {
			n, err := strconv.ParseUint(f[i+1], 10, 16)
			if err != nil || !p.chance(80) {
				continue
			}
			if x, y := p.connect(cl, uint16(1024+p.r.IntN(60000)), netip.AddrPortFrom(at, uint16(n)), sv); x != nil {
				y.say("dump\n")
			}
		}
	}
}

// playSANE asks a scanner to start.
func playSANE(p *player, cl, sv party, at netip.Addr) {
	c, s := p.connect(cl, uint16(20000+p.r.IntN(20000)), netip.AddrPortFrom(at, 6566), sv)
	if c == nil {
		return
	}
	for range 1 + p.r.IntN(4) {
		rpc := byte(7)
		if p.chance(20) {
			rpc = byte(p.r.IntN(10))
		}
		c.say("\x00\x00\x00" + string(rune(rpc)) + "\x00\x00\x00\x01")
		port := uint16(1024 + p.r.IntN(60000))
		status := byte(0)
		if p.chance(10) {
			status = byte(p.r.IntN(2))
		}
		answer := append([]byte{0, 0, 0, status, 0, 0}, byte(port>>8), byte(port))
		if p.chance(70) {
			answer = append(answer, 0, 0, 0x10, 0xe1)
		}
		s.say(string(answer))
		if p.chance(30) {
			p.compare()
		}
		if p.chance(85) {
			if x, y := p.connect(c.host, uint16(1024+p.r.IntN(60000)), netip.AddrPortFrom(c.peer.Addr(), port), s.host); x != nil {
				y.say("an image")
			}
		}
	}
}

// playNetBIOS lets the machine ask the whole network; members of it answer.
func playNetBIOS(p *player, _, _ party, _ netip.Addr) {
	self := party{gen.Local, netip.MustParseAddr("192.0.2.1")}
	to := netip.AddrPortFrom(netip.MustParseAddr("192.0.2.255"), 137)
	// Each port once: Linux compares bytes that it never set when the same is
	// expected again, and then renews the expectation or does not.
	for _, n := range p.r.Perm(4)[:1+p.r.IntN(4)] {
		if p.chance(15) {
			to = netip.AddrPortFrom(netip.MustParseAddr("192.0.2.10"), 137)
		}
		port := uint16([]int{137, 138, 1024, 50000}[n])
		p.datagram(self, port, to, []byte("who has it?"), "lan0")
		for range 1 + p.r.IntN(3) {
			from := party{"lan0", host(false, true, 2+p.r.IntN(100))}
			if p.chance(15) {
				from = party{"wan0", host(false, false, 7)}
			}
			sport := uint16(137)
			if p.chance(15) {
				sport = 138
			}
			p.datagram(from, sport, netip.AddrPortFrom(self.addr, port), []byte("I have"), "lan0")
		}
		if p.chance(40) {
			p.compare()
		}
	}
}

// playPPTP opens a session and calls over it, and sends GRE both ways.
func playPPTP(p *player, cl, sv party, at netip.Addr) {
	c, s := p.connect(cl, uint16(20000+p.r.IntN(20000)), netip.AddrPortFrom(at, 1723), sv)
	if c == nil {
		return
	}
	one := func(usual byte) byte {
		if p.chance(10) {
			return byte(p.r.IntN(4))
		}
		return usual
	}
	c.say(pptpMessage(1, 144, nil))
	s.say(pptpMessage(2, 144, []byte{1, 0, one(1)}))
	for range 1 + p.r.IntN(3) {
		pns, pac := uint16(p.r.Uint32()), uint16(p.r.Uint32())
		if p.chance(10) {
			pns = 0
		}
		if p.chance(70) {
			got := c.say(pptpMessage(7, 156, be(pns)))
			seen := pns
			if len(got) >= 14 {
				seen = binary.BigEndian.Uint16([]byte(got)[12:])
			}
			if p.chance(10) {
				seen++
			}
			s.say(pptpMessage(8, 20, append(be(pac, seen), one(1))))
		} else {
			s.say(pptpMessage(9, 208, be(pac)))
			c.say(pptpMessage(10, 12, append(be(pns, pac), one(1))))
			seen := pns
			if p.chance(30) {
				seen = c.port
			}
			s.say(pptpMessage(11, 16, be(seen)))
		}
		if p.chance(40) {
			p.compare()
		}
		// Each end sends to the call id of the other, as it came to know it.
		peer := s.peer
		for range 1 + p.r.IntN(5) {
			if p.chance(50) {
				p.gre(cl, at, pac)
			} else {
				id := pns
				if p.chance(60) {
					id = peer.Port() // what a translated client's id becomes
				}
				p.gre(party{sv.dev, s.host.addr}, peer.Addr(), id)
			}
		}
		switch p.r.IntN(5) {
		case 0:
			c.say(pptpMessage(12, 4, be(pns)))
			s.say(pptpMessage(13, 136, be(pac)))
		case 1:
			c.say(pptpMessage(15, 12, be(pac)))
			s.say(pptpMessage(15, 12, be(pns)))
		case 2:
			s.say(pptpMessage(14, 28, be(pns)))
			c.say(pptpMessage(5, 4, nil))
			s.say(pptpMessage(6, 8, nil))
		case 3:
			c.say(pptpMessage(uint16(p.r.IntN(18)), 4+p.r.IntN(200), be(pns, pac)))
			s.say(pptpMessage(uint16(p.r.IntN(18)), 4+p.r.IntN(200), be(pac, pns)))
		}
	}
	if p.chance(50) {
		c.say(pptpMessage(3, 4, []byte{1}))
		s.say(pptpMessage(4, 4, []byte{one(1)}))
		c.close()
	}
	if p.chance(30) {
		c.send(wire.RST|wire.ACK, nil, nil)
	}
}

func be(v ...uint16) (b []byte) {
	for _, n := range v {
		b = binary.BigEndian.AppendUint16(b, n)
	}
	return b
}

// pptpMessage is a control message with the beginning of its body.
func pptpMessage(typ uint16, n int, body []byte) string {
	b := make([]byte, 12+n)
	copy(b, be(uint16(len(b)), 1, 0x1a2b, 0x3c4d, typ, 0))
	copy(b[12:], body)
	return string(b)
}

// gre sends a packet of a call.
func (p *player) gre(from party, to netip.Addr, id uint16) {
	body := append([]byte{0x30, 0x01, 0x88, 0x0b, 0, 4}, be(id, 0, 1)...)
	body = append(body, 0xff, 3, 0, 0x21)
	if p.chance(5) {
		body[1] = byte(p.r.IntN(4))
	}
	if p.chance(5) {
		body = body[:p.r.IntN(len(body))]
	}
	p.inject(from.dev, wire.IP{Src: from.addr, Dst: to, Proto: 47, TTL: 64, ID: uint16(p.r.Uint32() | 1)}.Packet(body))
}

// ber is an element in the basic encoding rules.
func (p *player) ber(tag byte, content ...byte) []byte {
	switch n := len(content); {
	case p.chance(3) && tag&0x20 != 0:
		return append(append([]byte{tag, 0x80}, content...), 0, 0)
	case n > 127 || p.chance(5):
		return append([]byte{tag, 0x82, byte(n >> 8), byte(n)}, content...)
	default:
		return append([]byte{tag, byte(n)}, content...)
	}
}

// snmp is a message with addresses in it.
func (p *player) snmp(pdu byte, addrs ...netip.Addr) []byte {
	var list []byte
	for range p.r.IntN(4) {
		v := p.ber([]byte{2, 4, 6, 0x41, 0x42, 0x43, 0x44, 0x46}[p.r.IntN(8)], make([]byte, p.r.IntN(6))...)
		switch p.r.IntN(4) {
		case 0, 1:
			a := addrs[p.r.IntN(len(addrs))].As4()
			v = p.ber(0x40, a[:]...)
		case 2:
			v = p.ber([]byte{5, 0x80, 0x81, 0x82}[p.r.IntN(4)])
		}
		list = append(list, p.ber(0x30, append(p.ber(6, 0x2b, 6, 1, 2, byte(p.r.IntN(100))), v...)...)...)
	}
	body := append(p.ber(2, 0, 0, byte(p.r.IntN(256))), p.ber(2, 0)...)
	body = append(append(body, p.ber(2, 0)...), p.ber(0x30, list...)...)
	msg := append(p.ber(2, byte(p.r.IntN(21)/10)), p.ber(4, []byte("public")[:1+p.r.IntN(6)]...)...)
	return p.ber(0x30, append(msg, p.ber(0xa0|pdu, body...)...)...)
}

// playSNMP asks and is told, with addresses of both ends in the answers.
func playSNMP(p *player, cl, sv party, at netip.Addr) {
	for range 1 + p.r.IntN(4) {
		port := uint16(1024 + p.r.IntN(60000))
		dport := uint16(161 + p.r.IntN(2))
		v, ok := p.datagram(cl, port, netip.AddrPortFrom(at, dport), p.snmp(byte(p.r.IntN(9)), cl.addr, at, sv.addr), sv.dev)
		if !ok {
			continue
		}
		back, _ := v.Ports()
		for range p.r.IntN(3) {
			p.datagram(party{sv.dev, v.Dst}, dport, netip.AddrPortFrom(v.Src, back), p.snmp(2, v.Src, cl.addr, v.Dst), cl.dev)
		}
		if p.chance(30) {
			p.compare()
		}
	}
	// A broadcast of the machine's own.
	if p.chance(30) {
		self := party{gen.Local, netip.MustParseAddr("192.0.2.1")}
		p.datagram(self, 30000, netip.MustParseAddrPort("192.0.2.255:161"), p.snmp(0, self.addr), "lan0")
		p.datagram(party{"lan0", host(false, true, 30)}, 161, netip.AddrPortFrom(self.addr, 30000), p.snmp(2, self.addr), "lan0")
	}
}
