package gateway

import (
	"errors"

	"weir/packet"
)

// ErrClosed is what a queue returns after its device was closed.
var ErrClosed = errors.New("device closed")

// Packet is one packet of a batch.
type Packet struct {
	// Data is the packet from the IP header on. Of a batch that is read it
	// points into the buffers of the reader.
	Data []byte
	// Link is how the frame was addressed; only of packets that were read.
	Link packet.Link
	// Via is the next hop on the device's link; zero is the packet's
	// destination. Only of packets that are written.
	Via packet.Addr
	// Offload is what the device left to do, or has to do. Only devices that
	// say so (Offloads) are given packets with a Size or Partial.
	Offload packet.Offload
}

// Device is where the packets of one interface come from and go to.
type Device interface {
	// Name is the system's name of the device.
	Name() string
	// MTU is the longest IP packet in bytes.
	MTU() int
	// Offloads says that the device takes packets of several segments and
	// fills in checksums.
	Offloads() bool
	// Up lets packets pass. It is called once, after the machine's rules are
	// there.
	Up() error
	// Queues are the device's queues, at least one. Each is read by one
	// goroutine at a time and written by any.
	Queues() []Queue
	// Stop ends every Read with ErrClosed; Write goes on.
	Stop() error
	// Close ends Read and Write with ErrClosed.
	Close() error
}

// Queue is one queue of a device.
type Queue interface {
	// Read waits until there are packets and fills the front of batch with
	// them; n is at least 1 unless there is an error. Their bytes belong to the
	// caller until the next Read of the same queue, capacity included.
	Read(batch []Packet) (n int, err error)
	// Write sends packets in order. n is how many left; the others are lost,
	// and err says why the first of them was. Data is not kept.
	Write(batch []Packet) (n int, err error)
}

// maxPacket is the longest IP packet in bytes.
const maxPacket = 65535
