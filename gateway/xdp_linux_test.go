package gateway

import (
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weir/packet"
)

func TestXDPIsOnTheDeviceWhileWeirRuns(t *testing.T) {
	dir := machineFiles(t, map[string]string{"machine.yaml": etherOf("xdp"), "rules.v4": homeRules})
	w := newEtherWorld(t, dir)
	on := func() bool { return strings.Contains(w.router.run("ip", "link", "show", "eth1"), "xdp") }
	before := w.router.run("ip", "-d", "link", "show", "eth1")
	if !on() {
		t.Error("no program on the device")
	}
	if !strings.Contains(before, "promiscuity 0") {
		t.Errorf("%s", before)
	}
	w.client.run("ping", "-c1", "-W5", "203.0.113.1")
	t.Run("what is neither IP nor ARP is the kernel's", func(t *testing.T) {
		got := w.router.packetSocket("eth1")
		out := w.server.packetSocket("wire0")
		for _, proto := range []byte{typeIPv4 >> 8, 0x88} { // the second is a local experiment, 0x88b5
			frame := append(bytes.Repeat([]byte{0xff}, 6), 2, 0, 0, 0, 0, 1, proto, 0xb5*(proto>>7), 1, 2, 3)
			if _, err := out.Write(append(frame, make([]byte, 50)...)); err != nil {
				t.Fatal(err)
			}
		}
		b := make([]byte, 2000)
		_ = got.SetReadDeadline(time.Now().Add(10 * time.Second))
		for {
			n, err := got.Read(b)
			if err != nil || n < headLen {
				t.Fatal(err, n)
			}
			if b[12] == 0x88 {
				break
			}
			if b[12] == typeIPv4>>8 && b[13] == 0 {
				t.Fatal("the kernel has a frame of IP")
			}
		}
	})
	t.Run("not after a crash", func(t *testing.T) {
		_ = w.weir.cmd.Process.Kill()
		<-w.weir.done
		w.weir.done <- nil
		eventually(t, "the program is still there", func() error {
			if on() {
				return io.ErrUnexpectedEOF
			}
			return nil
		})
	})
	w.weir = w.router.weir("run", dir)
	w.client.run("ping", "-c1", "-W5", "203.0.113.1")
	w.weir.stop()
	if on() {
		t.Error("the program is there after the end")
	}
}

// packetSocket sends and receives whole frames of a device, but those that
// leave by it.
func (h *host) packetSocket(dev string) *os.File {
	h.t.Helper()
	var f *os.File
	err := h.do(func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return err
		}
		f = os.NewFile(uintptr(fd), dev)
		if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1); err != nil {
			return err
		}
		i, err := net.InterfaceByName(dev)
		if err != nil {
			return err
		}
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: i.Index})
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { f.Close() })
	return f
}

func TestASuccessorTakesXDPDevices(t *testing.T) {
	dir := machineFiles(t, map[string]string{"machine.yaml": etherOf("xdp"), "rules.v4": homeRules})
	socket := filepath.Join(t.TempDir(), "weir.sock")
	w := newEtherWorld(t, dir, "--control="+socket)
	s := w.server.listenPacket("udp", "203.0.113.1:9")
	c, err := w.client.dial(t.Context(), "udp", "203.0.113.1:9")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// from is the translated port that the server sees.
	from := func() (port int) {
		t.Helper()
		eventually(t, "nothing passes", func() error {
			if _, err := c.Write([]byte{1}); err != nil {
				return err
			}
			_ = s.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			_, a, err := s.ReadFrom(make([]byte, 9))
			if err == nil {
				port = a.(*net.UDPAddr).Port
			}
			return err
		})
		return port
	}
	first := from()
	for range 2 {
		old := w.weir
		w.weir = w.router.weir("run", "--control="+socket, "--takeover", dir)
		if err := <-old.done; err != nil {
			t.Fatalf("the predecessor: %v", err)
		}
		old.done <- nil
		if p := from(); p != first {
			t.Errorf("port %d, before it was %d", p, first)
		}
		eventually(t, "no control socket", func() error { _, err := w.router.try("test", "-S", socket); return err })
	}
	w.weir.stop()
	w.sniffer.clean(t)
}

func TestAnXDPDeviceThatDoesNotFitIsRefused(t *testing.T) {
	for _, x := range []struct{ name, script, yaml, want string }{
		{"a long MTU", "ip link set eth1 mtu 9000", "", "its MTU is 9000"},
		{"an address of its own", "", ", mac: 02:00:00:00:00:01", "a link xdp has no other"},
	} {
		t.Run(x.name, func(t *testing.T) {
			h := newHost(t)
			h.script("ip link add eth1 type veth peer name wire0\n" + x.script)
			dir := machineFiles(t, map[string]string{"machine.yaml": "interfaces:\n  - {name: wan0, addresses: [203.0.113.2/24], link: \"xdp:eth1\"" + x.yaml + "}\n"})
			out, err := h.try(buildWeir(t), "run", "--control=none", dir)
			if err == nil || !strings.Contains(out, x.want) {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}

func TestAnOpenChecksumIsKnown(t *testing.T) {
	whole := udp4("192.0.2.1:7", "198.51.100.1:9", "hello")
	open := func(d []byte) []byte {
		b := append([]byte(nil), d...)
		p := Packet{Data: b, Offload: packet.Offload{Partial: true}}
		putVnet(make([]byte, vnetLen), &p, 0)
		return b
	}
	fragment := open(whole)
	fragment[6] = 0x20
	none := append([]byte(nil), whole...)
	none[26], none[27] = 0, 0
	for _, x := range []struct {
		name string
		d    []byte
		want bool
	}{
		{"a whole checksum", whole, false},
		{"one left open", open(whole), true},
		{"one left open, and padding behind the packet", append(open(whole), 0, 0, 0), true},
		{"a packet that was cut off", open(whole)[:30], false},
		{"a fragment", fragment, false},
		{"none", none, false},
		{"another protocol", []byte{0x45, 9: 1, 39: 0}, false},
	} {
		t.Run(x.name, func(t *testing.T) {
			if got := leftOpen(x.d); got != x.want {
				t.Errorf("%v, want %v", got, x.want)
			}
		})
	}
}
