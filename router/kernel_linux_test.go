package router

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"weir/hook"
	"weir/packet"
)

// kernel is a network namespace with TUN devices in place of wires.
type kernel struct {
	fds map[string]int
}

// newKernel makes a namespace for the calling thread, which must be locked.
func newKernel(t *testing.T, sysctl map[string]string, setup ...string) *kernel {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("asking the kernel needs root")
	}
	if err := syscall.Unshare(syscall.CLONE_NEWNET); err != nil {
		t.Skipf("no network namespace: %v", err)
	}
	k := &kernel{fds: make(map[string]int)}
	put := func(key, v string) {
		p := filepath.Join("/proc/sys", strings.ReplaceAll(key, ".", "/"))
		if err := os.WriteFile(p, []byte(v), 0); err != nil {
			t.Fatalf("%s: %v", key, err)
		}
	}
	for key, v := range map[string]string{
		"net.ipv4.ip_forward": "1", "net.ipv4.conf.all.rp_filter": "0", "net.ipv4.conf.default.rp_filter": "0",
		"net.ipv4.icmp_ratelimit": "0", "net.ipv4.icmp_ratemask": "0", "net.ipv4.icmp_msgs_per_sec": "100000000", "net.ipv4.icmp_msgs_burst": "100000000", "net.ipv6.icmp.ratelimit": "0",
		"net.ipv4.conf.all.send_redirects": "0", "net.ipv4.conf.default.send_redirects": "0",
		"net.ipv6.conf.default.accept_ra": "0", "net.ipv6.conf.default.router_solicitations": "0",
		"net.ipv6.conf.default.accept_dad": "0", "net.ipv6.conf.default.dad_transmits": "0",
		"net.ipv6.conf.default.addr_gen_mode": "1", "net.ipv6.conf.all.forwarding": "1",
		"net.ipv6.auto_flowlabels": "0",
	} {
		put(key, v)
	}
	run := func(line string) {
		f := strings.Fields(line)
		if out, err := exec.Command(f[0], f[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v %s", line, err, out)
		}
	}
	run("ip link set lo up")
	for _, d := range testDevs {
		k.fds[d.name] = openTun(t, d.name)
		run(fmt.Sprintf("ip link set %s mtu %d txqueuelen 4096 up", d.name, d.mtu))
		for _, a := range d.addrs {
			if strings.Contains(a, ":") {
				a += " nodad"
			}
			run("ip addr add " + a + " dev " + d.name)
		}
	}
	waitForAddresses(t)
	for _, l := range testRoutes {
		if strings.Contains(l, ":") {
			run("ip -6 route add " + l)
		} else {
			run("ip route add " + l)
		}
	}
	for key, v := range sysctl {
		put(key, v)
	}
	for _, l := range setup {
		run(l)
	}
	t.Cleanup(func() {
		for _, fd := range k.fds {
			syscall.Close(fd)
		}
	})
	return k
}

// waitForAddresses waits until the machine takes packets for its IPv6 addresses:
// the kernel makes their routes in a worker of its own.
func waitForAddresses(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		out, err := exec.Command("ip", "-6", "route", "show", "table", "local").Output()
		missing := ""
		for _, d := range testDevs {
			for _, a := range d.addrs {
				if a, _, _ = strings.Cut(a, "/"); strings.Contains(a, ":") && !strings.Contains(string(out), "local "+a+" ") {
					missing = a
				}
			}
		}
		switch {
		case err != nil:
			t.Fatal(err)
		case missing == "":
			return
		case time.Now().After(end):
			t.Fatalf("the kernel has no route to its own %s", missing)
		}
	}
}

func openTun(t *testing.T, name string) int {
	t.Helper()
	fd, err := syscall.Open("/dev/net/tun", syscall.O_RDWR|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("no TUN device: %v", err)
	}
	var req struct {
		name  [16]byte
		flags uint16
		_     [22]byte
	}
	copy(req.name[:], name)
	req.flags = 0x1001 // IFF_TUN|IFF_NO_PI
	if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), 0x400454ca, uintptr(unsafe.Pointer(&req))); e != 0 {
		t.Fatalf("TUNSETIFF: %v", e)
	}
	return fd
}

// inject writes a packet to a device and collects what comes out.
func (k *kernel) inject(dev string, data []byte) []string {
	syscall.Write(k.fds[dev], data)
	return k.read()
}

func (k *kernel) read() (out []string) {
	buf := make([]byte, 70000)
	for _, d := range testDevs {
		for {
			n, err := syscall.Read(k.fds[d.name], buf)
			if err != nil || n <= 0 {
				break
			}
			b := buf[:n]
			if b[0]>>4 == 6 && n > 48 && b[6] == 0 && b[48] == 143 {
				continue // MLD reports come by timers
			}
			if b[0]>>4 == 6 && n > 40 && b[6] == packet.ICMPv6 && b[40] == 137 {
				continue // redirects, which no sysctl switches off for IPv6
			}
			out = append(out, d.name+" "+normal(b))
		}
	}
	return out
}

func sameOutput(a, b []string) bool {
	// Linux queues per device: order counts on each, not across them.
	if len(a) != len(b) {
		return false
	}
	for _, d := range testDevs {
		var x, y []string
		for _, s := range a {
			if strings.HasPrefix(s, d.name) {
				x = append(x, s)
			}
		}
		for _, s := range b {
			if strings.HasPrefix(s, d.name) {
				y = append(y, s)
			}
		}
		if strings.Join(x, "\n") != strings.Join(y, "\n") {
			return false
		}
	}
	return true
}

func compare(t *testing.T, k *kernel, m *model, what, dev string, data []byte) bool {
	t.Helper()
	m.now = time.Now().UnixNano()
	want := k.inject(dev, data)
	// A time stamp option or reply may have either time.
	stamped := data[0]>>4 == 4 && (data[0]&15 > 5 || data[9] == packet.ICMP) && midnight(m.now) != midnight(time.Now().UnixNano())
	fate, got := m.inject(dev, data)
	if stamped {
		return true
	}
	if fate == Dropped && m.last.Why == hook.NoReason {
		t.Errorf("%s: dropped without a reason: %s %x", what, dev, data)
	}
	if !sameOutput(want, got) {
		t.Errorf("%s: in %s %x\n kernel %s\n weir   %s (fate %d %s)", what, dev, data, strings.Join(want, "\n        "), strings.Join(got, "\n        "), fate, m.last.Why)
		return false
	}
	return true
}

// locked runs a test on a thread of its own, which dies with its namespace.
func locked(t *testing.T, f func(t *testing.T)) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		f(t)
	}()
	<-done
}

// TestLikeTheKernel sends random packets through a kernel gateway and through
// the router; what comes out must be the same bytes.
func TestLikeTheKernel(t *testing.T) {
	conf := map[string]map[string]string{
		"as it is":            nil,
		"reverse path strict": {"net.ipv4.conf.all.rp_filter": "1"},
		"reverse path loose":  {"net.ipv4.conf.all.rp_filter": "2"},
		"accept_local":        {"net.ipv4.conf.all.accept_local": "1"},
		"route_localnet":      {"net.ipv4.conf.all.route_localnet": "1"},
		"no forwarding":       {"net.ipv4.ip_forward": "0", "net.ipv6.conf.all.forwarding": "0"},
		"source routes":       {"net.ipv4.conf.all.accept_source_route": "1"},
		"echo ignored":        {"net.ipv4.icmp_echo_ignore_all": "1", "net.ipv6.icmp.echo_ignore_all": "1"},
		"broadcast echo":      {"net.ipv4.icmp_echo_ignore_broadcasts": "0", "net.ipv6.icmp.echo_ignore_multicast": "1"},
		"source by inbound":   {"net.ipv4.icmp_errors_use_inbound_ifaddr": "1"},
	}
	n := 3000
	if testing.Short() {
		n = 300
	}
	for name, sysctl := range conf {
		t.Run(name, func(t *testing.T) {
			locked(t, func(t *testing.T) {
				k := newKernel(t, sysctl)
				m := newModel(t, sysctl, nil)
				r := rand.New(rand.NewPCG(uint64(len(name)), testSeed()))
				bad := 0
				for i := range n {
					dev := pickOf(r, "lan0", "lan0", "wan0", "nar0")
					d := randomV4(r)
					if i%2 == 1 {
						d = randomV6(r)
					}
					if !compare(t, k, m, fmt.Sprint("packet ", i), dev, d) {
						if bad++; bad > 5 {
							return
						}
					}
				}
			})
		})
	}
}

// TestFragmentsLikeTheKernel sends random fragments through both, with and
// without reassembly before the hooks.
func TestFragmentsLikeTheKernel(t *testing.T) {
	for _, c := range []struct {
		name  string
		setup []string
		hooks func(*model) []hook.Entry
	}{
		{"tracked", []string{"iptables-legacy -A FORWARD -m conntrack --ctstate NEW", "ip6tables-legacy -A FORWARD -m conntrack --ctstate NEW"}, defragHooks},
		{"not tracked", nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			locked(t, func(t *testing.T) {
				k := newKernel(t, nil, c.setup...)
				m := newModel(t, nil, c.hooks)
				r := rand.New(rand.NewPCG(4, testSeed()))
				bad := 0
				n := 1500
				if testing.Short() {
					n = 150
				}
				for i := range n {
					frags := randomFragments(r, uint32(i+1))
					for j, d := range frags {
						if !compare(t, k, m, fmt.Sprintf("datagram %d fragment %d", i, j), "lan0", d) {
							t.Log(describe(frags[:j+1]))
							if bad++; bad > 5 {
								return
							}
							break
						}
					}
				}
			})
		})
	}
}

// testSeed is WEIR_SEED, so that more can be tried than each run does.
func testSeed() uint64 {
	n, err := strconv.ParseUint(os.Getenv("WEIR_SEED"), 10, 64)
	if err != nil {
		return 7
	}
	return n
}

// TestResetLikeTheKernel compares what -j REJECT --reject-with tcp-reset sends.
func TestResetLikeTheKernel(t *testing.T) {
	locked(t, func(t *testing.T) {
		var setup []string
		for _, cmd := range []string{"iptables-legacy", "ip6tables-legacy"} {
			for _, chain := range []string{"FORWARD", "INPUT"} {
				setup = append(setup, cmd+" -A "+chain+" -p tcp -j REJECT --reject-with tcp-reset")
			}
		}
		k := newKernel(t, nil, setup...)
		reject := func(t *hook.Traversal) hook.Verdict {
			proto := t.Pkt.Proto
			if t.Pkt.Family == packet.IPv6 {
				var ok bool
				if proto, _, _, ok = packet.FindLastHdr(t.Pkt.Data); !ok {
					return t.Drop(hook.ReasonHotdrop)
				}
			}
			if proto != packet.TCP {
				return hook.Accept
			}
			t.Env.Emit.TCPReset(t)
			return t.Drop(hook.ReasonReject)
		}
		m := newModel(t, nil, func(*model) []hook.Entry {
			return []hook.Entry{{At: hook.Forward, Fn: reject}, {At: hook.Input, Fn: reject}}
		})
		r := rand.New(rand.NewPCG(5, testSeed()))
		bad, n := 0, 4000
		if testing.Short() {
			n = 400
		}
		for i := range n {
			d := randomV4(r)
			if i%2 == 1 {
				d = randomV6(r)
			}
			if !compare(t, k, m, fmt.Sprint("packet ", i), pickOf(r, "lan0", "wan0"), d) {
				if bad++; bad > 5 {
					return
				}
			}
		}
	})
}
