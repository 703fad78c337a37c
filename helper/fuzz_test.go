package helper

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"weir/conntrack"
	"weir/hook"
	"weir/iface"
	"weir/packet"
	"weir/route"
	"weir/trace"
)

// bench is a table with one connection of a helper, translated or not, in which
// packets can be given to the helper.
type bench struct {
	tb  *conntrack.Table
	c   *conntrack.Conn
	set *Set
	id  conntrack.HelperID
	env hook.Env

	traced bool
}

type noEmit struct{ hook.Emitter }

type noRand struct{}

func (noRand) Uint32() uint32                        { return 7 }
func (noRand) PortOffset(_, _ uint32, _ bool) uint32 { return 1 }

const now = 1_767_225_600 * second

// The ways a connection of a bench may be translated.
const (
	asItIs = iota
	sourceTranslated
	bothTranslated
	numTranslations
)

// newBench makes a connection from 192.0.2.10 to 198.51.100.10, or the same over
// IPv6, with ports 5060 on both sides. A helper that looks at broadcasts is given
// one from this machine.
func newBench(t testing.TB, h *conntrack.Helper, translation uint8) *bench {
	b := &bench{tb: conntrack.New(conntrack.DefaultConfig()), set: New(), id: Find(h.Family, h.Proto, h.Name)}
	b.tb.SetHelpers(b.set.List())
	b.env = hook.Env{CT: b.tb, Rand: noRand{}, Emit: noEmit{}}
	first := conntrack.Tuple{L3: h.Family, Proto: h.Proto, Src: inside(h.Family), Dst: server(h.Family), SrcL4: 5060, DstL4: 5060}
	syn := wire(&first, 99, 0, packet.TCPSyn, nil)
	var ref conntrack.Ref
	if !b.tb.Track(syn, &conntrack.Template{HelperID: b.id}, &ref, 0, true, now).OK || ref.Conn == nil {
		t.Fatal("not tracked")
	}
	b.c = ref.Conn
	r := b.c.Tuple[conntrack.Reply]
	switch translation {
	case sourceTranslated:
		r.Dst = outside(h.Family)
		b.c.Status |= conntrack.SrcNAT
	case bothTranslated:
		r.Dst, r.Src, r.SrcL4 = outside(h.Family), published(h.Family), 5070
		b.c.Status |= conntrack.SrcNAT | conntrack.DstNAT
	}
	b.tb.SetReply(b.c, r)
	b.c.Status |= conntrack.SrcNATDone | conntrack.DstNATDone
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

func published(f packet.Family) packet.Addr {
	if f == packet.IPv6 {
		return packet.Addr{0x20, 1, 0xd, 0xb8, 0, 3, 15: 7}
	}
	return packet.Addr{203, 0, 113, 7}
}

// packet is a segment or datagram of a direction as it goes out, translated like
// the connection.
func (b *bench) packet(d conntrack.Dir, seq, ack uint32, flags uint8, data []byte) *packet.Packet {
	out, ok := b.c.Tuple[1-d].Inverse()
	if !ok {
		return nil
	}
	return wire(&out, seq, ack, flags, data)
}

// wire is a packet of a tuple.
func wire(u *conntrack.Tuple, seq, ack uint32, flags uint8, data []byte) *packet.Packet {
	be := binary.BigEndian
	var l4 []byte
	switch u.Proto {
	case packet.TCP:
		l4 = be.AppendUint16(be.AppendUint16(nil, u.SrcL4), u.DstL4)
		l4 = be.AppendUint32(be.AppendUint32(l4, seq), ack)
		l4 = append(l4, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0)
	case packet.GRE: // version 1, as PPTP's
		l4 = be.AppendUint16([]byte{0x20, 1, 0x88, 0x0b, 0, 0}, u.DstL4)
	default:
		l4 = be.AppendUint16(be.AppendUint16(nil, u.SrcL4), u.DstL4)
		l4 = append(be.AppendUint16(l4, uint16(8+len(data))), 1, 1)
	}
	l4 = append(l4, data...)
	var raw []byte
	if u.L3 == packet.IPv4 {
		raw = make([]byte, 20)
		raw[0], raw[8], raw[9] = 0x45, 64, u.Proto
		be.PutUint16(raw[2:], uint16(20+len(l4)))
		copy(raw[12:], u.Src[:4])
		copy(raw[16:], u.Dst[:4])
		be.PutUint16(raw[10:], packet.IPv4HeaderChecksum(raw))
	} else {
		raw = make([]byte, 40)
		raw[0], raw[6], raw[7] = 0x60, u.Proto, 64
		be.PutUint16(raw[4:], uint16(len(l4)))
		copy(raw[8:], u.Src[:])
		copy(raw[24:], u.Dst[:])
	}
	p := &packet.Packet{}
	if packet.Parse(append(raw, l4...), p) != nil {
		return nil
	}
	p.FixL4Checksum()
	return p
}

// give hands payload to the helper as an established packet, and does what
// follows of it.
func (b *bench) give(t testing.TB, d conntrack.Dir, seq uint32, data []byte) {
	p := b.packet(d, seq, 1, packet.TCPAck|packet.TCPPsh, data)
	if p == nil || b.c.Has(conntrack.Dying) {
		return
	}
	info := conntrack.InfoEstablished
	if d == conntrack.Reply {
		info = conntrack.InfoEstablishedReply
	}
	tr := &hook.Traversal{Pkt: p, Env: &b.env, Now: now, CT: conntrack.Ref{Conn: b.c, Info: info}}
	if d == conntrack.Original && p.Proto == packet.UDP && p.Family == packet.IPv4 {
		dst := netip.AddrFrom4([4]byte(p.Data[16:20]))
		tr.Local, tr.Route.Type = true, route.Broadcast
		tr.Out = &iface.Iface{Index: 2, Name: "lan0", Addrs: []iface.Addr{{Prefix: netip.PrefixFrom(dst, 24), Broadcast: dst}}}
	}
	if b.traced {
		tr.Trace = &trace.Recorder{}
	}
	adjust := b.c.Has(conntrack.SeqAdjust)
	v, rewritten := b.set.Help(tr, b.id)
	switch {
	case v != hook.Accept && v != hook.Drop:
		t.Fatalf("verdict %s", v)
	case v == hook.Drop && tr.Why == hook.NoReason:
		t.Fatal("a drop without a reason")
	case v == hook.Drop:
		return
	}
	if adjust {
		if !b.tb.AdjustSeq(b.c, d, p.Payload()) {
			t.Fatal("a whole header cannot be adjusted")
		}
		if rewritten {
			SumAnew(p)
		}
	}
	check(t, p)
}

// meet lets a packet come for each expectation: it is translated as is to be, and
// becomes a child.
func (b *bench) meet(t testing.TB) {
	var list []conntrack.Expect
	b.tb.EachExpect(func(e *conntrack.Expect) bool {
		list = append(list, *e)
		return len(list) < 8
	})
	for i := range list {
		u := list[i].Tuple
		if list[i].SrcMask == (packet.Addr{}) {
			u.Src = published(u.L3)
		}
		if list[i].SrcL4Mask == 0 {
			u.SrcL4 = 4444
		}
		p := wire(&u, 1, 0, packet.TCPSyn, nil)
		if p == nil {
			continue
		}
		var ref conntrack.Ref
		if out := b.tb.Track(p, nil, &ref, 0, false, now); !out.OK || ref.Conn == nil || ref.Conn.Has(conntrack.Confirmed) {
			continue
		}
		c := ref.Conn
		if e := b.tb.Met(); e != nil {
			if b.tb.Master(c) != e.Master || !c.Has(conntrack.Expected) {
				t.Fatal("a child without its master")
			}
			Expected(&hook.Traversal{Pkt: p, Env: &b.env, Now: now, CT: ref}, e)
			if o, r := c.Tuple[conntrack.Original], c.Tuple[conntrack.Reply]; o.Proto != r.Proto || o.L3 != r.L3 {
				t.Fatalf("translated to another protocol: %v %v", o, r)
			}
		}
		b.tb.Confirm(&ref, p, now)
		b.tb.Release(ref)
		b.tb.Reap()
	}
}

// A target for each protocol.
func FuzzFTP(f *testing.F)     { fuzz(f, "ftp") }
func FuzzTFTP(f *testing.F)    { fuzz(f, "tftp") }
func FuzzIRC(f *testing.F)     { fuzz(f, "irc") }
func FuzzAmanda(f *testing.F)  { fuzz(f, "amanda") }
func FuzzNetBIOS(f *testing.F) { fuzz(f, "netbios-ns") }
func FuzzSANE(f *testing.F)    { fuzz(f, "sane") }
func FuzzPPTP(f *testing.F)    { fuzz(f, "pptp") }
func FuzzSIP(f *testing.F)     { fuzz(f, "sip") }
func FuzzSNMP(f *testing.F)    { fuzz(f, "snmp", "snmp_trap") }

// fuzz plays dialogues (see talk), translated and not. Nothing may panic, every
// drop has a reason, what leaves has right lengths and sums, what is expected
// can come, and with the connection all of it ends.
func fuzz(f *testing.F, names ...string) {
	var list []conntrack.Helper
	for _, h := range New().list {
		if slices.Contains(names, h.Name) {
			list = append(list, h)
		}
	}
	if len(list) == 0 {
		f.Fatalf("no helper %s", names)
	}
	for which := range numTranslations * len(list) {
		for _, s := range dialogues() {
			f.Add(s, uint8(which))
			f.Add(s, 128+uint8(which))
		}
	}
	f.Fuzz(func(t *testing.T, dialogue []byte, which uint8) {
		if len(dialogue) > 8000 {
			return
		}
		b := newBench(t, &list[int(which&127/numTranslations)%len(list)], which&127%numTranslations)
		b.traced = which&128 != 0
		seq := [2]uint32{100, 100}
		for n := 0; len(dialogue) >= 3 && n < 40; n++ {
			how, size := dialogue[0], int(dialogue[1])<<8|int(dialogue[2])
			data := dialogue[3:min(3+size, len(dialogue))]
			dialogue = dialogue[3+len(data):]
			d := conntrack.Dir(how & fromServer)
			b.give(t, d, seq[d], data)
			b.tb.Reap()
			if how&notAcknowledged == 0 {
				seq[d] += uint32(len(data))
			}
			if how&expectedComes != 0 {
				b.meet(t)
			}
			if n := b.tb.Expects(); n > 64 {
				t.Fatalf("%d expectations of one connection", n)
			}
		}
		b.meet(t)
		if err := b.tb.Check(); err != nil {
			t.Fatal(err)
		}
		b.tb.Kill(b.c, now)
		b.tb.Reap()
		if n := b.tb.Expects(); n != 0 && b.tb.Len() == 0 {
			t.Fatal("expectations outlive their master")
		}
		b.tb.Flush(now)
		b.tb.Reap()
		if err := b.tb.Check(); err != nil || b.tb.Len()+b.tb.Expects() != 0 {
			t.Fatal("left: ", b.tb.Len(), b.tb.Expects(), err)
		}
	})
}

// check looks at the lengths and sums of a packet.
func check(t testing.TB, p *packet.Packet) {
	q := &packet.Packet{}
	if err := packet.Parse(bytes.Clone(p.Data), q); err != nil || len(q.Data) != len(p.Data) {
		t.Fatalf("leaves broken: %v", err)
	}
	if !q.L4ChecksumOK() {
		t.Fatal("leaves with a wrong checksum")
	}
}
