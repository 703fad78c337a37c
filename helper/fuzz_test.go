package helper

import (
	"bytes"
	"testing"

	"weir/conntrack"
	"weir/hook"
	"weir/packet"
)

// bench is a table with one connection of a helper, translated or not, in which
// packets can be given to the helper.
type bench struct {
	tb  *conntrack.Table
	c   *conntrack.Conn
	set *Set
	id  conntrack.HelperID
	env hook.Env
}

type noRand struct{}

func (noRand) Uint32() uint32                        { return 7 }
func (noRand) PortOffset(_, _ uint32, _ bool) uint32 { return 1 }

const now = 1_767_225_600 * second

// newBench makes a connection from 192.0.2.10 to 198.51.100.10, or the same over
// IPv6.
func newBench(t testing.TB, f packet.Family, proto uint8, name string, translated bool) *bench {
	b := &bench{tb: conntrack.New(conntrack.DefaultConfig()), set: New(), id: Find(f, proto, name)}
	if b.id == 0 {
		t.Fatalf("no helper %s", name)
	}
	b.tb.SetHelpers(b.set.List())
	b.env = hook.Env{CT: b.tb, Rand: noRand{}}
	syn := b.packet(f, proto, conntrack.Original, 1, 0, packet.TCPSyn, nil)
	var ref conntrack.Ref
	if !b.tb.Track(syn, &conntrack.Template{HelperID: b.id}, &ref, 0, true, now).OK || ref.Conn == nil {
		t.Fatal("not tracked")
	}
	b.c = ref.Conn
	if translated {
		r := b.c.Tuple[conntrack.Reply]
		r.Dst = outside(f)
		b.tb.SetReply(b.c, r)
		b.c.Status |= conntrack.SrcNAT | conntrack.SrcNATDone | conntrack.DstNATDone
	}
	b.tb.Confirm(&ref, syn, now)
	return b
}

func inside(f packet.Family) packet.Addr {
	if f == packet.IPv6 {
		return packet.Addr{0x20, 1, 0xd, 0xb8, 0, 1, 15: 10}
	}
	return packet.Addr{192, 0, 2, 10}
}

func server(f packet.Family) packet.Addr {
	if f == packet.IPv6 {
		return packet.Addr{0x20, 1, 0xd, 0xb8, 0, 2, 15: 10}
	}
	return packet.Addr{198, 51, 100, 10}
}

func outside(f packet.Family) packet.Addr {
	if f == packet.IPv6 {
		return packet.Addr{0x20, 1, 0xd, 0xb8, 0, 2, 15: 1}
	}
	return packet.Addr{203, 0, 113, 1}
}

// packet is a segment or datagram of a direction as it goes out, with ports 5060
// on both sides.
func (b *bench) packet(f packet.Family, proto uint8, d conntrack.Dir, seq, ack uint32, flags uint8, data []byte) *packet.Packet {
	src, dst := inside(f), server(f)
	if d == conntrack.Reply {
		src, dst = dst, src
	}
	l4 := []byte{0x13, 0xc4, 0x13, 0xc4}
	if proto == packet.TCP {
		l4 = append(l4, byte(seq>>24), byte(seq>>16), byte(seq>>8), byte(seq), byte(ack>>24), byte(ack>>16), byte(ack>>8), byte(ack),
			0x50, flags, 0xff, 0xff, 0, 0, 0, 0)
	} else {
		l4 = append(l4, byte((8+len(data))>>8), byte(8+len(data)), 1, 1)
	}
	l4 = append(l4, data...)
	var raw []byte
	if f == packet.IPv4 {
		raw = make([]byte, 20)
		raw[0], raw[8], raw[9] = 0x45, 64, proto
		raw[2], raw[3] = byte((20+len(l4))>>8), byte(20+len(l4))
		copy(raw[12:], src[:4])
		copy(raw[16:], dst[:4])
		sum := packet.IPv4HeaderChecksum(raw)
		raw[10], raw[11] = byte(sum>>8), byte(sum)
	} else {
		raw = make([]byte, 40)
		raw[0], raw[6], raw[7] = 0x60, proto, 64
		raw[4], raw[5] = byte(len(l4)>>8), byte(len(l4))
		copy(raw[8:], src[:])
		copy(raw[24:], dst[:])
	}
	p := &packet.Packet{}
	if packet.Parse(append(raw, l4...), p) != nil {
		return nil
	}
	p.FixL4Checksum()
	return p
}

// give hands payload to the helper as an established packet.
func (b *bench) give(t testing.TB, d conntrack.Dir, seq uint32, data []byte) (*packet.Packet, hook.Verdict) {
	f, proto := b.c.Tuple[0].L3, b.c.Proto()
	p := b.packet(f, proto, d, seq, 1, packet.TCPAck, data)
	if p == nil {
		return nil, hook.Drop
	}
	info := conntrack.InfoEstablished
	if d == conntrack.Reply {
		info = conntrack.InfoEstablishedReply
	}
	tr := &hook.Traversal{Pkt: p, Env: &b.env, Now: now, CT: conntrack.Ref{Conn: b.c, Info: info}}
	v, _ := b.set.Help(tr, b.id)
	if v != hook.Accept && v != hook.Drop {
		t.Errorf("verdict %s", v)
	}
	if v == hook.Drop && tr.Why == hook.NoReason {
		t.Error("a drop without a reason")
	}
	return p, v
}

// seeds are messages of all protocols.
func seeds() []string {
	return []string{
		"PORT 192,0,2,10,7,7\r\n", "EPRT |1|192.0.2.10|1799|\r\n", "EPRT |2|2001:db8:1::a|1799|\r\n",
		"227 Entering Passive Mode (192,0,2,10,7,7).\r\n", "229 Extended (|||1799|)\r\n",
		"\x00\x01boot\x00octet\x00", "PRIVMSG b :\x01DCC SEND file 3221225994 1799 12\x01\r\n",
		"CONNECT DATA 1799 MESG 1800 INDEX 1801\nOPTIONS\n", "\x00\x00\x00\x07\x00\x00\x00\x01", "\x00\x00\x00\x00\x00\x00\x07\x07",
		"\x00\x9c\x00\x01\x1a\x2b\x3c\x4d\x00\x01\x00\x00" + string(make([]byte, 144)),
		"0&\x02\x01\x01\x04\x06public\xa2\x19\x02\x01\x01\x02\x01\x00\x02\x01\x000\x0e0\x0c\x06\x04+\x06\x01\x02@\x04\xc0\x00\x02\x0a",
		"REGISTER sip:198.51.100.10 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10:5060\r\nContact: <sip:a@192.0.2.10:5060>;expires=60\r\nCSeq: 1 REGISTER\r\nContent-Length: 0\r\n\r\n",
		"INVITE sip:b@198.51.100.10 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10:5060;rport=5060\r\nFrom: <sip:a@192.0.2.10:5060>\r\nTo: <sip:b@198.51.100.10>\r\n" +
			"Contact: <sip:a@192.0.2.10:5060>\r\nCSeq: 1 INVITE\r\nContent-Length: 76\r\n\r\nv=0\r\no=a 1 1 IN IP4 192.0.2.10\r\nc=IN IP4 192.0.2.10\r\nm=audio 5004 RTP/AVP 0\r\n",
		"SIP/2.0 200 OK\r\nCSeq: 1 REGISTER\r\nContact: <sip:a@192.0.2.10:5060>;expires=60, <sip:b@[2001:db8:1::a]:5060>\r\nExpires: 60\r\n\r\n",
	}
}

// FuzzHelpers gives payload to a helper, in both directions, in two pieces,
// translated and not: nothing may panic, every drop has a reason, and what
// leaves has right lengths and sums.
func FuzzHelpers(f *testing.F) {
	list := New().list
	for _, s := range seeds() {
		for which := range list {
			f.Add([]byte(s), uint8(0), uint8(2*which))
			f.Add([]byte(s), uint8(len(s)/2), uint8(2*which+1))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, cut, which uint8) {
		if len(data) > 4000 {
			return
		}
		h := list[int(which/2)%len(list)]
		b := newBench(t, h.Family, h.Proto, h.Name, which&1 != 0)
		at := min(int(cut), len(data))
		for d := range conntrack.Dir(2) {
			seq := uint32(100)
			b.give(t, d, seq, []byte("\n"))
			for _, part := range [][]byte{data[:at], data[at:], data} {
				p, v := b.give(t, d, seq+1, part)
				seq += uint32(len(part))
				if v == hook.Accept && p != nil {
					check(t, h.Name, p)
				}
			}
		}
		if n := b.tb.Expects(); n > 64 {
			t.Fatalf("%s: %d expectations of one connection", h.Name, n)
		}
		b.tb.Kill(b.c, now)
		b.tb.Reap()
		if b.tb.Expects() != 0 {
			t.Fatalf("%s: expectations outlive their master", h.Name)
		}
	})
}

// check looks at the lengths and sums of a packet.
func check(t testing.TB, name string, p *packet.Packet) {
	q := &packet.Packet{}
	if err := packet.Parse(bytes.Clone(p.Data), q); err != nil || len(q.Data) != len(p.Data) {
		t.Fatalf("%s: leaves broken: %v", name, err)
	}
	if !q.L4ChecksumOK() {
		t.Fatalf("%s: leaves with a wrong checksum", name)
	}
}
