// Package vm puts weir in front of a virtual machine whose network card is a
// socket: QEMU's "-netdev stream" and "-netdev dgram", or any other that
// carries Ethernet frames so. weir is the router of that link; it answers ARP
// and neighbour discovery itself.
package vm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"weir/gateway"
)

// Socket is a gateway.FrameDevice on a connected socket.
type Socket struct {
	name   string
	conn   net.Conn
	mtu    int
	stream bool

	in      []byte // the frame that was read last
	writing sync.Mutex
	out     []byte
	stop    sync.Once
}

// headLen is the length of an Ethernet header.
const headLen = 14

// Stream carries frames over a stream, each after its length in four bytes:
// QEMU's "-netdev stream". mtu is of IP packets, in bytes.
func Stream(name string, conn net.Conn, mtu int) *Socket {
	return &Socket{name: name, conn: conn, mtu: mtu, stream: true, in: make([]byte, headLen+mtu)}
}

// Datagram carries one frame in each datagram: QEMU's "-netdev dgram".
func Datagram(name string, conn net.Conn, mtu int) *Socket {
	return &Socket{name: name, conn: conn, mtu: mtu, in: make([]byte, headLen+mtu)}
}

// Name implements gateway.FrameDevice.
func (s *Socket) Name() string { return s.name }

// MTU implements gateway.FrameDevice.
func (s *Socket) MTU() int { return s.mtu }

// Offloads implements gateway.FrameDevice.
func (s *Socket) Offloads() bool { return false }

// Up implements gateway.FrameDevice.
func (s *Socket) Up() error { return nil }

// FrameQueues implements gateway.FrameDevice.
func (s *Socket) FrameQueues() []gateway.FrameQueue { return []gateway.FrameQueue{s} }

// Stop implements gateway.FrameDevice.
func (s *Socket) Stop() error { return s.conn.SetReadDeadline(time.Unix(1, 0)) }

// Close implements gateway.FrameDevice.
func (s *Socket) Close() error { return s.conn.Close() }

// ReadFrames reads one frame. A frame that is longer than the link allows ends
// a stream, whose next frame could not be found, and is lost as a datagram.
func (s *Socket) ReadFrames(batch []gateway.Frame) (int, error) {
	for {
		n, err := s.frame()
		if err != nil {
			var late net.Error
			if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.As(err, &late) && late.Timeout() {
				err = gateway.ErrClosed
			}
			return 0, err
		}
		if n >= headLen {
			batch[0] = gateway.Frame{Head: s.in[:headLen], Data: s.in[headLen:n]}
			return 1, nil
		}
	}
}

// frame reads the next one; it is shorter than a header if it is to be skipped.
func (s *Socket) frame() (int, error) {
	if !s.stream {
		return s.conn.Read(s.in)
	}
	var head [4]byte
	if _, err := io.ReadFull(s.conn, head[:]); err != nil {
		return 0, err
	}
	n := int(binary.BigEndian.Uint32(head[:]))
	if n > len(s.in) {
		return 0, fmt.Errorf("%s: a frame of %d bytes on a link of %d", s.name, n, s.mtu)
	}
	return io.ReadFull(s.conn, s.in[:n])
}

// WriteFrames sends frames.
func (s *Socket) WriteFrames(batch []gateway.Frame) (n int, err error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	for _, f := range batch {
		s.out = s.out[:0]
		if s.stream {
			s.out = binary.BigEndian.AppendUint32(s.out, uint32(len(f.Head)+len(f.Data)))
		}
		s.out = append(append(s.out, f.Head...), f.Data...)
		if _, e := s.conn.Write(s.out); e == nil {
			n++
		} else if err == nil {
			err = e
		}
	}
	return n, err
}
