package linuxdiff

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"weir/internal/wire"
)

// attack is a payload that tries to open a way in.
type attack struct {
	name string
	rule string // in raw
	port uint16 // of the server
	udp  bool
	// script is who says what: "c" the client, "s" the server, "c+" and "s+" the
	// same without a newline before it in the stream, "cs" the client in two
	// segments that part at the bar. {c} and {s} stand for the addresses of the
	// ends as they know themselves, {v} for a third host beside the client, and
	// the same with commas or as a number in capitals and with a hash.
	script []string
	// opens is how many expectations Linux makes in spite of it.
	opens int
}

// attacks are the published ways to fool a helper, and shapes of them.
func attacks() []attack {
	const ftp, irc = "-p tcp --dport 21 -j CT --helper ftp", "-p tcp --dport 6667 -j CT --helper irc"
	const sipT, sipU = "-p tcp --dport 5060 -j CT --helper sip", "-p udp --dport 5060 -j CT --helper sip"
	call := func(contact, media string) string {
		sdp := "v=0\r\no=a 1 1 IN IP4 " + media + "\r\nc=IN IP4 " + media + "\r\nm=audio 5004 RTP/AVP 0\r\n"
		return fmt.Sprintf("INVITE sip:b@{s} SIP/2.0\r\nVia: SIP/2.0/UDP {c}:5060\r\nContact: <sip:a@%s>\r\nCSeq: 1 INVITE\r\nContent-Length: %d\r\n\r\n%s", contact, 88, sdp)
	}
	register := func(contact string) string {
		return "REGISTER sip:{s} SIP/2.0\r\nVia: SIP/2.0/TCP {c}:5060\r\nContact: <sip:a@" + contact + ">\r\nExpires: 600\r\nCSeq: 1 REGISTER\r\nContent-Length: 0\r\n\r\n"
	}
	return []attack{
		{"FTP bounce: PORT with the address of another host (RFC 2577 section 3)", ftp, 21, false, []string{"s220 hi\r\n", "cNOOP\r\n", "cPORT {V},7,7\r\n"}, 0},
		{"FTP bounce with EPRT", ftp, 21, false, []string{"s220 hi\r\n", "cNOOP\r\n", "cEPRT |1|{v}|1799|\r\n"}, 0},
		{"a server names another host in its answer to PASV", ftp, 21, false, []string{"s220 hi\r\n", "cPASV\r\n", "s227 Entering ({V},7,7)\r\n"}, 0},
		{"a server echoes the client's 227 behind its own words (VU#328867)", ftp, 21, false, []string{"s220 hi\r\n", "cXXXX 227 ({S},7,7)\r\n", "s500 XXXX 227 ({S},7,7): not understood\r\n"}, 0},
		{"the echo is cut so that 227 begins a segment (VU#328867)", ftp, 21, false, []string{"s220 hi\r\n", "cXXXX\r\n", "s500 Invalid command given: ", "s227 ({S},7,7)\r\n"}, 0},
		{"PORT begins a segment in the middle of a line", ftp, 21, false, []string{"s220 hi\r\n", "cNOOP\r\n", "cUSER ", "cPORT {C},7,7\r\n"}, 0},
		{"PORT cut in two", ftp, 21, false, []string{"s220 hi\r\n", "cNOOP\r\n", "cPORT {C},", "c7,7\r\n"}, 0},
		{"PORT behind another command in the same segment", ftp, 21, false, []string{"s220 hi\r\n", "cNOOP\r\nPORT {C},7,7\r\n"}, 0},
		{"a web form that carries FTP (Phrack 63)", ftp, 21, false, []string{"cPOST / HTTP/1.1\r\nHost: x\r\nContent-Length: 30\r\n\r\nPORT {C},7,7\r\n"}, 0},
		{"a client plays the server's part", ftp, 21, false, []string{"s220 hi\r\n", "cNOOP\r\n", "c227 Entering ({C},7,7)\r\n"}, 0},
		{"a server plays the client's part", ftp, 21, false, []string{"s220 hi\r\n", "cNOOP\r\n", "sPORT {S},7,7\r\n"}, 0},
		{"a number too large for an address: Linux takes its low bits, which are the sender's", ftp, 21, false, []string{"s220 hi\r\n", "cNOOP\r\n", "cPORT 448,0,2,10,7,7\r\n"}, 1},
		{"a number too large whose low bits are another host's", ftp, 21, false, []string{"s220 hi\r\n", "cNOOP\r\n", "cPORT 192,0,2,322,7,7\r\n"}, 0},
		{"EPRT of the other family", ftp, 21, false, []string{"s220 hi\r\n", "cNOOP\r\n", "cEPRT |2|2001:db8::1|1799|\r\n"}, 0},
		{"port 0", ftp, 21, false, []string{"s220 hi\r\n", "cNOOP\r\n", "c229 Extended (|||0|)\r\n"}, 0},
		{"a line without an end", ftp, 21, false, []string{"s220 hi\r\n", "cNOOP\r\n", "cPORT " + strings.Repeat("1", 1300)}, 0},

		{"DCC with the address of another host", irc, 6667, false, []string{"s:hi\r\n", "cPRIVMSG b :\x01DCC SEND file {#v} 1799 1000\x01\r\n"}, 0},
		{"DCC in a web form: the header comes first (NAT pinning, 2010)", irc, 6667, false, []string{"s:hi\r\n", "cPOST / HTTP/1.1\r\nHost: x:6667\r\n\r\nPRIVMSG b :\x01DCC CHAT chat {#c} 1799\x01\r\n"}, 0},
		{"DCC that the server sends", irc, 6667, false, []string{"s:hi\r\n", "sPRIVMSG b :\x01DCC SEND file {#s} 1799 1000\x01\r\n"}, 0},
		{"DCC inside a sentence", irc, 6667, false, []string{"s:hi\r\n", "cPRIVMSG b :look: \x01DCC SEND file {#c} 1799 1000\x01\r\n"}, 0},
		{"DCC to port 0", irc, 6667, false, []string{"s:hi\r\n", "cPRIVMSG b :\x01DCC SEND file {#c} 0 1000000\x01\r\n"}, 0},
		{"DCC cut in two", irc, 6667, false, []string{"s:hi\r\n", "cPRIVMSG b :\x01DCC SEND file {#c} ", "c1799 1000\x01\r\n"}, 0},

		{"slipstreaming: REGISTER inside a web form's segment (2020)", sipT, 5060, false, []string{"cPOST / HTTP/1.1\r\nHost: x:5060\r\nContent-Length: 200\r\n\r\n" + register("{c}:5060")}, 0},
		{"slipstreaming: the form is long enough that REGISTER begins a segment: Linux is fooled", sipT, 5060, false, []string{"cPOST / HTTP/1.1\r\nHost: x:5060\r\nContent-Length: 200\r\n\r\n" + strings.Repeat("a", 900), "c" + register("{c}:5060")}, 1},
		{"slipstreaming: another host's address", sipT, 5060, false, []string{"c" + register("{v}:5060")}, 0},
		{"a registration for a port below 1024", sipT, 5060, false, []string{"c" + register("{c}:445")}, 0},
		{"a Content-Length that goes on behind the segment", sipT, 5060, false, []string{"c" + strings.Replace(register("{c}:5060"), "Content-Length: 0", "Content-Length: 5000", 1)}, 0},
		{"a call with the media of another host", sipU, 5060, true, []string{"c" + call("{c}:5060", "{v}")}, 0},
		{"a call with media to a privileged port", sipU, 5060, true, []string{"c" + strings.Replace(call("{c}:5060", "{c}"), "5004", "80", 1)}, 0},
		{"a registrar agrees to what nobody asked for", sipU, 5060, true, []string{"c" + call("{c}:5060", "{v}"), "sSIP/2.0 200 OK\r\nCSeq: 1 REGISTER\r\nContact: <sip:a@{c}:5060>\r\nExpires: 60\r\n\r\n"}, 0},

		{"a PPTP server takes a call that was not requested", "-p tcp --dport 1723 -j CT --helper pptp", 1723, false,
			[]string{"s" + pptpMessage(2, 144, []byte{1, 0, 1}), "s" + pptpMessage(8, 20, append(be(7, 0), 1))}, 0},
		{"a PPTP answer that is too short for its type", "-p tcp --dport 1723 -j CT --helper pptp", 1723, false,
			[]string{"c" + pptpMessage(1, 144, nil), "s" + pptpMessage(2, 144, []byte{1, 0, 1}), "c" + pptpMessage(7, 156, be(5)), "s" + pptpMessage(8, 19, append(be(7, 5), 1))}, 0},
		{"a scanner answers that was not asked", "-p tcp --dport 6566 -j CT --helper sane", 6566, false, []string{"s\x00\x00\x00\x00\x00\x00\x07\x07"}, 0},
		{"Amanda's answer from the asking side", "-p udp --dport 10080 -j CT --helper amanda", 10080, true, []string{"cCONNECT DATA 1799\n"}, 0},
		{"a TFTP answer that looks like a request: the expectation is the one of the request", "-p udp --dport 69 -j CT --helper tftp", 69, true, []string{"c\x00\x01a\x00octet\x00", "s\x00\x02a\x00octet\x00"}, 2},
	}
}

// fill puts addresses into a script.
func (a *attack) fill(text string, c, s *end) string {
	third := netip.MustParseAddr("192.0.2.66")
	for _, x := range []struct {
		name string
		addr netip.Addr
	}{{"c", c.host.addr}, {"s", s.host.addr}, {"v", third}} {
		b := x.addr.As4()
		text = strings.NewReplacer("{"+x.name+"}", x.addr.String(), "{"+strings.ToUpper(x.name)+"}", strings.ReplaceAll(x.addr.String(), ".", ","),
			"{#"+x.name+"}", fmt.Sprint(uint32(b[0])<<24|uint32(b[1])<<16|uint32(b[2])<<8|uint32(b[3]))).Replace(text)
	}
	return text
}

// TestAttacksOpenWhatLinuxOpens plays each attack through both, with and without
// NAT: the same leaves, and nothing is expected but what Linux is fooled into.
func TestAttacksOpenWhatLinuxOpens(t *testing.T) {
	k := dialogueKernel(t)
	all := settings()
	for _, a := range attacks() {
		t.Run(a.name, func(t *testing.T) {
			for _, s := range []*surroundings{&all[0], &all[2]} {
				d := dialogue{name: a.name, rules: []string{a.rule}, play: func(p *player, cl, sv party, at netip.Addr) {
					a.play(p, cl, sv, at)
				}}
				if err := k.Reload(d.rulesIn(s)); err != nil {
					t.Fatal(err)
				}
				p := &player{}
				diff, err := d.playIn(s, k, p, 1)
				if err != nil {
					t.Fatal(err)
				}
				if diff != nil {
					t.Fatalf("%s: %v%s", s.name, diff, p.tail(diff.Packet))
				}
				if p.expected != a.opens {
					t.Errorf("%s: Linux expects %d connections, want %d", s.name, p.expected, a.opens)
				}
			}
		})
	}
}

func (a *attack) play(p *player, cl, sv party, at netip.Addr) {
	if a.udp {
		c := &end{p: p, host: cl, port: 5060, peer: netip.AddrPortFrom(at, a.port)}
		s := &end{p: p, host: sv, port: a.port}
		for _, line := range a.script {
			from, to := c, s
			if line[0] == 's' {
				from, to = s, c
			}
			if !from.peer.IsValid() {
				return
			}
			v, ok := p.datagram(from.host, from.port, from.peer, []byte(a.fill(line[1:], c, s)), to.host.dev)
			if ok {
				sport, dport := v.Ports()
				to.peer, to.port, to.host.addr = netip.AddrPortFrom(v.Src, sport), dport, v.Dst
			}
		}
		return
	}
	c, s := p.connect(cl, 5060, netip.AddrPortFrom(at, a.port), sv)
	if c == nil {
		panic("no connection")
	}
	for _, line := range a.script {
		from := c
		if line[0] == 's' {
			from = s
		}
		data := []byte(a.fill(line[1:], c, s))
		from.deliver(from.segment(wire.ACK|wire.PSH, data, nil))
		from.seq += uint32(len(data))
	}
}
