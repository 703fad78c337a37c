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
