package gateway

import (
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Sizes of a queue: a power of two each.
const (
	xdpFrames = 2048 // of each direction, and entries of each ring
	// xdpHeadroom is what the kernel leaves free in front of a frame.
	xdpHeadroom = 256
)

// ring is one of the four rings of a socket: who produces writes entries and
// moves producer, who consumes reads them and moves consumer.
type ring[T any] struct {
	producer, consumer *uint32
	entries            []T
	// at is how far this side is: it moves its own end only when a batch is
	// whole. seen is the other end when it was looked at last.
	at, seen uint32
}

// mapRing maps a ring of n entries.
func mapRing[T any](s *xdpSocket, page int64, off *unix.XDPRingOffset, n int) (r ring[T], err error) {
	m, err := s.mapping("a ring", s.fd, page, int(off.Desc)+n*int(unsafe.Sizeof(*new(T))), unix.MAP_SHARED)
	if err != nil {
		return r, err
	}
	at := func(o uint64) unsafe.Pointer { return unsafe.Pointer(&m[o]) }
	r.producer, r.consumer = (*uint32)(at(off.Producer)), (*uint32)(at(off.Consumer))
	r.entries = unsafe.Slice((*T)(at(off.Desc)), n)
	return r, nil
}

func (r *ring[T]) entry(i uint32) *T { return &r.entries[i&uint32(len(r.entries)-1)] }

// filled is how many entries there are to consume.
func (r *ring[T]) filled() uint32 {
	if r.seen == r.at {
		r.seen = atomic.LoadUint32(r.producer)
	}
	return r.seen - r.at
}

// room is how many entries may be produced.
func (r *ring[T]) room() uint32 {
	return uint32(len(r.entries)) - (r.at - atomic.LoadUint32(r.consumer))
}

// produced and consumed tell the kernel how far this side is.
func (r *ring[T]) produced() { atomic.StoreUint32(r.producer, r.at) }
func (r *ring[T]) consumed() { atomic.StoreUint32(r.consumer, r.at) }

// xdpSocket is a socket with its memory: the first half of the frames is for
// what comes, the second for what goes.
type xdpSocket struct {
	fd       int
	memory   []byte
	chunk    int // bytes of a frame, headroom included
	fill, cr ring[uint64]
	rx, tx   ring[unix.XDPDesc]
}

// newXDPSocket makes a socket that is not bound yet.
func newXDPSocket(chunk int) (s *xdpSocket, err error) {
	s = &xdpSocket{chunk: chunk}
	if s.fd, err = unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
		return nil, os.NewSyscallError("socket AF_XDP", err)
	}
	if err := s.setUp(); err != nil {
		unix.Close(s.fd)
		return nil, err
	}
	return s, nil
}

// mapping maps memory of the socket, for as long as somebody has it: packets
// that were read may still be on their way when it is closed.
func (s *xdpSocket) mapping(what string, fd int, at int64, size, flags int) ([]byte, error) {
	m, err := unix.Mmap(fd, at, size, unix.PROT_READ|unix.PROT_WRITE, flags|unix.MAP_POPULATE)
	if err != nil {
		return nil, fmt.Errorf("mmap of %s: %w", what, err)
	}
	runtime.AddCleanup(s, func(m []byte) { _ = unix.Munmap(m) }, m)
	return m, nil
}

func (s *xdpSocket) setUp() (err error) {
	if s.memory, err = s.mapping("frames", -1, 0, 2*xdpFrames*s.chunk, unix.MAP_PRIVATE|unix.MAP_ANON); err != nil {
		return err
	}
	reg := unix.XDPUmemReg{Addr: uint64(uintptr(unsafe.Pointer(&s.memory[0]))), Len: uint64(len(s.memory)), Size: uint32(s.chunk)}
	if err := s.option("XDP_UMEM_REG", unix.XDP_UMEM_REG, unsafe.Pointer(&reg), unsafe.Sizeof(reg)); err != nil {
		return err
	}
	for _, o := range []struct {
		what string
		name int
	}{
		{"XDP_UMEM_FILL_RING", unix.XDP_UMEM_FILL_RING}, {"XDP_UMEM_COMPLETION_RING", unix.XDP_UMEM_COMPLETION_RING},
		{"XDP_RX_RING", unix.XDP_RX_RING}, {"XDP_TX_RING", unix.XDP_TX_RING},
	} {
		n := uint32(xdpFrames)
		if err := s.option(o.what, o.name, unsafe.Pointer(&n), 4); err != nil {
			return err
		}
	}
	var off unix.XDPMmapOffsets
	size := uint32(unsafe.Sizeof(off))
	if _, _, e := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(s.fd), unix.SOL_XDP, unix.XDP_MMAP_OFFSETS,
		uintptr(unsafe.Pointer(&off)), uintptr(unsafe.Pointer(&size)), 0); e != 0 {
		return os.NewSyscallError("XDP_MMAP_OFFSETS", e)
	}
	if s.rx, err = mapRing[unix.XDPDesc](s, unix.XDP_PGOFF_RX_RING, &off.Rx, xdpFrames); err != nil {
		return err
	}
	if s.tx, err = mapRing[unix.XDPDesc](s, unix.XDP_PGOFF_TX_RING, &off.Tx, xdpFrames); err != nil {
		return err
	}
	if s.fill, err = mapRing[uint64](s, unix.XDP_UMEM_PGOFF_FILL_RING, &off.Fr, xdpFrames); err != nil {
		return err
	}
	if s.cr, err = mapRing[uint64](s, unix.XDP_UMEM_PGOFF_COMPLETION_RING, &off.Cr, xdpFrames); err != nil {
		return err
	}
	for i := range uint64(xdpFrames) {
		*s.fill.entry(uint32(i)) = i * uint64(s.chunk)
	}
	s.fill.at = xdpFrames
	s.fill.produced()
	return nil
}

func (s *xdpSocket) option(what string, name int, v unsafe.Pointer, n uintptr) error {
	if _, _, e := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(s.fd), unix.SOL_XDP, uintptr(name), uintptr(v), n, 0); e != 0 {
		return fmt.Errorf("%s: %w", what, e)
	}
	return nil
}

// bind gives the socket a queue of a device.
func (s *xdpSocket) bind(device, queue int) error {
	return unix.Bind(s.fd, &unix.SockaddrXDP{Flags: unix.XDP_COPY | unix.XDP_USE_NEED_WAKEUP, Ifindex: uint32(device), QueueID: uint32(queue)})
}
