package helper

import "encoding/binary"

// A dialogue is records: a byte that says how, two bytes of length, payload.
const (
	fromServer      = 1 << iota
	notAcknowledged // the next one of this side has the same sequence number
	expectedComes   // and then what is expected
)

// talk makes a dialogue. The first byte of each message is > from the client and
// < from the server; with ! behind it what is expected comes.
func talk(messages ...string) (b []byte) {
	for _, m := range messages {
		how := uint8(0)
		if m[0] == '<' {
			how = fromServer
		}
		if m = m[1:]; m[0] == '!' {
			how, m = how|expectedComes, m[1:]
		}
		b = append(b, how, byte(len(m)>>8), byte(len(m)))
		b = append(b, m...)
	}
	return b
}

// dialogues are some of all protocols, of a client at 192.0.2.10 or
// 2001:db8:1::a, seen outside as 203.0.113.1 or 2001:db8:2::1.
func dialogues() [][]byte {
	list := [][]byte{
		talk("<220 ready\r\n", ">USER a\r\n", "<331 go on\r\n", ">PORT 192,0,2,10,7,7\r\n", "<!200 ok\r\n", ">PASV\r\n", "<!227 Entering Passive Mode (198,51,100,10,7,7).\r\n"),
		talk("<220 ready\r\n", ">USER a\r\n", "<331 go on\r\n", ">EPRT |1|192.0.2.10|1799|\r\n", ">EPSV\r\n", "<!229 Extended (|||1799|)\r\n", ">!PORT 192,0,2,10,7,8\r\n"),
		talk("<220 ready\r\n", ">USER a\r\n", ">EPRT |2|2001:db8:1::a|1799|\r\n", ">EPSV\r\n", "<!229 Extended (|||1799|)\r\n"),
		talk("<220 ready\r\n", ">USER a\r\n", ">PORT 192,0,2,10,7", ">,7\r\n", "<227 (203,0,113,7,7,7)\r\n", ">PORT 192,0,2,10,7,7\r\n"),
		talk(">!\x00\x01boot\x00octet\x00", "<\x00\x03\x00\x01data"),
		talk(">!PRIVMSG b :\x01DCC SEND file 3221225994 1799 12\x01\r\n", ">!PRIVMSG b :\x01DCC CHAT chat 3221225994 1800\x01\r\n"),
		talk(">OPTIONS\n", "<!CONNECT DATA 1799 MESG 1800 INDEX 1801\nOPTIONS\n", "<!CONNECT DATA 9 STATE 10\n"),
		talk(">\x00\x00\x00\x07\x00\x00\x00\x01", "<!\x00\x00\x00\x00\x00\x00\x07\x07"),
		talk(">!\x00\x01\x01\x10\x00\x01\x00\x00\x00\x00\x00\x00"),
	}
	snmp := func(pdu byte) string {
		vars := "0\x0e0\x0c\x06\x04+\x06\x01\x02@\x04\xc0\x00\x02\x0a"
		if pdu == 0xa7 {
			vars = "0\x1c0\x0c\x06\x04+\x06\x01\x02@\x04\xc0\x00\x02\x0a0\x0c\x06\x04+\x06\x01\x02@\x04\xcb\x00\x71\x01"
		}
		body := "\x02\x01\x01\x02\x01\x00\x02\x01\x00" + vars
		body = "\x02\x01\x01\x04\x06public" + string([]byte{pdu, byte(len(body))}) + body
		return string([]byte{tagSequence, byte(len(body))}) + body
	}
	for _, pdu := range []byte{0xa0, 0xa2, 0xa7} {
		list = append(list, talk(">!"+snmp(pdu), "<"+snmp(pdu)))
	}
	for _, id := range []uint16{7, 5060} { // as it is, and translated
		be := binary.BigEndian
		ctl := func(msg byte, size int, ids ...uint16) string {
			b := append([]byte{0, byte(12 + size), 0, 1, 0x1a, 0x2b, 0x3c, 0x4d, 0, msg, 0, 0}, make([]byte, size)...)
			for i, id := range ids {
				be.PutUint16(b[12+2*i:], id)
			}
			if msg == startReply {
				b[14] = 1
			}
			if msg == outCallReply || msg == inCallReply {
				b[16] = 1
			}
			return string(b)
		}
		begin := []string{">" + ctl(startRequest, 144), "<" + ctl(startReply, 144)}
		list = append(list,
			talk(append(begin, ">"+ctl(outCallRequest, 156, 7), "<!"+ctl(outCallReply, 20, 9, id), "<"+ctl(disconnectNotify, 136, 9))...),
			talk(append(begin, "<"+ctl(inCallRequest, 208, 9), ">"+ctl(inCallReply, 12, id, 9), "<!"+ctl(inCallConnect, 16, id),
				">"+ctl(setLinkInfo, 12, 9), ">"+ctl(clearRequest, 4, 9), "<"+ctl(wanError, 28, id), ">"+ctl(stopRequest, 4), "<"+ctl(stopReply, 4))...))
	}
	for _, a := range [][3]string{{"192.0.2.10", "198.51.100.10", "203.0.113.1"}, {"[2001:db8:1::a]", "[2001:db8:2::a]", "[2001:db8:2::1]"}} {
		list = append(list, calls(a[0], a[1], a[1]), calls(a[0], a[1], a[2]))
	}
	return list
}

// calls is a dialogue of SIP: a registration, a call, one that is refused, one
// from the other side. The server sees the client at outside.
func calls(inside, server, outside string) []byte {
	sdp := func(addr, port string) string {
		ip := "IN IP4 " + addr
		if addr[0] == '[' {
			ip = "IN IP6 " + addr[1:len(addr)-1]
		}
		return "v=0\r\no=a 1 1 " + ip + "\r\ns=-\r\nc=" + ip + "\r\nt=0 0\r\nm=audio " + port + " RTP/AVP 0\r\nm=video 6004 RTP/AVP 31\r\nc=" + ip + "\r\n"
	}
	msg := func(first, at, cseq, more, body string) string {
		s := first + "\r\nVia: SIP/2.0/UDP " + at + ":5060;rport=5060;received=" + at + "\r\nFrom: <sip:a@" + at + ">;tag=1\r\nTo: <sip:b@" + server +
			">\r\nCall-ID: 1\r\nCSeq: " + cseq + "\r\n" + more
		if body != "" {
			s += "Content-Type: application/sdp\r\n"
		}
		n := []byte{byte('0' + len(body)/100), byte('0' + len(body)/10%10), byte('0' + len(body)%10)}
		return s + "Content-Length: " + string(n) + "\r\n\r\n" + body
	}
	contact := "Contact: <sip:a@" + inside + ":5060>;expires=60\r\n"
	back := "Contact: <sip:a@" + outside + ":5060>;expires=60, <sip:b@" + inside + ":5060>\r\nExpires: 60\r\n"
	return talk(
		">"+msg("REGISTER sip:"+server+" SIP/2.0", inside, "1 REGISTER", contact, ""),
		"<!"+msg("SIP/2.0 200 OK", outside, "1 REGISTER", back, ""),
		">"+msg("INVITE sip:b@"+server+" SIP/2.0", inside, "2 INVITE", contact, sdp(inside, "5004")),
		"<"+msg("SIP/2.0 180 Ringing", outside, "2 INVITE", "", ""),
		"<!"+msg("SIP/2.0 200 OK", outside, "2 INVITE", "Contact: <sip:b@"+server+">\r\n", sdp(server, "7004")),
		">"+msg("ACK sip:b@"+server+" SIP/2.0", inside, "2 ACK", "", ""),
		">"+msg("BYE sip:b@"+server+" SIP/2.0", inside, "3 BYE", "", ""),
		">"+msg("INVITE sip:b@"+server+" SIP/2.0", inside, "4 INVITE", contact, sdp(inside, "5008")),
		"<"+msg("SIP/2.0 486 Busy Here", outside, "4 INVITE", "", ""),
		"<"+msg("INVITE sip:a@"+outside+":5060 SIP/2.0", server, "9 INVITE", "Record-Route: <sip:"+server+";lr>\r\n", sdp(server, "7010")),
		">!"+msg("SIP/2.0 200 OK", inside, "9 INVITE", contact, sdp(inside, "5010")),
		">"+msg("REGISTER sip:"+server+" SIP/2.0", inside, "10 REGISTER", "Contact: *\r\nExpires: 0\r\n", ""),
	)
}
