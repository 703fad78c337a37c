package gateway

import (
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// descriptor is a file descriptor of a queue. Go's poller is not for these: it
// watches all that happens to a descriptor all the time, and so would be woken
// by packets that a queue is about to read anyway, and by each that left.
type descriptor struct {
	fd int
	// wake is an eventfd that ends a wait when the queue has stopped.
	wake    int
	stopped atomic.Bool
	// using is held for reading while fd is in use, which close waits for.
	using  sync.RWMutex
	closed bool
}

// newDescriptor takes fd over, also if it fails.
func newDescriptor(fd int) (*descriptor, error) {
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err == nil {
		if err = unix.SetNonblock(fd, true); err != nil {
			unix.Close(wake)
		}
	}
	if err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("eventfd", err)
	}
	return &descriptor{fd: fd, wake: wake}, nil
}

// enter keeps the descriptor open until leave; false: it is closed.
func (d *descriptor) enter() bool {
	d.using.RLock()
	if d.closed {
		d.using.RUnlock()
		return false
	}
	return true
}

func (d *descriptor) leave() { d.using.RUnlock() }

// wait waits until there may be something to read; ErrClosed: the queue has
// stopped.
func (d *descriptor) wait() error {
	if d.stopped.Load() {
		return ErrClosed
	}
	fds := [2]unix.PollFd{{Fd: int32(d.fd), Events: unix.POLLIN}, {Fd: int32(d.wake), Events: unix.POLLIN}}
	if _, err := unix.Ppoll(fds[:], nil, nil); err != nil && err != unix.EINTR {
		return os.NewSyscallError("ppoll", err)
	}
	if d.stopped.Load() {
		return ErrClosed
	}
	return nil
}

// stop ends every wait.
func (d *descriptor) stop() error {
	if d.stopped.Swap(true) {
		return nil
	}
	_, err := unix.Write(d.wake, []byte{1, 1, 1, 1, 1, 1, 1, 1}) // any number but 0
	return os.NewSyscallError("eventfd", err)
}

// resume takes back a stop, of which all have heard.
func (d *descriptor) resume() error {
	var b [8]byte
	_, err := unix.Read(d.wake, b[:])
	d.stopped.Store(false)
	return os.NewSyscallError("eventfd", err)
}

// close ends all use and closes; a second time it does nothing.
func (d *descriptor) close() error {
	_ = d.stop()
	d.using.Lock()
	defer d.using.Unlock()
	if d.closed {
		return nil
	}
	d.closed = true
	unix.Close(d.wake)
	return os.NewSyscallError("close", unix.Close(d.fd))
}

// failed is why a socket cannot be read any more; nil if it can.
func (d *descriptor) failed() error {
	e, err := unix.GetsockoptInt(d.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && e != 0 {
		err = unix.Errno(e)
	}
	return os.NewSyscallError("socket", err)
}
