package packet

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// superTCP is segments of TCP behind one header.
func superTCP(f Family, body int, flags byte) *Packet {
	head := 20
	if f == IPv6 {
		head = 40
	}
	d := make([]byte, head+32+body)
	be := binary.BigEndian
	if f == IPv4 {
		d[0], d[8], d[9] = 0x45, 64, TCP
		be.PutUint16(d[2:], uint16(len(d)))
		be.PutUint16(d[4:], 0xfffe)
		copy(d[12:], []byte{192, 0, 2, 1, 198, 51, 100, 7})
		be.PutUint16(d[10:], IPv4HeaderChecksum(d[:20]))
	} else {
		d[0], d[6], d[7] = 0x60, TCP, 64
		be.PutUint16(d[4:], uint16(len(d)-40))
		copy(d[8:], []byte{0x20, 1, 0xd, 0xb8, 15: 1, 16: 0x20, 17: 1, 18: 0xd, 19: 0xb8, 31: 2})
	}
	h := d[head:]
	be.PutUint32(h[4:], 0xfffffff0)
	h[12], h[13] = 0x80, flags
	for i := range h[32:] {
		h[32+i] = byte(i * 7)
	}
	p := new(Packet)
	if err := Parse(d, p); err != nil {
		panic(err)
	}
	return p
}

func TestSegmentsAreWholePacketsThatMakeUpTheStream(t *testing.T) {
	for _, f := range []Family{IPv4, IPv6} {
		for _, body := range []int{1, 1000, 1001, 2000, 2500} {
			p := superTCP(f, body, TCPAck|TCPPsh|TCPFin|TCPCwr)
			if !p.SetOffload(Offload{Size: 1000, Partial: true}) {
				t.Fatal("refused")
			}
			if !p.L4ChecksumOK() {
				t.Error("a checksum that is not there yet is not wrong")
			}
			var stream []byte
			n := p.Segments()
			if want := (body + 999) / 1000; n != want {
				t.Errorf("%s, %d bytes: %d segments, want %d", f, body, n, want)
			}
			for i := range n {
				b := p.Segment(i, make([]byte, p.Wire()))
				var s Packet
				if err := Parse(b, &s); err != nil || len(s.Data) != len(b) || !s.L4ChecksumOK() {
					t.Fatalf("%s, %d bytes: segment %d: %v, checksum %v", f, body, i, err, s.L4ChecksumOK())
				}
				h := s.Payload()
				if seq := binary.BigEndian.Uint32(h[4:]); seq != 0xfffffff0+uint32(len(stream)) {
					t.Errorf("segment %d begins at %#x", i, seq)
				}
				want := byte(TCPAck)
				if i == 0 {
					want |= TCPCwr
				}
				if i == n-1 {
					want |= TCPFin | TCPPsh
				}
				if h[13] != want {
					t.Errorf("segment %d of %d has flags %#x, want %#x", i, n, h[13], want)
				}
				if f == IPv4 && s.ID() != 0xfffe+uint16(i) {
					t.Errorf("segment %d has id %#x", i, s.ID())
				}
				stream = append(stream, h[32:]...)
			}
			if !bytes.Equal(stream, p.Payload()[32:]) {
				t.Errorf("%s, %d bytes: not the bytes that were cut", f, body)
			}
		}
	}
}

func TestOffloadsThatCannotBe(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(d []byte)
	}{
		{"a protocol without segments", func(d []byte) { d[9] = GRE }},
		{"a fragment", func(d []byte) { d[6] = 0x20 }},
		{"a header that is cut off", func(d []byte) { d[32] = 0xf0 }},
		{"a header that is too short", func(d []byte) { d[32] = 0x40 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := superTCP(IPv4, 4, TCPAck)
			c.edit(p.Data)
			p.Reparse()
			if p.SetOffload(Offload{Partial: true}) {
				t.Error("accepted")
			}
		})
	}
}
