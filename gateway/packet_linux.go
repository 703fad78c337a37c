package gateway

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// packetDev is an Ethernet device of the system, by AF_PACKET.
type packetDev struct {
	name   string
	mtu    int
	queues []*packetQueue
	// adopted: who opened it has switched it on.
	adopted bool
}

// packetQueue is one socket. Frames have a virtio-net header in front.
type packetQueue struct {
	*descriptor
	// index is the device's.
	index int
	in    mmsg
	// heads, bufs and control belong to in.
	bufs    [][]byte
	control [][]byte
	writers sync.Pool // of *mmsg
}

// mmsghdr is struct mmsghdr.
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
}

// mmsg is the argument of recvmmsg and sendmmsg.
type mmsg struct {
	msgs  []mmsghdr
	iovs  []unix.Iovec
	vnets [][vnetLen]byte
}

const (
	packetBatch = 32
	// packetBuffer is what a socket may hold of frames, in bytes.
	packetBuffer = 16 << 20

	auxLen  = 20     // struct tpacket_auxdata
	auxVLAN = 1 << 4 // TP_STATUS_VLAN_VALID
)

// openPacket opens a device; more than one queue share its flows by their hash.
func openPacket(name string, mac MAC, queues int) (*Ethernet, error) {
	dev, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("device %s: %w", name, err)
	}
	p := &packetDev{name: name, mtu: dev.MTU}
	group := 0
	for range max(queues, 1) {
		q, err := openPacketQueue(dev, mac, queues > 1, &group)
		if err != nil {
			p.Close()
			return nil, fmt.Errorf("device %s: %w", name, err)
		}
		p.queues = append(p.queues, q)
	}
	return NewEthernet(p, mac), nil
}

func openPacketQueue(dev *net.Interface, mac MAC, fanout bool, group *int) (*packetQueue, error) {
	// No protocol yet: nothing is received before everything is set.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	set := func(what string, level, name, value int) {
		if err == nil {
			if err = unix.SetsockoptInt(fd, level, name, value); err != nil {
				err = fmt.Errorf("%s: %w", what, err)
			}
		}
	}
	set("PACKET_VNET_HDR", unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1)
	set("PACKET_AUXDATA", unix.SOL_PACKET, unix.PACKET_AUXDATA, 1)
	set("PACKET_IGNORE_OUTGOING", unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1)
	if err == nil {
		// More than the system's limit needs a capability, which is not a must.
		for _, o := range [][2]int{{unix.SO_RCVBUFFORCE, unix.SO_RCVBUF}, {unix.SO_SNDBUFFORCE, unix.SO_SNDBUF}} {
			if unix.SetsockoptInt(fd, unix.SOL_SOCKET, o[0], packetBuffer) != nil {
				_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, o[1], packetBuffer)
			}
		}
		// Groups of the link reach it in any case; frames to another address
		// than the device's only if it takes all.
		m := unix.PacketMreq{Ifindex: int32(dev.Index), Type: unix.PACKET_MR_ALLMULTI}
		if string(dev.HardwareAddr) != string(mac[:]) {
			m.Type = unix.PACKET_MR_PROMISC
		}
		err = os.NewSyscallError("PACKET_ADD_MEMBERSHIP", unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &m))
	}
	if err == nil {
		err = os.NewSyscallError("bind", unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: bigEndian(unix.ETH_P_ALL), Ifindex: dev.Index}))
	}
	if err == nil && fanout {
		// The first socket is given a group that nobody has, the others join.
		flags := unix.PACKET_FANOUT_HASH
		if *group == 0 {
			flags |= unix.PACKET_FANOUT_FLAG_UNIQUEID
		}
		set("PACKET_FANOUT", unix.SOL_PACKET, unix.PACKET_FANOUT, *group|flags<<16)
		if err == nil {
			var v int
			v, err = unix.GetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_FANOUT)
			*group = v & 0xffff
		}
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return newPacketQueue(fd, dev.Index)
}

func newPacketQueue(fd, index int) (*packetQueue, error) {
	d, err := newDescriptor(fd)
	if err != nil {
		return nil, err
	}
	q := &packetQueue{descriptor: d, index: index}
	q.writers.New = func() any { return new(mmsg) }
	q.in.grow(packetBatch, 1)
	for i := range packetBatch {
		q.bufs = append(q.bufs, make([]byte, vnetLen+headLen+maxPacket+4))
		q.control = append(q.control, make([]byte, unix.CmsgSpace(auxLen)))
		q.in.iovs[i].Base = &q.bufs[i][0]
		q.in.iovs[i].SetLen(len(q.bufs[i]))
	}
	return q, nil
}

func bigEndian(v uint16) uint16 { return v<<8 | v>>8 }

// grow makes room for n messages of pieces each.
func (m *mmsg) grow(n, pieces int) {
	if len(m.msgs) >= n {
		return
	}
	m.msgs = make([]mmsghdr, n)
	m.iovs = make([]unix.Iovec, n*pieces)
	m.vnets = make([][vnetLen]byte, n)
	for i := range m.msgs {
		m.msgs[i].hdr.Iov = &m.iovs[i*pieces]
		m.msgs[i].hdr.SetIovlen(pieces)
	}
}

func (p *packetDev) Name() string   { return p.name }
func (p *packetDev) MTU() int       { return p.mtu }
func (p *packetDev) Offloads() bool { return true }

// Up switches the device on, and forgets that the sockets found it off.
func (p *packetDev) Up() error {
	if p.adopted {
		return nil
	}
	err := linkUp(p.name, 0)
	for _, q := range p.queues {
		_ = q.failed()
	}
	return err
}

func (p *packetDev) FrameQueues() []FrameQueue {
	list := make([]FrameQueue, len(p.queues))
	for i, q := range p.queues {
		list[i] = q
	}
	return list
}

func (p *packetDev) Stop() (err error) {
	for _, q := range p.queues {
		err = errors.Join(err, q.stop())
	}
	return err
}

// Resume takes back a Stop.
func (p *packetDev) Resume() (err error) {
	for _, q := range p.queues {
		err = errors.Join(err, q.resume())
	}
	return err
}

func (p *packetDev) Close() (err error) {
	for _, q := range p.queues {
		err = errors.Join(err, q.close())
	}
	return err
}

func (p *packetDev) descriptors() (list []int) {
	for _, q := range p.queues {
		list = append(list, q.fd)
	}
	return list
}

// gone says why there is no such device any more. The sockets hear of it once at most, as
// of one that is switched off, and perhaps when they send.
func (p *packetDev) gone() error {
	q := p.queues[0]
	if !q.enter() {
		return nil
	}
	defer q.leave()
	return deviceName(q.fd, q.index)
}

// ReadFrames implements FrameQueue.
func (q *packetQueue) ReadFrames(batch []Frame) (n int, err error) {
	if !q.enter() {
		return 0, ErrClosed
	}
	defer q.leave()
	for n == 0 {
		k, err := q.receive(min(len(batch), packetBatch))
		if err != nil {
			return 0, err
		}
		for i := range k {
			m := &q.in.msgs[i]
			d := q.bufs[i][:m.n]
			if m.hdr.Flags&unix.MSG_TRUNC != 0 || len(d) < vnetLen+headLen || tagged(q.control[i][:m.hdr.Controllen]) {
				continue // of another VLAN, or too long for anybody
			}
			f := Frame{Head: d[vnetLen : vnetLen+headLen], Data: d[vnetLen+headLen:]}
			ok := false
			if f.Offload, ok = readVnet(d[:vnetLen], f.Data, headLen); !ok {
				f.Data = f.Data[:0] // the engine counts it as malformed
			}
			batch[n] = f
			n++
		}
	}
	return n, nil
}

// receive waits for up to so many messages; it may be none.
func (q *packetQueue) receive(most int) (n int, err error) {
	m := q.in.msgs[:most]
	for i := range m {
		m[i].hdr.Control = &q.control[i][0]
		m[i].hdr.SetControllen(len(q.control[i]))
	}
	for {
		r, _, e := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(q.fd), uintptr(unsafe.Pointer(&m[0])), uintptr(len(m)), unix.MSG_DONTWAIT, 0, 0)
		switch e {
		case 0:
			return int(r), nil
		case unix.EINTR:
		case unix.EAGAIN:
			if err := q.wait(); err != nil {
				return 0, err
			}
		case unix.ENETDOWN: // switched off; the socket goes on when it is on
		case unix.EINVAL: // a frame whose segments virtio-net cannot name; it is gone
			return 0, nil
		default:
			return 0, os.NewSyscallError("recvmmsg", e)
		}
	}
}

// tagged reports a frame that had a VLAN tag.
func tagged(control []byte) bool {
	for len(control) >= unix.CmsgLen(auxLen) {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
		if h.Level == unix.SOL_PACKET && h.Type == unix.PACKET_AUXDATA {
			return binary.NativeEndian.Uint32(control[unix.CmsgLen(0):])&auxVLAN != 0
		}
		return false
	}
	return false
}

// WriteFrames implements FrameQueue.
func (q *packetQueue) WriteFrames(batch []Frame) (n int, err error) {
	if !q.enter() {
		return 0, ErrClosed
	}
	defer q.leave()
	w := q.writers.Get().(*mmsg)
	defer q.writers.Put(w)
	w.grow(max(len(batch), packetBatch), 3)
	for i := range batch {
		f := &batch[i]
		p := Packet{Data: f.Data, Offload: f.Offload}
		putVnet(w.vnets[i][:], &p, headLen)
		v := w.iovs[3*i:]
		v[0].Base, v[1].Base, v[2].Base = &w.vnets[i][0], &f.Head[0], &f.Data[0]
		v[0].SetLen(vnetLen)
		v[1].SetLen(len(f.Head))
		v[2].SetLen(len(f.Data))
	}
	for at := 0; at < len(batch); {
		m := w.msgs[at:len(batch)]
		r, _, e := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(q.fd), uintptr(unsafe.Pointer(&m[0])), uintptr(len(m)), unix.MSG_DONTWAIT, 0, 0)
		switch e {
		case 0:
			n += int(r)
			at += int(r)
		case unix.EINTR:
		default: // this one is lost: no room, too long, or the device is down
			if err == nil {
				err = os.NewSyscallError("sendmmsg", e)
			}
			at++
		}
	}
	clear(w.iovs) // nothing of the caller's is kept
	return n, err
}
