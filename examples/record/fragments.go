//go:build linux

package main

import (
	"bytes"
	"flag"
	"fmt"
	"syscall"
)

// fragments sends datagrams cut in ways that senders do not cut them. The
// same list goes out for IPv4 and IPv6; each case has an id of its own.
func fragments(args []string) error {
	var from, to, tcpTo string
	w, err := wireFlags("fragments", args, func(f *flag.FlagSet) {
		f.StringVar(&from, "from", "", "source ADDRESS:PORT")
		f.StringVar(&to, "to", "", "UDP destination ADDRESS:PORT")
		f.StringVar(&tcpTo, "tcp", "", "TCP destination ADDRESS:PORT")
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
	web, err := addrPort(tcpTo)
	if err != nil {
		return err
	}
	const udp, tcp = syscall.IPPROTO_UDP, syscall.IPPROTO_TCP
	datagram := segment{from: source, to: target, data: bytes.Repeat([]byte("fragment"), 40)}.l4(udp) // 328 bytes
	start := segment{from: source, to: web, seq: 77, flags: syn, data: []byte("early data of 24 bytes..")}.l4(tcp)

	cases := []struct {
		what    string
		proto   byte
		payload []byte
		pieces  []piece
	}{
		{"in order", udp, datagram, []piece{{0, 160, 0, true}, {160, 328, 160, false}}},
		{"last first", udp, datagram, []piece{{160, 328, 160, false}, {0, 160, 0, true}}},
		{"eight bytes each", udp, datagram[:40], []piece{{0, 8, 0, true}, {8, 16, 8, true},
			{16, 24, 16, true}, {24, 32, 24, true}, {32, 40, 32, false}}},
		{"TCP flags in the second fragment", tcp, start, []piece{{0, 8, 0, true}, {8, 44, 8, false}}},
		{"a duplicate", udp, datagram, []piece{{0, 160, 0, true}, {0, 160, 0, true}, {160, 328, 160, false}}},
		{"overlap by 8 bytes", udp, datagram, []piece{{0, 160, 0, true}, {152, 328, 152, false}}},
		{"teardrop: the second lies inside the first", udp, datagram, []piece{{0, 160, 0, true}, {32, 64, 32, false}}},
		{"the header written over", udp, datagram, []piece{{0, 160, 0, true}, {0, 16, 0, true}, {160, 328, 160, false}}},
		{"two ends", udp, datagram, []piece{{160, 328, 160, false}, {160, 200, 160, false}, {0, 160, 0, true}}},
		{"a length that is no multiple of eight", udp, datagram, []piece{{0, 155, 0, true}, {160, 328, 160, false}}},
		{"longer than 65535 bytes", udp, datagram, []piece{{0, 160, 0, true}, {0, 328, 65400, false}}},
		{"never complete", udp, datagram, []piece{{0, 160, 0, true}}},
		{"the only fragment", udp, datagram, []piece{{0, 328, 0, false}}},
	}
	for i, c := range cases {
		s := segment{from: source, to: target, id: uint16(0x4600 + i)}
		if c.proto == tcp {
			s.to = web
		}
		if err := w.send(s.cut(c.proto, c.payload, c.pieces...)...); err != nil {
			return fmt.Errorf("%s: %w", c.what, err)
		}
	}
	return nil
}
