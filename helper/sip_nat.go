package helper

import (
	"encoding/binary"
	"net/netip"
	"strconv"

	"weir/conntrack"
	"weir/hook"
	"weir/nat"
	"weir/packet"
)

// put writes text in place of a part of the message.
func (m *sip) put(s span, text string) bool {
	m.rewrites(m.off+s.at, s.n, text)
	if !m.replace(m.off+s.at, s.n, []byte(text), false) {
		return false
	}
	m.n += len(text) - s.n
	return true
}

// addrText is an address as Linux prints it (%pI4, %pI6c).
func addrText(a packet.Addr, f packet.Family) string {
	if f == packet.IPv6 && a[8]|2 == 2 && a[9] == 0 && a[10] == 0x5e && a[11] == 0xfe {
		// ISATAP (RFC 5214): the last 32 bits are an IPv4 address.
		low := a.IP(f).As16()
		copy(low[12:], []byte{1, 2, 3, 4})
		s := netip.AddrFrom16(low).String()
		return s[:len(s)-len("102:304")] + netip.AddrFrom4([4]byte(a[12:])).String()
	}
	return a.IP(f).String()
}

// bracketed is addrText, in brackets for IPv6.
func bracketed(a packet.Addr, f packet.Family) string {
	if f == packet.IPv6 {
		return "[" + addrText(a, f) + "]"
	}
	return addrText(a, f)
}

func (m *sip) family() packet.Family { return m.own().L3 }

// rewrite translates what the headers say of the ends. Linux: nf_nat_sip.
func (m *sip) rewrite() hook.Verdict {
	request := !hasFold(m.bytes(), "sip/2.0")
	if request {
		if u, f := m.requestURI(); f == there && !m.mapURI(&u) {
			return m.cannotNAT("cannot mangle SIP message")
		}
	}
	if why := m.rewriteVia(request); why != "" {
		return m.cannotNAT(why)
	}
	at, inList := 0, false
	for {
		u, f := m.uriIn(&at, hdrContact(), &inList)
		if f != there {
			break
		}
		if !m.mapURI(&u) {
			return m.cannotNAT("cannot mangle contact")
		}
	}
	for _, h := range []*sipHeader{hdrFrom(), hdrTo()} {
		if u, f := m.uriIn(nil, h, nil); f == there && !m.mapURI(&u) {
			return m.cannotNAT("cannot mangle SIP from/to")
		}
	}
	if forced := m.tb.HelpData(m.c)[sipForced]; m.dir == conntrack.Reply && forced != 0 {
		b := m.t.Pkt.Data[m.t.Pkt.L4:]
		binary.BigEndian.PutUint16(b[2:], uint16(forced))
		if !m.replace(m.off, 0, nil, false) {
			return m.cannotNAT("cannot mangle packet")
		}
	}
	return hook.Accept
}

func (m *sip) cannotNAT(why string) hook.Verdict {
	m.log(why)
	return m.drop("cannot NAT SIP message")
}

// mapURI writes an end of the connection as the other side knows it. Others stay.
// Linux: map_addr.
func (m *sip) mapURI(u *uri) bool {
	own, other := m.own(), m.other()
	to, port := u.addr, u.port
	switch {
	case own.Src == u.addr && own.SrcL4 == u.port:
		to, port = other.Dst, other.DstL4
	case own.Dst == u.addr && own.DstL4 == u.port:
		to, port = other.Src, other.SrcL4
		if forced := m.tb.HelpData(m.c)[sipForced]; forced != 0 {
			port = uint16(forced)
		}
	}
	if to == u.addr && port == u.port {
		return true
	}
	return m.put(u.span, bracketed(to, m.family())+":"+strconv.Itoa(int(port)))
}

// rewriteVia translates the topmost Via header and its parameters; it returns
// what went wrong.
func (m *sip) rewriteVia(request bool) (why string) {
	h := hdrViaUDP()
	if m.c.Proto() == packet.TCP {
		h = hdrViaTCP()
	}
	u, f := m.uriIn(nil, h, nil)
	if f != there {
		return ""
	}
	own, other, fam := m.own(), m.other(), m.family()
	if request && (u.addr != own.Src || u.port != own.SrcL4) || !request && (u.addr != own.Dst || u.port != own.DstL4) {
		return ""
	}
	before := m.n
	if !m.mapURI(&u) {
		return "cannot mangle Via header"
	}
	end := u.at + u.n + m.n - before
	if s, a, ok := m.addressParameter(end, "maddr=", true); ok && a == own.Src && a != other.Dst {
		if !m.put(s, bracketed(other.Dst, fam)) {
			return "cannot mangle maddr"
		}
	}
	if s, a, ok := m.addressParameter(end, "received=", false); ok && a == own.Dst && a != other.Src {
		if !m.put(s, addrText(other.Src, fam)) {
			return "cannot mangle received"
		}
	}
	if s, v, f := m.numberParameter(end, "rport="); f == there && uint16(v) == own.DstL4 && uint16(v) != other.SrcL4 {
		if !m.put(s, strconv.Itoa(int(other.SrcL4))) {
			return "cannot mangle rport"
		}
	}
	return ""
}

// expectTranslated expects calls where the registrar will see the client.
// Linux: nf_nat_sip_expect.
func (m *sip) expectTranslated(e *conntrack.Expect, where span) hook.Verdict {
	own, other := m.own(), m.other()
	to := other.Dst
	if own.Src == other.Dst {
		to = e.Tuple.Dst
	}
	mine := own.SrcL4
	if forced := m.tb.HelpData(m.c)[sipForced]; forced != 0 {
		mine = uint16(forced)
	}
	port := e.Tuple.DstL4
	if port == mine {
		port = other.DstL4
	}
	e.SavedAddr, e.SavedL4 = e.Tuple.Dst, e.Tuple.DstL4
	e.Tuple.Dst, e.Dir, e.Fn = to, 1-m.dir, fnSIP
	x := m.findPort(e, port)
	if x == nil {
		return m.drop("all ports in use for SIP")
	}
	if x.Tuple.Dst == x.SavedAddr && x.Tuple.DstL4 == x.SavedL4 {
		return hook.Accept
	}
	if !m.put(where, bracketed(to, m.family())+":"+strconv.Itoa(int(x.Tuple.DstL4))) {
		m.tb.Unexpect(x, m.t.Now)
		return m.drop("cannot mangle packet")
	}
	return hook.Accept
}

// streamTranslated expects a stream where the other end will see it, at a pair
// of ports. Linux: nf_nat_sdp_media.
func (m *sip) streamTranslated(rtp, rtcp *conntrack.Expect, where span, to *packet.Addr) hook.Verdict {
	if m.own().Src == m.other().Dst {
		*to = rtp.Tuple.Dst
	} else {
		*to = m.other().Dst
	}
	for _, e := range []*conntrack.Expect{rtp, rtcp} {
		e.SavedAddr, e.SavedL4 = e.Tuple.Dst, e.Tuple.DstL4
		e.Tuple.Dst, e.Dir, e.Fn = *to, 1-m.dir, fnSIP
	}
	a, b := m.portPair(rtp, rtcp)
	if a == nil {
		return m.drop("all ports in use for SDP media")
	}
	if a.Tuple.DstL4 != a.SavedL4 && !m.rewritePort(where, a.Tuple.DstL4) {
		m.tb.Unexpect(a, m.t.Now)
		m.tb.Unexpect(b, m.t.Now)
		return m.drop("cannot mangle SDP message")
	}
	return hook.Accept
}

// portPair enters two expectations at the first pair of ports that is free.
func (m *sip) portPair(rtp, rtcp *conntrack.Expect) (a, b *conntrack.Expect) {
	for port := rtp.Tuple.DstL4; port != 0; port += 2 {
		rtp.Tuple.DstL4, rtcp.Tuple.DstL4 = port, port+1
		a, res := m.enter(rtp, true)
		if res == conntrack.ExpectBusy {
			continue
		}
		if res != conntrack.ExpectOK {
			return nil, nil
		}
		b, res := m.enter(rtcp, true)
		if res == conntrack.ExpectOK {
			return a, b
		}
		m.tb.Unexpect(a, m.t.Now)
		if res != conntrack.ExpectBusy {
			return nil, nil
		}
	}
	return nil, nil
}

// rewritePort writes another port into a media line.
func (m *sip) rewritePort(where span, port uint16) bool {
	return m.put(where, strconv.Itoa(int(port))) && m.rewriteLength()
}

// rewriteLine writes an address into a line before the next media.
func (m *sip) rewriteLine(from int, l *sdpLine, to *packet.Addr) bool {
	s, f := m.line(from, l, m.sdpMedia())
	return f == there && m.put(s, addrText(*to, m.family())) && m.rewriteLength()
}

// rewriteSession writes an address into the lines of the whole session; the
// owner's must be there. Linux: nf_nat_sdp_session.
func (m *sip) rewriteSession(from int, to *packet.Addr) hook.Verdict {
	text := addrText(*to, m.family())
	s, f := m.line(from, m.sdpOwner(), m.sdpMedia())
	if f != there || !m.put(s, text) {
		return m.t.Drop(hook.ReasonHelper)
	}
	if s, f = m.line(from, m.sdpConnection(), m.sdpMedia()); f == there && !m.put(s, text) || !m.rewriteLength() {
		return m.t.Drop(hook.ReasonHelper)
	}
	return hook.Accept
}

// rewriteLength makes Content-Length right. Linux: mangle_content_len.
func (m *sip) rewriteLength() bool {
	s, f := m.line(0, m.sdpVersion(), nil)
	if f != there {
		return false
	}
	n := m.n - s.at + len("v=")
	if s, f = m.header(0, hdrLength()); f != there {
		return false
	}
	return m.put(s, strconv.Itoa(n))
}

// sipExpected translates a call or a stream that was expected: its destination
// to the client, its source to where the other stream of the pair is expected,
// or as the master's. Linux: nf_nat_sip_expected.
func sipExpected(t *hook.Traversal, c, master *conntrack.Conn, e *conntrack.Expect) {
	r := nat.Range{
		Flags: nat.MapIPs | nat.ProtoSpecified, MinAddr: e.SavedAddr, MaxAddr: e.SavedAddr, MinPort: e.SavedL4, MaxPort: e.SavedL4,
	}
	nat.Setup(t, c, &r, nat.Destination)
	orig := &c.Tuple[conntrack.Original]
	set := false
	if e.Class != sipSignalling {
		t.Env.CT.ExpectedBy(master, func(p *conntrack.Expect) bool {
			if p.Tuple.L3 != orig.L3 || p.Tuple.Proto != orig.Proto || p.SavedAddr != orig.Src || p.SavedL4 != orig.SrcL4 {
				return true
			}
			r = nat.Range{
				Flags: nat.MapIPs | nat.ProtoSpecified, MinAddr: p.Tuple.Dst, MaxAddr: p.Tuple.Dst,
				MinPort: p.Tuple.DstL4, MaxPort: p.Tuple.DstL4,
			}
			set = true
			return false
		})
	}
	if !set && orig.Src == master.Tuple[e.Dir].Src {
		a := master.Tuple[1-e.Dir].Dst
		r, set = nat.Range{Flags: nat.MapIPs, MinAddr: a, MaxAddr: a}, true
	}
	if set {
		nat.Setup(t, c, &r, nat.Source)
	}
}
