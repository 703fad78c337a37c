//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// capture writes what enters and what leaves the named interfaces, in the
// order in which the kernel handled it. One ring takes from all interfaces:
// it keeps the order that rings of their own would lose. A packet that
// leaves carries as comment the number of the inbound packet handled before
// it, which on one CPU is the packet that caused it.
func capture(args []string) error {
	flags := flag.NewFlagSet("capture", flag.ExitOnError)
	list := flags.String("i", "", "interfaces, separated by commas")
	inPath := flags.String("in", "", "capture of the packets that enter")
	outPath := flags.String("out", "", "capture of the packets that leave")
	ready := flags.String("ready", "", "file to make once packets are seen")
	flags.Parse(args)

	names := strings.Split(*list, ",")
	place := map[int]int{} // interface index to place in names
	for i, name := range names {
		dev, err := net.InterfaceByName(name)
		if err != nil {
			return fmt.Errorf("interface %s: %w", name, err)
		}
		place[dev.Index] = i
	}
	in, err := createPcapng(*inPath, names)
	if err != nil {
		return err
	}
	out, err := createPcapng(*outPath, names)
	if err != nil {
		return err
	}
	ring, err := openRing()
	if err != nil {
		return err
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	if *ready != "" {
		if err := os.WriteFile(*ready, nil, 0o644); err != nil {
			return err
		}
	}

	inCount, outCount := 0, 0
	for stopping := false; ; {
		select {
		case <-stop:
			stopping = true // what is queued still counts
		default:
		}
		p, ok := ring.next()
		if !ok {
			if stopping {
				break
			}
			time.Sleep(5 * time.Millisecond)
			continue
		}
		i, ours := place[p.device]
		switch {
		case !ours || !wanted(p.frame):
		case p.cut:
			return fmt.Errorf("a packet on %s is longer than a slot of the ring", names[i])
		case !p.complete:
			return fmt.Errorf("a packet on %s has no complete checksum: switch the offloads off", names[i])
		case p.outgoing:
			outCount++
			out.packet(i, p.stamp, p.frame, outbound, strconv.Itoa(inCount))
		default:
			inCount++
			in.packet(i, p.stamp, p.frame, inbound, "")
		}
		ring.release()
	}
	if lost, err := ring.dropped(); err != nil || lost > 0 {
		return fmt.Errorf("%d packets lost (%v)", lost, err)
	}
	fmt.Printf("%d packets in, %d out\n", inCount, outCount)
	return errors.Join(in.close(), out.close())
}

// wanted tells IP from the talk of the link: ARP, neighbour discovery and
// multicast listener reports stay out of the captures.
func wanted(frame []byte) bool {
	if len(frame) < 14 {
		return false
	}
	ip := frame[14:]
	switch binary.BigEndian.Uint16(frame[12:]) {
	case syscall.ETH_P_IP:
		return true
	case syscall.ETH_P_IPV6:
	default:
		return false
	}
	if len(ip) < 41 {
		return true
	}
	next, l4 := ip[6], ip[40:]
	if next == 0 && len(l4) > 8 { // hop-by-hop: the router alert of a report
		next, l4 = l4[0], l4[min(len(l4)-1, int(l4[1])*8+8):]
	}
	if next != syscall.IPPROTO_ICMPV6 {
		return true
	}
	kind := l4[0]
	listener := kind >= 130 && kind <= 132 || kind == 143
	neighbour := kind >= 133 && kind <= 137
	return !listener && !neighbour
}
