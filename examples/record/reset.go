//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"syscall"
	"time"
)

// reset watches a TCP session that passes the interface and tries to end it
// with forged resets: far outside the window, inside it but not exact, and
// at last with the exact sequence number. The first segment from the client
// that carries data starts it.
func reset(args []string) error {
	var server string
	var wait time.Duration
	w, err := wireFlags("reset", args, func(f *flag.FlagSet) {
		f.StringVar(&server, "server", "", "ADDRESS:PORT of the server")
		f.DurationVar(&wait, "wait", 300*time.Millisecond, "pause before each forged segment")
	})
	if err != nil {
		return err
	}
	target, err := addrPort(server)
	if err != nil {
		return err
	}
	fd, err := syscall.Socket(syscall.AF_PACKET, syscall.SOCK_RAW, int(bigEndian(syscall.ETH_P_ALL)))
	if err != nil {
		return err
	}
	if err := syscall.Bind(fd, &syscall.SockaddrLinklayer{Ifindex: w.link.Ifindex,
		Protocol: bigEndian(syscall.ETH_P_ALL)}); err != nil {
		return err
	}
	seen, err := session(fd, target, 10*time.Second)
	if err != nil {
		return err
	}
	forged := func(reverse bool, ahead uint32, flags byte, data string) error {
		time.Sleep(wait)
		s := segment{from: seen.from, to: seen.to, seq: seen.seq + ahead, ack: seen.ack, flags: flags, data: []byte(data)}
		if reverse {
			s.from, s.to, s.seq, s.ack = s.to, s.from, seen.ack+ahead, seen.seq
		}
		return w.send(s.tcp())
	}
	return errors.Join(
		forged(false, 50_000_000, rst, ""),            // far ahead of the window
		forged(false, ^uint32(50_000_000-1), rst, ""), // far behind
		forged(false, 50_000_000, psh|ack, "forged"),  // data far ahead
		forged(true, 0, rst, ""),                      // as the server, from the wrong side
		forged(false, 700, rst, ""),                   // in the window: the server asks back
		forged(false, 0, rst, ""),                     // exact
		forged(false, 0, psh|ack, "after the reset"),  // the tracker has closed it
	)
}

// session waits for a segment with data to the server and tells what the
// client will send next.
func session(fd int, server netip.AddrPort, patience time.Duration) (segment, error) {
	wait := syscall.NsecToTimeval(int64(patience))
	if err := syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &wait); err != nil {
		return segment{}, err
	}
	buf := make([]byte, 1<<16)
	for {
		n, _, err := syscall.Recvfrom(fd, buf, 0)
		if err != nil {
			return segment{}, fmt.Errorf("no session with %s: %w", server, err)
		}
		ip := buf[min(14, n):n]
		if len(ip) < 40 || ip[0] != 0x45 || ip[9] != syscall.IPPROTO_TCP {
			continue
		}
		ip = ip[:min(len(ip), int(binary.BigEndian.Uint16(ip[2:])))]
		if len(ip) < 40 {
			continue
		}
		tcp := ip[20:]
		from, _ := netip.AddrFromSlice(ip[12:16])
		to, _ := netip.AddrFromSlice(ip[16:20])
		header := int(tcp[12]>>4) * 4
		data := len(tcp) - header
		s := segment{
			from: netip.AddrPortFrom(from, binary.BigEndian.Uint16(tcp)),
			to:   netip.AddrPortFrom(to, binary.BigEndian.Uint16(tcp[2:])),
			seq:  binary.BigEndian.Uint32(tcp[4:]) + uint32(max(data, 0)),
			ack:  binary.BigEndian.Uint32(tcp[8:]),
		}
		if s.to == server && data > 0 {
			return s, nil
		}
	}
}
