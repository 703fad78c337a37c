package gateway

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// tun is a TUN device: one descriptor a queue.
type tun struct {
	name   string
	mtu    int
	queues []*tunQueue
	// adopted: it was set up by who opened it, perhaps in another namespace.
	adopted bool
}

// tunQueue is one queue. Each packet has a virtio-net header in front.
type tunQueue struct {
	f    *os.File
	raw  rawConn
	bufs [][]byte
}

// Limits of a read: packets, and bytes after which no further one is taken, so
// that what is read is still in the cache when it is sent.
const (
	tunBatch = 64
	tunBytes = 64 << 10
)

// tunOffloads is what the kernel may leave to the reader of a TUN device: TUN_F_CSUM,
// TSO4, TSO6, TSO_ECN. Segments of UDP (USO4, USO6) are asked for if it has them.
const (
	tunOffloads = 1 | 2 | 4 | 8
	tunUDP      = 0x20 | 0x40
)

// openTUN attaches to a TUN device, which is made if it is not there, with up
// to queues queues. It stays down until Up.
func openTUN(name string, mtu, queues int) (*tun, error) {
	t := &tun{name: name, mtu: mtu}
	for i := range max(queues, 1) {
		q, err := openTUNQueue(name, i == 0)
		if i > 0 && (errors.Is(err, unix.EINVAL) || errors.Is(err, unix.E2BIG)) {
			break // made with one queue only
		}
		if err != nil {
			t.Close()
			return nil, fmt.Errorf("TUN device %s: %w", name, err)
		}
		t.queues = append(t.queues, q)
	}
	return t, nil
}

func openTUNQueue(name string, first bool) (*tunQueue, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("open /dev/net/tun", err)
	}
	req, err := unix.NewIfreq(name)
	if err == nil {
		req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR | unix.IFF_MULTI_QUEUE)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
		if first && errors.Is(err, unix.EINVAL) {
			req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
			err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
		}
	}
	if err == nil && unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, tunOffloads|tunUDP) != nil {
		err = unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, tunOffloads)
	}
	if err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("TUNSETIFF", err)
	}
	return newTUNQueue(os.NewFile(uintptr(fd), name))
}

// newTUNQueue makes a queue of a descriptor that is set up.
func newTUNQueue(f *os.File) (*tunQueue, error) {
	q := &tunQueue{f: f, bufs: make([][]byte, tunBatch)}
	var err error
	if q.raw, err = f.SyscallConn(); err != nil {
		f.Close()
		return nil, err
	}
	return q, nil
}

func (t *tun) files() (list []*os.File) {
	for _, q := range t.queues {
		list = append(list, q.f)
	}
	return list
}

func (t *tun) Name() string { return t.name }
func (t *tun) MTU() int     { return t.mtu }

func (t *tun) Offloads() bool { return true }

func (t *tun) Up() error {
	if t.adopted {
		return nil
	}
	return linkUp(t.name, t.mtu)
}

func (t *tun) Queues() []Queue {
	list := make([]Queue, len(t.queues))
	for i, q := range t.queues {
		list[i] = q
	}
	return list
}

func (t *tun) Stop() (err error) {
	for _, q := range t.queues {
		err = errors.Join(err, q.f.SetReadDeadline(time.Unix(1, 0)))
	}
	return err
}

// Resume takes back a Stop.
func (t *tun) Resume() (err error) {
	for _, q := range t.queues {
		err = errors.Join(err, q.f.SetReadDeadline(time.Time{}))
	}
	return err
}

func (t *tun) Close() (err error) {
	for _, q := range t.queues {
		err = errors.Join(err, q.f.Close())
	}
	return err
}

// Read implements Queue.
func (q *tunQueue) Read(batch []Packet) (n int, err error) {
	total := 0
	perr := q.raw.Read(func(fd uintptr) bool {
		for n < min(len(batch), len(q.bufs)) && total < tunBytes {
			if q.bufs[n] == nil {
				q.bufs[n] = make([]byte, vnetLen+maxPacket)
			}
			k, e := unix.Read(int(fd), q.bufs[n])
			if e == unix.EINTR {
				continue
			}
			if e == unix.EAGAIN {
				return n > 0
			}
			if e != nil {
				err = os.NewSyscallError("read", e)
				return true
			}
			if k <= vnetLen {
				continue
			}
			head, data := q.bufs[n][:vnetLen], q.bufs[n][vnetLen:k]
			o, ok := readVnet(head, data, 0)
			if !ok {
				data = data[:0] // the engine counts it as malformed
			}
			batch[n] = Packet{Data: data, Offload: o}
			total += k
			n++
		}
		return true
	})
	if errors.Is(perr, os.ErrClosed) || errors.Is(perr, os.ErrDeadlineExceeded) {
		return 0, ErrClosed
	}
	if n > 0 {
		return n, nil
	}
	return 0, errors.Join(err, perr)
}

// Write implements Queue.
func (q *tunQueue) Write(batch []Packet) (n int, err error) {
	var head [vnetLen]byte
	perr := q.raw.Write(func(fd uintptr) bool {
		for i := range batch {
			putVnet(head[:], &batch[i], 0)
			e := writev(fd, head[:], batch[i].Data)
			switch e {
			case nil:
				n++
			default:
				err = errors.Join(err, os.NewSyscallError("write", e))
			}
		}
		return true
	})
	if errors.Is(perr, os.ErrClosed) {
		return 0, ErrClosed
	}
	return n, errors.Join(err, perr)
}
