package router

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"weir/hook"
	"weir/iface"
	"weir/packet"
	"weir/route"
)

// The machine that the kernel and weir both are in these tests.
type testDev struct {
	name  string
	mtu   int
	addrs []string
}

var testDevs = []testDev{
	{"lan0", 1500, []string{"192.0.2.1/24", "2001:db8:1::1/64", "fe80::1/64"}},
	{"wan0", 1400, []string{"203.0.113.2/24", "2001:db8:2::2/64", "fe80::2/64"}},
	{"nar0", 1300, []string{"198.51.100.1/25", "198.51.100.129/25", "2001:db8:3::1/64"}},
}

var testRoutes = []string{
	"default via 203.0.113.1 dev wan0",
	"10.9.0.0/16 via 192.0.2.9 dev lan0",
	"10.10.0.0/16 via 198.51.100.9 dev nar0 mtu 700",
	"blackhole 10.66.0.0/16", "unreachable 10.67.0.0/16", "prohibit 10.68.0.0/16", "throw 10.69.0.0/16",
	"default via 2001:db8:2::1 dev wan0",
	"2001:db8:9::/48 via 2001:db8:1::9 dev lan0",
	"2001:db8:a::/48 via 2001:db8:3::9 dev nar0",
	"blackhole 2001:db8:66::/48", "unreachable 2001:db8:67::/48", "prohibit 2001:db8:68::/48", "throw 2001:db8:69::/48",
}

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

// normal is a packet as hex without what the kernel chooses at random: the
// identification of IPv4 ICMP and of IPv6 fragments.
func normal(b []byte) string {
	b = bytes.Clone(b)
	if b[0]>>4 == 4 && b[9] == packet.ICMP && b[6]&0x40 == 0 {
		b[4], b[5], b[10], b[11] = 0, 0, 0, 0
	}
	if b[0]>>4 == 6 {
		if _, _, fr := packet.SkipExtHdr(b); fr.Hdr != 0 {
			copy(b[fr.Hdr+4:], []byte{0, 0, 0, 0})
		}
	}
	return hex.EncodeToString(b)
}

// collect is a sink that keeps what it gets as text.
type collect struct{ out []string }

func (c *collect) Transmit(dev *iface.Iface, p *packet.Packet, _ *hook.Traversal) {
	c.out = append(c.out, dev.Name+" "+normal(p.Data))
}

// model is weir's side of the comparison.
type model struct {
	r    *Router
	env  hook.Env
	ifs  *iface.Set
	sink collect
	now  int64
	last hook.Traversal
}

func newModel(t testing.TB, sysctl map[string]string, hooks func(*model) []hook.Entry) *model {
	t.Helper()
	m := &model{now: 1767225600e9}
	list := []*iface.Iface{route.Loopback()}
	for i, d := range testDevs {
		dev := &iface.Iface{Index: i + 2, Name: d.name, MTU: d.mtu}
		for _, a := range d.addrs {
			p := netip.MustParsePrefix(a)
			ia := iface.Addr{Prefix: p}
			if p.Addr().IsLinkLocalUnicast() {
				ia.Scope = iface.LinkLocal
			}
			dev.Addrs = append(dev.Addrs, ia)
		}
		list = append(list, dev)
	}
	m.ifs = iface.NewSet(list...)
	var routes []route.Route
	for _, l := range testRoutes {
		routes = append(routes, parseRoute(l, m.ifs))
	}
	values := map[string]string{"net.ipv4.ip_forward": "1", "net.ipv6.conf.all.forwarding": "1"}
	for k, v := range sysctl {
		values[k] = v
	}
	c, err := FromSysctl(values, m.ifs)
	if err != nil {
		t.Fatal(err)
	}
	m.env = hook.Env{Routes: route.New(m.ifs, routes, route.Options{Anycast6: c.Forward6}), Ifaces: m.ifs}
	var entries []hook.Entry
	if hooks != nil {
		entries = hooks(m)
	}
	m.r = New(c, &m.env, hook.New(entries), &m.sink)
	return m
}

func parseRoute(l string, ifs *iface.Set) (r route.Route) {
	six := strings.Contains(l, ":")
	r.Type = route.Unicast
	f := strings.Fields(l)
	for n, typ := range map[string]route.Type{"blackhole": route.Blackhole, "unreachable": route.Unreachable, "prohibit": route.Prohibit, "throw": route.Throw} {
		if f[0] == n {
			r.Type = typ
			f = f[1:]
			break
		}
	}
	switch {
	case f[0] == "default" && six:
		r.To = netip.MustParsePrefix("::/0")
	case f[0] == "default":
		r.To = netip.MustParsePrefix("0.0.0.0/0")
	default:
		r.To = netip.MustParsePrefix(f[0])
	}
	for i := 1; i+1 < len(f); i += 2 {
		switch f[i] {
		case "via":
			r.Via = netip.MustParseAddr(f[i+1])
		case "dev":
			r.Dev = ifs.Name(f[i+1])
		case "mtu":
			fmt.Sscan(f[i+1], &r.MTU)
		}
	}
	return r
}

// inject runs a packet through weir.
func (m *model) inject(dev string, data []byte) (Fate, []string) {
	m.sink.out = nil
	m.r.Tick(m.now)
	var pk packet.Packet
	if packet.Parse(bytes.Clone(data), &pk) != nil {
		m.last = hook.Traversal{Why: hook.ReasonMalformed}
		return Dropped, nil
	}
	m.last = hook.Traversal{Pkt: &pk, Env: &m.env, Now: m.now, In: m.ifs.Name(dev)}
	f := m.r.Receive(&m.last)
	return f, m.sink.out
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
	if data[0]>>4 == 4 && data[0]&15 > 5 && midnight(m.now) != midnight(time.Now().UnixNano()) {
		return true // a time stamp option may have either time
	}
	fate, got := m.inject(dev, data)
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

func pickOf[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

// randomV4 makes an IPv4 packet full of corner cases.
func randomV4(r *rand.Rand) []byte {
	src := pickOf(r, "192.0.2.2", "192.0.2.2", "192.0.2.2", "198.51.100.5", "203.0.113.9", "10.9.1.1", "8.8.8.8", "10.66.0.1", "10.68.1.1", "10.69.0.1",
		"192.0.2.1", "203.0.113.2", "192.0.2.255", "192.0.2.0", "255.255.255.255", "0.0.0.0", "0.1.2.3", "127.0.0.1", "127.9.9.9", "224.0.0.1", "240.0.0.1", "198.51.100.129")
	dst := pickOf(r, "203.0.113.9", "203.0.113.9", "198.51.100.5", "192.0.2.9", "10.9.1.1", "10.10.1.1", "8.8.8.8", "10.66.0.1", "10.67.0.1", "10.68.1.1", "10.69.0.1",
		"192.0.2.1", "192.0.2.1", "203.0.113.2", "192.0.2.255", "192.0.2.0", "255.255.255.255", "0.0.0.0", "0.1.2.3", "127.0.0.1", "127.9.9.9", "224.0.0.1", "224.0.0.5", "239.1.1.1", "240.0.0.1", "198.51.100.127", "198.51.100.129", "203.0.113.255")
	// Linux limits errors for want of a route to five for a sender.
	if r.IntN(3) == 0 || strings.HasPrefix(dst, "10.6") {
		src = fmt.Sprintf("8.%d.%d.%d", r.IntN(256), r.IntN(256), 1+r.IntN(254))
	}
	var opt []byte
	for r.IntN(6) == 0 && len(opt) < 36 {
		opt = append(opt, randomOption4(r)...)
	}
	for len(opt)%4 != 0 {
		opt = append(opt, byte(r.IntN(2)))
	}
	if len(opt) > 40 {
		opt = opt[:40]
	}
	size := pickOf(r, 0, 8, 20, 60, 700, 1272, 1373, 1400, 1480)
	proto := pickOf[uint8](r, 1, 1, 6, 6, 17, 17, 2, 99, 47, 136, 132, 50, 4)
	d := make([]byte, 20+len(opt), 2000)
	d[0] = 0x40 | byte(len(d)/4)
	d[1] = pickOf[byte](r, 0, 0, 0x10, 0xb8, 3, 0xff)
	d[4], d[5] = 0x12, byte(r.IntN(256))
	d[6] = pickOf[byte](r, 0, 0x40, 0x40)
	d[8] = pickOf[byte](r, 64, 64, 64, 1, 2, 0, 255)
	d[9] = proto
	copy(d[12:], netip.MustParseAddr(src).AsSlice())
	copy(d[16:], netip.MustParseAddr(dst).AsSlice())
	copy(d[20:], opt)
	return sealed(r, append(d, randomL4(r, proto, size)...))
}

// sealed writes lengths and checksums.
func sealed(r *rand.Rand, d []byte) []byte {
	p := packet.Packet{Data: d, Family: packet.IPv4}
	if d[0]>>4 == 4 {
		binary.BigEndian.PutUint16(d[2:], uint16(len(d)))
		binary.BigEndian.PutUint16(d[10:], packet.IPv4HeaderChecksum(d[:int(d[0]&15)*4]))
	} else {
		p.Family = packet.IPv6
		binary.BigEndian.PutUint16(d[4:], uint16(len(d)-40))
	}
	p.Reparse()
	if r.IntN(30) != 0 && p.L4 >= 0 {
		p.FixL4Checksum()
	}
	return d
}

func randomOption4(r *rand.Rand) []byte {
	b := func(typ byte, n, ptr int, rest ...byte) []byte {
		o := make([]byte, n)
		o[0], o[1] = typ, byte(n)
		if n > 2 {
			o[2] = byte(ptr)
		}
		if n > 3 {
			copy(o[3:], rest)
		}
		return o
	}
	switch r.IntN(10) {
	case 0:
		return []byte{optNoop}
	case 1:
		return b(optRecord, pickOf(r, 3, 7, 11, 15, 39), pickOf(r, 4, 4, 8, 12, 5, 3, 0))
	case 2:
		return b(optTimestamp, pickOf(r, 4, 8, 12, 20, 36), pickOf(r, 5, 5, 9, 13, 4), byte(pickOf(r, 0, 1, 3, 2, 0xf0, 0xf1)))
	case 3:
		return b(optTimestamp, 20, 5, 3, 192, 0, 2, 1)
	case 4:
		return b(optAlert, 4, 0)
	case 5:
		return b(optLooseRoute, pickOf(r, 7, 11), pickOf(r, 4, 8), 192, 0, 2, 9)
	case 6:
		return b(optStrictRoute, 7, 4, 203, 0, 113, 9)
	case 7:
		return b(130, 11, 0)
	case 8:
		return []byte{byte(r.IntN(256)), byte(r.IntN(8)), 0, 0}
	}
	return []byte{optNoop, optNoop, optEnd, byte(r.IntN(2))}
}

func randomL4(r *rand.Rand, proto uint8, size int) []byte {
	m := make([]byte, size)
	for i := range m {
		m[i] = byte(r.Uint32())
	}
	if size < 8 {
		return m
	}
	switch proto {
	case packet.UDP:
		binary.BigEndian.PutUint16(m[4:], uint16(size))
		if r.IntN(10) == 0 {
			binary.BigEndian.PutUint16(m[4:], uint16(r.IntN(size+2)))
		}
	case packet.UDPLite:
		m[4], m[5] = 0, 0
	case packet.TCP:
		if size >= 20 {
			m[12] = pickOf[byte](r, 0x50, 0x50, 0x50, 0x60, 0x40, 0xf0)
			m[13] = pickOf[byte](r, 2, 0x10, 0x12, 4, 1, 0, 0x18, 0x3f)
		}
	case packet.ICMP:
		m[0] = pickOf[byte](r, 8, 8, 8, 0, 3, 11, 12, 13, 17, 5, 42, 15, 19, 200)
		m[1] = byte(r.IntN(3))
	case packet.ICMPv6:
		m[0] = pickOf[byte](r, 128, 128, 128, 129, 1, 3, 127, 200)
		m[1] = byte(r.IntN(3))
	}
	return m
}

func randomV6(r *rand.Rand) []byte {
	src := pickOf(r, "2001:db8:1::2", "2001:db8:1::2", "2001:db8:1::2", "2001:db8:2::9", "2001:db8:9::1", "2001:db8:ffff::1", "2001:db8:66::1", "2001:db8:68::1",
		"2001:db8:1::1", "2001:db8:2::2", "::", "::1", "fe80::9", "ff02::1", "ff0e::1", "2001:db8:1::", "::ffff:192.0.2.2", "fc00::1")
	dst := pickOf(r, "2001:db8:2::9", "2001:db8:2::9", "2001:db8:9::1", "2001:db8:a::1", "2001:db8:ffff::1", "2001:db8:66::1", "2001:db8:67::1", "2001:db8:68::1", "2001:db8:69::1",
		"2001:db8:1::1", "2001:db8:1::1", "2001:db8:2::2", "::", "::1", "fe80::1", "fe80::2", "fe80::99", "ff02::1", "ff01::1", "ff00::1", "ff02::2", "ff05::2", "ff02::1:ff00:1", "ff0e::1", "2001:db8:1::", "2001:db8:2::", "2001:db8:1::77", "::ffff:192.0.2.2")
	d := make([]byte, 40, 2000)
	d[0], d[1] = 0x60, pickOf[byte](r, 0, 0, 0xb0)
	d[2], d[3] = byte(r.IntN(2)), 7
	d[7] = pickOf[byte](r, 64, 64, 64, 1, 2, 0, 255)
	copy(d[8:], netip.MustParseAddr(src).AsSlice())
	copy(d[24:], netip.MustParseAddr(dst).AsSlice())
	named := 6
	for r.IntN(4) == 0 {
		h, typ := randomExt(r)
		d[named] = typ
		named = len(d)
		d = append(d, h...)
	}
	proto := pickOf[uint8](r, 58, 58, 6, 6, 17, 17, 99, 59, 47, 136, 1, 132, 50)
	d[named] = proto
	d = append(d, randomL4(r, proto, pickOf(r, 0, 8, 20, 60, 1192, 1252, 1353, 1380, 1460))...)
	return sealed(r, d)
}

func randomExt(r *rand.Rand) ([]byte, uint8) {
	switch r.IntN(5) {
	case 0:
		h := []byte{0, 0, 0, byte(r.IntN(2)), 0, 0, 0, 1} // atomic or first fragment
		if h[3] == 0 && r.IntN(2) == 0 {
			h[3] = 8
		}
		h[7] = byte(r.IntN(256))
		return h, packet.Fragment
	case 1:
		h := make([]byte, 24)
		h[1], h[2], h[3] = 2, pickOf[byte](r, 0, 2, 3, 4, 5), byte(r.IntN(3))
		return h, packet.Routing
	}
	h := []byte{0, 0}
	for len(h) < 8 || r.IntN(2) == 0 && len(h) < 32 {
		switch r.IntN(6) {
		case 0:
			h = append(h, 0)
		case 1:
			h = append(h, 1, byte(r.IntN(4)), 0, 0, 0)[:len(h)+2]
			h = append(h, make([]byte, h[len(h)-1])...)
		case 2:
			h = append(h, pickOf[byte](r, 0x3e, 0x7e, 0xbe, 0xfe, 0xc9, 0xc2), 4, 0, 0, 0, 0)
		case 3:
			h = append(h, 5, 2, 0, 0)
		case 4:
			h = append(h, 1, 2, 0, 0)
		case 5:
			h = append(h, byte(r.Uint32()), byte(r.IntN(6)))
		}
	}
	for len(h)%8 != 0 {
		h = append(h, 0)
	}
	h[1] = byte(len(h)/8 - 1)
	return h, pickOf[uint8](r, packet.HopByHop, packet.DestOpts)
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
				r := rand.New(rand.NewPCG(uint64(len(name)), 7))
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
