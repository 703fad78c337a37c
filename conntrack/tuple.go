package conntrack

import "weir/packet"

// Dir is a direction of a connection: that of its first packet, or the other.
type Dir uint8

// The two directions (Linux: IP_CT_DIR_ORIGINAL, IP_CT_DIR_REPLY).
const (
	Original Dir = 0
	Reply    Dir = 1
)

// Tuple is one direction of a connection as it stands on the wire. It has no
// pointers and no padding and is compared whole (Linux: struct
// nf_conntrack_tuple, with the zone that counts for this direction).
type Tuple struct {
	Src, Dst packet.Addr
	// SrcL4 and DstL4 are what the protocol has there, in host order: ports;
	// for ICMP the id in SrcL4 and type<<8|code in DstL4; GRE keys; else 0.
	SrcL4, DstL4 uint16
	Zone         uint16
	Proto        uint8
	L3           packet.Family
}

// ICMPType is the type of an ICMP or ICMPv6 tuple.
func (t *Tuple) ICMPType() uint8 { return uint8(t.DstL4 >> 8) }

// ICMPCode is the code of an ICMP or ICMPv6 tuple.
func (t *Tuple) ICMPCode() uint8 { return uint8(t.DstL4) }
