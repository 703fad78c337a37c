//go:build linux

package kernel

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// Numbers of linux/netfilter/nfnetlink.h and its neighbours.
const (
	subCT, subExp, subLog = 1, 2, 4

	ctGroups = 1<<0 | 1<<1 | 1<<2 | 1<<3 | 1<<5 // NEW UPDATE DESTROY EXP_NEW EXP_DESTROY

	msgNew, msgGet, msgDelete, msgStats = 0, 1, 2, 4
	logPacket, logConfig                = 0, 1
)

// message is one message of nfnetlink without its headers.
type message struct {
	sub, typ uint8
	flags    uint16
	family   uint8
	resID    uint16
	attrs    []byte
}

// socket is a socket of NETLINK_NETFILTER.
type socket struct {
	fd  int
	seq uint32
}

// openNetlink opens a socket in the namespace of the calling thread.
func openNetlink(groups uint32) (*socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("kernel: nfnetlink: %w", err)
	}
	// Room for what one packet can cause; a lost event would look like a
	// difference.
	if err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20); err == nil {
		err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups})
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("kernel: nfnetlink: %w", err)
	}
	return &socket{fd: fd}, nil
}

// read calls f for every message that is there, and does not wait.
func (s *socket) read(buf []byte, f func(message)) error {
	for {
		n, _, err := unix.Recvfrom(s.fd, buf, unix.MSG_DONTWAIT)
		switch {
		case err == unix.EAGAIN:
			return nil
		case err == unix.EINTR:
			continue
		case err != nil:
			return fmt.Errorf("kernel: nfnetlink: %w", err)
		}
		if _, err := each(buf[:n], f); err != nil {
			return err
		}
	}
}

// request sends one message and calls f for the answers until the last.
func (s *socket) request(sub, typ, family uint8, flags uint16, resID uint16, attrs []byte, f func(message)) error {
	s.seq++
	b := make([]byte, 20, 20+len(attrs))
	binary.NativeEndian.PutUint32(b, uint32(20+len(attrs)))
	binary.NativeEndian.PutUint16(b[4:], uint16(sub)<<8|uint16(typ))
	binary.NativeEndian.PutUint16(b[6:], flags|unix.NLM_F_REQUEST)
	binary.NativeEndian.PutUint32(b[8:], s.seq)
	b[16] = family
	binary.BigEndian.PutUint16(b[18:], resID)
	b = append(b, attrs...)
	if err := unix.Sendto(s.fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("kernel: nfnetlink: %w", err)
	}
	buf := make([]byte, 1<<17)
	for {
		n, _, err := unix.Recvfrom(s.fd, buf, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("kernel: nfnetlink: %w", err)
		}
		if last, err := each(buf[:n], f); last || err != nil {
			return err
		}
	}
}

// each splits a datagram. last says that an answer is complete.
func each(b []byte, f func(message)) (last bool, err error) {
	for len(b) >= 16 {
		n := int(binary.NativeEndian.Uint32(b))
		if n < 16 || n > len(b) {
			return true, fmt.Errorf("kernel: nfnetlink: message of %d bytes in %d", n, len(b))
		}
		typ, flags := binary.NativeEndian.Uint16(b[4:]), binary.NativeEndian.Uint16(b[6:])
		switch {
		case typ == unix.NLMSG_DONE:
			return true, nil
		case typ == unix.NLMSG_ERROR && n >= 20:
			if e := int32(binary.NativeEndian.Uint32(b[16:])); e != 0 {
				return true, unix.Errno(-e)
			}
			return true, nil
		case n >= 20 && f != nil:
			f(message{
				sub: uint8(typ >> 8), typ: uint8(typ), flags: flags,
				family: b[16], resID: binary.BigEndian.Uint16(b[18:]), attrs: b[20:n],
			})
		}
		b = b[min(len(b), (n+3)&^3):]
	}
	return false, nil
}

// attrs calls f for each attribute of a list.
func attrs(b []byte, f func(typ uint16, v []byte)) {
	for len(b) >= 4 {
		n := int(binary.NativeEndian.Uint16(b))
		if n < 4 || n > len(b) {
			return
		}
		f(binary.NativeEndian.Uint16(b[2:])&0x3fff, b[4:n])
		b = b[min(len(b), (n+3)&^3):]
	}
}

// attr appends one attribute.
func attr(b []byte, typ uint16, v []byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(4+len(v)))
	b = binary.NativeEndian.AppendUint16(b, typ)
	b = append(b, v...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// nested appends an attribute that holds attributes.
func nested(b []byte, typ uint16, v []byte) []byte { return attr(b, typ|0x8000, v) }

func be16(v uint16) []byte { return binary.BigEndian.AppendUint16(nil, v) }
func be32(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }

// number reads a big-endian attribute of 1, 2, 4 or 8 bytes.
func number(v []byte) (n uint64) {
	for _, c := range v {
		n = n<<8 | uint64(c)
	}
	return n
}
