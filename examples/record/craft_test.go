//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"syscall"
	"testing"
)

func TestChecksumsOfCraftedPackets(t *testing.T) {
	v4 := segment{from: netip.MustParseAddrPort("192.0.2.1:1"), to: netip.MustParseAddrPort("198.51.100.1:2"), data: []byte("odd")}
	v6 := segment{from: netip.MustParseAddrPort("[2001:db8::1]:1"), to: netip.MustParseAddrPort("[2001:db8::2]:2"), data: []byte("odd")}
	bad := v4
	bad.badSum = true
	for name, c := range map[string]struct {
		s     segment
		proto byte
		good  bool
	}{
		"TCP over IPv4 has a right sum": {v4, syscall.IPPROTO_TCP, true},
		"UDP over IPv4 has a right sum": {v4, syscall.IPPROTO_UDP, true},
		"TCP over IPv6 has a right sum": {v6, syscall.IPPROTO_TCP, true},
		"a wrong sum is wrong":          {bad, syscall.IPPROTO_TCP, false},
	} {
		t.Run(name, func(t *testing.T) {
			l4 := c.s.l4(c.proto)
			pseudo := append(c.s.from.Addr().AsSlice(), c.s.to.Addr().AsSlice()...)
			total := sum(sum(uint32(c.proto)+uint32(len(l4)), pseudo), l4)
			if (total == 0xffff) != c.good {
				t.Errorf("the sum over the segment is %#x", total)
			}
		})
	}
	packet := v4.ip4(syscall.IPPROTO_TCP, v4.l4(syscall.IPPROTO_TCP), 0, []byte{1, 1, 1, 0})
	if got := sum(0, packet[:24]); got != 0xffff {
		t.Errorf("the sum over a header with options is %#x", got)
	}
}

func TestFragmentsCarryTheirPlace(t *testing.T) {
	payload := bytes.Repeat([]byte("01234567"), 4)
	s := segment{from: netip.MustParseAddrPort("192.0.2.1:1"), to: netip.MustParseAddrPort("198.51.100.1:2"), id: 7}
	six := segment{from: netip.MustParseAddrPort("[2001:db8::1]:1"), to: netip.MustParseAddrPort("[2001:db8::2]:2"), id: 7}
	pieces := []piece{{0, 16, 0, true}, {16, 32, 16, false}}
	four := s.cut(syscall.IPPROTO_UDP, payload, pieces...)
	if got := binary.BigEndian.Uint16(four[0][6:]); got != 0x2000 {
		t.Errorf("first IPv4 fragment: field %#x", got)
	}
	if got := binary.BigEndian.Uint16(four[1][6:]); got != 2 {
		t.Errorf("last IPv4 fragment: field %#x", got)
	}
	last := six.cut(syscall.IPPROTO_UDP, payload, pieces...)[1]
	if got := binary.BigEndian.Uint16(last[42:]); got != 2<<3 {
		t.Errorf("last IPv6 fragment: field %#x", got)
	}
	if !bytes.Equal(last[48:], payload[16:]) {
		t.Error("the last IPv6 fragment carries another part")
	}
}

func TestWhatACaptureLeavesOut(t *testing.T) {
	frame := func(kind uint16, l3 ...byte) []byte {
		return append(binary.BigEndian.AppendUint16(make([]byte, 12), kind), l3...)
	}
	six := func(next byte, payload ...byte) []byte {
		header := make([]byte, 40)
		header[0], header[6] = 0x60, next
		return frame(0x86dd, append(header, payload...)...)
	}
	for name, c := range map[string]struct {
		frame []byte
		want  bool
	}{
		"IPv4 stays":                              {frame(0x0800, make([]byte, 20)...), true},
		"ARP goes":                                {frame(0x0806, make([]byte, 28)...), false},
		"an echo request stays":                   {six(58, 128, 0, 0, 0), true},
		"packet too big stays":                    {six(58, 2, 0, 0, 0), true},
		"a neighbour solicitation goes":           {six(58, 135, 0, 0, 0), false},
		"a listener report behind an option goes": {six(0, 58, 0, 5, 2, 0, 0, 1, 0, 143, 0, 0, 0), false},
		"TCP stays":                               {six(6, 135, 0, 0, 0), true},
		"half a frame goes":                       {make([]byte, 13), false},
		"a bare IPv6 header stays":                {six(58), true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := wanted(c.frame); got != c.want {
				t.Errorf("wanted = %v", got)
			}
		})
	}
}
