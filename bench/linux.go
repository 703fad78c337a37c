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

// linuxSubject is the running kernel between two TUN devices, in a network
// namespace that this thread alone lives in. A write to a TUN device runs the
// whole receive path before it returns, so that the thread's CPU time holds
// all of it.
type linuxSubject struct {
	gateway bool // else it forwards only: no tables, no conntrack
	entered bool
	tun     [2]int // by the way of what arrives there
	buf     [2048]byte
	batch   []Packet
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
	for i, addr := range []string{"10.0.0.1/8", "203.0.113.2/24"} {
		fd, err := openTun(nicNames[i])
		if err != nil {
			return errSkip{err.Error()}
		}
		s.tun[i] = fd
		for _, args := range [][]string{
			{"addr", "add", addr, "dev", nicNames[i]},
			{"link", "set", nicNames[i], "up"},
		} {
			if err := run("", "ip", args...); err != nil {
				return err
			}
		}
	}
	if err := run("", "ip", "link", "set", "lo", "up"); err != nil {
		return err
	}
	if err := run("", "ip", "route", "add", "default", "via", "203.0.113.1", "dev", "wan0"); err != nil {
		return err
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

func openTun(name string) (int, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("/dev/net/tun: %w", err)
	}
	req, err := unix.NewIfreq(name)
	if err == nil {
		req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("device %s: %w", name, err)
	}
	return fd, nil
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

func (s *linuxSubject) Push(w Way, b []byte, _ int64) []byte {
	if _, err := unix.Write(s.tun[w], b); err != nil {
		return nil
	}
	n, err := unix.Read(s.tun[1-w], s.buf[:])
	if err != nil {
		return nil
	}
	return s.buf[:n]
}

func (s *linuxSubject) Stage(_ string, batch []Packet) { s.batch = batch }

func (s *linuxSubject) Run(_, _ int64) (left int) {
	for i := range s.batch {
		p := &s.batch[i]
		if _, err := unix.Write(s.tun[p.Way], p.Data); err != nil {
			continue
		}
		if _, err := unix.Read(s.tun[1-p.Way], s.buf[:]); err == nil {
			left++
		}
	}
	return left
}

// Fixed is the hash table: a pointer a bucket.
func (s *linuxSubject) Fixed() int64 {
	return 8 * int64(readInt("/proc/sys/net/netfilter/nf_conntrack_buckets"))
}

// Memory is what the kernel's slabs hold.
func (s *linuxSubject) Memory() int64 {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		if fields := strings.Fields(sc.Text()); len(fields) > 1 && fields[0] == "Slab:" {
			kb, _ := strconv.ParseInt(fields[1], 10, 64)
			return kb << 10
		}
	}
	return 0
}

func (s *linuxSubject) Version() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "unknown"
	}
	v, _, _ := strings.Cut(unix.ByteSliceToString(u.Release[:]), "-")
	return v
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
