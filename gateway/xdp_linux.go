package gateway

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"weir/packet"
)

// xdpDev is an Ethernet device of the system, by AF_XDP in copy mode.
type xdpDev struct {
	name   string
	index  int
	mtu    int
	queues []*xdpQueue
	// groups lets the device take all groups of the link, as long as it is open.
	groups *os.File
	// link keeps the program on the device, sockets is its map.
	link, sockets *os.File
	adopted       bool
}

// xdpQueue is one socket.
type xdpQueue struct {
	*descriptor
	s      *xdpSocket
	number int
	// open: senders may leave checksums open, and XDP does not say which.
	open bool
	read []uint64 // frames that the last ReadFrames handed out
	// writing guards the rings of what goes.
	writing sync.Mutex
	free    []uint64 // frames to send with
}

// xdpLongest is the longest IP packet that fits a frame of a page.
const xdpLongest = 4096 - xdpHeadroom - headLen - 4

// openXDP opens all queues of a device.
func openXDP(name string, mac MAC) (_ *Ethernet, err error) {
	d, err := prepareXDP(name, mac)
	if err != nil {
		return nil, fmt.Errorf("device %s: %w", name, err)
	}
	defer func() {
		if err != nil {
			d.Close()
			err = fmt.Errorf("device %s: %w", name, err)
		}
	}()
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0) // it receives nothing
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	d.groups = os.NewFile(uintptr(fd), name)
	m := unix.PacketMreq{Ifindex: int32(d.index), Type: unix.PACKET_MR_ALLMULTI}
	if err := unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &m); err != nil {
		return nil, os.NewSyscallError("PACKET_ADD_MEMBERSHIP", err)
	}
	if fd, err = newSocketMap(len(d.queues)); err != nil {
		return nil, err
	}
	d.sockets = os.NewFile(uintptr(fd), name)
	if fd, err = attachXDP(d.index, fd); err != nil {
		return nil, err
	}
	d.link = os.NewFile(uintptr(fd), name)
	return NewEthernet(d, mac), nil
}

// prepareXDP makes the sockets of a device, which Up binds.
func prepareXDP(name string, mac MAC) (*xdpDev, error) {
	dev, err := net.InterfaceByName(name)
	if err != nil {
		return nil, err
	}
	if string(dev.HardwareAddr) != string(mac[:]) {
		return nil, fmt.Errorf("its address is %s: a link xdp has no other", dev.HardwareAddr)
	}
	if dev.MTU > xdpLongest {
		return nil, fmt.Errorf("its MTU is %d: a link xdp carries at most %d bytes", dev.MTU, xdpLongest)
	}
	chunk := 4096
	if dev.MTU <= xdpLongest-2048 {
		chunk = 2048
	}
	n, veth, err := describe(name)
	if err != nil {
		return nil, err
	}
	d := &xdpDev{name: name, index: dev.Index, mtu: dev.MTU}
	for i := range n {
		s, err := newXDPSocket(chunk)
		if err != nil {
			d.Close()
			return nil, err
		}
		q := &xdpQueue{s: s, number: i, open: veth}
		if q.descriptor, err = newDescriptor(s.fd); err != nil {
			d.Close()
			return nil, err
		}
		d.queues = append(d.queues, q)
		for k := range uint64(xdpFrames) {
			q.free = append(q.free, (xdpFrames+k)*uint64(chunk))
		}
	}
	return d, nil
}

// describe asks for the number of a device's receive queues, and whether it is
// one end of a veth.
func describe(name string) (queues int, veth bool, err error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, false, os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	if info, err := unix.IoctlGetEthtoolDrvinfo(fd, name); err == nil {
		veth = unix.ByteSliceToString(info.Driver[:]) == "veth"
	}
	// struct ethtool_channels: largest numbers, then those in use.
	c := struct{ cmd, maxRx, maxTx, maxOther, maxBoth, rx, tx, other, both uint32 }{cmd: unix.ETHTOOL_GCHANNELS}
	req := struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte // as long as struct ifreq, or longer
	}{data: unsafe.Pointer(&c)}
	copy(req.name[:unix.IFNAMSIZ-1], name)
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&req))); e != 0 {
		return 1, veth, nil // a driver that does not say has one
	}
	return int(max(c.rx+c.both, 1)), veth, nil
}

// adoptXDP goes on with the program that a predecessor attached. It binds
// sockets of its own when the predecessor's are gone.
func adoptXDP(name string, mac MAC, files []*os.File) (*Ethernet, error) {
	if len(files) != 3 {
		return nil, fmt.Errorf("device %s: %d descriptors", name, len(files))
	}
	d, err := prepareXDP(name, mac)
	if err != nil {
		return nil, fmt.Errorf("device %s: %w", name, err)
	}
	d.groups, d.link, d.sockets, d.adopted = files[0], files[1], files[2], true
	return NewEthernet(d, mac), nil
}

func (d *xdpDev) files() []*os.File { return []*os.File{d.groups, d.link, d.sockets} }

func (d *xdpDev) descriptors() (list []int) {
	for _, f := range d.files() {
		list = append(list, int(f.Fd())) // they block anyway
	}
	return list
}

func (d *xdpDev) Name() string { return d.name }
func (d *xdpDev) MTU() int     { return d.mtu }

// Offloads: frames are as they stand on the wire.
func (d *xdpDev) Offloads() bool { return false }

// xdpWait is how long Up waits for a predecessor's sockets to go.
const xdpWait = 10 * time.Second

// Up gives the sockets their queues.
func (d *xdpDev) Up() error {
	if !d.adopted {
		if err := linkUp(d.name, 0); err != nil {
			return err
		}
	}
	raw, err := d.sockets.SyscallConn()
	if err != nil {
		return err
	}
	until := time.Now().Add(xdpWait)
	for _, q := range d.queues {
		for {
			if err = q.s.bind(d.index, q.number); !errors.Is(err, unix.EBUSY) || time.Now().After(until) {
				break
			}
			time.Sleep(time.Millisecond)
		}
		if err != nil {
			return fmt.Errorf("device %s: queue %d: bind: %w", d.name, q.number, err)
		}
		if cerr := raw.Control(func(fd uintptr) { err = putSocket(int(fd), q.number, q.s.fd) }); cerr != nil || err != nil {
			return errors.Join(cerr, err)
		}
	}
	return nil
}

func (d *xdpDev) FrameQueues() []FrameQueue {
	list := make([]FrameQueue, len(d.queues))
	for i, q := range d.queues {
		list[i] = q
	}
	return list
}

func (d *xdpDev) Stop() (err error) {
	for _, q := range d.queues {
		err = errors.Join(err, q.stop())
	}
	return err
}

// Resume takes back a Stop.
func (d *xdpDev) Resume() (err error) {
	for _, q := range d.queues {
		err = errors.Join(err, q.resume())
	}
	return err
}

func (d *xdpDev) Close() (err error) {
	for _, f := range d.files() {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	for _, q := range d.queues {
		err = errors.Join(err, q.close())
	}
	return err
}

// gone says why there is no such device any more.
func (d *xdpDev) gone() (err error) {
	raw, e := d.groups.SyscallConn() // sockets of AF_XDP know no ioctl
	if e == nil {
		e = raw.Control(func(fd uintptr) { err = deviceName(int(fd), d.index) })
	}
	if e != nil {
		return nil // closed meanwhile
	}
	return err
}

// ReadFrames implements FrameQueue.
func (q *xdpQueue) ReadFrames(batch []Frame) (n int, err error) {
	if !q.enter() {
		return 0, ErrClosed
	}
	defer q.leave()
	s := q.s
	for _, at := range q.read { // there is room: the kernel took them from there
		*s.fill.entry(s.fill.at) = at &^ uint64(s.chunk-1)
		s.fill.at++
	}
	if len(q.read) > 0 {
		q.read = q.read[:0]
		s.fill.produced()
	}
	for n == 0 {
		if err := q.await(); err != nil {
			return 0, err
		}
		for range min(int(s.rx.filled()), len(batch)) {
			d := s.rx.entry(s.rx.at)
			s.rx.at++
			q.read = append(q.read, d.Addr)
			end := (d.Addr&^uint64(s.chunk-1) + uint64(s.chunk))
			b := s.memory[d.Addr : d.Addr+uint64(d.Len) : end]
			if len(b) < headLen {
				continue
			}
			batch[n] = Frame{Head: b[:headLen:headLen], Data: b[headLen:]}
			batch[n].Offload.Partial = q.open && leftOpen(batch[n].Data)
			n++
		}
		s.rx.consumed()
	}
	return n, nil
}

// await waits until there are frames.
func (q *xdpQueue) await() error {
	for spins := 0; q.s.rx.filled() == 0; spins++ {
		if spins < xdpSpins && !q.stopped.Load() {
			runtime.Gosched() // the next one is often near: sleep and waking cost more
			continue
		}
		if err := q.wait(); err != nil {
			return err
		}
		if q.s.rx.filled() == 0 {
			if err := q.failed(); err != nil {
				return err
			}
		}
	}
	if q.stopped.Load() {
		return ErrClosed
	}
	return nil
}

// xdpSpins is how often a queue looks for frames before it sleeps.
const xdpSpins = 50

// WriteFrames implements FrameQueue.
func (q *xdpQueue) WriteFrames(batch []Frame) (n int, err error) {
	if !q.enter() {
		return 0, ErrClosed
	}
	defer q.leave()
	q.writing.Lock()
	defer q.writing.Unlock()
	s := q.s
	for i := range batch {
		f := &batch[i]
		if len(q.free) == 0 || s.tx.room() == 0 {
			if n > 0 {
				err = errors.Join(err, q.kick())
			}
			q.reclaim()
			if len(q.free) == 0 || s.tx.room() == 0 {
				return n, errors.Join(err, unix.ENOBUFS)
			}
		}
		if len(f.Head)+len(f.Data) > s.chunk {
			err = errors.Join(err, unix.EMSGSIZE)
			continue
		}
		at := q.free[len(q.free)-1]
		q.free = q.free[:len(q.free)-1]
		b := s.memory[at : at+uint64(s.chunk)]
		copy(b[copy(b, f.Head):], f.Data)
		*s.tx.entry(s.tx.at) = unix.XDPDesc{Addr: at, Len: uint32(len(f.Head) + len(f.Data))}
		s.tx.at++
		n++
	}
	err = errors.Join(err, q.kick())
	q.reclaim()
	return n, err
}

// kick has the kernel send what is in the ring. While the device is off it
// stays there, and what does not fit is lost.
func (q *xdpQueue) kick() error {
	s := q.s
	s.tx.produced()
	for tries := 0; s.tx.room() < xdpFrames && tries < 2*xdpFrames/xdpKick; tries++ {
		_, _, e := unix.Syscall6(unix.SYS_SENDTO, uintptr(s.fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
		switch e {
		case 0, unix.EAGAIN, unix.EBUSY, unix.EINTR: // the rest with the next call
		case unix.ENOBUFS:
			q.reclaim()
		case unix.ENETDOWN:
			return nil
		default:
			return os.NewSyscallError("sendto", e)
		}
	}
	return nil
}

// xdpKick is how many frames one system call sends.
const xdpKick = 32

// reclaim takes back frames that have left.
func (q *xdpQueue) reclaim() {
	s := q.s
	for range s.cr.filled() {
		q.free = append(q.free, *s.cr.entry(s.cr.at))
		s.cr.at++
	}
	s.cr.consumed()
}

// leftOpen says that a packet of TCP or UDP has the sum of the pseudo header for
// a checksum, as one whose sender left the rest to the device. A whole checksum
// looks so once in 65,536 times, and is then filled in again.
func leftOpen(d []byte) bool {
	proto, l4 := layer4(d)
	if proto == 0 {
		return false
	}
	q := packet.Packet{Data: d, Family: packet.IPv4}
	whole := int(binary.BigEndian.Uint16(d[2:]))
	if d[0]>>4 == 6 {
		q.Family = packet.IPv6
		whole = 40 + int(binary.BigEndian.Uint16(d[4:]))
	} else if binary.BigEndian.Uint16(d[6:])&0x3fff != 0 {
		return false // a fragment
	}
	off := 6
	if proto == packet.TCP {
		off = 16
	}
	if whole > len(d) || whole < l4+off+2 {
		return false
	}
	sum := packet.Fold(packet.PseudoSum(q.Family, q.Src(), q.Dst(), proto, whole-l4))
	return sum != 0 && binary.BigEndian.Uint16(d[l4+off:]) == sum
}
