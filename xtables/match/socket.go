package match

import (
	"encoding/binary"

	"weir/conntrack"
	"weir/hook"
	"weir/packet"
	"weir/socket"
	"weir/xtables"
	"weir/xtables/args"
)

// Socket is -m socket: a socket of the machine is there for the packet.
func Socket() xtables.MatchExt {
	return xtables.MatchExt{
		Name: "socket", Families: xtables.Both,
		Points: hook.MaskOf(hook.Prerouting, hook.Input), NeedsDefrag: true,
		Options: []xtables.Option{
			{Name: "transparent", NoInvert: true}, {Name: "nowildcard", NoInvert: true}, {Name: "restore-skmark", NoInvert: true},
		},
		Parse: func(_ *xtables.Context, given []xtables.Given) (xtables.Match, error) {
			has := func(n string) bool { return args.Find(given, n) != nil }
			return &socketMatch{has("transparent"), has("nowildcard"), has("restore-skmark")}, nil
		},
		Doc: "all options; the sockets are those of the machine directory, or of the library's user",
	}
}

type socketMatch struct{ transparent, nowildcard, restore bool }

// Match follows Linux net/netfilter/xt_socket.c.
func (m *socketMatch) Match(t *hook.Traversal) bool {
	s := socketOf(t)
	if s == nil || !m.nowildcard && s.Wildcard() || m.transparent && !s.Transparent {
		return false
	}
	if m.restore && !s.Waiting {
		t.Mark = s.Mark
	}
	return true
}

// socketOf is the socket that a rule gave the packet to, or that it is for. An
// ICMP error is for the socket that sent what it quotes. Linux:
// nf_sk_lookup_slow_v4, nf_sk_lookup_slow_v6.
func socketOf(t *hook.Traversal) *socket.Socket {
	if t.Socket != nil {
		return t.Socket
	}
	p := t.Pkt
	q := socket.Query{Family: p.Family, Src: p.Src(), Dst: p.Dst(), In: t.In}
	proto, off := p.Data[9], p.HeaderLen()
	if p.Family == packet.IPv6 {
		var ok bool
		if proto, off, _, ok = packet.FindLastHdr(p.Data); !ok {
			return nil
		}
	}
	b := p.Data[min(off, len(p.Data)):]
	be := binary.BigEndian
	switch {
	case proto == packet.UDP && len(b) >= 8, proto == packet.TCP && len(b) >= 20:
		q.Proto, q.Sport, q.Dport = proto, be.Uint16(b), be.Uint16(b[2:])
	case p.Family == packet.IPv4 && proto == packet.ICMP, p.Family == packet.IPv6 && proto == packet.ICMPv6:
		if !quotedEnds(&q, b) {
			return nil
		}
	default:
		return nil
	}
	if c := t.CT.Conn; c != nil && p.Family == packet.IPv4 && c.Status&conntrack.SrcNATDone != 0 {
		// A reply finds the socket that sent what it answers.
		wanted := conntrack.InfoEstablishedReply
		if proto == packet.ICMP {
			wanted = conntrack.InfoRelatedReply
		}
		if t.CT.Info == wanted {
			o := &c.Tuple[conntrack.Original]
			q.Dst, q.Dport = o.Src, o.SrcL4
		}
	}
	return t.Env.FindSocket(q, socket.Any)
}

// quotedEnds takes the ends from what an ICMP error quotes, the sender's of it
// being this machine; false if the message is no error about UDP or TCP.
func quotedEnds(q *socket.Query, m []byte) bool {
	if len(m) < 8 {
		return false
	}
	in := packet.Packet{Data: m[8:], Family: q.Family}
	off := 0
	if q.Family == packet.IPv4 {
		switch m[0] {
		case 3, 4, 5, 11, 12:
		default:
			return false
		}
		if len(in.Data) < 20 {
			return false
		}
		q.Proto, off = in.Data[9], in.HeaderLen()
	} else {
		if m[0]&0x80 != 0 || len(in.Data) < 40 {
			return false
		}
		q.Proto, off, _ = packet.SkipExtHdr(in.Data)
	}
	if q.Proto != packet.TCP && q.Proto != packet.UDP || off < 0 || len(in.Data) < off+4 {
		return false
	}
	q.Dst, q.Dport = in.Src(), binary.BigEndian.Uint16(in.Data[off:])
	q.Src, q.Sport = in.Dst(), binary.BigEndian.Uint16(in.Data[off+2:])
	return true
}

func (m *socketMatch) Explain(t *hook.Traversal) string {
	switch s := socketOf(t); {
	case s == nil:
		return "no socket is there for it"
	case m.transparent && !s.Transparent:
		return "the socket is not transparent"
	}
	return "the socket is bound to no address"
}

func (m *socketMatch) AppendArgs(b []byte) []byte {
	if m.transparent {
		b = args.Name(b, false, "transparent")
	}
	if m.nowildcard {
		b = args.Name(b, false, "nowildcard")
	}
	if m.restore {
		b = args.Name(b, false, "restore-skmark")
	}
	return b
}
