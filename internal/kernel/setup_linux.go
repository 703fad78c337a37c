//go:build linux

package kernel

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// quiet is set before the devices exist: the machine speaks only when it is
// spoken to, and ICMP errors are not limited (the limiter draws random
// credit).
var quiet = [][2]string{
	{"net.ipv4.ip_forward", "1"},
	{"net.ipv4.conf.all.rp_filter", "0"},
	{"net.ipv4.conf.default.rp_filter", "0"},
	{"net.ipv4.conf.all.send_redirects", "0"},
	{"net.ipv4.conf.default.send_redirects", "0"},
	{"net.ipv4.conf.all.accept_redirects", "0"},
	{"net.ipv4.conf.default.accept_redirects", "0"},
	{"net.ipv4.icmp_ratelimit", "0"},
	{"net.ipv4.icmp_ratemask", "0"},
	{"net.ipv6.icmp.ratelimit", "0"},
	{"net.ipv4.icmp_msgs_per_sec", "100000000"}, // of IPv6, too
	{"net.ipv4.icmp_msgs_burst", "100000000"},
	{"net.ipv6.conf.default.accept_ra", "0"},
	{"net.ipv6.conf.default.accept_redirects", "0"},
	{"net.ipv6.conf.all.accept_redirects", "0"},
	{"net.ipv6.conf.default.router_solicitations", "0"},
	{"net.ipv6.conf.default.accept_dad", "0"},
	{"net.ipv6.conf.default.dad_transmits", "0"},
	{"net.ipv6.conf.default.addr_gen_mode", "1"},
	// Reports of multicast membership would count in OUTPUT; in weeks, they
	// do not come.
	{"net.ipv6.conf.default.mldv1_unsolicited_report_interval", "2000000000"},
	{"net.ipv6.conf.default.mldv2_unsolicited_report_interval", "2000000000"},
	{"net.ipv6.conf.all.forwarding", "1"},
	{"net.ipv6.auto_flowlabels", "0"}, // a hash with a random key
	{"net.netfilter.nf_conntrack_acct", "1"},
}

// New makes the machine. The caller closes it.
func New(c Config) (*Kernel, error) {
	ns, err := enter()
	if err != nil {
		return nil, err
	}
	k := &Kernel{ns: ns, named: c.Named, standard: map[string]string{}, raw4: -1, raw6: -1, buf: make([]byte, 1<<17)}
	err = ns.do(func() error { return k.setup(c) })
	if err == nil {
		err = k.settle()
	}
	if err == nil && c.Sets != "" {
		_, err = k.Ipset(c.Sets, "restore")
	}
	if err == nil {
		err = k.Reload(c.Rules4, c.Rules6)
	}
	if err != nil {
		k.Close()
		return nil, err
	}
	return k, nil
}

// setup runs on the namespace's thread.
func (k *Kernel) setup(c Config) error {
	for _, s := range quiet {
		if err := sysctl(s[0], s[1]); err != nil {
			return err
		}
	}
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("kernel: netlink: %w", err)
	}
	defer h.Close()
	lo, err := h.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("kernel: lo: %w", err)
	}
	if err := h.LinkSetUp(lo); err != nil {
		return fmt.Errorf("kernel: lo: %w", err)
	}
	for _, i := range c.Ifaces {
		t, err := openTun(i)
		if err != nil {
			return err
		}
		k.tuns = append(k.tuns, t)
		if err := configure(h, i); err != nil {
			return err
		}
	}
	for _, r := range c.Routes {
		if err := addRoute(h, r); err != nil {
			return err
		}
	}
	if c.Fingerprints != "" {
		k.fingerprints = c.Fingerprints
		if err := fingerprints(c.Fingerprints); err != nil {
			return err
		}
	}
	for _, r := range c.Policy {
		// The thread is the namespace's already.
		if out, err := exec.Command("ip", append([]string{r[0], "rule", "add"}, r[1:]...)...).CombinedOutput(); err != nil {
			return fmt.Errorf("kernel: policy rule %v: %w: %s", r, err, out)
		}
	}
	if err := k.setAll(c.Sysctl); err != nil {
		return err
	}
	if err := k.listen(c.Listen); err != nil {
		return err
	}
	return k.open(c.Trace)
}

// settle waits until every device has reported its multicast groups, which
// happens a tick after the last address came: afterwards the machine is
// silent, and the rules that are loaded then count nothing of it. The wait is
// bounded, since a device without IPv6 has nothing to report.
func (k *Kernel) settle() error {
	const longest, quiet = 200, 24 // ms; six ticks at HZ=250
	reported := map[string]bool{}
	for start := time.Now(); time.Since(start) < longest*time.Millisecond; {
		n, err := unix.Poll(k.poll, quiet)
		if err != nil && err != unix.EINTR {
			return fmt.Errorf("kernel: poll: %w", err)
		}
		if n == 0 && len(reported) == len(k.tuns) {
			break
		}
		for i, t := range k.tuns {
			for k.poll[i].Revents != 0 {
				if _, err := unix.Read(t.fd, k.buf); err != nil {
					break
				}
				reported[t.name] = true
			}
		}
	}
	return nil
}

// open opens the sockets. The one for events comes before the first packet:
// a connection that nobody listened for at its birth has no events.
func (k *Kernel) open(trace bool) error {
	var err error
	if k.ctl, err = openNetlink(0); err != nil {
		return err
	}
	if k.events, err = openNetlink(ctGroups); err != nil {
		return err
	}
	if trace {
		for _, family := range []string{"2", "10"} {
			if err := sysctl("net.netfilter.nf_log."+family, "nfnetlink_log"); err != nil {
				return err
			}
		}
		if k.nflog, err = openNetlink(0); err != nil {
			return err
		}
		if err := k.nflog.bindLog(0); err != nil {
			return err
		}
	}
	// IPPROTO_RAW sockets take the IP header from the caller.
	if k.raw4, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_RAW); err != nil {
		return fmt.Errorf("kernel: raw socket: %w", err)
	}
	if k.raw6, err = unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_RAW); err != nil {
		return fmt.Errorf("kernel: raw socket: %w", err)
	}
	if err := unix.SetsockoptInt(k.raw4, unix.SOL_SOCKET, unix.SO_BROADCAST, 1); err != nil {
		return fmt.Errorf("kernel: raw socket: %w", err)
	}
	for _, t := range k.tuns {
		k.poll = append(k.poll, unix.PollFd{Fd: int32(t.fd), Events: unix.POLLIN})
	}
	k.poll = append(k.poll, unix.PollFd{Fd: int32(k.events.fd), Events: unix.POLLIN})
	if k.nflog != nil {
		k.poll = append(k.poll, unix.PollFd{Fd: int32(k.nflog.fd), Events: unix.POLLIN})
	}
	return nil
}

// setAll sets keys in a fixed order, and those that were set before and are
// not named now back to what they were. It runs on the namespace's thread.
func (k *Kernel) setAll(m map[string]string) error {
	var errs []error
	for key, was := range k.standard {
		if _, ok := m[key]; !ok {
			errs = append(errs, sysctl(key, was))
			delete(k.standard, key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if _, ok := k.standard[key]; !ok {
			was, err := os.ReadFile(sysctlPath(key))
			if err != nil {
				errs = append(errs, fmt.Errorf("sysctl %s: %w", key, err))
				continue
			}
			k.standard[key] = strings.TrimSpace(string(was))
		}
		errs = append(errs, sysctl(key, m[key]))
	}
	return errors.Join(errs...)
}

// Sysctl sets keys of the running machine. Those that an earlier call or
// Config set and m does not name go back to what they were before.
func (k *Kernel) Sysctl(m map[string]string) error {
	return k.ns.do(func() error { return k.setAll(m) })
}

// tables lists the built-in chains of each table.
var tables = []struct {
	name   string
	chains []string
}{
	{"raw", []string{"PREROUTING", "OUTPUT"}},
	{"mangle", []string{"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"}},
	{"nat", []string{"PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"}},
	{"filter", []string{"INPUT", "FORWARD", "OUTPUT"}},
	{"security", []string{"INPUT", "FORWARD", "OUTPUT"}},
}

// complete adds the tables that a text does not name, empty: restoring
// replaces only the tables that it reads.
func complete(text string) string {
	named := map[string]bool{}
	for _, l := range strings.Split(text, "\n") {
		if strings.HasPrefix(l, "*") {
			named[strings.TrimSpace(l[1:])] = true
		}
	}
	var b strings.Builder
	for _, t := range tables {
		if named[t.name] {
			continue
		}
		fmt.Fprintf(&b, "*%s\n", t.name)
		for _, c := range t.chains {
			fmt.Fprintf(&b, ":%s ACCEPT [0:0]\n", c)
		}
		b.WriteString("COMMIT\n")
	}
	return b.String() + text + "\n"
}

// Reload replaces the rules of both families, counters included.
func (k *Kernel) Reload(rules4, rules6 string) error {
	if !k.named {
		rules4, rules6 = complete(rules4), complete(rules6)
	}
	for _, f := range []struct{ rules, program string }{{rules4, "iptables-legacy-restore"}, {rules6, "ip6tables-legacy-restore"}} {
		if f.rules == "" {
			continue
		}
		if _, err := k.ns.run(f.rules, f.program, "-w"); err != nil {
			return err
		}
	}
	return nil
}

// Save is the output of iptables-legacy-save -c, or of ip6tables.
func (k *Kernel) Save(v6 bool) (string, error) {
	name := "iptables-legacy-save"
	if v6 {
		name = "ip6tables-legacy-save"
	}
	return k.ns.run("", name, "-c")
}

// Conntrack runs conntrack(8) and returns its standard output.
func (k *Kernel) Conntrack(args ...string) (string, error) {
	return k.ns.run("", "conntrack", args...)
}

// Program runs a program and returns what it wrote and its exit status.
func (k *Kernel) Program(stdin, name string, args ...string) (stdout, stderr string, status int, err error) {
	return k.ns.program(stdin, name, args...)
}

// Start starts a program that goes on by itself; stop interrupts it and returns
// what it wrote to its standard output.
func (k *Kernel) Start(name string, args ...string) (stop func() (string, error), err error) {
	return k.ns.start(name, args...)
}

// Ipset runs ipset(8) with the text on its standard input.
func (k *Kernel) Ipset(stdin string, args ...string) (string, error) {
	return k.ns.run(stdin, "ipset", args...)
}

// Nfct runs nfct(8).
func (k *Kernel) Nfct(args ...string) (string, error) { return k.ns.run("", "nfct", args...) }

// Close frees the namespace. That takes some 80 ms in the kernel, which it
// does not wait for. A second call does nothing.
func (k *Kernel) Close() {
	if k.ns == nil {
		return
	}
	if k.fingerprints != "" {
		_ = fingerprints(k.fingerprints, "-d") // some may be of somebody else
	}
	tuns, fds := k.tuns, append(k.sockets, k.raw4, k.raw6)
	for _, s := range []*socket{k.ctl, k.events, k.nflog, k.queue} {
		if s != nil {
			fds = append(fds, s.fd)
		}
	}
	k.tuns, k.ctl, k.events, k.nflog, k.queue, k.raw4, k.raw6 = nil, nil, nil, nil, nil, -1, -1
	ns := k.ns
	k.ns = nil
	go func() {
		for _, t := range tuns {
			unix.Close(t.fd)
		}
		for _, fd := range fds {
			if fd >= 0 {
				unix.Close(fd)
			}
		}
		ns.leave()
	}()
}

func parseNet(p netip.Prefix) (net.IP, *net.IPNet, error) { return net.ParseCIDR(p.Masked().String()) }

// fingerprints runs nfnl_osf, which reads files only.
func fingerprints(text string, flags ...string) error {
	f, err := os.CreateTemp("", "pf.os")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if out, err := exec.Command("nfnl_osf", append(flags, "-f", f.Name())...).CombinedOutput(); err != nil {
		return fmt.Errorf("kernel: nfnl_osf: %w: %s", err, out)
	}
	return nil
}
