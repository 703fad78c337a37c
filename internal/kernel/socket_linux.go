//go:build linux

package kernel

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// listen opens the sockets. A filter that takes no packet keeps a TCP socket
// from answering: the packet counts as delivered and ends there.
func (k *Kernel) listen(list []Socket) error {
	for _, s := range list {
		typ := unix.SOCK_DGRAM
		if s.TCP {
			typ = unix.SOCK_STREAM
		}
		family, to := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: int(s.Addr.Port()), Addr: s.Addr.Addr().As16()})
		if s.Addr.Addr().Is4() {
			family, to = unix.AF_INET, &unix.SockaddrInet4{Port: int(s.Addr.Port()), Addr: s.Addr.Addr().As4()}
		}
		fd, err := unix.Socket(family, typ|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err == nil {
			k.sockets = append(k.sockets, fd)
			none := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K}
			err = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &none})
		}
		if err == nil && family == unix.AF_INET6 && s.Addr.Addr().IsUnspecified() {
			err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0)
		}
		if err == nil {
			err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
		}
		if err == nil && s.Transparent {
			level, option := unix.SOL_IP, unix.IP_TRANSPARENT
			if family == unix.AF_INET6 {
				level, option = unix.SOL_IPV6, unix.IPV6_TRANSPARENT
			}
			err = unix.SetsockoptInt(fd, level, option, 1)
		}
		if err == nil && s.Mark != 0 {
			err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(s.Mark))
		}
		if err == nil && s.Dev != "" {
			err = unix.BindToDevice(fd, s.Dev)
		}
		if err == nil {
			err = unix.Bind(fd, to)
		}
		switch {
		case err != nil:
		case s.Peer.IsValid():
			err = connect(fd, family, s)
		case s.TCP:
			err = unix.Listen(fd, 1)
		}
		if err != nil {
			return fmt.Errorf("kernel: socket %s: %w", s.Addr, err)
		}
	}
	return nil
}

// connect connects a socket to its peer without a packet: one of TCP by the
// repair mode.
func connect(fd, family int, s Socket) error {
	if s.TCP {
		if err := unix.SetsockoptInt(fd, unix.SOL_TCP, unix.TCP_REPAIR, 1); err != nil {
			return err
		}
	}
	if family == unix.AF_INET {
		return unix.Connect(fd, &unix.SockaddrInet4{Port: int(s.Peer.Port()), Addr: s.Peer.Addr().As4()})
	}
	return unix.Connect(fd, &unix.SockaddrInet6{Port: int(s.Peer.Port()), Addr: s.Peer.Addr().As16()})
}

// SNMP is what the machine's IP counted: the lines of net/snmp, net/snmp6 and
// net/netstat by name, as "Ip.InDelivers" and "Ip6InDelivers".
func (k *Kernel) SNMP() (map[string]uint64, error) {
	m := map[string]uint64{}
	err := k.ns.do(func() error {
		for _, name := range []string{"snmp", "netstat", "snmp6"} {
			b, err := os.ReadFile("/proc/thread-self/net/" + name)
			if err != nil {
				return fmt.Errorf("kernel: %w", err)
			}
			maps.Copy(m, snmp(string(b)))
		}
		return nil
	})
	return m, err
}

// snmp reads either form: a line of names over a line of values, or a name and
// its value on each line.
func snmp(text string) map[string]uint64 {
	m := map[string]uint64{}
	var names []string
	for l := range strings.Lines(text) {
		w := strings.Fields(l)
		switch {
		case len(w) == 2 && !strings.HasSuffix(w[0], ":"):
			m[w[0]], _ = strconv.ParseUint(w[1], 10, 64)
		case len(w) > 1 && (len(names) == 0 || names[0] != w[0]):
			names = slices.Clone(w)
		case len(w) == len(names):
			for i := 1; i < len(w); i++ {
				m[strings.TrimSuffix(w[0], ":")+"."+names[i]], _ = strconv.ParseUint(w[i], 10, 64)
			}
			names = nil
		}
	}
	return m
}
