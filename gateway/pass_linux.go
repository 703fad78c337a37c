package gateway

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"weir/machine"
)

// passable is a device whose descriptors another process can use.
type passable interface{ descriptors() []int }

// Open opens the device of a link with up to queues queues. It stays down.
func Open(l machine.Link, queues int) (Device, error) { return open(l, queues) }

// Files are the descriptors of a device, for SendFiles and Adopt in another
// process; they belong to the device. false: it has none.
func Files(d Device) ([]int, bool) {
	if e, ok := d.(*Ethernet); ok {
		p, ok := e.FrameDevice.(passable)
		if !ok {
			return nil, false
		}
		return p.descriptors(), true
	}
	p, ok := d.(passable)
	if !ok {
		return nil, false
	}
	return p.descriptors(), true
}

// Adopt makes a device of descriptors that came from Files, which belong to it
// from then on. Its Up does nothing: that is for who opened it.
func Adopt(l machine.Link, files []*os.File) (Device, error) {
	if len(files) == 0 {
		return nil, fmt.Errorf("interface %s: no descriptors", l.Iface.Name)
	}
	switch l.Kind {
	case machine.TUN:
		t := &tun{name: l.Device, mtu: l.Iface.MTU, adopted: true}
		for _, f := range files {
			fd, err := own(f)
			if err != nil {
				return nil, err
			}
			q, err := newTUNQueue(fd)
			if err != nil {
				return nil, err
			}
			t.queues = append(t.queues, q)
		}
		return t, nil
	case machine.PacketDev:
		p := &packetDev{name: l.Device, mtu: l.Iface.MTU, adopted: true}
		for _, f := range files {
			fd, err := own(f)
			if err != nil {
				return nil, err
			}
			index, err := boundTo(fd)
			if err != nil {
				unix.Close(fd)
				return nil, err
			}
			q, err := newPacketQueue(fd, index)
			if err != nil {
				return nil, err
			}
			p.queues = append(p.queues, q)
		}
		return NewEthernet(p, l.Iface.MAC), nil
	case machine.XDP:
		return adoptXDP(l.Device, l.Iface.MAC, files)
	}
	return nil, fmt.Errorf("interface %s: link %s cannot be handed over", l.Iface.Name, l.Kind)
}

// own closes f and returns a descriptor of its own of the same.
func own(f *os.File) (fd int, err error) {
	defer f.Close()
	raw, err := f.SyscallConn()
	if err != nil {
		return -1, err
	}
	if cerr := raw.Control(func(old uintptr) { fd, err = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) }); cerr != nil {
		return -1, cerr
	}
	return fd, os.NewSyscallError("fcntl", err)
}

// boundTo is the index of the device of a packet socket.
func boundTo(fd int) (index int, err error) {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return 0, os.NewSyscallError("getsockname", err)
	}
	l, ok := sa.(*unix.SockaddrLinklayer)
	if !ok {
		return 0, errors.New("not a packet socket")
	}
	return l.Ifindex, nil
}

// maxFiles is how many descriptors Linux sends at once.
const maxFiles = 250

// SendFiles sends a byte with descriptors.
func SendFiles(c *net.UnixConn, msg []byte, fds []int) error {
	if len(msg) != 1 || len(fds) > maxFiles {
		return errors.New("not one byte, or too many descriptors")
	}
	_, _, err := c.WriteMsgUnix(msg, unix.UnixRights(fds...), nil)
	return err
}

// ReceiveFiles receives what SendFiles sent.
func ReceiveFiles(c *net.UnixConn) (msg []byte, files []*os.File, err error) {
	msg = make([]byte, 1)
	oob := make([]byte, unix.CmsgSpace(4*maxFiles))
	n, k, flags, _, err := c.ReadMsgUnix(msg, oob)
	if err == nil && n == 0 && k == 0 {
		err = io.EOF
	}
	if err != nil {
		return nil, nil, err
	}
	list, err := unix.ParseSocketControlMessage(oob[:k])
	if err != nil {
		return nil, nil, err
	}
	for i := range list {
		fds, ferr := unix.ParseUnixRights(&list[i])
		if ferr != nil {
			continue // credentials or the like
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			err = errors.Join(err, unix.SetNonblock(fd, true))
			files = append(files, os.NewFile(uintptr(fd), "received"))
		}
	}
	if flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
		err = errors.Join(err, errors.New("a message that was cut off"))
	}
	if err != nil {
		for _, f := range files {
			f.Close()
		}
		return nil, nil, err
	}
	return msg[:n], files, nil
}
