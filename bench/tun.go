//go:build linux

package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// tuns lets packets arrive by writing to TUN devices: two system calls a
// packet, and everything between in the first of them. For kernels that
// cannot do frames.
type tuns struct {
	fd    [2]int // by the way of what arrives there
	buf   [2048]byte
	batch []Packet
}

func openTuns() (*tuns, error) {
	t := &tuns{}
	for i, name := range nicNames {
		fd, err := openTun(name)
		if err != nil {
			return nil, err
		}
		t.fd[i] = fd
		if err := run("", "ip", "link", "set", name, "up"); err != nil {
			return nil, err
		}
	}
	return t, nil
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

func (t *tuns) push(w Way, b []byte) []byte {
	if _, err := unix.Write(t.fd[w], b); err != nil {
		return nil
	}
	n, err := unix.Read(t.fd[1-w], t.buf[:])
	if err != nil {
		return nil
	}
	return t.buf[:n]
}

func (t *tuns) stage(batch []Packet) { t.batch = batch }

func (t *tuns) run() (left int) {
	for i := range t.batch {
		p := &t.batch[i]
		if _, err := unix.Write(t.fd[p.Way], p.Data); err != nil {
			continue
		}
		if _, err := unix.Read(t.fd[1-p.Way], t.buf[:]); err == nil {
			left++
		}
	}
	return left
}
