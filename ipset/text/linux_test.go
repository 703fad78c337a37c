//go:build linux

package text

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weir/ipset"
)

// inNamespace runs f on a thread with a network namespace of its own.
func inNamespace(t *testing.T, f func()) {
	t.Helper()
	why := ""
	if os.Geteuid() != 0 {
		why = "needs root"
	} else if _, err := exec.LookPath("ipset"); err != nil {
		why = "needs ipset"
	}
	if why != "" {
		if os.Getenv("WEIR_REQUIRE_KERNEL") == "1" {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // the thread ends with the goroutine
		defer close(done)
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			done <- err
			return
		}
		f()
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func realIpset(stdin string, args ...string) (out, errs string, code int) {
	cmd := exec.Command("ipset", args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "RES_OPTIONS=attempts:1 timeout:1")
	cmd.Stdin = strings.NewReader(stdin)
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	if err := cmd.Run(); err != nil {
		var x *exec.ExitError
		if !errors.As(err, &x) {
			return "", err.Error(), -1
		}
		code = x.ExitCode()
	}
	return o.String(), e.String(), code
}

var timeouts = regexp.MustCompile(`(add .* timeout |^\S+ timeout |<timeout>)([1-9]\d*)`)

// bitmasks are printed by ipset with a prefix length that it has left over from
// the set before.
var bitmasks = regexp.MustCompile(`(bitmask[ >][0-9a-f.:]+)/\d+`)

func leaveTimeouts(s string) string {
	s = bitmasks.ReplaceAllString(s, "$1")
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		if !strings.HasPrefix(l, "create") && !strings.HasPrefix(l, "Header") && !strings.HasPrefix(l, "<header>") {
			lines[i] = timeouts.ReplaceAllString(l, "${1}T")
		}
	}
	return strings.Join(lines, "\n")
}

// both runs a command in Linux and in weir and compares all that it says.
type both struct {
	t     *testing.T
	sets  *ipset.Sets
	count int
	trail []string
	// crashed: what Linux has is not known any more.
	crashed bool
}

func (b *both) run(stdin string, args ...string) bool {
	b.t.Helper()
	b.count++
	b.trail = append(b.trail, fmt.Sprintf("%q <<<%q", args, stdin))
	o, e, c := realIpset(stdin, args...)
	wo, we, wc := Run(b.sets, args, []byte(stdin), time.Now().UnixNano(), nil)
	if c == -1 { // ipset crashed
		b.crashed = true
		return false
	}
	if c == wc && leaveTimeouts(o) == leaveTimeouts(string(wo)) && e == string(we) {
		return true
	}
	n := len(b.trail)
	b.t.Errorf("%q %q\nexit %d, weir %d\n%s%safter\n%s", args, stdin, c, wc, difference(leaveTimeouts(o), leaveTimeouts(string(wo))), difference(e, string(we)), strings.Join(b.trail[max(0, n-30):], "\n"))
	return false
}

// difference is the lines around the first that differs.
func difference(want, got string) string {
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(a), len(b)) {
		if i >= len(a) || i >= len(b) || a[i] != b[i] {
			return "Linux\n" + strings.Join(a[max(0, min(i, len(a))-6):min(len(a), i+4)], "\n") + "\nweir\n" +
				strings.Join(b[max(0, min(i, len(b))-6):min(len(b), i+4)], "\n") + "\n"
		}
	}
	return ""
}

type dice struct{ *rand.Rand }

func (d dice) of(list ...string) string { return list[d.IntN(len(list))] }

// linuxTypes are the types that a kernel of the plain configuration has.
func linuxTypes() []string {
	return []string{"bitmap:ip", "bitmap:ip,mac", "bitmap:port", "hash:ip", "hash:ip,port", "hash:ip,port,ip", "hash:ip,port,net",
		"hash:net", "hash:net,port", "hash:net,iface", "list:set"}
}

func (d dice) create(name string) []string {
	t := d.of(linuxTypes()...)
	a := []string{"create", name, t}
	if strings.HasPrefix(t, "hash") {
		if d.IntN(3) == 0 {
			a = append(a, "family", d.of("inet6", "inet6", "inet6", "inet", "foo"))
		}
		a = append(a, "initval", fmt.Sprint(d.Uint32()))
		if d.IntN(2) == 0 {
			a = append(a, "hashsize", d.of("64", "1", "100", "2048", "64"))
		}
		if d.IntN(3) == 0 {
			a = append(a, "maxelem", d.of("10", "3", "0", "100", "70000"))
		}
		if d.IntN(3) == 0 {
			a = append(a, "bucketsize", d.of("2", "4", "3", "12", "20"))
		}
		if d.IntN(4) == 0 {
			a = append(a, "forceadd")
		}
		if d.IntN(4) == 0 {
			a = append(a, "netmask", d.of("24", "32", "64", "0", "33", "8"))
		}
		if d.IntN(8) == 0 {
			a = append(a, "bitmask", d.of("255.255.0.255", "ffff::ffff", "0.0.0.0"))
		}
	}
	switch t {
	case "bitmap:ip":
		a = append(a, "range", d.of("192.0.2.0/24", "192.0.2.10-192.0.3.20", "10.0.0.0/16", "10.0.0.0/8", "192.0.2.9"))
		if d.IntN(3) == 0 {
			a = append(a, "netmask", d.of("28", "30", "32", "16"))
		}
	case "bitmap:ip,mac":
		a = append(a, "range", d.of("192.0.2.0/24", "192.0.2.10-192.0.3.20"))
	case "bitmap:port":
		a = append(a, "range", d.of("0-1023", "80-90", "udp:50-60", "90-80", "7"))
	case "list:set":
		if d.IntN(2) == 0 {
			a = append(a, "size", d.of("2", "4", "8", "16"))
		}
	}
	for _, o := range []string{"counters", "comment", "skbinfo"} {
		if d.IntN(3) == 0 {
			a = append(a, o)
		}
	}
	if d.IntN(3) == 0 {
		a = append(a, "timeout", d.of("0", "5000", "100000", "9999999"))
	}
	return a
}

func (d dice) addr(v6 bool) string {
	if d.IntN(25) == 0 {
		return d.of("0.0.0.0", "::", "x", "1.2.3", "255.255.255.255", "[2001:db8::1]", "300.1.1.1", "::ffff:192.0.2.1")
	}
	if v6 {
		return fmt.Sprintf("2001:db8::%x:%x", d.IntN(3), d.IntN(8))
	}
	return fmt.Sprintf("192.0.%d.%d", 2+d.IntN(2), d.IntN(40))
}

func (d dice) net(v6 bool) string {
	a := d.addr(v6)
	switch d.IntN(6) {
	case 0, 1:
		if v6 {
			return a + "/" + d.of("128", "64", "32", "120", "1", "0", "127", "129")
		}
		return a + "/" + d.of("32", "24", "28", "20", "31", "30", "0", "33", "x")
	case 2:
		b := d.addr(v6)
		if a[0] != b[0] && len(a) > 1 && len(b) > 1 {
			return a // Linux takes minutes for a range of a billion
		}
		return a + "-" + b
	}
	return a
}

func (d dice) port() string {
	p := d.of("80", "81", "443", "53", "http", "domain", "1", "65535", "80-83", "90-88", "0")
	switch d.IntN(12) {
	case 0, 1:
		return d.of("tcp", "udp", "sctp", "udplite", "6", "17", "TCP") + ":" + p
	case 2:
		return d.of("icmp:echo-request", "icmp:8/0", "icmp:3/1", "icmpv6:echo-reply", "icmpv6:1/3", "icmp:foo", "ipv6-icmp:ping", "icmp:time", "1:8/0")
	case 3:
		return d.of("gre:0", "esp:0", "47:0", "200:0", "igmp:1", "foo:1", "0:0", "tcp:foo", "nope", "70000", "tcp:")
	}
	return p
}

func (d dice) elem(t string, v6 bool) string {
	_, p, _ := strings.Cut(t, ":")
	var out []string
	for _, k := range strings.Split(p, ",") {
		switch k {
		case "ip":
			if d.IntN(5) == 0 {
				out = append(out, d.net(v6))
			} else {
				out = append(out, d.addr(v6))
			}
		case "net":
			out = append(out, d.net(v6))
		case "port":
			out = append(out, d.port())
		case "mac":
			if d.IntN(2) == 0 {
				out = append(out, d.of("02:00:00:00:00:01", "02:0:0:0:0:2", "0a:bb:cc:dd:ee:ff", "zz", "00:00:00:00:00:00"))
			}
		case "iface":
			out = append(out, d.of("eth0", "eth1", "eth", "lan0", "physdev:eth0", "eth01234567890123"))
		case "set":
			out = append(out, fmt.Sprintf("s%d", d.IntN(6)))
		}
	}
	if d.IntN(60) == 0 {
		out = append(out, "x")
	}
	return strings.Join(out, ",")
}

func (d dice) element(name, t string, v6 bool) []string {
	cmd := d.of("add", "add", "add", "add", "del", "test")
	a := []string{cmd, name, d.elem(t, v6)}
	rare := func(n int, w ...string) {
		if d.IntN(n) == 0 {
			a = append(a, w...)
		}
	}
	if cmd == "add" {
		rare(6, "timeout", d.of("0", "7000", "100000", "-1"))
		rare(8, "packets", d.of("5", "0", "18446744073709551614"))
		rare(8, "bytes", d.of("500", "0x10"))
		rare(6, "comment", d.of("a", "two words", "", "it's", `q"q`))
		rare(8, "skbmark", d.of("0x10", "0x10/0xff", "0x0", "7"))
		rare(10, "skbprio", d.of("1:10", "0:0", "ffff:1", "x"))
		rare(10, "skbqueue", d.of("5", "0", "65536"))
		if t == "hash:net,iface" {
			rare(4, "wildcard")
		}
	}
	if strings.Contains(t, "net") {
		rare(5, "nomatch")
	}
	if t == "list:set" {
		rare(4, d.of("before", "after"), fmt.Sprintf("s%d", d.IntN(6)))
	}
	rare(80, "bogus")
	rare(5, "-exist")
	return a
}

// TestCommandsAsLinux runs random command lines through ipset(8) and weir:
// the same output, errors, exit codes and listings, in the same order.
func TestCommandsAsLinux(t *testing.T) {
	rounds, steps := 12, 60
	if testing.Short() {
		rounds = 3
	}
	if s := os.Getenv("WEIR_IPSET_ROUNDS"); s != "" {
		fmt.Sscan(s, &rounds)
	}
	inNamespace(t, func() {
		count := 0
		for seed := range rounds {
			d := dice{rand.New(rand.NewPCG(uint64(seed), 77))}
			b := &both{t: t, sets: ipset.New(nil)}
			realIpset("", "flush")
			realIpset("", "destroy")
			ok := true
			kinds, v6 := map[string]string{}, map[string]bool{}
			for i := 0; i < steps && ok; i++ {
				name := fmt.Sprintf("s%d", d.IntN(6))
				switch k := d.IntN(40); {
				case k < 4 || kinds[name] == "":
					a := d.create(name)
					if d.IntN(6) == 0 {
						a = append(a, "-exist")
					}
					ok = b.run("", a...)
					if s := b.sets.Lookup(name); s != nil {
						kinds[name], v6[name] = s.Type().String(), s.Family() == 10
					}
				case k == 4:
					to := fmt.Sprintf("s%d", d.IntN(7))
					ok = b.run("", d.of("rename", "swap"), name, to)
				case k == 5:
					ok = b.run("", d.of("destroy", "flush"), name)
				case k == 6:
					ok = b.run("", append(strings.Fields(d.of("list", "save", "list -t", "list -n", "list -o xml", "save -o plain", "list -t -o xml", "list -s", "save -t", "save -n", "list -n -o xml")), "-q")...)
				case k == 7:
					ok = b.run("", "list", name, "-s")
				case k == 8:
					var in strings.Builder
					for range 5 {
						for j, w := range d.element(name, kinds[name], v6[name]) {
							if j > 0 {
								in.WriteByte(' ')
							}
							if strings.Contains(w, " ") {
								w = `"` + w + `"`
							}
							in.WriteString(w)
						}
						in.WriteByte('\n')
					}
					ok = b.run(in.String(), "restore")
				default:
					a := d.element(name, kinds[name], v6[name])
					if kinds[name] == "bitmap:port" && strings.Contains(a[2], "icmp") {
						continue // ipset crashes
					}
					ok = b.run("", a...)
				}
				for n := range kinds {
					if s := b.sets.Lookup(n); s != nil {
						kinds[n], v6[n] = s.Type().String(), s.Family() == 10
					}
				}
			}
			if ok {
				ok = b.run("", "save") && b.run("", "list") && b.run("", "list", "-o", "xml") && b.run("", "save", "-s")
			}
			count += b.count
			if !ok && !b.crashed {
				return
			}
		}
		t.Logf("%d commands compared", count)
	})
}
