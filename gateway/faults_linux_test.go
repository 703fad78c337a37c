package gateway

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// faultsFor is how long the faults of a test go on: WEIR_FAULTS, or only a few of
// them.
func faultsFor(t *testing.T) (d time.Duration, long bool) {
	if testing.Short() {
		t.Skip("faults take long")
	}
	s := os.Getenv("WEIR_FAULTS")
	if s == "" {
		return 0, false
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Parallel()
	return d, true
}

// faultsLink is the kind of links that faults happen to.
func faultsLink() string { return cmp.Or(os.Getenv("WEIR_FAULTS_LINK"), "packet") }

// beside runs f on another thread in the namespace.
func (h *host) beside(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := lockInto(h.path); err != nil {
			h.t.Error(err)
			return
		}
		f()
	}()
	<-done
}

// load is traffic that goes on until it is stopped, whatever happens to the
// gateway.
type load struct {
	stop           context.CancelFunc
	over           sync.WaitGroup
	carried, tried atomic.Int64 // downloads
	sent           atomic.Int64 // datagrams
	wrong          atomic.Int64 // came back, but otherwise than sent
}

// startLoad floods with datagrams of new connections, carries files by TCP, and
// asks by UDP. A file that comes back otherwise than it was sent is an error.
func (w *world) startLoad(t *testing.T, connections int) *load {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	l := &load{stop: stop}
	t.Cleanup(func() { stop(); l.over.Wait() })
	srv := w.server.listen("tcp", "203.0.113.1:80")
	s := &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if b, err := io.ReadAll(r.Body); err == nil {
			_, _ = rw.Write(b)
		}
	})}
	go func() { _ = s.Serve(srv) }()
	t.Cleanup(func() { s.Close() })
	go echoUDP(w.server.listenPacket("udp", "203.0.113.1:7"))
	body := bytes.Repeat([]byte("0123456789abcde\n"), 1<<14)
	want := sha256.Sum256(body)
	l.over.Go(func() {
		for ctx.Err() == nil {
			w.client.beside(func() { l.sent.Add(floodOnce(ctx, connections, 2*time.Millisecond)) })
		}
	})
	l.over.Go(func() {
		for ctx.Err() == nil {
			tr := &http.Transport{DialContext: func(_ context.Context, network, addr string) (c net.Conn, err error) {
				w.client.beside(func() { c, err = (&net.Dialer{Timeout: 2 * time.Second}).DialContext(ctx, network, addr) })
				return c, err
			}}
			c := &http.Client{Transport: tr, Timeout: 5 * time.Second}
			l.tried.Add(1)
			q, _ := http.NewRequestWithContext(ctx, "POST", "http://203.0.113.1:80/", bytes.NewReader(body))
			r, err := c.Do(q)
			if err == nil {
				got, err := io.ReadAll(r.Body)
				r.Body.Close()
				switch {
				case err == nil && sha256.Sum256(got) == want:
					l.carried.Add(1)
				case err == nil:
					l.wrong.Add(1)
				}
			}
			tr.CloseIdleConnections()
		}
	})
	return l
}

func (l *load) end(t *testing.T) {
	t.Helper()
	l.stop()
	l.over.Wait()
	t.Logf("load: %d of %d files of 256 KiB there and back, %d datagrams of new connections", l.carried.Load(), l.tried.Load(), l.sent.Load())
	if n := l.wrong.Load(); n > 0 {
		t.Errorf("%d files came back wrong", n)
	}
	if l.carried.Load() == 0 {
		t.Error("no file came through")
	}
}

// passes waits until a datagram comes back through the gateway.
func (w *world) passes(t *testing.T, what string) {
	t.Helper()
	var err error
	for range 100 {
		if err = w.ask(); err == nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("%s: nothing passes: %v", what, err)
}

// ask sends a datagram through the gateway, which comes back.
func (w *world) ask() (err error) {
	w.client.beside(func() {
		var c net.Conn
		if c, err = net.Dial("udp", "203.0.113.1:7"); err != nil {
			return
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(200 * time.Millisecond))
		if _, err = c.Write([]byte("hello")); err == nil {
			_, err = c.Read(make([]byte, 9))
		}
	})
	return err
}

// floodOnce sends a datagram for each of n connections, a hundred at a time with
// a pause, and returns how many were sent. The connections are the same each time.
func floodOnce(ctx context.Context, n int, pause time.Duration) (sent int64) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0
	}
	defer unix.Close(fd)
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	if unix.Bind(fd, &unix.SockaddrInet4{Port: 20000}) != nil {
		return 0
	}
	to := unix.SockaddrInet4{Addr: [4]byte{198, 51, 100, 1}}
	for i := 0; i < n && ctx.Err() == nil; i++ {
		to.Port = 1024 + i%60000
		if unix.Sendto(fd, []byte("hello"), unix.MSG_DONTWAIT, &to) == nil {
			sent++
		}
		if i%100 == 99 {
			time.Sleep(pause)
		}
	}
	return sent
}

// floodControl talks to a control socket, for a second, as nobody should.
func floodControl(path string) {
	until := time.Now().Add(time.Second)
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			for n := i; time.Now().Before(until); n++ {
				c, err := net.DialTimeout("unix", path, time.Second)
				if err != nil {
					continue
				}
				_ = c.SetDeadline(until)
				switch n % 5 {
				case 0:
					_, _ = c.Write(bytes.Repeat([]byte{0xff, 0}, 5000))
				case 1:
					_, _ = io.WriteString(c, "GET /v1/status HTTP/1.1\r\nHost: weir\r\n\r\n") // and gone
				case 2:
					_, _ = io.WriteString(c, "PUT /v1/rules HTTP/1.1\r\nHost: weir\r\nContent-Length: 1000000000\r\n\r\n*nat")
				case 3:
					_, _ = io.WriteString(c, "GET /v1/conntrack?protocol=udp HTTP/1.1\r\nHost: weir\r\n\r\n")
					_, _ = io.CopyN(io.Discard, c, 10)
				case 4:
					_, _ = io.WriteString(c, "GET /v1/")
					_, _ = c.Read(make([]byte, 1)) // the server's patience, not ours
				}
				c.Close()
			}
		})
	}
	all.Wait()
}

// slowReaders asks for n streams and reads none.
func slowReaders(t *testing.T, path string, n int) {
	t.Helper()
	open := make([]net.Conn, 0, n)
	for range n {
		c, err := net.DialTimeout("unix", path, 5*time.Second)
		for wait := 0; errors.Is(err, unix.EAGAIN) && wait < 1000; wait++ { // more than the socket holds
			time.Sleep(time.Millisecond)
			c, err = net.DialTimeout("unix", path, 5*time.Second)
		}
		if err != nil {
			t.Errorf("reader %d: %v", len(open), err)
			break
		}
		open = append(open, c)
		_, _ = io.WriteString(c, "GET /v1/conntrack/events HTTP/1.1\r\nHost: weir\r\n\r\n")
	}
	for _, c := range open {
		c.Close()
	}
}

// lockInto makes the thread, which the goroutine keeps, one of a namespace.
func lockInto(path string) error {
	runtime.LockOSThread()
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Setns(fd, unix.CLONE_NEWNET)
}

// kill ends a weir as a crash does.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
	p.done <- nil
}

// resident is how much memory a process has, in bytes.
func resident(pid int) int64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	m := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(b)
	if m == nil {
		return 0
	}
	n, _ := strconv.ParseInt(string(m[1]), 10, 64)
	return n << 10
}

// TestKilledAtRandomMomentsUnderLoad kills a gateway, its successors and its
// predecessors, with traffic all the while. Each time what comes next carries
// packets, and reads a whole state.
func TestKilledAtRandomMomentsUnderLoad(t *testing.T) {
	d, long := faultsFor(t)
	dir := machineFiles(t, map[string]string{"machine.yaml": etherOf(faultsLink()), "rules.v4": faultRules})
	run := t.TempDir()
	socket, state := filepath.Join(run, "weir.sock"), filepath.Join(run, "state")
	args := []string{"--control=" + socket, "--state=" + state}
	w := newEtherWorld(t, dir, args...)
	l := w.startLoad(t, 2000)
	w.passes(t, "at first")
	again := func(more ...string) *process {
		return w.router.weir(append(append(append([]string{"run"}, args...), more...), dir)...)
	}
	until, kills, takeovers, halves := time.Now().Add(d), 0, 0, 0
	for n := 0; long && time.Now().Before(until) || n < 6; n++ {
		time.Sleep(time.Duration(rand.IntN(700)) * time.Millisecond)
		began := time.Now()
		switch n % 3 {
		case 0, 1:
			w.weir.kill()
			kills++
			if b, err := os.ReadFile(state); err == nil && len(b) == 0 {
				t.Fatal("the state is empty")
			}
			w.weir = again()
			if strings.Contains(w.weir.log.String(), "the state was not read") {
				t.Fatalf("after a kill:\n%s", w.weir.log.String())
			}
		case 2:
			// A takeover in the midst of which one of the two is killed, or none.
			old := w.weir
			next := w.router.launch(nil, append(append([]string{"run", "--takeover"}, args...), dir)...)
			time.Sleep(time.Duration(rand.IntN(60)) * time.Millisecond)
			switch rand.IntN(3) {
			case 0:
				old.kill()
			case 1:
				next.kill()
			}
			if next.log.wait("msg=running", 1) && next.alive() {
				takeovers++
				w.weir = next
				<-old.done
				old.done <- nil
				break
			}
			// The predecessor goes on, unless it had given everything away.
			halves++
			for range 100 {
				if !old.alive() {
					w.weir = again()
					break
				}
				if w.ask() == nil {
					break
				}
			}
		}
		w.passes(t, fmt.Sprintf("after fault %d", n))
		if d := time.Since(began); d > time.Second {
			t.Logf("fault %d: packets pass after %s", n, d)
		}
	}
	l.end(t)
	t.Logf("%d kills, %d takeovers, %d that did not come to the end", kills, takeovers, halves)
	w.weir.stop()
	w.sniffer.clean(t)
}

// faultRules drop what belongs to no connection: a gateway that begins anew, or
// one without state, does not let it out.
const faultRules = `*nat
-A POSTROUTING -o wan0 -j MASQUERADE
COMMIT
*filter
:FORWARD DROP
-A FORWARD -m conntrack --ctstate INVALID -j DROP
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i lan0 -j ACCEPT
COMMIT
`

// TestFaultsUnderLoad does to one gateway under load everything that has no need
// to kill it, and looks whether it carries packets afterwards, and how much
// memory it has.
func TestFaultsUnderLoad(t *testing.T) {
	d, long := faultsFor(t)
	dir := machineFiles(t, map[string]string{"machine.yaml": etherOf(faultsLink()), "rules.v4": faultRules})
	run := t.TempDir()
	socket, disk := filepath.Join(run, "weir.sock"), filepath.Join(run, "disk")
	if err := os.Mkdir(disk, 0o700); err != nil {
		t.Fatal(err)
	}
	readers, connections := 300, 3000
	if long {
		readers, connections = 10000, 50000
	}
	w := newEtherCables(t)
	w.weir = w.router.inDisk(disk, "64k", "run", "--sandbox=off", "--control="+socket, "--state="+filepath.Join(disk, "state"), dir)
	l := w.startLoad(t, connections)
	w.passes(t, "at first")
	faults := []struct {
		name string
		do   func()
	}{
		{"a device that is switched off and on", func() {
			w.router.script("ip link set eth1 down")
			time.Sleep(time.Duration(rand.IntN(200)) * time.Millisecond)
			w.router.script("ip link set eth1 up")
		}},
		{"a device that goes and comes back", func() {
			n := strings.Count(w.weir.log.String(), "device is back")
			w.router.script("ip link del eth1")
			w.sniffer.clean(t)
			time.Sleep(time.Duration(rand.IntN(200)) * time.Millisecond)
			w.outside()
			w.weir.wait("device is back", n+1)
		}},
		{"full queues", func() {
			w.router.script("ip link set eth1 txqueuelen 1")
			ctx, stop := context.WithTimeout(context.Background(), 300*time.Millisecond)
			for ctx.Err() == nil {
				w.client.beside(func() { l.sent.Add(floodOnce(ctx, connections, 0)) })
			}
			stop()
			w.router.script("ip link set eth1 txqueuelen 1000")
		}},
		{"a control socket that is flooded", func() { floodControl(socket) }},
		{"readers that do not read", func() { slowReaders(t, socket, readers) }},
		{"a machine that is reloaded", func() {
			n := strings.Count(w.weir.log.String(), "msg=reloaded")
			_ = w.weir.cmd.Process.Signal(unix.SIGHUP)
			w.weir.wait("msg=reloaded", n+1)
		}},
	}
	answers := func() {
		t.Helper()
		eventually(t, "the control socket does not answer", func() error {
			if s := w.router.connections(socket); strings.Contains(s, "exit") {
				return fmt.Errorf("%s", s)
			}
			return nil
		})
	}
	var memory []float64 // MB, after each fault
	until, rounds := time.Now().Add(d), 0
	for ; long && time.Now().Before(until) || rounds < 1; rounds++ {
		for _, f := range faults {
			f.do()
			w.passes(t, "after "+f.name)
			answers()
			memory = append(memory, float64(resident(w.weir.cmd.Process.Pid))/1e6)
			if long {
				t.Logf("%s: %.1f MB after %s", time.Until(until).Round(time.Second), memory[len(memory)-1], f.name)
			}
		}
	}
	t.Logf("%d rounds; memory: %.1f MB at most", rounds, slices.Max(memory))
	if rounds >= 20 { // the first tenth warms up
		memory = memory[len(memory)/10:]
		first, second := mean(memory[:len(memory)/2]), mean(memory[len(memory)/2:])
		t.Logf("memory: %.1f MB on the average of the first half, %.1f of the second", first, second)
		if second > 1.2*first {
			t.Error("memory grows")
		}
	}
	// The disk was too small from the beginning of the flood on.
	w.weir.wait("the state was not written", 1)
	l.end(t)
	if n := strings.Count(w.weir.log.String(), "the state was not written"); n > 1+strings.Count(w.weir.log.String(), "the state is written again") {
		t.Errorf("the full disk was reported %d times", n)
	}
	inside := fmt.Sprintf("/proc/%d/root%s", w.weir.cmd.Process.Pid, disk)
	eventually(t, "an unfinished state is left", func() error {
		if _, err := os.Stat(filepath.Join(inside, "state.new")); err == nil {
			return os.ErrExist
		}
		return nil
	})
	if _, err := w.router.tryEnv([]string{"WEIR_CONTROL=" + socket}, buildWeir(t), "conntrack", "-F"); err != nil {
		t.Error(err)
	}
	w.weir.wait("the state is written again", 1)
	w.weir.stop()
	w.sniffer.clean(t)
}

func mean(list []float64) float64 {
	sum := 0.0
	for _, v := range list {
		sum += v
	}
	return sum / float64(len(list))
}

// inDisk starts weir where a file system of some size is mounted on dir.
func (h *host) inDisk(dir, size string, args ...string) *process {
	h.t.Helper()
	p := h.launch(func(cmd *exec.Cmd) {
		cmd.Args = append([]string{"sh", "-c", `mount --make-rprivate / && mount -t tmpfs -o size=` + size + ` none "$0" && exec "$@"`, dir, cmd.Path}, cmd.Args[1:]...)
		cmd.Path = "/bin/sh"
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	}, args...)
	p.wait("msg=running", 1)
	return p
}
