package defrag

import (
	"bytes"
	"encoding/binary"
	"testing"

	"weir/packet"
)

// piece4 and piece6 make a fragment of bytes from to end of a datagram whose
// payload counts up.
func piece4(id uint16, from, end int, more bool, tos byte) []byte {
	d := make([]byte, 20+end-from)
	d[0], d[1], d[8], d[9] = 0x45, tos, 64, packet.UDP
	binary.BigEndian.PutUint16(d[2:], uint16(len(d)))
	binary.BigEndian.PutUint16(d[4:], id)
	w := uint16(from / 8)
	if more {
		w |= 0x2000
	}
	binary.BigEndian.PutUint16(d[6:], w)
	copy(d[12:], []byte{192, 0, 2, 1, 198, 51, 100, 1})
	fill(d[20:], from)
	binary.BigEndian.PutUint16(d[10:], packet.IPv4HeaderChecksum(d[:20]))
	return d
}

func piece6(id uint16, from, end int, more bool, tos byte) []byte {
	d := make([]byte, 48+end-from)
	d[0], d[1], d[6], d[7] = 0x60, tos<<4, packet.Fragment, 64
	binary.BigEndian.PutUint16(d[4:], uint16(len(d)-40))
	copy(d[8:], []byte{0x20, 1, 0xd, 0xb8, 15: 1, 16: 0x20, 17: 1, 18: 0xd, 19: 0xb8, 31: 2})
	d[40] = packet.UDP
	w := uint16(from)
	if more {
		w |= 1
	}
	binary.BigEndian.PutUint16(d[42:], w)
	binary.BigEndian.PutUint32(d[44:], uint32(id))
	fill(d[48:], from)
	return d
}

func fill(b []byte, from int) {
	for i := range b {
		b[i] = byte((from + i) * 7)
	}
}

type cut struct {
	from, end int
	more      bool
	tos       byte
}

func TestAdd(t *testing.T) {
	for _, c := range []struct {
		name  string
		cuts  []cut
		st4   Status // of the last fragment
		why4  Cause
		st6   Status
		why6  Cause
		parts int
	}{
		{"two in order", []cut{{0, 800, true, 0}, {800, 1000, false, 0}}, Complete, 0, Complete, 0, 2},
		{"three in reverse", []cut{{1600, 2056, false, 0}, {800, 1600, true, 0}, {0, 800, true, 0}}, Complete, 0, Complete, 0, 3},
		{"the last is missing", []cut{{0, 800, true, 0}, {800, 1600, true, 0}}, Waiting, 0, Waiting, 0, 0},
		{"a duplicate", []cut{{0, 800, true, 0}, {0, 800, true, 0}}, Dropped, Duplicate, Dropped, Duplicate, 0},
		{"a duplicate does not hurt", []cut{{0, 800, true, 0}, {0, 800, true, 0}, {800, 900, false, 0}}, Complete, 0, Complete, 0, 2},
		{"a part of a run is a duplicate", []cut{{0, 800, true, 0}, {800, 1600, true, 0}, {792, 808, true, 0}}, Dropped, Duplicate, Dropped, Duplicate, 0},
		{"an overlap", []cut{{0, 800, true, 0}, {792, 1600, true, 0}}, Dropped, Overlap, Dropped, Overlap, 0},
		{"after an overlap the datagram is gone", []cut{{0, 800, true, 0}, {792, 1600, true, 0}, {800, 900, false, 0}}, Waiting, 0, Waiting, 0, 0},
		{"behind the end", []cut{{800, 1000, false, 0}, {1000, 1600, true, 0}}, Dropped, BadLength, Dropped, BadLength, 0},
		{"two ends", []cut{{800, 1000, false, 0}, {800, 1100, false, 0}}, Dropped, BadLength, Dropped, BadLength, 0},
		{"an odd length is cut for IPv4 and passed on for IPv6", []cut{{0, 801, true, 0}}, Waiting, 0, PassedOn, 0, 0},
		{"ECN on some only", []cut{{0, 800, true, 0}, {800, 900, false, 1}}, Dropped, BadECN, Dropped, BadECN, 0},
		{"congestion on one", []cut{{0, 800, true, 2}, {800, 900, false, 3}}, Complete, 0, Complete, 0, 2},
	} {
		for _, fam := range []struct {
			name string
			make func(id uint16, from, end int, more bool, tos byte) []byte
			st   Status
			why  Cause
		}{{"IPv4", piece4, c.st4, c.why4}, {"IPv6", piece6, c.st6, c.why6}} {
			t.Run(fam.name+" "+c.name, func(t *testing.T) {
				q := New(DefaultConfig())
				var p packet.Packet
				var st Status
				var why Cause
				for i, k := range c.cuts {
					if err := packet.Parse(fam.make(1, k.from, k.end, k.more, k.tos), &p); err != nil {
						t.Fatal(err)
					}
					st, why = q.Add(&p, ConntrackIn, 0, nil, int64(i))
				}
				if st != fam.st || why != fam.why {
					t.Fatalf("got %d %q, want %d %q", st, why, fam.st, fam.why)
				}
				if st != Complete {
					return
				}
				want := make([]byte, len(p.Data)-p.HeaderLen())
				fill(want, 0)
				if !bytes.Equal(p.Data[p.HeaderLen():], want) {
					t.Error("payload not put together")
				}
				var again packet.Packet
				if packet.Parse(p.Data, &again) != nil || again.Proto != packet.UDP || again.FragHdr != 0 || again.More {
					t.Error("header not that of a whole packet")
				}
				if len(p.Reassembled.Parts) != c.parts || q.Len() != 0 || q.Memory(p.Family) != 0 {
					t.Errorf("parts %v, %d datagrams and %d bytes left", p.Reassembled.Parts, q.Len(), q.Memory(p.Family))
				}
			})
		}
	}
}

func TestDistanceRestartsADatagram(t *testing.T) {
	q := New(DefaultConfig())
	var p packet.Packet
	add := func(d []byte) Status {
		if err := packet.Parse(d, &p); err != nil {
			t.Fatal(err)
		}
		st, _ := q.Add(&p, ConntrackIn, 0, nil, 0)
		return st
	}
	add(piece4(1, 0, 800, true, 0))
	for id := range uint16(65) {
		add(piece4(100+id, 0, 8, true, 0))
	}
	if st := add(piece4(1, 800, 900, false, 0)); st != Waiting {
		t.Errorf("got %d: 65 fragments of others came between, the first part must be forgotten", st)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	for name, make := range map[string]func(uint16, int, int, bool, byte) []byte{"IPv4": piece4, "IPv6": piece6} {
		t.Run(name, func(t *testing.T) {
			q := New(DefaultConfig())
			var p packet.Packet
			refused := false
			for id := range uint16(10000) {
				if err := packet.Parse(make(id, 0, 1400, true, 0), &p); err != nil {
					t.Fatal(err)
				}
				_, why := q.Add(&p, ConntrackIn, 0, nil, 0)
				refused = refused || why == Memory
			}
			if m := q.Memory(p.Family); !refused || m > 4<<20+4096 {
				t.Errorf("refused %v, %d bytes held", refused, m)
			}
			q.Expire(60e9, func(*Expired) {})
			if q.Len() != 0 || q.Memory(p.Family) != 0 || len(q.peers) != 0 {
				t.Errorf("%d datagrams, %d bytes, %d peers left after the time", q.Len(), q.Memory(p.Family), len(q.peers))
			}
		})
	}
}

// FuzzAdd: no sequence of fragments makes the queue panic or lose count.
func FuzzAdd(f *testing.F) {
	f.Add([]byte{0, 0, 10, 1, 0, 10, 5, 0})
	f.Add([]byte{4, 0, 10, 1, 4, 8, 5, 0, 4, 13, 1, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		q := New(DefaultConfig())
		var p packet.Packet
		for now := int64(0); len(b) >= 4; now++ {
			make := piece4
			if b[0]&4 != 0 {
				make = piece6
			}
			from := int(b[1]) * 8
			d := make(uint16(b[0]>>4), from, from+int(b[2])*4+int(b[3]>>6), b[3]&1 != 0, b[3]>>1&3)
			if packet.Parse(d, &p) == nil {
				st, why := q.Add(&p, User(b[0]&3%3), 0, nil, now)
				if st == Dropped != (why != NoCause) {
					t.Fatalf("status %d with cause %q", st, why)
				}
			}
			b = b[4:]
		}
		q.Expire(1e12, func(*Expired) {})
		if q.Len() != 0 || q.Memory(packet.IPv4) != 0 || q.Memory(packet.IPv6) != 0 {
			t.Fatal("something left after all time")
		}
	})
}
