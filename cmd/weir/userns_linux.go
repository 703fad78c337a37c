package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"

	"weir/gateway"
	"weir/machine"
)

// usernsEnv says in which of the three processes of --userns weir is: the
// first makes a user and a network namespace, in which the second is root and
// carries packets; the third, in a network namespace of its own, becomes the
// command.
const usernsEnv = "WEIR_USERNS"

const (
	usernsCarrier = "carrier"
	usernsCommand = "command"
)

// userns is what --userns needs while a gateway runs; nil without.
type userns struct {
	inside  machine.Link // whose other end the command has
	devices map[string]gateway.Device
	outside []machine.Link
	routes  *machine.Machine
	conn    *net.UnixConn
	child   *exec.Cmd
	ended   chan error
	status  error // of the command
}

// usernsStage is the first process and the third, which do not carry packets.
// done: err is the outcome.
func (c *runCmd) usernsStage(e *env) (done bool, err error) {
	switch os.Getenv(usernsEnv) {
	case "":
		return true, c.usernsFirst(e)
	case usernsCommand:
		return true, c.usernsBecome()
	}
	return false, nil
}

// usernsFirst starts weir again as root of a user namespace.
func (c *runCmd) usernsFirst(e *env) error {
	if len(c.command()) == 0 {
		return usagef("run: --userns needs a command, as in weir run --userns MACHINE -- bash")
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = e.stdin, e.stdout, e.stderr
	cmd.Env = append(os.Environ(), usernsEnv+"="+usernsCarrier)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	signal.Ignore(os.Interrupt) // the terminal's signals are for the command
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("a user namespace cannot be made: %w", err)
	}
	go func() {
		for range term {
			_ = cmd.Process.Signal(syscall.SIGTERM)
		}
	}()
	return statusOf(cmd.Wait())
}

// statusOf is the end of a program as weir's own.
func statusOf(err error) error {
	var x *exec.ExitError
	if errors.As(err, &x) && x.ExitCode() >= 0 {
		return exitStatus(x.ExitCode())
	}
	return err
}

// command is the program and its arguments.
func (c *runCmd) command() []string {
	if len(c.Command) > 0 && c.Command[0] == "--" {
		return c.Command[1:]
	}
	return c.Command
}

// insideLink is the link whose other end the command gets: the first.
func insideLink(m *machine.Machine) (machine.Link, error) {
	for _, l := range m.Links {
		if l.Kind != machine.TUN {
			return l, fmt.Errorf("%s: interface %s: with --userns every link is a tun", m.Dir, l.Iface.Name)
		}
	}
	if len(m.Links) == 0 {
		return machine.Link{}, fmt.Errorf("%s: no interface has a link", m.Dir)
	}
	return m.Links[0], nil
}

// usernsBecome makes the first interface's device in its own network namespace,
// hands it to weir, waits until weir runs, and becomes the command.
func (c *runCmd) usernsBecome() error {
	m, errs := machine.Load(c.Machine)
	if len(errs) > 0 {
		return errorList(errs)
	}
	l, err := insideLink(m)
	if err != nil {
		return err
	}
	conn, err := unixConn(os.NewFile(3, "weir"))
	if err != nil {
		return err
	}
	dev, err := gateway.Open(l, 1)
	if err != nil {
		return err
	}
	if err := dev.Up(); err != nil {
		return err
	}
	lines := []string{"link set lo up"}
	for _, a := range l.Iface.Addrs {
		peer, ok := neighbourOf(a.Prefix)
		if !ok {
			continue
		}
		lines = append(lines, addressLine(peer, a.Prefix.Bits(), l.Device), "route add default via "+a.Prefix.Addr().String()+" dev "+l.Device)
	}
	if err := ip(lines); err != nil {
		return err
	}
	files, _ := gateway.Files(dev)
	if err := gateway.SendFiles(conn, []byte{1}, files); err != nil {
		return err
	}
	if _, _, err := gateway.ReceiveFiles(conn); err != nil {
		return exitStatus(exitFailed) // weir has said why
	}
	args := c.command()
	path, err := exec.LookPath(args[0])
	if err != nil {
		return err
	}
	return syscall.Exec(path, args, without(os.Environ(), usernsEnv))
}

func without(env []string, name string) (list []string) {
	for _, v := range env {
		if !strings.HasPrefix(v, name+"=") {
			list = append(list, v)
		}
	}
	return list
}

// neighbourOf is an address beside one of the machine's in its network: the
// next, or if that is none of a host the one before.
func neighbourOf(p netip.Prefix) (netip.Addr, bool) {
	a := p.Addr()
	if a.Is6() && a.IsLinkLocalUnicast() || p.IsSingleIP() {
		return netip.Addr{}, false
	}
	if n := a.Next(); n.IsValid() && p.Contains(n) && (a.Is6() || p.Bits() > 30 || p.Contains(n.Next())) {
		return n, true
	}
	n := a.Prev()
	return n, n.IsValid() && p.Contains(n) && (p.Bits() > 30 || n != p.Masked().Addr())
}

func addressLine(a netip.Addr, bits int, dev string) string {
	line := fmt.Sprintf("addr add %s/%d dev %s", a, bits, dev)
	if a.Is6() {
		line += " nodad"
	}
	return line
}

// ip runs lines of ip(8).
func ip(lines []string) error {
	for _, line := range lines {
		out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("ip %s: %w: %s", line, err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}

// unixConn makes a connection of an inherited socket.
func unixConn(f *os.File) (*net.UnixConn, error) {
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		return nil, errors.New("not a unix socket")
	}
	return u, nil
}

// startUserns starts the third process and takes its device.
func (c *runCmd) startUserns(e *env) (*userns, error) {
	m, errs := machine.Load(c.Machine)
	if len(errs) > 0 {
		return nil, errorList(errs)
	}
	l, err := insideLink(m)
	if err != nil {
		return nil, err
	}
	signal.Ignore(os.Interrupt)
	if err := ip([]string{"link set lo up"}); err != nil {
		return nil, err
	}
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	theirs := os.NewFile(uintptr(fds[1]), "weir")
	u := &userns{inside: l, routes: m, ended: make(chan error, 1)}
	if u.conn, err = unixConn(os.NewFile(uintptr(fds[0]), "command")); err != nil {
		return nil, err
	}
	u.child = exec.Command("/proc/self/exe", os.Args[1:]...)
	u.child.Stdin, u.child.Stdout, u.child.Stderr = e.stdin, e.stdout, e.stderr
	u.child.Env = append(without(os.Environ(), usernsEnv), usernsEnv+"="+usernsCommand)
	u.child.ExtraFiles = []*os.File{theirs}
	u.child.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	err = u.child.Start()
	theirs.Close()
	if err != nil {
		return nil, err
	}
	go func() { u.ended <- u.child.Wait() }()
	_, files, err := gateway.ReceiveFiles(u.conn)
	if err != nil {
		return nil, statusOf(<-u.ended)
	}
	dev, err := gateway.Adopt(l, files)
	if err != nil {
		return nil, err
	}
	u.devices = map[string]gateway.Device{l.Iface.Name: dev}
	u.outside = m.Links[1:]
	return u, nil
}

// opened gives this namespace, the outside, its addresses on the other devices:
// the gateways of the routes, else the next address.
func (u *userns) opened() error {
	var lines []string
	for _, l := range u.outside {
		for _, a := range l.Iface.Addrs {
			peer, ok := neighbourOf(a.Prefix)
			for _, r := range u.routes.Routes {
				if r.Via.IsValid() && a.Prefix.Contains(r.Via) {
					peer, ok = r.Via, true
				}
			}
			if ok {
				lines = append(lines, addressLine(peer, a.Prefix.Bits(), l.Device))
			}
		}
	}
	return ip(lines)
}

// ready lets the command begin.
func (u *userns) ready() { _ = gateway.SendFiles(u.conn, []byte{1}, nil) }
