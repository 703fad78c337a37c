package capture

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"

	"weir/packet"
)

// file builds captures of either byte order by hand.
type file struct {
	o binary.ByteOrder
	bytes.Buffer
}

func (f *file) u32(vs ...uint32) *file {
	for _, v := range vs {
		var b [4]byte
		f.o.PutUint32(b[:], v)
		f.Write(b[:])
	}
	return f
}

func (f *file) u16(vs ...uint16) *file {
	for _, v := range vs {
		var b [2]byte
		f.o.PutUint16(b[:], v)
		f.Write(b[:])
	}
	return f
}

func pcapFile(o binary.ByteOrder, magic, link uint32) *file {
	f := &file{o: o}
	f.u32(magic).u16(2, 4).u32(0, 0, 65535, link)
	return f
}

// block writes a pcapng block around a body.
func (f *file) block(typ uint32, body func(b *file)) *file {
	b := &file{o: f.o}
	body(b)
	for b.Len()%4 != 0 {
		b.WriteByte(0)
	}
	n := uint32(b.Len() + 12)
	f.u32(typ, n)
	f.Write(b.Bytes())
	return f.u32(n)
}

func (f *file) section() *file {
	return f.block(ngSection, func(b *file) { b.u32(ngByteMagic).u16(1, 0).u32(0xffffffff, 0xffffffff) })
}

func (f *file) option(code uint16, v ...byte) *file {
	f.u16(code, uint16(len(v)))
	f.Write(v)
	for f.Len()%4 != 0 {
		f.WriteByte(0)
	}
	return f
}

func (f *file) iface(link uint16, name string, opts func(b *file)) *file {
	return f.block(ngIfaceDesc, func(b *file) {
		b.u16(link, 0).u32(0)
		if name != "" {
			b.option(optIfName, []byte(name)...)
		}
		if opts != nil {
			opts(b)
		}
		b.u32(0)
	})
}

func (f *file) packet(id uint32, ts uint64, data []byte, flags uint32) *file {
	return f.block(ngEnhanced, func(b *file) {
		b.u32(id, uint32(ts>>32), uint32(ts), uint32(len(data)), uint32(len(data)))
		b.Write(data)
		for b.Len()%4 != 0 {
			b.WriteByte(0)
		}
		if flags != 0 {
			var v [4]byte
			b.o.PutUint32(v[:], flags)
			b.option(optComment, []byte("hello")...).option(optEpbFlags, v[:]...).u32(0)
		}
	})
}

var ip4 = []byte{0x45, 0, 0, 20, 0, 0, 0, 0, 64, 59, 0, 0, 192, 0, 2, 1, 198, 51, 100, 1}

func all(t *testing.T, b []byte) (rs []Record, err error) {
	t.Helper()
	r, err := NewReader(bytes.NewReader(b), "f")
	if err != nil {
		return nil, err
	}
	for {
		var x Record
		if err := r.Next(&x); err != nil {
			if err == io.EOF {
				err = nil
			}
			return rs, err
		}
		x.Data = append([]byte(nil), x.Data...)
		rs = append(rs, x)
	}
}

func TestPcapOfEveryByteOrderAndResolution(t *testing.T) {
	for _, c := range []struct {
		name  string
		o     binary.ByteOrder
		magic uint32
		frac  uint32
		want  int64
	}{
		{"microseconds, little endian", binary.LittleEndian, 0xa1b2c3d4, 5, 3_000005000},
		{"microseconds, big endian", binary.BigEndian, 0xa1b2c3d4, 5, 3_000005000},
		{"nanoseconds, little endian", binary.LittleEndian, 0xa1b23c4d, 5, 3_000000005},
		{"nanoseconds, big endian", binary.BigEndian, 0xa1b23c4d, 5, 3_000000005},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := pcapFile(c.o, c.magic, LinkRaw)
			f.u32(3, c.frac, 20, 40)
			f.Write(ip4)
			rs, err := all(t, f.Bytes())
			if err != nil || len(rs) != 1 {
				t.Fatalf("%d records, %v", len(rs), err)
			}
			if r := rs[0]; r.Time != c.want || r.OrigLen != 40 || r.LinkType != LinkRaw || !bytes.Equal(r.Data, ip4) || r.N != 1 {
				t.Errorf("got %+v", r)
			}
		})
	}
}

func TestPcapngNamesFlagsAndClocks(t *testing.T) {
	for _, o := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		f := &file{o: o}
		f.section()
		f.iface(LinkRaw, "lan0", nil)
		f.iface(LinkRaw, "wan0", func(b *file) { b.option(optTsResol, 9) })
		f.iface(LinkRaw, "half", func(b *file) { b.option(optTsResol, 0x81) })
		f.iface(LinkRaw, "late", func(b *file) {
			var v [8]byte
			b.o.PutUint64(v[:], 100)
			b.option(optTsOffset, v[:]...)
		})
		f.packet(0, 2_000001, ip4, 0)
		f.packet(1, 2_000000001, ip4[:19], 2|2<<2)
		f.packet(2, 5, ip4, 1)
		f.packet(3, 1_000000, ip4, 0)
		f.section()
		f.iface(LinkEther, "other", nil)
		f.packet(0, 7, ip4, 0)
		rs, err := all(t, f.Bytes())
		if err != nil || len(rs) != 5 {
			t.Fatalf("%v: %d records, %v", o, len(rs), err)
		}
		for i, want := range []Record{
			{N: 1, Time: 2_000001000, IfName: "lan0", LinkType: LinkRaw},
			{N: 2, Time: 2_000000001, IfName: "wan0", LinkType: LinkRaw, Dir: Outbound, Reception: MulticastFrame},
			{N: 3, Time: 2_500000000, IfName: "half", LinkType: LinkRaw, Dir: Inbound},
			{N: 4, Time: 101_000000000, IfName: "late", LinkType: LinkRaw},
			{N: 5, Time: 7000, IfName: "other", LinkType: LinkEther},
		} {
			g := rs[i]
			if g.N != want.N || g.Time != want.Time || g.IfName != want.IfName || g.Dir != want.Dir || g.Reception != want.Reception || g.LinkType != want.LinkType {
				t.Errorf("%v: packet %d: got %+v, want %+v", o, i+1, g, want)
			}
		}
	}
}

func TestOldAndSimplePacketBlocks(t *testing.T) {
	f := &file{o: binary.LittleEndian}
	f.section().iface(LinkIPv4, "", nil)
	f.block(ngOldPacket, func(b *file) { b.u16(0, 0).u32(0, 9, 20, 20); b.Write(ip4) })
	f.block(ngSimple, func(b *file) { b.u32(20); b.Write(ip4) })
	f.block(5, func(b *file) { b.u32(1, 2, 3) }) // statistics: nothing to read
	rs, err := all(t, f.Bytes())
	if err != nil || len(rs) != 2 || rs[0].Time != 9000 || rs[1].Time != 9000 || !bytes.Equal(rs[1].Data, ip4) {
		t.Errorf("got %+v, %v", rs, err)
	}
}

func TestBrokenCapturesGiveWhatTheyHaveThenTheError(t *testing.T) {
	good := pcapFile(binary.LittleEndian, 0xa1b2c3d4, LinkRaw)
	for range 3 {
		good.u32(1, 0, 20, 20)
		good.Write(ip4)
	}
	huge := pcapFile(binary.LittleEndian, 0xa1b2c3d4, LinkRaw)
	huge.u32(1, 0, 20, 20)
	huge.Write(ip4)
	huge.u32(1, 0, 1<<30, 20)
	ng := func(f func(f *file)) []byte {
		x := &file{o: binary.LittleEndian}
		x.section().iface(LinkRaw, "lan0", nil).packet(0, 1, ip4, 0)
		f(x)
		return x.Bytes()
	}
	for _, c := range []struct {
		name string
		data []byte
		n    int
		want string
	}{
		{"nothing", nil, 0, "f: the file is empty"},
		{"text", []byte("hello, world, this is no capture"), 0, "f: neither pcap nor pcapng"},
		{"header cut off", good.Bytes()[:20], 0, "f: the file header is cut off"},
		{"cut in a packet", good.Bytes()[:24+36*2+30], 2, "f: packet 3: the capture ends in the middle of a packet of 20 bytes"},
		{"cut in a packet header", good.Bytes()[:24+36+7], 1, "f: packet 2: the capture ends in the middle of a packet header"},
		{"a length of a gigabyte", huge.Bytes(), 1, "f: packet 2: a length of 1073741824 bytes cannot be"},
		{"a block of no length", ng(func(f *file) { f.u32(6, 0, 0) }), 1, "f: packet 2: a block length of 0 bytes cannot be"},
		{"two lengths that differ", ng(func(f *file) { f.u32(6, 16, 0, 20) }), 1, "f: packet 2: a block states 16 bytes in front and 20 behind"},
		{"an interface nobody described", ng(func(f *file) { f.packet(7, 1, ip4, 0) }), 1, "f: packet 2: interface 7 was never described"},
		{"more packet than block", ng(func(f *file) {
			f.block(ngEnhanced, func(b *file) { b.u32(0, 0, 0, 4000, 4000) })
		}), 1, "f: packet 2: 4000 bytes of packet in a block of 32"},
		{"a block cut off", ng(func(f *file) { f.u32(6, 400, 0) }), 1, "f: packet 2: the capture ends in the middle of a block"},
	} {
		t.Run(c.name, func(t *testing.T) {
			rs, err := all(t, c.data)
			if err == nil || err.Error() != c.want || len(rs) != c.n {
				t.Errorf("%d records, %v; want %d, %s", len(rs), err, c.n, c.want)
			}
			var e *Error
			if !errors.As(err, &e) {
				t.Errorf("%T is no *Error", err)
			}
		})
	}
}

func TestGzip(t *testing.T) {
	f := pcapFile(binary.LittleEndian, 0xa1b2c3d4, LinkRaw)
	f.u32(1, 0, 20, 20)
	f.Write(ip4)
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	w.Write(f.Bytes())
	w.Close()
	if rs, err := all(t, z.Bytes()); err != nil || len(rs) != 1 {
		t.Errorf("%d records, %v", len(rs), err)
	}
	if rs, err := all(t, z.Bytes()[:z.Len()-12]); err == nil || len(rs) > 1 {
		t.Errorf("a cut gzip file: %d records, %v", len(rs), err)
	}
}

func TestDecodeEveryLinkType(t *testing.T) {
	eth := append([]byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0}, ip4...)
	bcast := append([]byte{255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 2, 8, 0}, ip4...)
	vlan := append([]byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x81, 0, 0x20, 7, 8, 0}, ip4...)
	arp := append([]byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 6}, ip4...)
	qinq := append([]byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xa8, 0, 1, 0x81, 0, 0, 7, 8, 0}, ip4...)
	sll := append([]byte{0, 4, 0, 1, 0, 6, 2, 0, 0, 0, 0, 2, 0, 0, 8, 0}, ip4...)
	sll2 := append([]byte{8, 0, 0, 0, 0, 0, 0, 3, 0, 1, 1, 6, 2, 0, 0, 0, 0, 2, 0, 0}, ip4...)
	for _, c := range []struct {
		name string
		link uint16
		data []byte
		want Frame
	}{
		{"RAW", LinkRaw, ip4, Frame{VLAN: -1}},
		{"IPV4", LinkIPv4, ip4, Frame{VLAN: -1}},
		{"Ethernet", LinkEther, eth, Frame{VLAN: -1}},
		{"Ethernet broadcast", LinkEther, bcast, Frame{VLAN: -1, Link: packet.Link{Type: packet.ToBroadcast}}},
		{"VLAN 7", LinkEther, vlan, Frame{VLAN: 7}},
		{"ARP", LinkEther, arp, Frame{VLAN: -1, Why: "not IP"}},
		{"two tags", LinkEther, qinq, Frame{VLAN: 1, Why: "two VLAN tags are not supported", Unsupported: true}},
		{"Ethernet cut off", LinkEther, eth[:13], Frame{VLAN: -1, Why: "cut off in the link header"}},
		{"SLL outgoing", LinkSLL, sll, Frame{VLAN: -1, Outgoing: true}},
		{"SLL2 broadcast on interface 3", LinkSLL2, sll2, Frame{VLAN: -1, IfIndex: 3, Link: packet.Link{Type: packet.ToBroadcast}}},
		{"NULL, little endian", LinkNull, append([]byte{2, 0, 0, 0}, ip4...), Frame{VLAN: -1}},
		{"NULL, big endian", LinkNull, append([]byte{0, 0, 0, 30}, ip4...), Frame{VLAN: -1}},
		{"LOOP", LinkLoop, append([]byte{0, 0, 0, 2}, ip4...), Frame{VLAN: -1}},
		{"NULL of something else", LinkNull, append([]byte{7, 0, 0, 0}, ip4...), Frame{VLAN: -1, Why: "not IP"}},
		{"a radio", 127, ip4, Frame{VLAN: -1, Why: "link type IEEE802_11_RADIOTAP (127) is not supported", Unsupported: true}},
		{"a number", 12345, ip4, Frame{VLAN: -1, Why: "link type 12345 is not supported", Unsupported: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := Record{LinkType: c.link, Data: c.data}
			var f Frame
			r.Decode(&f)
			if f.Why == "" && !bytes.Equal(f.IP, ip4) {
				t.Errorf("IP packet is %x", f.IP)
			}
			if f.VLAN != c.want.VLAN || f.Why != c.want.Why || f.Outgoing != c.want.Outgoing || f.IfIndex != c.want.IfIndex ||
				f.Link.Type != c.want.Link.Type || f.Unsupported != c.want.Unsupported {
				t.Errorf("got %+v, want %+v", f, c.want)
			}
		})
	}
}

func TestWriterWritesWhatReaderReads(t *testing.T) {
	var b bytes.Buffer
	w, err := NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 70000)
	for i, c := range []struct{ name, comment string }{{"lan0", ""}, {"wan0", "a comment"}, {"lan0", long}} {
		if err := w.Packet(c.name, 1700000000_123456789+int64(i), ip4[:20-i], c.comment); err != nil {
			t.Fatal(err)
		}
	}
	rs, err := all(t, b.Bytes())
	if err != nil || len(rs) != 3 {
		t.Fatalf("%d records, %v", len(rs), err)
	}
	for i, name := range []string{"lan0", "wan0", "lan0"} {
		r := rs[i]
		if r.IfName != name || r.Time != 1700000000_123456789+int64(i) || !bytes.Equal(r.Data, ip4[:20-i]) || r.LinkType != LinkRaw {
			t.Errorf("packet %d: %+v", i+1, r)
		}
	}
}

func TestReadingDoesNotAllocate(t *testing.T) {
	f := &file{o: binary.LittleEndian}
	f.section().iface(LinkRaw, "lan0", nil)
	for range 2000 {
		f.packet(0, 1, ip4, 1)
	}
	r, err := NewReader(bytes.NewReader(f.Bytes()), "f")
	if err != nil {
		t.Fatal(err)
	}
	var x Record
	var fr Frame
	if n := testing.AllocsPerRun(1000, func() {
		if err := r.Next(&x); err != nil {
			t.Fatal(err)
		}
		x.Decode(&fr)
	}); n != 0 {
		t.Errorf("%v allocations a packet", n)
	}
}

func FuzzReader(f *testing.F) {
	p := pcapFile(binary.BigEndian, 0xa1b2c3d4, LinkSLL2)
	p.u32(1, 0, 20, 20)
	p.Write(ip4)
	f.Add(p.Bytes())
	ng := &file{o: binary.LittleEndian}
	ng.section().iface(LinkEther, "lan0", func(b *file) { b.option(optTsResol, 0x9f) }).packet(0, 1, ip4, 3)
	f.Add(ng.Bytes())
	f.Fuzz(func(t *testing.T, d []byte) {
		r, err := NewReader(bytes.NewReader(d), "f")
		if err != nil {
			return
		}
		var x Record
		var fr Frame
		n := 0
		for {
			err := r.Next(&x)
			if err != nil {
				var e *Error
				if err != io.EOF && !errors.As(err, &e) {
					t.Fatalf("%T: %v", err, err)
				}
				if r.Next(&x) != err {
					t.Fatal("an error that is not final")
				}
				return
			}
			if n++; n > len(d) {
				t.Fatal("more packets than bytes")
			}
			x.Decode(&fr)
		}
	})
}

func BenchmarkRead(b *testing.B) {
	f := &file{o: binary.LittleEndian}
	f.section().iface(LinkEther, "lan0", nil)
	frame := append([]byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0}, make([]byte, 86)...)
	for range 10000 {
		f.packet(0, 1, frame, 1)
	}
	data := f.Bytes()
	b.ReportAllocs()
	for b.Loop() {
		r, err := NewReader(bytes.NewReader(data), "f")
		if err != nil {
			b.Fatal(err)
		}
		var x Record
		var fr Frame
		for r.Next(&x) == nil {
			x.Decode(&fr)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/10000, "ns/packet")
}
