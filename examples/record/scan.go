//go:build linux

package main

import (
	"encoding/binary"
	"flag"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// scan sends one segment with the given flags to each port of a range.
func scan(args []string) error {
	var from, to, ports, kind string
	w, err := wireFlags("scan", args, func(f *flag.FlagSet) {
		f.StringVar(&from, "from", "", "source ADDRESS:PORT")
		f.StringVar(&to, "to", "", "destination address")
		f.StringVar(&ports, "ports", "1-20", "FIRST-LAST")
		f.StringVar(&kind, "kind", "syn", "syn, fin, null, xmas, ack or synfin")
	})
	if err != nil {
		return err
	}
	flags, ok := map[string]byte{
		"syn": syn, "fin": fin, "null": 0, "xmas": fin | psh | urg, "ack": ack, "synfin": syn | fin,
	}[kind]
	if !ok {
		return fmt.Errorf("no scan %q", kind)
	}
	source, err := addrPort(from)
	if err != nil {
		return err
	}
	target, err := netip.ParseAddr(to)
	if err != nil {
		return err
	}
	low, high, _ := strings.Cut(ports, "-")
	first, err := strconv.ParseUint(low, 10, 16)
	if err != nil {
		return err
	}
	last, err := strconv.ParseUint(high, 10, 16)
	if err != nil {
		return err
	}
	for port := first; port <= last; port++ {
		s := segment{from: source, to: netip.AddrPortFrom(target, uint16(port)),
			seq: 0x10000 * uint32(port), flags: flags, id: uint16(port)}
		if err := w.send(s.tcp()); err != nil {
			return err
		}
	}
	return nil
}

// flood sends datagrams to one port, from one source or from as many as
// there are packets.
func flood(args []string) error {
	var from, to string
	var count, size int
	var spoof bool
	w, err := wireFlags("flood", args, func(f *flag.FlagSet) {
		f.StringVar(&from, "from", "", "source ADDRESS:PORT, with -spoof the first of them")
		f.StringVar(&to, "to", "", "destination ADDRESS:PORT")
		f.IntVar(&count, "count", 100, "packets")
		f.IntVar(&size, "size", 64, "payload in bytes")
		f.BoolVar(&spoof, "spoof", false, "another source address for each packet")
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
	for i := range count {
		data := make([]byte, max(size, 4))
		binary.BigEndian.PutUint32(data, uint32(i))
		s := segment{from: source, to: target, data: data, id: uint16(i)}
		if err := w.send(s.udp()); err != nil {
			return err
		}
		if spoof {
			source = netip.AddrPortFrom(source.Addr().Next(), source.Port()+1)
		}
	}
	return nil
}
