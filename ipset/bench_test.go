package ipset

import (
	"fmt"
	"testing"

	"weir/packet"
)

func filled(b testing.TB, t Type, n int) *Sets {
	ss := New(nil)
	if err := ss.Create("s", Create{Type: t, Family: packet.IPv4, MaxElem: 1 << 21, HasMaxElem: true}, false); err != OK {
		b.Fatal(err)
	}
	for i := range n {
		r := Request{IP: addr4(10<<24 | uint32(i)), Port: uint16(i), Proto: packet.TCP, HasProto: true}
		if t == HashNet {
			r.CIDR, r.HasCIDR = 24+uint8(i%9), true
		}
		if err := ss.Do(Add, "s", &r, true, 1); err != OK {
			b.Fatal(i, err)
		}
	}
	return ss
}

// udp is a packet to an address and port.
func udp(to uint32, port uint16) *packet.Packet {
	d := make([]byte, 28)
	d[0], d[3], d[8], d[9] = 0x45, 28, 64, packet.UDP
	a := addr4(to)
	copy(d[16:], a[:4])
	copy(d[12:], a[:4])
	d[22], d[23], d[25] = byte(port>>8), byte(port), 8
	return &packet.Packet{Data: d, Family: packet.IPv4, Proto: packet.UDP, L4: 20}
}

// BenchmarkMatch is one question of -m set, at sets of two sizes; half of the
// packets are in the set.
func BenchmarkMatch(b *testing.B) {
	for _, t := range []Type{HashIP, HashNet, HashIPPort} {
		for _, n := range []int{1000, 1000000} {
			b.Run(fmt.Sprintf("%s/%d", t, n), func(b *testing.B) {
				ss := filled(b, t, n)
				ps := make([]Probe, 4096)
				for i := range ps {
					ps[i] = Probe{Pkt: udp(10<<24|uint32(i*7919)%uint32(2*n), uint16(i)), Now: 2}
				}
				o := Options{Dim: 2}
				b.ReportAllocs()
				b.ResetTimer()
				for i := range b.N {
					ss.Match(0, &ps[i&4095], &o)
				}
			})
		}
	}
}

func TestMatchAllocatesNothing(t *testing.T) {
	for typ := range NumTypes {
		info := typ.info()
		c := Create{Type: typ, Family: packet.IPv4, IPTo: addr4(10<<24 | 200), IP: addr4(10 << 24), HasTo: true, PortTo: 200, Counters: true, HasTimeout: true}
		if info.any {
			c.Family = 0
		}
		ss := New(nil)
		if err := ss.Create("s", c, false); err != OK {
			t.Fatal(typ, err)
		}
		r := Request{IP: addr4(10<<24 | 7), IP2: addr4(10<<24 | 7), CIDR: 24, Port: 9, Proto: packet.UDP, HasProto: true, MAC: [6]byte{2}, HasMAC: true, Iface: [16]byte{'e'}}
		r.HasCIDR = info.part[0] == partNet
		if typ != ListSet {
			if err := ss.Do(Add, "s", &r, false, 1); err != OK {
				t.Fatal(typ, err)
			}
		}
		p := Probe{Pkt: udp(10<<24|7, 9), In: "e", Out: "e", Now: 2}
		p.Pkt.Link.HasMAC, p.Pkt.Link.Src = true, [6]byte{2}
		o := Options{Dim: 3, Src: [6]bool{true, true, true}}
		o.Src[0] = typ != BitmapPort
		o.Src[1] = typ != HashIPPort && typ != HashNetPort && typ != HashIPPortIP && typ != HashIPPortNet && typ != HashNetPortNet
		if got := ss.Match(0, &p, &o); got != (typ != ListSet) {
			t.Errorf("%s: match is %v", typ, got)
		}
		if n := testing.AllocsPerRun(100, func() { ss.Match(0, &p, &o) }); n != 0 {
			t.Errorf("%s: %v allocations a question", typ, n)
		}
	}
}
