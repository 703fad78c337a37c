package gateway

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// writev writes two pieces as one packet. A nil error is all of it.
func writev(fd uintptr, head, data []byte) error {
	if len(data) == 0 {
		return unix.EINVAL
	}
	v := [2]unix.Iovec{{Base: &head[0]}, {Base: &data[0]}}
	v[0].SetLen(len(head))
	v[1].SetLen(len(data))
	for {
		_, _, e := unix.Syscall(unix.SYS_WRITEV, fd, uintptr(unsafe.Pointer(&v[0])), 2)
		switch e {
		case 0:
			return nil
		case unix.EINTR:
		default:
			return e
		}
	}
}

// linkUp gives a device its MTU and switches it on.
func linkUp(name string, mtu int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq(name)
	if err != nil {
		return fmt.Errorf("device %s: %w", name, err)
	}
	if mtu > 0 {
		req.SetUint32(uint32(mtu))
		if err := unix.IoctlIfreq(fd, unix.SIOCSIFMTU, req); err != nil {
			return fmt.Errorf("device %s: MTU %d: %w", name, mtu, err)
		}
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, req); err != nil {
		return fmt.Errorf("device %s: flags: %w", name, err)
	}
	req.SetUint16(req.Uint16() | unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req); err != nil {
		return fmt.Errorf("device %s: up: %w", name, err)
	}
	return nil
}

// deviceName asks a socket, not of AF_XDP, whether there is a device of an index; an error
// says that there is none.
func deviceName(fd, index int) error {
	req, err := unix.NewIfreq("")
	if err != nil {
		return err
	}
	req.SetUint32(uint32(index))
	if err = unix.IoctlIfreq(fd, unix.SIOCGIFNAME, req); err == unix.ENODEV || err == unix.ENXIO {
		return os.NewSyscallError("SIOCGIFNAME", err)
	}
	return nil
}
