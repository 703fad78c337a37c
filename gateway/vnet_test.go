package gateway

import (
	"encoding/binary"
	"testing"

	"weir/packet"
)

func TestHeadersOfDevicesThatMakeNoSense(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(h []byte)
	}{
		{"a checksum behind the end", func(h []byte) { h[0] = 1; binary.NativeEndian.PutUint16(h[6:], 30) }},
		{"segments of no size", func(h []byte) { h[1] = 5 }},
		{"segments of TCP in a datagram", func(h []byte) { h[1] = 1; h[4] = 100 }},
		{"fragments as segments", func(h []byte) { h[1] = 3; h[4] = 100 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := make([]byte, vnetLen)
			c.edit(h)
			if _, ok := readVnet(h, udp4("192.0.2.1:1", "198.51.100.1:2", "x"), 0); ok {
				t.Error("accepted")
			}
		})
	}
}

func TestOpenChecksums(t *testing.T) {
	d := udp4("192.0.2.1:1", "198.51.100.1:2", "text")
	want := binary.BigEndian.Uint16(d[26:])
	h := make([]byte, vnetLen)
	putVnet(h, &Packet{Data: d, Offload: packet.Offload{Partial: true}}, 0)
	o, ok := readVnet(h, d, 0)
	if !ok || !o.Partial || o.Size != 0 {
		t.Fatalf("%+v %v", o, ok)
	}
	var s splitter
	out := s.plain([]Packet{{Data: d, Offload: o}})
	if got := binary.BigEndian.Uint16(out[0].Data[26:]); got != want || out[0].Offload.Partial {
		t.Errorf("checksum %#x, want %#x", got, want)
	}
}

func TestChecksumsThatTheEngineDoesNotLeaveOpenAreFilledIn(t *testing.T) {
	// GRE with a checksum that the device was to compute from byte 20 on.
	d := udp4("192.0.2.1:1", "198.51.100.1:2", "text")
	d[9] = packet.GRE
	d[26], d[27] = 0, 0
	h := make([]byte, vnetLen)
	h[0] = vnetNeedsSum
	binary.NativeEndian.PutUint16(h[6:], 20)
	binary.NativeEndian.PutUint16(h[8:], 6)
	o, ok := readVnet(h, d, 0)
	if !ok || o.Partial || packet.Fold(packet.Sum(d[20:], 0)) != 0xffff {
		t.Errorf("%+v %v % x", o, ok, d)
	}
}
