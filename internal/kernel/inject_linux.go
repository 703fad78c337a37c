//go:build linux

package kernel

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Kernel is one machine. Make one with New.
type Kernel struct {
	ns     *namespace
	tuns   []*tun
	events *socket // of connection tracking
	nflog  *socket // nil without Config.Trace
	queue  *socket // of Hold
	held   []uint32
	ctl    *socket // requests and answers
	raw4   int
	raw6   int
	poll   []unix.PollFd // tuns, events, nflog
	buf    []byte
	// sockets are those of Config.Listen.
	sockets      []int
	fingerprints string // that Close takes away
	named        bool   // Config.Named
	queueNum     uint16
	// standard is what the keys of Config.Sysctl were before.
	standard map[string]string
}

// Inject lets a packet arrive on a device, from the IP header on.
func (k *Kernel) Inject(dev string, pkt []byte) (Result, error) {
	for _, t := range k.tuns {
		if t.name != dev {
			continue
		}
		if err := k.drain(); err != nil {
			return Result{}, err
		}
		if _, err := unix.Write(t.fd, pkt); err != nil {
			return Result{}, fmt.Errorf("kernel: packet to %s: %w", dev, err)
		}
		return k.collect()
	}
	return Result{}, fmt.Errorf("kernel: no device %q", dev)
}

// InjectFrame lets a packet arrive in an Ethernet frame.
func (k *Kernel) InjectFrame(dev string, dst, src [6]byte, pkt []byte) (Result, error) {
	f := append(append(append([]byte(nil), dst[:]...), src[:]...), 0x08, 0)
	if len(pkt) > 0 && pkt[0]>>4 == 6 {
		f[12], f[13] = 0x86, 0xdd
	}
	return k.Inject(dev, append(f, pkt...))
}

// SendLocal lets the machine itself send a packet with a mark: it enters at
// OUTPUT. For IPv4 the kernel writes the total length and the header
// checksum, and an id where it is 0.
func (k *Kernel) SendLocal(pkt []byte, mark uint32) (Result, error) {
	if len(pkt) < 20 {
		return Result{}, errors.New("kernel: local packet without a header")
	}
	fd, to := k.raw4, unix.Sockaddr(nil)
	switch {
	case pkt[0]>>4 == 4:
		to = &unix.SockaddrInet4{Addr: [4]byte(pkt[16:20])}
	case pkt[0]>>4 == 6 && len(pkt) >= 40:
		fd, to = k.raw6, &unix.SockaddrInet6{Addr: [16]byte(pkt[24:40])}
	default:
		return Result{}, errors.New("kernel: local packet without a header")
	}
	if err := k.drain(); err != nil {
		return Result{}, err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(mark)); err != nil {
		return Result{}, fmt.Errorf("kernel: mark: %w", err)
	}
	refused := unix.Sendto(fd, pkt, 0, to)
	res, err := k.collect()
	res.Refused = refused
	return res, err
}

// Pending is what came by itself since the last packet: timers.
func (k *Kernel) Pending() (Result, error) { return k.collect() }

// drain throws away what came by itself since the last packet: timers.
func (k *Kernel) drain() error {
	_, err := k.collect()
	return err
}

// collect reads everything that is ready.
func (k *Kernel) collect() (res Result, err error) {
	for {
		n, err := unix.Poll(k.poll, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return res, fmt.Errorf("kernel: poll: %w", err)
		}
		if n == 0 {
			return res, nil
		}
		for i := range k.poll {
			if k.poll[i].Revents == 0 {
				continue
			}
			switch {
			case i < len(k.tuns):
				err = k.readTun(k.tuns[i], &res)
			case i == len(k.tuns):
				err = k.events.read(k.buf, func(m message) { res.event(m) })
			default:
				err = k.nflog.read(k.buf, func(m message) { res.log(m) })
			}
			if err != nil {
				return res, err
			}
		}
	}
}

// readTun reads all that left by one device.
func (k *Kernel) readTun(t *tun, res *Result) error {
	for {
		n, err := unix.Read(t.fd, k.buf)
		switch {
		case err == unix.EAGAIN:
			return nil
		case err == unix.EINTR:
		case err != nil:
			return fmt.Errorf("kernel: %s: %w", t.name, err)
		case !noise(k.buf[min(n, t.head):n]):
			res.Out = append(res.Out, Output{Dev: t.name, Data: append([]byte(nil), k.buf[min(n, t.head):n]...)})
		}
	}
}

// noise says whether a packet is one that the kernel sends by itself: reports
// of multicast membership and router solicitations.
func noise(p []byte) bool {
	if len(p) < 48 || p[0]>>4 != 6 || p[24] != 0xff {
		return false
	}
	at, next := 40, p[6]
	if next == 0 { // hop-by-hop options
		at, next = 40+8*(int(p[41])+1), p[40]
	}
	if next != 58 || at >= len(p) {
		return false
	}
	switch p[at] {
	case 131, 132, 133, 143:
		// :: or link-local is the machine's own; a forwarded report
		// cannot have these.
		return [16]byte(p[8:24]) == [16]byte{} || p[8] == 0xfe && p[9]&0xc0 == 0x80
	}
	return false
}
