package rfc

import (
	"encoding/binary"
	"testing"

	"weir/internal/wire"
	"weir/packet"
)

// BenchmarkNewConnection is a connection from the inside that is new, of one of
// 50,000 sources, and that is deleted again later.
func BenchmarkNewConnection(b *testing.B) {
	for _, mode := range []string{"Linux", "RFC"} {
		b.Run(mode, func(b *testing.B) {
			k := newBed(b, setting{filtering: "address-dependent"}, mode == "RFC")
			data := udp(at(a, 1024), at(r1, 80), "hello")
			buf := make([]byte, len(data))
			i := 0
			for b.Loop() {
				i++
				copy(buf, data)
				binary.BigEndian.PutUint16(buf[20:], 1024+uint16(i%50000))
				binary.BigEndian.PutUint16(buf[22:], uint16(i/50000))
				binary.BigEndian.PutUint16(buf[26:], 0) // without a checksum
				k.now += 1e6
				if r := k.m.Receive(k.lan, packet.Link{}, buf, k.now); len(r.Out) != 1 {
					b.Fatal(r.Verdict, r.Reason)
				}
			}
			b.ReportMetric(float64(k.m.Conntrack().Len()), "connections")
		})
	}
}

// BenchmarkEstablished is a packet of a connection that is known.
func BenchmarkEstablished(b *testing.B) {
	for _, mode := range []string{"Linux", "RFC"} {
		b.Run(mode, func(b *testing.B) {
			k := newBed(b, setting{filtering: "address-dependent"}, mode == "RFC")
			outer := k.open(wire.ProtoUDP, at(a, 5000), at(r1, 80))
			k.send(udp(at(r1, 80), outer, "answer"))
			data := udp(at(a, 5000), at(r1, 80), "more")
			buf := make([]byte, len(data))
			for b.Loop() {
				copy(buf, data)
				k.now += 1000
				if r := k.m.Receive(k.lan, packet.Link{}, buf, k.now); len(r.Out) != 1 {
					b.Fatal(r.Verdict, r.Reason)
				}
			}
		})
	}
}
