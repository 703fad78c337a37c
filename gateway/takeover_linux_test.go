package gateway

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weir/conntrack"
	"weir/packet"
)

// flood sends a datagram each for n connections into a device.
func (h *host) flood(dev string, n int) {
	h.t.Helper()
	err := h.do(func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		i, err := net.InterfaceByName(dev)
		if err != nil {
			return err
		}
		to := &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_IP), Ifindex: i.Index}
		b := udp4("192.0.2.10:1", "198.51.100.1:1", "")
		p := packet.Packet{Data: b, Family: packet.IPv4}
		p.Reparse()
		for k := range n {
			binary.BigEndian.PutUint16(b[20:], uint16(1024+k%60000))
			binary.BigEndian.PutUint16(b[22:], uint16(1+k/60000))
			p.FixL4Checksum()
			if k%100 == 99 {
				time.Sleep(time.Millisecond) // the device's queue is bounded
			}
			for {
				err := unix.Sendto(fd, b, 0, to)
				if err == nil {
					break
				}
				if err != unix.ENOBUFS && err != unix.EAGAIN {
					return err
				}
				time.Sleep(time.Millisecond) // the device's queue is full
			}
		}
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

// counter of conntrack -C.
func (h *host) connections(socket string) string {
	out, err := h.tryEnv([]string{"WEIR_CONTROL=" + socket}, buildWeir(h.t), "conntrack", "-C")
	if err != nil {
		return err.Error() + out
	}
	return strings.TrimSpace(out)
}

func TestASuccessorTakesDevicesAndConnections(t *testing.T) {
	dir, run := homeFiles(t), t.TempDir()
	socket := filepath.Join(run, "weir.sock")
	w := newTUNWorld(t, dir, "--control="+socket)
	l := w.server.listen("tcp", "203.0.113.1:7")
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c) }()
		}
	}()
	var c net.Conn
	eventually(t, "no connection", func() (err error) { c, err = w.client.dial(t.Context(), "tcp", "203.0.113.1:7"); return err })
	defer c.Close()
	echo := func() {
		t.Helper()
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.WriteString(c, "hello"); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
	}
	echo()
	many := 3000
	if os.Getenv("WEIR_TAKEOVER_MANY") != "" {
		many = 100000
	}
	w.server.run("ip", "route", "add", "blackhole", "192.0.2.0/24")
	w.client.flood("lan0", many)
	gap := w.silence(t)
	before := w.router.connections(socket)
	old := w.weir
	for range 2 {
		old, w.weir = w.weir, w.router.weir("run", "--control="+socket, "--takeover", dir)
		if err := <-old.done; err != nil {
			t.Fatalf("the predecessor: %v", err)
		}
		old.done <- nil
		echo()
		eventually(t, "no control socket", func() error { _, err := os.Stat(socket); return err })
	}
	longest := gap()
	var after string
	eventually(t, "the successor does not answer", func() error {
		after = w.router.connections(socket)
		if strings.Contains(after, "exit") {
			return io.ErrUnexpectedEOF
		}
		return nil
	})
	t.Logf("%s connections before, %s after; the longest silence was %s", before, after, longest)
	// The flood's connections, the TCP connection and the clock's datagrams.
	if before != after {
		t.Errorf("%s connections before, %s after", before, after)
	}
	w.weir.stop()
	w.sniffer.clean(t)
}

// silence sends datagrams through the gateway every millisecond; the function
// that it returns ends that and says how long none arrived at most.
func (w *world) silence(t *testing.T) func() time.Duration {
	t.Helper()
	s := w.server.listenPacket("udp", "203.0.113.1:9")
	c, err := w.client.dial(t.Context(), "udp", "203.0.113.1:9")
	if err != nil {
		t.Fatal(err)
	}
	var over atomic.Bool
	go func() {
		for !over.Load() {
			_, _ = c.Write([]byte{1})
			time.Sleep(time.Millisecond)
		}
	}()
	done := make(chan time.Duration)
	go func() {
		var longest time.Duration
		last := time.Time{}
		b := make([]byte, 16)
		for !over.Load() {
			_ = s.SetReadDeadline(time.Now().Add(time.Second))
			if _, a, err := s.ReadFrom(b); err == nil {
				if !netip.MustParseAddrPort(a.String()).Addr().Is4() {
					continue
				}
				if now := time.Now(); !last.IsZero() && now.Sub(last) > longest {
					longest = now.Sub(last)
				}
				last = time.Now()
			}
		}
		done <- longest
	}()
	return func() time.Duration { over.Store(true); c.Close(); return <-done }
}

func TestAfterACrashTheConnectionsAreReadBack(t *testing.T) {
	dir, run := homeFiles(t), t.TempDir()
	socket, state := filepath.Join(run, "weir.sock"), filepath.Join(run, "state")
	w := newTUNWorld(t, dir, "--control="+socket, "--state="+state)
	w.client.flood("lan0", 500)
	eventually(t, "the connections do not come", func() error {
		if n := w.router.connections(socket); len(n) < 3 {
			return io.ErrUnexpectedEOF
		}
		return nil
	})
	old, _ := os.Stat(state)
	eventually(t, "no state is written", func() error {
		st, err := os.Stat(state)
		if err == nil && (st.Size() < 20000 || old != nil && !st.ModTime().After(old.ModTime())) {
			return io.ErrUnexpectedEOF
		}
		return err
	})
	_ = w.weir.cmd.Process.Kill()
	<-w.weir.done
	w.weir.done <- nil
	router := newHost(t)
	next := router.weir("run", "--control="+socket, "--state="+state, dir)
	next.wait("state read", 1)
	if n := router.connections(socket); len(n) < 3 {
		t.Errorf("%s connections", n)
	}
	next.stop()
	t.Run("a state that is damaged is told of", func(t *testing.T) {
		if err := os.Truncate(state, 1000); err != nil {
			t.Fatal(err)
		}
		third := newHost(t).weir("run", "--control="+socket, "--state="+state, dir)
		third.wait("the state was not read", 1)
		third.stop()
	})
}

// TestASuccessorThatFailsChangesNothing talks to a gateway as successors do that
// do not come to the end.
func TestASuccessorThatFailsChangesNothing(t *testing.T) {
	dir, run := homeFiles(t), t.TempDir()
	socket := filepath.Join(run, "weir.sock")
	w := newTUNWorld(t, dir, "--control="+socket)
	s := w.server.listenPacket("udp", "203.0.113.1:9")
	var c net.Conn
	eventually(t, "no way out", func() (err error) { c, err = w.client.dial(t.Context(), "udp", "203.0.113.1:9"); return err })
	defer c.Close()
	passes := func() {
		t.Helper()
		eventually(t, "nothing passes", func() error {
			if _, err := c.Write([]byte{1}); err != nil {
				return err
			}
			_ = s.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			_, _, err := s.ReadFrom(make([]byte, 9))
			return err
		})
	}
	passes()
	var parts [][]byte
	read := func(u *net.UnixConn) {
		t.Helper()
		b, err := readPart(u, takeoverMaxSnap)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, b)
	}
	say := func(u *net.UnixConn, b byte) { _, _ = u.Write([]byte{b}) }
	ask := func(u *net.UnixConn) {
		t.Helper()
		say(u, takeoverAsk)
		_, files, err := ReceiveFiles(u)
		if err != nil || len(files) == 0 {
			t.Fatal(err, len(files))
		}
		for _, f := range files {
			f.Close()
		}
		read(u) // what they are
	}
	for _, x := range []struct {
		name string
		do   func(u *net.UnixConn)
	}{
		{"one that asks for something else", func(u *net.UnixConn) {}},
		{"one that goes when it has the devices", func(u *net.UnixConn) { say(u, takeoverAsk) }},
		{"one that cannot read the connections", func(u *net.UnixConn) {
			ask(u)
			read(u)
			say(u, takeoverWrong)
			_, _ = io.ReadAll(u)
		}},
		{"one that finds other connections in the end, and goes", func(u *net.UnixConn) {
			ask(u)
			read(u) // all
			say(u, takeoverRead)
			read(u) // the last: few have changed
			say(u, takeoverWrong)
			read(u) // all of them again
			last := parts[len(parts)-1]
			back := conntrack.New(conntrack.DefaultConfig())
			if _, err := back.LoadSnapshot(last, nil); err != nil || back.Len() == 0 {
				t.Errorf("the whole snapshot: %v, %d", err, back.Len())
			}
		}},
	} {
		t.Run(x.name, func(t *testing.T) {
			u, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: socket + ".handover", Net: "unix"})
			if err != nil {
				t.Fatal(err)
			}
			x.do(u)
			u.Close()
			passes()
		})
	}
	w.weir.wait("not handed over", 2)
	w.weir.stop()
}
