package gateway

import (
	"encoding/binary"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weir/packet"
)

// TestAFlowStaysOnItsQueue answers what a TUN device of two queues sends by
// either queue, and sees where what follows comes from.
func TestAFlowStaysOnItsQueue(t *testing.T) {
	h := newHost(t)
	var dev *tun
	if err := h.do(func() (err error) { dev, err = openTUN("tun0", 1400, 2); return err }); err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	h.script(`sysctl -qw net.ipv6.conf.tun0.router_solicitations=0
		ip addr add 192.0.2.10/24 dev tun0
		ip addr add 2001:db8:1::10/64 dev tun0 nodad
		ip link set tun0 up`)
	// Linux takes what is for an address of IPv6 a little after it was given.
	eventually(t, "no address", func() error {
		if !strings.Contains(h.run("ip", "-6", "route", "show", "table", "local"), "2001:db8:1::10") {
			return net.ErrClosed
		}
		return nil
	})
	// came is the queue and the bytes of the next packet of UDP, or of a fragment.
	came := func() (queue int, p []byte) {
		b := make([]byte, 2000)
		for i, q := range dev.queues {
			for {
				n, err := unix.Read(q.fd, b)
				if err != nil {
					break
				}
				p := b[vnetLen:n]
				if p[0]>>4 == 4 && p[9] == packet.UDP || p[0]>>4 == 6 && (p[6] == packet.UDP || p[6] == 44) {
					return i, p
				}
			}
		}
		t.Fatal("nothing came")
		return 0, nil
	}
	answer := func(p []byte) []byte {
		a := append([]byte(nil), p...)
		src, ports := 12, 20
		if a[0]>>4 == 6 {
			src, ports = 8, 40
		}
		n := (ports - src) / 2
		copy(a[src:], p[src+n:ports])
		copy(a[src+n:], p[src:src+n])
		copy(a[ports:], p[ports+2:ports+4])
		copy(a[ports+2:], p[ports:ports+2])
		q := packet.Packet{Data: a, Family: packet.IPv4}
		if a[0]>>4 == 6 {
			q.Family = packet.IPv6
		}
		q.Reparse()
		q.FixL4Checksum()
		return a
	}
	for _, to := range []string{"192.0.2.77:%d", "[2001:db8:1::77]:%d"} {
		used := map[int]bool{}
		for port := 5000; port < 5032; port++ {
			c, err := h.dial(t.Context(), "udp", fmt.Sprintf(to, port))
			if err != nil {
				t.Fatal(err)
			}
			first := -1
			for i := range 8 {
				if _, err := c.Write([]byte("hello")); err != nil {
					t.Fatal(err)
				}
				q, p := came()
				if first < 0 {
					first = q
				}
				if q != first {
					t.Fatalf("%s: packet %d came by queue %d, the first by %d", c.RemoteAddr(), i, q, first)
				}
				if _, err := dev.queues[i%2].Write([]Packet{{Data: answer(p)}}); err != nil {
					t.Fatal(err)
				}
				_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
				if n, err := c.Read(make([]byte, 9)); n != 5 || err != nil {
					t.Fatalf("the answer: %d bytes, %v", n, err)
				}
			}
			used[first] = true
			c.Close()
		}
		if len(used) != 2 {
			t.Errorf("%s: queues %v of 32 flows", to, used)
		}
		t.Run("fragments come by the first queue", func(t *testing.T) {
			c, err := h.dial(t.Context(), "udp", fmt.Sprintf(to, 7))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := c.Write(make([]byte, 3000)); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if q, p := came(); q != 0 {
					t.Errorf("queue %d for %x", q, p[:min(len(p), 48)])
				}
			}
		})
	}
	t.Run("what is no IP and what is cut off does no harm", func(t *testing.T) {
		if err := h.do(func() error {
			fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			i, err := net.InterfaceByName("tun0")
			if err != nil {
				return err
			}
			for _, p := range [][]byte{{0x45}, {0x60, 0, 0}, {0}, binary.BigEndian.AppendUint64([]byte{0x4f}, 1)} {
				if err := unix.Sendto(fd, p, 0, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_IP), Ifindex: i.Index}); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	})
}
