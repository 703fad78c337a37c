//go:build linux

package kernel

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// namespace is a network namespace that one OS thread lives in. What depends
// on the thread (opening sockets, sysctls, starting programs) runs through
// do; descriptors that are open work from everywhere.
type namespace struct {
	calls chan func()
}

// enter starts the thread. It is never given back to the scheduler's pool:
// it ends with the goroutine.
func enter() (*namespace, error) {
	if os.Geteuid() != 0 {
		return nil, ErrUnavailable
	}
	if _, err := exec.LookPath("iptables-legacy-restore"); err != nil {
		return nil, ErrUnavailable
	}
	n := &namespace{calls: make(chan func())}
	ready := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := unix.Unshare(unix.CLONE_NEWNET)
		ready <- err
		if err != nil {
			return
		}
		for f := range n.calls {
			f()
		}
	}()
	if err := <-ready; err != nil {
		if errors.Is(err, unix.EPERM) {
			return nil, ErrUnavailable
		}
		return nil, fmt.Errorf("kernel: new network namespace: %w", err)
	}
	return n, nil
}

// do runs f on the thread.
func (n *namespace) do(f func() error) error {
	done := make(chan error, 1)
	n.calls <- func() { done <- f() }
	return <-done
}

// leave ends the thread.
func (n *namespace) leave() { close(n.calls) }

// run runs a program in the namespace.
func (n *namespace) run(stdin, name string, args ...string) (string, error) {
	var out string
	err := n.do(func() (err error) {
		cmd := exec.Command(name, args...)
		cmd.Stdin = strings.NewReader(stdin)
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		err = cmd.Run()
		out = stdout.String()
		if err != nil {
			err = fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(stderr.String()))
		}
		return err
	})
	return out, err
}

// program runs a program in the namespace. A status other than 0 is no error.
func (n *namespace) program(stdin, name string, args ...string) (stdout, stderr string, status int, err error) {
	err = n.do(func() error {
		cmd := exec.Command(name, args...)
		cmd.Stdin = strings.NewReader(stdin)
		var o, e bytes.Buffer
		cmd.Stdout, cmd.Stderr = &o, &e
		err := cmd.Run()
		stdout, stderr = o.String(), e.String()
		var x *exec.ExitError
		if errors.As(err, &x) {
			status, err = x.ExitCode(), nil
		}
		return err
	})
	return stdout, stderr, status, err
}

// start starts a program in the namespace and leaves it running.
func (n *namespace) start(name string, args ...string) (stop func() (string, error), err error) {
	var cmd *exec.Cmd
	var out bytes.Buffer
	err = n.do(func() error {
		cmd = exec.Command(name, args...)
		cmd.Stdout = &out
		return cmd.Start()
	})
	if err != nil {
		return nil, err
	}
	return func() (string, error) {
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			return "", err
		}
		err := cmd.Wait()
		return out.String(), err
	}, nil
}

// sysctlPath is the file of a key. A dot inside an interface name is a slash
// in sysctl's notation.
func sysctlPath(key string) string {
	return "/proc/sys/" + strings.NewReplacer(".", "/", "/", ".").Replace(key)
}

// sysctl writes one key on the thread that calls it.
func sysctl(key, value string) error {
	f, err := os.OpenFile(sysctlPath(key), os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("sysctl %s: %w", key, err)
	}
	_, err = f.WriteString(value)
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return fmt.Errorf("sysctl %s = %s: %w", key, value, err)
	}
	return nil
}
