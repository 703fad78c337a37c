//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// Flags of a TCP segment.
const (
	fin = 1 << iota
	syn
	rst
	psh
	ack
	urg
)

// wire sends frames of any content to one neighbour.
type wire struct {
	fd   int
	from net.HardwareAddr
	to   net.HardwareAddr
	link syscall.SockaddrLinklayer
	gap  time.Duration // pause after each packet
	sent int
}

// wireFlags reads -i IF -mac MAC -gap DURATION and opens the wire; define
// may add flags of the command.
func wireFlags(name string, args []string, define func(*flag.FlagSet)) (*wire, error) {
	flags := flag.NewFlagSet(name, flag.ExitOnError)
	device := flags.String("i", "eth0", "interface")
	to := flags.String("mac", "", "link address of the gateway")
	gap := flags.Duration("gap", 2*time.Millisecond, "pause after each packet")
	define(flags)
	flags.Parse(args)
	dev, err := net.InterfaceByName(*device)
	if err != nil {
		return nil, err
	}
	mac, err := net.ParseMAC(*to)
	if err != nil {
		return nil, err
	}
	fd, err := syscall.Socket(syscall.AF_PACKET, syscall.SOCK_RAW, 0)
	if err != nil {
		return nil, err
	}
	return &wire{fd: fd, from: dev.HardwareAddr, to: mac, gap: *gap,
		link: syscall.SockaddrLinklayer{Ifindex: dev.Index}}, nil
}

// send puts IP packets on the wire, in order, and pauses after each.
func (w *wire) send(packets ...[]byte) error {
	for _, p := range packets {
		frame := append(append([]byte{}, w.to...), w.from...)
		kind := uint16(syscall.ETH_P_IP)
		if p[0]>>4 == 6 {
			kind = syscall.ETH_P_IPV6
		}
		frame = append(binary.BigEndian.AppendUint16(frame, kind), p...)
		if err := syscall.Sendto(w.fd, frame, 0, &w.link); err != nil {
			return fmt.Errorf("packet %d: %w", w.sent+1, err)
		}
		w.sent++
		time.Sleep(w.gap)
	}
	return nil
}

// segment is a TCP segment or a UDP datagram in the making.
type segment struct {
	from, to netip.AddrPort
	seq, ack uint32
	flags    byte
	data     []byte
	badSum   bool
	id       uint16
	ttl      byte // 0 means 64
}

// sum adds up 16-bit words as the internet checksum does, without the complement.
func sum(start uint32, b []byte) uint32 {
	for ; len(b) >= 2; b = b[2:] {
		start += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		start += uint32(b[0]) << 8
	}
	for start > 0xffff {
		start = start>>16 + start&0xffff
	}
	return start
}

// l4 builds the payload of the IP packet: a TCP segment or a UDP datagram.
func (s segment) l4(proto byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, s.from.Port())
	b = binary.BigEndian.AppendUint16(b, s.to.Port())
	place := 6
	if proto == syscall.IPPROTO_TCP {
		place = 16
		b = binary.BigEndian.AppendUint32(b, s.seq)
		b = binary.BigEndian.AppendUint32(b, s.ack)
		b = append(b, 5<<4, s.flags)
		b = append(b, 0x04, 0x00, 0, 0, 0, 0) // window 1024
	} else {
		b = binary.BigEndian.AppendUint16(b, uint16(8+len(s.data)))
		b = append(b, 0, 0)
	}
	b = append(b, s.data...)
	pseudo := append(s.from.Addr().AsSlice(), s.to.Addr().AsSlice()...)
	total := sum(uint32(proto)+uint32(len(b)), pseudo)
	check := ^uint16(sum(total, b))
	if s.badSum {
		check ^= 0x5555
	}
	binary.BigEndian.PutUint16(b[place:], check)
	return b
}

// tcp and udp build whole packets.
func (s segment) tcp() []byte { return s.ip(syscall.IPPROTO_TCP, s.l4(syscall.IPPROTO_TCP)) }
func (s segment) udp() []byte { return s.ip(syscall.IPPROTO_UDP, s.l4(syscall.IPPROTO_UDP)) }

func (s segment) ip(proto byte, payload []byte) []byte {
	if s.from.Addr().Is6() {
		return s.ip6(proto, payload)
	}
	return s.ip4(proto, payload, 0, nil)
}

// ip4 builds an IPv4 packet; fragment is the flags and offset field, options
// must have a multiple of four bytes.
func (s segment) ip4(proto byte, payload []byte, fragment uint16, options []byte) []byte {
	ttl := s.ttl
	if ttl == 0 {
		ttl = 64
	}
	header := 20 + len(options)
	b := []byte{0x40 | byte(header/4), 0}
	b = binary.BigEndian.AppendUint16(b, uint16(header+len(payload)))
	b = binary.BigEndian.AppendUint16(b, s.id)
	b = binary.BigEndian.AppendUint16(b, fragment)
	b = append(b, ttl, proto, 0, 0)
	b = append(b, s.from.Addr().AsSlice()...)
	b = append(b, s.to.Addr().AsSlice()...)
	b = append(b, options...)
	binary.BigEndian.PutUint16(b[10:], ^uint16(sum(0, b)))
	return append(b, payload...)
}

func (s segment) ip6(next byte, payload []byte) []byte {
	ttl := s.ttl
	if ttl == 0 {
		ttl = 64
	}
	b := []byte{0x60, 0, 0, 0}
	b = binary.BigEndian.AppendUint16(b, uint16(len(payload)))
	b = append(b, next, ttl)
	b = append(b, s.from.Addr().AsSlice()...)
	b = append(b, s.to.Addr().AsSlice()...)
	return append(b, payload...)
}

// piece is a part of a datagram: payload[from:to], told as lying at offset.
type piece struct {
	from, to, offset int
	more             bool
}

// cut makes fragments of a payload, for either family.
func (s segment) cut(proto byte, payload []byte, pieces ...piece) [][]byte {
	var packets [][]byte
	for _, p := range pieces {
		field := uint16(p.offset / 8)
		part := payload[p.from:p.to]
		if s.from.Addr().Is4() {
			if p.more {
				field |= 0x2000
			}
			packets = append(packets, s.ip4(proto, part, field, nil))
			continue
		}
		field <<= 3
		if p.more {
			field |= 1
		}
		header := binary.BigEndian.AppendUint16([]byte{proto, 0}, field)
		header = binary.BigEndian.AppendUint32(header, uint32(s.id))
		packets = append(packets, s.ip6(syscall.IPPROTO_FRAGMENT, append(header, part...)))
	}
	return packets
}

// addrPort reads ADDRESS:PORT or [ADDRESS]:PORT given by flag.
func addrPort(s string) (netip.AddrPort, error) {
	ap, err := netip.ParseAddrPort(s)
	if err == nil && ap.Addr().Is4In6() {
		err = errors.New("mapped address")
	}
	return ap, err
}
