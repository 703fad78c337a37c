package packet

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

func v4(proto uint8, payload []byte) []byte {
	d := make([]byte, 20+len(payload))
	d[0], d[8], d[9] = 0x45, 64, proto
	binary.BigEndian.PutUint16(d[2:], uint16(len(d)))
	copy(d[12:], []byte{192, 0, 2, 1})
	copy(d[16:], []byte{198, 51, 100, 7})
	copy(d[20:], payload)
	binary.BigEndian.PutUint16(d[10:], IPv4HeaderChecksum(d[:20]))
	return d
}

func v6(next uint8, payload []byte) []byte {
	d := make([]byte, 40+len(payload))
	d[0], d[6], d[7] = 0x60, next, 64
	binary.BigEndian.PutUint16(d[4:], uint16(len(payload)))
	d[8], d[9], d[23] = 0x20, 1, 1
	d[24], d[25], d[39] = 0x20, 1, 2
	copy(d[40:], payload)
	return d
}

func TestParseRefuses(t *testing.T) {
	good := v4(UDP, make([]byte, 8))
	change := func(f func(d []byte)) []byte {
		d := append([]byte(nil), good...)
		f(d)
		return d
	}
	fix := func(d []byte) { binary.BigEndian.PutUint16(d[10:], IPv4HeaderChecksum(d[:20])) }
	for _, c := range []struct {
		name string
		data []byte
		want HeaderKind
	}{
		{"nothing", nil, Short},
		{"version 5", []byte{0x50, 1, 2}, BadVersion},
		{"19 bytes of IPv4", good[:19], Short},
		{"header length 16", change(func(d []byte) { d[0] = 0x44; fix(d) }), BadHeaderLen},
		{"header longer than the packet", change(func(d []byte) { d[0] = 0x4f; fix(d) })[:28], Short},
		{"total length behind the end", change(func(d []byte) { d[3] = 29; fix(d) }), Short},
		{"total length inside the header", change(func(d []byte) { d[3] = 19; fix(d) }), BadTotalLen},
		{"header checksum off by one", change(func(d []byte) { d[11]++ }), BadHeaderSum},
		{"39 bytes of IPv6", v6(UDP, nil)[:39], Short},
		{"IPv6 payload cut off", v6(UDP, make([]byte, 8))[:47], Short},
	} {
		t.Run(c.name, func(t *testing.T) {
			var p Packet
			err := Parse(c.data, &p)
			he, ok := err.(*HeaderError)
			if !ok || he.Kind != c.want {
				t.Fatalf("got %v, want kind %d", err, c.want)
			}
		})
	}
}

func TestParseCutsPadding(t *testing.T) {
	var p Packet
	if err := Parse(append(v4(UDP, make([]byte, 8)), 0, 0, 0), &p); err != nil || p.Len() != 28 {
		t.Fatalf("len %d, err %v", p.Len(), err)
	}
	if err := Parse(append(v6(UDP, make([]byte, 8)), 0, 0, 0), &p); err != nil || p.Len() != 48 {
		t.Fatalf("len %d, err %v", p.Len(), err)
	}
}

func TestSkipExtHdr(t *testing.T) {
	hbh := []byte{UDP, 0, 1, 4, 0, 0, 0, 0}
	for _, c := range []struct {
		name  string
		next  uint8
		body  []byte
		proto uint8
		off   int
		frag  uint16
	}{
		{"plain", UDP, make([]byte, 8), UDP, 40, 0},
		{"hop-by-hop", HopByHop, append(hbh, make([]byte, 8)...), UDP, 48, 0},
		{"no next header", NoNext, nil, NoNext, -1, 0},
		{"cut-off hop-by-hop", HopByHop, hbh[:1], HopByHop, -1, 0},
		{"length points behind the end", HopByHop, []byte{UDP, 5, 0, 0, 0, 0, 0, 0}, UDP, 48, 0},
		{"AH counts in words", AH, append([]byte{TCP, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, make([]byte, 20)...), TCP, 52, 0},
		{"second fragment", Fragment, []byte{UDP, 0, 0, 8, 0, 0, 0, 9, 1, 2, 3}, UDP, 48, 8},
		{"header ends with the packet", HopByHop, hbh, UDP, 48, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			proto, off, fr := SkipExtHdr(v6(c.next, c.body))
			if proto != c.proto || off != c.off || fr.Off != c.frag {
				t.Errorf("got proto %d off %d frag %d, want %d %d %d", proto, off, fr.Off, c.proto, c.off, c.frag)
			}
		})
	}
}

func TestSumAgainstTheDefinition(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := 0; n < 300; n++ {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		var want uint64
		for i := 0; i < n; i++ {
			if i%2 == 0 {
				want += uint64(b[i]) << 8
			} else {
				want += uint64(b[i])
			}
		}
		for want > 0xffff {
			want = want>>16 + want&0xffff
		}
		if got := Fold(Sum(b, 0)); got != uint16(want) {
			t.Fatalf("%d bytes: got %#x, want %#x", n, got, want)
		}
	}
}

func TestSettersKeepTheHeaderChecksum(t *testing.T) {
	var p Packet
	if err := Parse(v4(UDP, make([]byte, 8)), &p); err != nil {
		t.Fatal(err)
	}
	p.SetTTL(3)
	p.SetTOS(0xb8)
	p.SetSrc(Addr{203, 0, 113, 9})
	p.SetDst(Addr{203, 0, 113, 10})
	p.Grow(4)
	if p.TTL() != 3 || p.TOS() != 0xb8 || p.Src() != (Addr{203, 0, 113, 9}) || p.Dst() != (Addr{203, 0, 113, 10}) || p.Len() != 32 {
		t.Errorf("fields not as set: %x", p.Data)
	}
	if got, want := binary.BigEndian.Uint16(p.Data[10:]), IPv4HeaderChecksum(p.Data[:20]); got != want {
		t.Errorf("checksum %#x, want %#x", got, want)
	}
	if err := Parse(v6(UDP, make([]byte, 8)), &p); err != nil {
		t.Fatal(err)
	}
	p.SetTOS(0xa5)
	p.SetTTL(9)
	if p.TOS() != 0xa5 || p.TTL() != 9 || p.Data[0]>>4 != 6 || p.Data[1]&15 != 0 {
		t.Errorf("IPv6 fields not as set: %x", p.Data[:8])
	}
}

func TestL4Checksums(t *testing.T) {
	for _, fam := range []struct {
		name string
		make func(uint8, []byte) []byte
	}{{"IPv4", v4}, {"IPv6", v6}} {
		for _, proto := range []uint8{TCP, UDP, UDPLite, ICMP, ICMPv6, SCTP} {
			l4 := make([]byte, 41)
			for i := range l4 {
				l4[i] = byte(i * 7)
			}
			var p Packet
			if err := Parse(fam.make(proto, l4), &p); err != nil {
				t.Fatal(err)
			}
			p.FixL4Checksum()
			if !p.L4ChecksumOK() {
				t.Errorf("%s protocol %d: own checksum refused", fam.name, proto)
			}
			p.Data[p.L4+12] ^= 0x40
			ok := p.L4ChecksumOK()
			if covered := proto != UDPLite; ok == covered && covered {
				t.Errorf("%s protocol %d: flipped bit not noticed", fam.name, proto)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(v4(UDP, make([]byte, 8)))
	f.Add(v6(HopByHop, []byte{UDP, 0, 1, 4, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8}))
	f.Fuzz(func(t *testing.T, d []byte) {
		var p Packet
		if Parse(d, &p) != nil {
			return
		}
		if p.L4 > len(p.Data) {
			t.Fatalf("L4 %d behind the end %d", p.L4, len(p.Data))
		}
		p.Payload()
		p.L4ChecksumOK()
		p.FixL4Checksum()
		if p.Family == IPv6 {
			FindLastHdr(p.Data)
		}
	})
}

// TestFoldWords compares the sum over words with that over 16 bits, carries
// included.
func TestFoldWords(t *testing.T) {
	for _, s := range []uint64{0, 1, 0xffff, 0x10000, 0xfffffffe, 0xffffffff, 1<<32 + 0xfffffffe, 1<<33 - 1, 1<<63 + 1, ^uint64(0) - 1, ^uint64(0)} {
		for c := range uint64(2) {
			want := (s%0xffff + c) % 0xffff
			got := FoldWords(s, c)
			if uint64(got)%0xffff != want || got == 0 && s|c != 0 {
				t.Errorf("%x and carry %d: %x, want %x", s, c, got, want)
			}
		}
	}
}
