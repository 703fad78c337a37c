package gateway

import (
	"fmt"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weir/packet"
)

// TestSmallPackets prints how many packets of 46 bytes weir carries between two
// Ethernet devices, and how many in a second of its processor time, which holds
// the receiving of the host that they go to. It is for bench/small.sh;
// WEIR_SMALL_PACKETS is the seconds of the load.
func TestSmallPackets(t *testing.T) {
	seconds, _ := strconv.Atoi(os.Getenv("WEIR_SMALL_PACKETS"))
	if seconds <= 0 {
		t.Skip("WEIR_SMALL_PACKETS is not set")
	}
	dir := machineFiles(t, map[string]string{"machine.yaml": etherOf("xdp"), "rules.v4": homeRules})
	w := newEtherWorld(t, dir, "--control=none")
	w.sniffer.f.Close()
	frames := w.flows(t, 1000)
	// What comes is for another host from now on, and costs the server little.
	w.server.script("ip link set wire0 address 02:00:00:00:00:99")
	before, cpu := w.server.received("wire0"), cpuTime(t, w.weir.cmd.Process.Pid)
	start := time.Now()
	sent := w.client.blast(frames, time.Duration(seconds)*time.Second)
	took := time.Since(start)
	got := w.server.received("wire0") - before
	used := cpuTime(t, w.weir.cmd.Process.Pid) - cpu
	t.Logf("%.2f M/s offered, %.2f M/s carried, %.2f M in a second of weir's processor time",
		float64(sent)/took.Seconds()/1e6, float64(got)/took.Seconds()/1e6, float64(got)/used.Seconds()/1e6)
	w.weir.stop()
}

// smallBatch is how many packets one system call of the load sends.
const smallBatch = 64

// flows opens connections of UDP that have seen an answer, and returns a frame
// of each.
func (w *world) flows(t *testing.T, n int) (frames [][]byte) {
	t.Helper()
	s := w.server.listenPacket("udp", "203.0.113.1:9")
	go func() {
		b := make([]byte, 100)
		for {
			k, a, err := s.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = s.WriteTo(b[:k], a)
		}
	}()
	mac := func(h *host, dev string) MAC {
		m, err := net.ParseMAC(regexp.MustCompile(`link/ether (\S+)`).FindStringSubmatch(h.run("ip", "link", "show", dev))[1])
		if err != nil {
			t.Fatal(err)
		}
		return MAC(m)
	}
	to, from := mac(w.router, "eth0"), mac(w.client, "wire0")
	for i := range n {
		src := fmt.Sprintf("192.0.2.10:%d", 10000+i)
		var c net.Conn
		err := w.client.do(func() (err error) {
			a, _ := net.ResolveUDPAddr("udp", src)
			c, err = (&net.Dialer{LocalAddr: a}).Dial("udp", "203.0.113.1:9")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "no answer", func() error {
			_ = c.SetDeadline(time.Now().Add(100 * time.Millisecond))
			if _, err := c.Write([]byte{1}); err != nil {
				return err
			}
			_, err := c.Read(make([]byte, 9))
			return err
		})
		c.Close()
		// One datagram for the kernel to divide, as UDP_SEGMENT does.
		p := Packet{Data: udp4(src, "203.0.113.1:9", strings.Repeat("x", smallBatch*18)), Offload: packet.Offload{Size: 18, Partial: true}}
		f := make([]byte, vnetLen+headLen)
		putVnet(f, &p, headLen)
		copy(f[vnetLen:], to[:])
		copy(f[vnetLen+6:], from[:])
		f[vnetLen+12] = 8
		frames = append(frames, append(f, p.Data...))
	}
	return frames
}

// blast sends frames again and again for a while, as fast as it can.
func (h *host) blast(frames [][]byte, d time.Duration) (sent int) {
	f := h.packetSocket("wire0")
	raw, err := f.SyscallConn()
	if err != nil {
		h.t.Fatal(err)
	}
	until := time.Now().Add(d)
	_ = raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1)
		for i := 0; err == nil && time.Now().Before(until); i++ {
			if _, e := unix.Write(int(fd), frames[i%len(frames)]); e == nil {
				sent += smallBatch
			} else if e != unix.ENOBUFS && e != unix.EAGAIN {
				err = e
			}
		}
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return sent
}

// received is how many packets came to a device.
func (h *host) received(dev string) int {
	h.t.Helper()
	_, after, _ := strings.Cut(h.run("ip", "-s", "-o", "link", "show", dev), "RX:")
	n := 0
	for _, s := range strings.Fields(after) {
		if v, err := strconv.Atoi(strings.TrimSuffix(s, "\\")); err == nil {
			if n++; n == 2 { // bytes, packets
				return v
			}
		}
	}
	h.t.Fatal("no counters of ", dev)
	return 0
}

// cpuTime is what a process has used of processors.
func cpuTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+2:]))
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}
