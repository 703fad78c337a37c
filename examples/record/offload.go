//go:build linux

package main

import (
	"fmt"
	"syscall"
	"unsafe"
)

// offload makes interfaces send packets as a wire would carry them: no
// segments larger than the MTU, every checksum complete. It does what
// "ethtool -K IF rx off tx off sg off tso off gso off gro off" does.
func offload(names []string) error {
	// ETHTOOL_SRXCSUM, STXCSUM, SSG, STSO, SGSO, SGRO
	settings := []uint32{0x15, 0x17, 0x19, 0x1f, 0x24, 0x2c}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	const siocEthtool = 0x8946
	for _, name := range names {
		for _, command := range settings {
			value := struct{ command, data uint32 }{command, 0}
			request := struct {
				name [syscall.IFNAMSIZ]byte
				data unsafe.Pointer
				_    [16]byte
			}{data: unsafe.Pointer(&value)}
			copy(request.name[:syscall.IFNAMSIZ-1], name)
			_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), siocEthtool, uintptr(unsafe.Pointer(&request)))
			if errno != 0 {
				return fmt.Errorf("%s, setting %#x: %w", name, command, errno)
			}
		}
	}
	return nil
}
