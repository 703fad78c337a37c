//go:build linux

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// linuxSubject is the running kernel in a network namespace that this thread
// alone lives in. Packets arrive and leave by a wire whose work is done in
// this thread, so that the thread's CPU time holds all of it.
type linuxSubject struct {
	gateway bool // else it forwards only: no tables, no conntrack
	entered bool
	wire    wire
	how     string // which wire
}

// wire is how packets come to the kernel and back.
type wire interface {
	push(Way, []byte) []byte
	stage([]Packet)
	run() int
}

func (s *linuxSubject) Variants() []string {
	if s.gateway {
		return []string{"linux"}
	}
	return []string{"linux-forwarding"}
}

func (s *linuxSubject) Translates() bool { return s.gateway }

func (s *linuxSubject) Open(conns int, rules []Rule) error {
	if os.Geteuid() != 0 {
		return errSkip{"needs root"}
	}
	for _, name := range []string{"ip", "iptables-legacy-restore"} {
		if _, err := exec.LookPath(name); err != nil {
			return errSkip{"needs " + name}
		}
	}
	if !s.entered {
		if err := s.enter(); err != nil {
			return err
		}
		s.entered = true
	}
	if !s.gateway {
		return nil
	}
	if limit := readInt("/proc/sys/net/netfilter/nf_conntrack_max"); limit > 0 && limit < conns {
		return errSkip{fmt.Sprintf("nf_conntrack_max is %d, %d are needed", limit, conns)}
	}
	if err := flushConntrack(); err != nil {
		return err
	}
	return run(GatewayText(rules), "iptables-legacy-restore", "-w")
}

// enter makes the namespace and its devices. It ends with the process.
func (s *linuxSubject) enter() error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return errSkip{"no new network namespace: " + err.Error()}
	}
	sysctls := map[string]string{
		"net.ipv4.ip_forward":                    "1",
		"net.ipv4.conf.all.rp_filter":            "0",
		"net.ipv4.conf.default.rp_filter":        "0",
		"net.ipv4.conf.all.send_redirects":       "0",
		"net.ipv6.conf.default.disable_ipv6":     "1",
		"net.ipv4.conf.default.accept_redirects": "0",
	}
	for k, v := range sysctls {
		if err := os.WriteFile("/proc/sys/"+strings.ReplaceAll(k, ".", "/"), []byte(v), 0); err != nil {
			return fmt.Errorf("sysctl %s: %w", k, err)
		}
	}
	f, err := openFrames()
	s.wire, s.how = f, "XDP frames"
	if err != nil {
		fmt.Fprintf(os.Stderr, "\nbench: TUN devices instead of XDP frames: %v\n", err)
		for _, name := range nicNames {
			_ = run("", "ip", "link", "del", name)
		}
		t, err := openTuns()
		if err != nil {
			return errSkip{err.Error()}
		}
		s.wire, s.how = t, "TUN"
	}
	// The LAN is behind a router, so that one neighbour is enough.
	for _, line := range []string{
		"link set lo up",
		"addr add 192.0.2.1/24 dev lan0",
		"addr add 203.0.113.2/24 dev wan0",
		"neigh add 192.0.2.2 lladdr 02:00:00:00:00:01 nud permanent dev lan0",
		"neigh add 203.0.113.1 lladdr 02:00:00:00:00:01 nud permanent dev wan0",
		"route add 10.0.0.0/8 via 192.0.2.2",
		"route add default via 203.0.113.1",
	} {
		if s.how == "TUN" && strings.HasPrefix(line, "neigh") {
			continue
		}
		if err := run("", "ip", strings.Fields(line)...); err != nil {
			return err
		}
	}
	if !s.gateway {
		return nil
	}
	// Loading the rules once makes the sysctls of conntrack appear.
	if err := run(GatewayText(nil), "iptables-legacy-restore", "-w"); err != nil {
		return err
	}
	for k, v := range timeouts {
		if err := os.WriteFile("/proc/sys/"+strings.ReplaceAll(k, ".", "/"), []byte(v), 0); err != nil {
			return fmt.Errorf("sysctl %s: %w", k, err)
		}
	}
	return nil
}

// run starts a program in this thread's namespace.
func run(stdin, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(out.String()))
	}
	return nil
}

// flushConntrack empties this namespace's connection table: a delete request
// of nfnetlink without a tuple.
func flushConntrack() error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	const ctnetlinkDelete = 1<<8 | 2
	msg := []byte{20, 0, 0, 0, ctnetlinkDelete & 255, ctnetlinkDelete >> 8, unix.NLM_F_REQUEST | unix.NLM_F_ACK, 0,
		1, 0, 0, 0, 0, 0, 0, 0, unix.AF_UNSPEC, 0, 0, 0}
	if err := unix.Sendto(fd, msg, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("flush of conntrack: %w", err)
	}
	var b [4096]byte
	if _, _, err := unix.Recvfrom(fd, b[:], 0); err != nil {
		return fmt.Errorf("flush of conntrack: %w", err)
	}
	return nil
}

func (s *linuxSubject) Push(w Way, b []byte, _ int64) []byte { return s.wire.push(w, b) }

func (s *linuxSubject) Stage(_ string, batch []Packet) { s.wire.stage(batch) }

func (s *linuxSubject) Run(_, _ int64) int { return s.wire.run() }

// Bulk says that single packets are slow.
func (s *linuxSubject) Bulk() bool { return true }

// Fixed is the hash table: a pointer a bucket.
func (s *linuxSubject) Fixed() int64 {
	return 8 * int64(readInt("/proc/sys/net/netfilter/nf_conntrack_buckets"))
}

// Memory is what lives in the kernel's slabs: pages would count what earlier
// tables have left free.
func (s *linuxSubject) Memory() (n int64) {
	f, err := os.Open("/proc/slabinfo")
	if err != nil {
		return 0
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		// name active_objs num_objs objsize objperslab pagesperslab …
		fields := strings.Fields(sc.Text())
		if len(fields) < 6 {
			continue
		}
		active, err := strconv.ParseInt(fields[1], 10, 64)
		perSlab, err2 := strconv.ParseInt(fields[4], 10, 64)
		pages, err3 := strconv.ParseInt(fields[5], 10, 64)
		if err == nil && err2 == nil && err3 == nil && perSlab > 0 {
			n += active * pages * int64(os.Getpagesize()) / perSlab
		}
	}
	return n
}

func (s *linuxSubject) Version() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "unknown"
	}
	v, _, _ := strings.Cut(unix.ByteSliceToString(u.Release[:]), "-")
	return v + ", " + s.how
}

func (s *linuxSubject) Close() {
	if s.entered && s.gateway {
		// What stays would count as memory of the next table.
		_ = flushConntrack()
	}
}

func readInt(path string) int {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	n, _ := strconv.Atoi(strings.TrimSpace(string(b)))
	return n
}

// raiseLimits lets the kernel's connection table grow to conns entries, in as
// many buckets. Both belong to the whole machine: restore puts them back.
func raiseLimits(conns int) (restore func(), said string) {
	const dir = "/proc/sys/net/netfilter/nf_conntrack_"
	restore = func() {}
	for _, name := range []string{"buckets", "max"} {
		old := readInt(dir + name)
		if old == 0 || old >= conns {
			continue
		}
		if os.WriteFile(dir+name, []byte(strconv.Itoa(conns)), 0) != nil {
			continue
		}
		before := restore
		restore = func() {
			_ = os.WriteFile(dir+name, []byte(strconv.Itoa(old)), 0)
			before()
		}
		said += fmt.Sprintf(" nf_conntrack_%s %d -> %d", name, old, conns)
	}
	return restore, said
}
