package exttest

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"

	"weir/hook"
	"weir/iface"
	"weir/packet"
)

// Packet builds an IP packet around a payload: addresses 192.0.2.1 to
// 198.51.100.2, or 2001:db8::1 to 2001:db8::2, TTL 64.
func Packet(t testing.TB, f packet.Family, proto uint8, payload []byte) *packet.Packet {
	t.Helper()
	var d []byte
	if f == packet.IPv4 {
		d = make([]byte, 20, 20+len(payload)+64)
		d[0], d[8], d[9] = 0x45, 64, proto
		binary.BigEndian.PutUint16(d[2:], uint16(20+len(payload)))
		copy(d[12:], []byte{192, 0, 2, 1})
		copy(d[16:], []byte{198, 51, 100, 2})
		binary.BigEndian.PutUint16(d[10:], packet.IPv4HeaderChecksum(d))
	} else {
		d = make([]byte, 40, 40+len(payload)+64)
		d[0], d[6], d[7] = 0x60, proto, 64
		binary.BigEndian.PutUint16(d[4:], uint16(len(payload)))
		s, e := netip.MustParseAddr("2001:db8::1").As16(), netip.MustParseAddr("2001:db8::2").As16()
		copy(d[8:], s[:])
		copy(d[24:], e[:])
	}
	p := &packet.Packet{}
	if err := packet.Parse(append(d, payload...), p); err != nil {
		t.Fatal(err)
	}
	p.FixL4Checksum()
	return p
}

// Fragment turns an IPv4 packet into a fragment at an offset in bytes.
func Fragment(p *packet.Packet, off int) *packet.Packet {
	p.SetFrag4(uint16(off / 8))
	p.Reparse()
	return p
}

// TCP is a segment: ports, flags, options (a multiple of four bytes), data.
func TCP(src, dst uint16, flags uint8, options, data []byte) []byte {
	h := make([]byte, 20, 20+len(options)+len(data))
	binary.BigEndian.PutUint16(h, src)
	binary.BigEndian.PutUint16(h[2:], dst)
	binary.BigEndian.PutUint32(h[4:], 1000)
	h[12], h[13] = uint8(5+len(options)/4)<<4, flags
	binary.BigEndian.PutUint16(h[14:], 65535)
	return append(append(h, options...), data...)
}

// UDP is a datagram.
func UDP(src, dst uint16, data []byte) []byte {
	h := make([]byte, 8, 8+len(data))
	binary.BigEndian.PutUint16(h, src)
	binary.BigEndian.PutUint16(h[2:], dst)
	binary.BigEndian.PutUint16(h[4:], uint16(8+len(data)))
	return append(h, data...)
}

// Bytes reads hexadecimal with spaces.
func Bytes(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

// Env records what a target asked for.
type Env struct {
	Sent  []string
	Lines []string
	Next  []uint32 // what Rand gives
}

// ICMPError records the answer.
func (e *Env) ICMPError(_ *hook.Traversal, typ, code uint8, _ uint32) {
	e.Sent = append(e.Sent, "icmp "+string(rune('0'+typ))+"/"+hex.EncodeToString([]byte{code}))
}

// TCPReset records the answer.
func (e *Env) TCPReset(*hook.Traversal) { e.Sent = append(e.Sent, "reset") }

// Inject records the copy.
func (e *Env) Inject(_ *hook.Traversal, p *packet.Packet, via packet.Addr, _ *iface.Iface) {
	e.Sent = append(e.Sent, "copy via "+via.IP(p.Family).String())
}

// Segment records the segment.
func (e *Env) Segment(_ *hook.Traversal, s *hook.Segment) {
	e.Sent = append(e.Sent, "segment to "+hex.EncodeToString(s.Dst[:4]))
}

// Scratch has room for options.
func (e *Env) Scratch() []byte { return make([]byte, 0, 40) }

// Log records the line.
func (e *Env) Log(_ *hook.Traversal, l hook.LogRecord) { e.Lines = append(e.Lines, l.Text) }

// Uint32 gives the next number of the list, then zeros.
func (e *Env) Uint32() uint32 {
	if len(e.Next) == 0 {
		return 0
	}
	v := e.Next[0]
	e.Next = e.Next[1:]
	return v
}

// PortOffset is not used by extensions.
func (e *Env) PortOffset(_, _ uint32, _ bool) uint32 { return 0 }

// Walk is a traversal of p at a point, from eth0 to eth1.
func Walk(p *packet.Packet, at hook.Point) (*hook.Traversal, *Env) {
	e := &Env{}
	return &hook.Traversal{
		Pkt: p, Point: at,
		In:  &iface.Iface{Index: 2, Name: "eth0", MTU: 1500},
		Out: &iface.Iface{Index: 3, Name: "eth1", MTU: 1400},
		Env: &hook.Env{Rand: e, Emit: e, Log: e},
	}, e
}
