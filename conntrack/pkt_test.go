package conntrack

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"weir/packet"
)

const ms = int64(1e6)

// epoch is where the clock of tests begins.
const epoch = int64(1_767_225_600_000_000_000)

func addr(s string) packet.Addr { return packet.AddrOf(netip.MustParseAddr(s)) }

// The two ends of most tests.
const (
	client4, server4 = "192.0.2.1", "198.51.100.7"
	client6, server6 = "2001:db8:1::1", "2001:db8:2::7"
)

// ip makes a packet around a layer-4 header and fixes its checksum.
func ip(t testing.TB, src, dst string, proto uint8, l4 []byte) *packet.Packet {
	t.Helper()
	s, d := netip.MustParseAddr(src), netip.MustParseAddr(dst)
	var b []byte
	if s.Is4() {
		b = make([]byte, 20, 20+len(l4))
		b[0], b[8], b[9] = 0x45, 64, proto
		binary.BigEndian.PutUint16(b[2:], uint16(20+len(l4)))
		copy(b[12:], s.AsSlice())
		copy(b[16:], d.AsSlice())
		binary.BigEndian.PutUint16(b[10:], packet.IPv4HeaderChecksum(b))
	} else {
		b = make([]byte, 40, 40+len(l4))
		b[0], b[6], b[7] = 0x60, proto, 64
		binary.BigEndian.PutUint16(b[4:], uint16(len(l4)))
		copy(b[8:], s.AsSlice())
		copy(b[24:], d.AsSlice())
	}
	p := new(packet.Packet)
	if err := packet.Parse(append(b, l4...), p); err != nil {
		t.Fatal(err)
	}
	p.FixL4Checksum()
	return p
}

func udp(t testing.TB, src, dst string, sport, dport uint16, payload int) *packet.Packet {
	t.Helper()
	b := make([]byte, 8+payload)
	binary.BigEndian.PutUint16(b, sport)
	binary.BigEndian.PutUint16(b[2:], dport)
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)))
	return ip(t, src, dst, packet.UDP, b)
}

// seg is a TCP segment.
type seg struct {
	flags    string // of SAFRPUEC
	seq, ack uint32
	win      int // -1 is 0; 0 is 65535
	n        int // payload bytes
	opts     []byte
}

func (s seg) bytes(sport, dport uint16) []byte {
	opts := append([]byte(nil), s.opts...)
	for len(opts)%4 != 0 {
		opts = append(opts, 0)
	}
	b := make([]byte, 20+len(opts)+s.n)
	binary.BigEndian.PutUint16(b, sport)
	binary.BigEndian.PutUint16(b[2:], dport)
	binary.BigEndian.PutUint32(b[4:], s.seq)
	binary.BigEndian.PutUint32(b[8:], s.ack)
	b[12] = byte(5+len(opts)/4) << 4
	for _, f := range s.flags {
		switch f {
		case 'F':
			b[13] |= packet.TCPFin
		case 'S':
			b[13] |= packet.TCPSyn
		case 'R':
			b[13] |= packet.TCPRst
		case 'P':
			b[13] |= packet.TCPPsh
		case 'A':
			b[13] |= packet.TCPAck
		case 'U':
			b[13] |= packet.TCPUrg
		case 'E':
			b[13] |= packet.TCPEce
		case 'C':
			b[13] |= packet.TCPCwr
		default:
			panic("flag " + string(f))
		}
	}
	switch {
	case s.win == 0:
		s.win = 65535
	case s.win < 0:
		s.win = 0
	}
	binary.BigEndian.PutUint16(b[14:], uint16(s.win))
	copy(b[20:], opts)
	return b
}

func tcp(t testing.TB, src, dst string, sport, dport uint16, s seg) *packet.Packet {
	t.Helper()
	return ip(t, src, dst, packet.TCP, s.bytes(sport, dport))
}

func icmp(t testing.TB, src, dst string, typ, code uint8, rest uint32, body []byte) *packet.Packet {
	t.Helper()
	b := make([]byte, 8, 8+len(body))
	b[0], b[1] = typ, code
	binary.BigEndian.PutUint32(b[4:], rest)
	proto := uint8(packet.ICMP)
	if netip.MustParseAddr(src).Is6() {
		proto = packet.ICMPv6
	}
	return ip(t, src, dst, proto, append(b, body...))
}

// box is a machine that forwards everything: PREROUTING, then confirm.
type box struct {
	testing.TB
	tb  *Table
	now int64
}

func newBox(t testing.TB, change func(*Config)) *box {
	t.Helper()
	cfg := DefaultConfig()
	cfg.HashKey = [2]uint64{1, 2}
	if change != nil {
		change(&cfg)
	}
	return &box{t, New(cfg), epoch}
}

// pass runs a packet through and returns what rules would see, and DROP.
func (b *box) pass(p *packet.Packet) string {
	b.Helper()
	state, _ := b.passRef(p, nil)
	return state
}

func (b *box) passRef(p *packet.Packet, tmpl *Template) (string, Ref) {
	b.Helper()
	var ref Ref
	if out := b.tb.Track(p, tmpl, &ref, 0, true, b.now); !out.OK {
		if ref != (Ref{}) {
			b.Errorf("dropped packet keeps %+v", ref)
		}
		b.tb.Reap()
		return "DROP " + out.Cause.String(), ref
	}
	state := ref.State().String()
	if out := b.tb.Confirm(&ref, p, b.now); !out.OK {
		b.tb.Release(ref)
		b.tb.Reap()
		return "DROP " + out.Cause.String(), Ref{}
	}
	b.tb.Release(ref)
	b.tb.Reap()
	if err := b.tb.Check(); err != nil {
		b.Fatalf("table: %v", err)
	}
	return state, ref
}

func (b *box) sleep(d int64) { b.now += d }

// only is the one connection of the table.
func (b *box) only() *Conn {
	b.Helper()
	var c *Conn
	n := 0
	b.tb.Each(b.now, func(x *Conn) bool { c = x; n++; return true })
	if n != 1 {
		b.Fatalf("%d connections, want 1", n)
	}
	return c
}
