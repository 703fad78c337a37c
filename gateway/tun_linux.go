package gateway

import (
	"errors"
	"fmt"
	"os"

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
	*descriptor
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
	if len(t.queues) == 1 {
		return t, nil
	}
	if err := steer(t.queues[0].fd); err == nil {
		return t, nil
	}
	// Without the right to load a program (in a user namespace) one queue keeps
	// packets in order. The device sends by those that are attached.
	var err error
	for _, q := range t.queues[1:] {
		err = errors.Join(err, q.close())
	}
	t.queues = t.queues[:1]
	return t, err
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
	return newTUNQueue(fd)
}

// newTUNQueue makes a queue of a descriptor that is set up.
func newTUNQueue(fd int) (*tunQueue, error) {
	d, err := newDescriptor(fd)
	if err != nil {
		return nil, err
	}
	return &tunQueue{descriptor: d, bufs: make([][]byte, tunBatch)}, nil
}

func (t *tun) descriptors() (list []int) {
	for _, q := range t.queues {
		list = append(list, q.fd)
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
		err = errors.Join(err, q.stop())
	}
	return err
}

// Resume takes back a Stop.
func (t *tun) Resume() (err error) {
	for _, q := range t.queues {
		err = errors.Join(err, q.resume())
	}
	return err
}

func (t *tun) Close() (err error) {
	for _, q := range t.queues {
		err = errors.Join(err, q.close())
	}
	return err
}

// Read implements Queue.
func (q *tunQueue) Read(batch []Packet) (n int, err error) {
	if !q.enter() {
		return 0, ErrClosed
	}
	defer q.leave()
	for total := 0; n < min(len(batch), len(q.bufs)) && total < tunBytes; {
		if q.bufs[n] == nil {
			q.bufs[n] = make([]byte, vnetLen+maxPacket)
		}
		k, e := unix.Read(q.fd, q.bufs[n])
		switch {
		case e == unix.EINTR:
			continue
		case e == unix.EAGAIN && n > 0:
			return n, nil
		case e == unix.EAGAIN:
			if err := q.wait(); err != nil {
				return 0, err
			}
			continue
		case e != nil && n > 0:
			return n, nil // the next Read says it
		case e != nil:
			return 0, os.NewSyscallError("read", e)
		case k <= vnetLen:
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
	return n, nil
}

// Write implements Queue.
func (q *tunQueue) Write(batch []Packet) (n int, err error) {
	if !q.enter() {
		return 0, ErrClosed
	}
	defer q.leave()
	var head [vnetLen]byte
	for i := range batch {
		putVnet(head[:], &batch[i], 0)
		if e := writev(uintptr(q.fd), head[:], batch[i].Data); e == nil {
			n++
		} else if err == nil {
			err = os.NewSyscallError("write", e)
		}
	}
	return n, err
}
