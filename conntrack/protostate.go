package conntrack

import (
	"unsafe"

	"weir/packet"
)

// protoState is what a tracker keeps of one connection. Each protocol has its
// own layout over the same words; see the types below and in tracker_tcp.go.
type protoState [15]uint32

// The layouts fit; a longer one does not compile.
var (
	_ [unsafe.Sizeof(protoState{}) - unsafe.Sizeof(TCPState{})]byte
	_ [unsafe.Sizeof(protoState{}) - unsafe.Sizeof(SCTPState{})]byte
	_ [unsafe.Sizeof(protoState{}) - unsafe.Sizeof(GREState{})]byte
	_ [192 - unsafe.Sizeof(Conn{})]byte
	_ [unsafe.Sizeof(Conn{}) - 192]byte
	_ [-(unsafe.Offsetof(Conn{}.proto) % 8)]byte // it holds int64
)

// TCP is the TCP tracker's state; nil for other protocols.
func (c *Conn) TCP() *TCPState {
	if c.Proto() != packet.TCP {
		return nil
	}
	return (*TCPState)(unsafe.Pointer(&c.proto))
}

// SCTP is the SCTP tracker's state; nil for other protocols.
func (c *Conn) SCTP() *SCTPState {
	if c.Proto() != packet.SCTP {
		return nil
	}
	return (*SCTPState)(unsafe.Pointer(&c.proto))
}

// GRE is the GRE tracker's state; nil for other protocols.
func (c *Conn) GRE() *GREState {
	if c.Proto() != packet.GRE {
		return nil
	}
	return (*GREState)(unsafe.Pointer(&c.proto))
}

// streamDeadline is when a UDP connection counts as a stream.
func (c *Conn) streamDeadline() *int64 { return (*int64)(unsafe.Pointer(&c.proto)) }
