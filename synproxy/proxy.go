package synproxy

import (
	"encoding/binary"

	"weir/conntrack"
	"weir/hook"
	"weir/packet"
)

// Server is what the rule says of the server's TCP.
type Server struct {
	Options Option // that it has
	MSS     uint16
	Scale   uint8
}

const (
	syn, ack, fin, rst = packet.TCPSyn, packet.TCPAck, packet.TCPFin, packet.TCPRst
	ece, cwr           = packet.TCPEce, packet.TCPCwr
)

// segment is the header of a TCP segment and its options; ok false: it is cut
// off.
func segment(t *hook.Traversal) (h []byte, o options, ok bool) {
	h = t.Pkt.Payload()
	if len(h) < 20 || int(h[12]>>4) < 5 || int(h[12]>>4)*4 > len(h) {
		return h, o, false
	}
	return h, parse(h[20 : int(h[12]>>4)*4]), true
}

func word(h []byte, at int) uint32 { return binary.BigEndian.Uint32(h[at:]) }

func endsOf(p *packet.Packet, h []byte) hook.Ends {
	be := binary.BigEndian
	return hook.Ends{Src: p.Src(), Dst: p.Dst(), SrcPort: be.Uint16(h), DstPort: be.Uint16(h[2:])}
}

// Target is what the rule does with a segment: kept tells that the proxy has
// taken it, drop that it is to be dropped. Others go on.
// Linux: synproxy_tg4, synproxy_tg6.
func Target(t *hook.Traversal, s *Server) (kept, drop bool) {
	h, o, ok := segment(t)
	if !ok || !t.Pkt.L4ChecksumOK() {
		return false, true
	}
	stats := t.Env.CT.SynProxyStats()
	switch f := h[13]; {
	case f&(syn|ack|fin|rst) == syn:
		stats.SynReceived++
		if f&(ece|cwr) == ece|cwr {
			o.has |= ECN
		}
		o.has &= s.Options
		announced := o.mss
		o.mss = s.MSS
		if o.has&Timestamp != 0 {
			o.hide(t.Env.Cookies.Stamp(t.Now), s.Scale)
		} else {
			o.has &^= WScale | SackPerm | ECN
		}
		answerClient(t, h, &o, announced)
		return true, false
	case f&(syn|ack|fin|rst) == ack:
		return askServer(t, h, &o, word(h, 4))
	}
	return false, false
}

// answerClient sends the SYN/ACK that carries the cookie. announced is the
// client's segment size.
func answerClient(t *hook.Traversal, h []byte, o *options, announced uint16) {
	p := t.Pkt
	sizes := segments(p.Family)
	size := len(sizes) - 1
	for size > 0 && announced < sizes[size] {
		size--
	}
	e := endsOf(p, h)
	out := hook.Segment{
		Src: p.Dst(), Dst: p.Src(), SrcPort: e.DstPort, DstPort: e.SrcPort,
		Seq: t.Env.Cookies.Make(&e, word(h, 4), uint32(size), t.Now), Ack: word(h, 4) + 1,
		Flags: syn | ack, CT: t.CT,
	}
	if o.has&ECN != 0 {
		out.Flags |= ece
	}
	out.CT.Info = conntrack.InfoEstablishedReply
	out.Options = o.append(t.Env.Emit.Scratch())
	t.Env.Emit.Segment(t, &out)
}

// askServer checks the cookie that a client acknowledges and, if it is right,
// sends the SYN to the server in the client's name. seq is the client's
// sequence number behind its SYN.
func askServer(t *hook.Traversal, h []byte, o *options, seq uint32) (kept, drop bool) {
	stats := t.Env.CT.SynProxyStats()
	p := t.Pkt
	e := endsOf(p, h)
	sizes := segments(p.Family)
	size, ok := t.Env.Cookies.Check(&e, word(h, 4)-1, word(h, 8)-1, t.Now)
	if !ok || size >= uint32(len(sizes)) {
		stats.CookieInvalid++
		return false, true
	}
	stats.CookieValid++
	o.mss = sizes[size]
	o.has |= MSS
	if o.has&Timestamp != 0 {
		o.reveal()
	}
	out := hook.Segment{
		Src: p.Src(), Dst: p.Dst(), SrcPort: e.SrcPort, DstPort: e.DstPort,
		Seq: seq - 1,
		// Where no acknowledgement is, the cookie is handed to Join.
		Ack: word(h, 8) - 1, Flags: syn, Window: binary.BigEndian.Uint16(h[14:]), Proxied: true,
	}
	if o.has&ECN != 0 {
		out.Flags |= ece | cwr
	}
	out.Options = o.append(t.Env.Emit.Scratch())
	t.Env.Emit.Segment(t, &out)
	return true, false
}

// Join is the hook function that watches the connections that the proxy made:
// it joins the two halves when the server answers, and moves time stamps from
// then on. Linux: ipv4_synproxy_hook, ipv6_synproxy_hook.
func Join(t *hook.Traversal) hook.Verdict {
	c := t.CT.Conn
	if c == nil || !c.Extended() || t.Pkt.Proto != packet.TCP || t.In != nil && t.In.Loopback {
		return hook.Accept
	}
	tb := t.Env.CT
	x := tb.SynProxy(c)
	if x == nil {
		return hook.Accept
	}
	if t.Pkt.NonFirstFragment() || len(t.Pkt.Payload()) < 20 {
		return t.Drop(hook.ReasonMalformed)
	}
	h, o, ok := segment(t)
	d := t.CT.Info.Dir()
	f := h[13]
	stats := tb.SynProxyStats()
	switch state := c.TCP().State; state {
	case conntrack.TCPClose, conntrack.TCPSynSent:
		if state == conntrack.TCPClose {
			if f&rst != 0 && d == conntrack.Reply {
				tb.InitSeqAdj(c, d, int32(x.ISN-word(h, 4)+1))
				break
			}
			if f&(syn|ack) != syn || d != conntrack.Original {
				break
			}
			x.Offset = 0
			stats.ConnReopened++
		}
		if !ok {
			return t.Drop(hook.ReasonMalformed)
		}
		if f&(syn|ack) == ack && d == conntrack.Original {
			// A keep-alive is one behind: the client was not answered yet.
			if kept, _ := askServer(t, h, &o, word(h, 4)+1); !kept {
				return t.Drop(hook.ReasonSynproxy)
			}
			stats.CookieRetrans++
			t.Taken, t.Why = true, hook.ReasonSynproxy
			return hook.Stolen
		}
		x.ISN = word(h, 8)
		if o.has&Timestamp != 0 {
			x.Echo = o.echo
		}
		c.NoteSynProxy()
	case conntrack.TCPSynRecv:
		if f&(syn|ack) != syn|ack {
			break
		}
		if !ok {
			return t.Drop(hook.ReasonMalformed)
		}
		if o.has&Timestamp != 0 {
			x.Offset = o.value - x.Echo
			c.NoteSynProxy()
		}
		scale := o.scale
		o.has &= Timestamp
		o.value, o.echo = o.echo, o.value
		joined(t, h, &o, scale, true)
		tb.InitSeqAdj(c, d, int32(x.ISN-word(h, 4)))
		c.NoteSeqAdj()
		o.value, o.echo = o.echo, o.value
		joined(t, h, &o, scale, false)
		t.Taken, t.Why = true, hook.ReasonSynproxy
		return hook.Stolen
	}
	if x.Offset != 0 && !moveStamp(h, d, x.Offset) {
		return t.Drop(hook.ReasonMalformed)
	}
	return hook.Accept
}

// joined sends the acknowledgement that ends a handshake: the server's, and the
// one that opens the window to the client, after the server's SYN/ACK h.
func joined(t *hook.Traversal, h []byte, o *options, scale uint8, server bool) {
	p := t.Pkt
	e := endsOf(p, h)
	out := hook.Segment{Flags: ack, Window: binary.BigEndian.Uint16(h[14:]) >> scale}
	if server {
		out.Src, out.Dst, out.SrcPort, out.DstPort = e.Dst, e.Src, e.DstPort, e.SrcPort
		out.Seq, out.Ack = word(h, 8), word(h, 4)+1
		out.Window = uint16(t.CT.Conn.TCP().Side[conntrack.Original].MaxWin)
	} else {
		out.Src, out.Dst, out.SrcPort, out.DstPort = e.Src, e.Dst, e.SrcPort, e.DstPort
		out.Seq, out.Ack = word(h, 4)+1, word(h, 8)
		out.CT = t.CT
		out.CT.Info = conntrack.InfoEstablishedReply
	}
	out.Options = o.append(t.Env.Emit.Scratch())
	t.Env.Emit.Segment(t, &out)
}

// moveStamp moves the time stamp of the server, or the client's echo of it;
// false: the options are broken. Linux: synproxy_tstamp_adjust.
func moveStamp(h []byte, d conntrack.Dir, off uint32) bool {
	end := int(h[12]>>4) * 4
	if end > len(h) {
		return false
	}
	for i := 20; i < end; {
		switch h[i] {
		case kindEnd:
			return true
		case kindNop:
			i++
			continue
		}
		if i+1 == end || h[i+1] < 2 || i+int(h[i+1]) > end {
			return false
		}
		if h[i] == kindTime && h[i+1] == lengthTS {
			at := i + 6
			if d == conntrack.Reply {
				at, off = i+2, -off
			}
			old := word(h, at)
			binary.BigEndian.PutUint32(h[at:], old+off)
			binary.BigEndian.PutUint16(h[16:], packet.Replace32(binary.BigEndian.Uint16(h[16:]), old, old+off))
			return true
		}
		i += int(h[i+1])
	}
	return true
}
