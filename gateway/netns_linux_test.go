package gateway

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// host is a network namespace of the test's own. What depends on the thread
// runs through do.
type host struct {
	t     *testing.T
	path  string
	calls chan func()
}

// newHost makes a namespace, which dies with the test. Without root the test
// is skipped, unless the kernel is required.
func newHost(t *testing.T) *host {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("WEIR_REQUIRE_KERNEL") != "" {
			t.Fatal("needs root")
		}
		t.Skip("needs root")
	}
	h := &host{t: t, calls: make(chan func())}
	ready := make(chan error)
	go func() {
		runtime.LockOSThread() // the thread dies with the goroutine
		h.path = fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), unix.Gettid())
		err := unix.Unshare(unix.CLONE_NEWNET)
		ready <- err
		if err != nil {
			return
		}
		for f := range h.calls {
			f()
		}
	}()
	if err := <-ready; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { close(h.calls) })
	h.run("ip", "link", "set", "lo", "up")
	return h
}

// do runs f on the namespace's thread.
func (h *host) do(f func() error) error {
	done := make(chan error, 1)
	h.calls <- func() { done <- f() }
	return <-done
}

// run runs a program there and returns what it printed.
func (h *host) run(name string, args ...string) string {
	h.t.Helper()
	out, err := h.try(name, args...)
	if err != nil {
		h.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

// script runs one command a line.
func (h *host) script(lines string) {
	h.t.Helper()
	for line := range strings.Lines(lines) {
		if w := strings.Fields(line); len(w) > 0 {
			h.run(w[0], w[1:]...)
		}
	}
}

// try is run for what may fail.
func (h *host) try(name string, args ...string) (string, error) {
	return h.tryEnv(nil, name, args...)
}

func (h *host) tryEnv(env []string, name string, args ...string) (string, error) {
	ctx, stop := context.WithTimeout(context.Background(), 30*time.Second)
	defer stop()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := h.do(cmd.Start); err != nil {
		return "", err
	}
	err := cmd.Wait()
	return out.String(), err
}

// listen and dial are net's, in the namespace.
func (h *host) listen(network, addr string) (l net.Listener) {
	h.t.Helper()
	if err := h.do(func() (err error) { l, err = net.Listen(network, addr); return err }); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { l.Close() })
	return l
}

func (h *host) listenPacket(network, addr string) (c net.PacketConn) {
	h.t.Helper()
	if err := h.do(func() (err error) { c, err = net.ListenPacket(network, addr); return err }); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { c.Close() })
	return c
}

func (h *host) dial(_ context.Context, network, addr string) (c net.Conn, err error) {
	d := net.Dialer{Timeout: 10 * time.Second}
	err = h.do(func() (err error) { c, err = d.Dial(network, addr); return err })
	return c, err
}

// sniffer sees every frame of a device that passes either way.
type sniffer struct {
	mu     sync.Mutex
	inside []netip.Prefix
	leaks  []string
	seen   int
	f      *os.File
}

// sniff watches a device for packets with an inside address.
func (h *host) sniff(dev string, link int, inside ...string) *sniffer {
	h.t.Helper()
	s := &sniffer{}
	for _, p := range inside {
		s.inside = append(s.inside, netip.MustParsePrefix(p))
	}
	var fd int
	if err := h.do(func() (err error) {
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, int(htons(unix.ETH_P_ALL)))
		if err != nil {
			return err
		}
		i, err := net.InterfaceByName(dev)
		if err != nil {
			return err
		}
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: i.Index})
	}); err != nil {
		h.t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "sniffer")
	s.f = f
	h.t.Cleanup(func() { f.Close() })
	go func() {
		b := make([]byte, 1<<17)
		for {
			n, err := f.Read(b)
			if err != nil {
				return
			}
			s.look(b[min(link, n):n])
		}
	}()
	return s
}

func htons(v uint16) uint16 { return v<<8 | v>>8 }

func (s *sniffer) look(d []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen++
	var src, dst netip.Addr
	switch {
	case len(d) >= 20 && d[0]>>4 == 4:
		src, _ = netip.AddrFromSlice(d[12:16])
		dst, _ = netip.AddrFromSlice(d[16:20])
	case len(d) >= 40 && d[0]>>4 == 6:
		src, _ = netip.AddrFromSlice(d[8:24])
		dst, _ = netip.AddrFromSlice(d[24:40])
	}
	for _, p := range s.inside {
		if p.Contains(src) || p.Contains(dst) {
			s.leaks = append(s.leaks, fmt.Sprintf("%s > %s", src, dst))
		}
	}
}

// clean fails the test if an inside address was seen, or nothing at all.
func (s *sniffer) clean(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.leaks) > 0 {
		t.Errorf("%d packets with an inside address outside, the first %s", len(s.leaks), s.leaks[0])
	}
	if s.seen == 0 {
		t.Error("the sniffer saw nothing")
	}
}

var (
	buildOnce sync.Once
	built     string
	buildErr  error
)

// TestMain removes what buildWeir made.
func TestMain(m *testing.M) {
	code := m.Run()
	if built != "" {
		os.RemoveAll(filepath.Dir(built))
	}
	os.Exit(code)
}

// buildWeir is the path of the command.
func buildWeir(t *testing.T) string {
	t.Helper()
	buildOnce.Do(func() {
		dir, err := os.MkdirTemp("", "weir-gateway-")
		if err != nil {
			buildErr = err
			return
		}
		built = filepath.Join(dir, "weir")
		cmd := exec.Command("go", "build", "-o", built, "weir/cmd/weir")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			buildErr = fmt.Errorf("%w: %s", err, out)
		}
	})
	if buildErr != nil {
		t.Fatal(buildErr)
	}
	return built
}

// process is a weir that runs.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	log  *logBuffer
	done chan error
}

// logBuffer is what a process says.
type logBuffer struct {
	mu   sync.Mutex
	cond sync.Cond
	text strings.Builder
	over bool
}

// Write implements io.Writer.
func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cond.Broadcast()
	return b.text.Write(p)
}

// wait waits until the text holds s n times; false if the process ended, or says
// nothing of the kind for a minute.
func (b *logBuffer) wait(s string, n int) bool {
	late := false
	t := time.AfterFunc(time.Minute, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		late = true
		b.cond.Broadcast()
	})
	defer t.Stop()
	b.mu.Lock()
	defer b.mu.Unlock()
	for strings.Count(b.text.String(), s) < n {
		if b.over || late {
			return false
		}
		b.cond.Wait()
	}
	return true
}

// String is what was said up to now.
func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// weir starts the command in the namespace and waits until it runs.
func (h *host) weir(args ...string) *process {
	h.t.Helper()
	p := h.launch(nil, args...)
	p.wait("msg=running", 1)
	return p
}

// launch starts the command, which change may change before.
func (h *host) launch(change func(*exec.Cmd), args ...string) *process {
	h.t.Helper()
	p := &process{t: h.t, log: &logBuffer{}, done: make(chan error, 1)}
	p.log.cond.L = &p.log.mu
	p.cmd = exec.Command(buildWeir(h.t), args...)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if change != nil {
		change(p.cmd)
	}
	// The new process belongs to the thread's namespace.
	if err := h.do(p.cmd.Start); err != nil {
		h.t.Fatal(err)
	}
	go func() {
		err := p.cmd.Wait()
		p.log.mu.Lock()
		p.log.over = true
		p.log.cond.Broadcast()
		p.log.mu.Unlock()
		p.done <- err
	}()
	h.t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			_ = p.cmd.Process.Kill()
			<-p.done
		}
		if h.t.Failed() {
			h.t.Logf("weir said:\n%s", p.log)
		}
	})
	return p
}

func (p *process) wait(s string, n int) {
	p.t.Helper()
	if !p.log.wait(s, n) {
		p.t.Fatalf("weir ended before it said %q, or hangs:\n%s", s, p.log)
	}
}

// alive says that it has not ended.
func (p *process) alive() bool {
	p.log.mu.Lock()
	defer p.log.mu.Unlock()
	return !p.log.over
}

// stop ends weir and expects it to end well.
func (p *process) stop() {
	p.t.Helper()
	_ = p.cmd.Process.Signal(unix.SIGTERM)
	if err := <-p.done; err != nil {
		p.t.Errorf("weir: %v", err)
	}
	p.done <- nil
}
