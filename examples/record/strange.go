//go:build linux

package main

import (
	"flag"
	"fmt"
	"net/netip"
	"syscall"
)

// strange sends single IPv4 packets with something wrong in each: sources
// that cannot be, checksums that do not fit, lengths that lie.
func strange(args []string) error {
	var from, to, gateway string
	w, err := wireFlags("strange", args, func(f *flag.FlagSet) {
		f.StringVar(&from, "from", "", "source ADDRESS:PORT where it does not matter")
		f.StringVar(&to, "to", "", "destination ADDRESS:PORT behind the gateway")
		f.StringVar(&gateway, "gateway", "", "address of the gateway")
	})
	if err != nil {
		return err
	}
	source, err := addrPort(from)
	if err != nil {
		return err
	}
	target, err := addrPort(to)
	if err != nil {
		return err
	}
	own, err := netip.ParseAddr(gateway)
	if err != nil {
		return err
	}
	as := func(address string) netip.AddrPort {
		return netip.AddrPortFrom(netip.MustParseAddr(address), source.Port())
	}
	good := segment{from: source, to: target, flags: syn, seq: 9}
	change := func(f func(*segment)) segment {
		s := good
		f(&s)
		return s
	}
	damaged := func(at int, value byte) []byte {
		b := good.tcp()
		b[at] ^= value
		return b
	}
	short := good.tcp()[:30]
	short[2], short[3] = 0, 30
	short[10], short[11] = 0, 0
	header := ^uint16(sum(0, short[:20]))
	short[10], short[11] = byte(header>>8), byte(header)

	cases := []struct {
		what   string
		packet []byte
	}{
		{"from loopback", change(func(s *segment) { s.from = as("127.0.0.1") }).tcp()},
		{"from nowhere", change(func(s *segment) { s.from = as("0.0.0.0") }).tcp()},
		{"from broadcast", change(func(s *segment) { s.from = as("255.255.255.255") }).tcp()},
		{"from multicast", change(func(s *segment) { s.from = as("233.252.0.1") }).tcp()},
		{"from the gateway itself", change(func(s *segment) { s.from = netip.AddrPortFrom(own, 80) }).tcp()},
		{"land: from and to the gateway", change(func(s *segment) {
			s.from, s.to = netip.AddrPortFrom(own, 80), netip.AddrPortFrom(own, 80)
		}).tcp()},
		{"from the inside, on the outside", change(func(s *segment) {
			s.from = netip.AddrPortFrom(target.Addr().Next(), 4000)
		}).tcp()},
		{"to loopback", change(func(s *segment) { s.to = as("127.0.0.1") }).tcp()},
		{"wrong TCP checksum", change(func(s *segment) { s.badSum = true }).tcp()},
		{"wrong UDP checksum", change(func(s *segment) { s.badSum = true }).udp()},
		{"wrong header checksum", damaged(10, 0x40)},
		{"wrong version", damaged(0, 0x20)},
		{"total length beyond the packet", damaged(2, 0x04)},
		{"header length below 20", damaged(0, 0x01)},
		{"half a TCP header", short},
		{"TTL 1", change(func(s *segment) { s.ttl = 1 }).tcp()},
		{"loose source route", good.ip4(syscall.IPPROTO_TCP, good.l4(syscall.IPPROTO_TCP), 0,
			[]byte{131, 7, 4, 198, 51, 100, 9, 0})},
		{"SYN and RST", change(func(s *segment) { s.flags = syn | rst }).tcp()},
		{"every flag", change(func(s *segment) { s.flags = fin | syn | rst | psh | ack | urg }).tcp()},
		{"RST out of nothing", change(func(s *segment) { s.flags = rst }).tcp()},
		{"SYN and ACK out of nothing", change(func(s *segment) { s.flags = syn | ack; s.ack = 5 }).tcp()},
		{"protocol 253", good.ip4(253, []byte("for experiments"), 0, nil)},
	}
	for i, c := range cases {
		if err := w.send(c.packet); err != nil {
			return fmt.Errorf("case %d, %s: %w", i+1, c.what, err)
		}
	}
	return nil
}
