package nat

import (
	"bytes"

	"weir/conntrack"
	"weir/hook"
	"weir/packet"
)

// Flags say which parts of a Range count and how a port is searched, with
// Linux's values (NF_NAT_RANGE_*).
type Flags uint8

// The flags.
const (
	MapIPs           Flags = 1 << iota // the addresses count
	ProtoSpecified                     // the ports (ids, keys) count
	ProtoRandom                        // --random
	Persistent                         // --persistent
	ProtoRandomFully                   // --random-fully
	ProtoOffset                        // ports keep their distance from BasePort
	NetmapFlag                         // addresses are mapped one to one
	// EndpointIndependent gives a source one mapping for all destinations: a
	// behaviour of the RFCs, which Linux does not have.
	EndpointIndependent
)

const randomMask = ProtoRandom | ProtoRandomFully

// Range is what a mapping may be chosen from. Both ends belong to it.
type Range struct {
	Flags            Flags
	MinAddr, MaxAddr packet.Addr
	MinPort, MaxPort uint16
	// BasePort is the port that maps to MinPort under ProtoOffset.
	BasePort uint16
	// Filter is who may send to a mapping, under EndpointIndependent.
	Filter conntrack.Filtering
	// behind is the interface behind which the outside is, if it is not where
	// the packet leaves.
	behind uint32
}

// Manip is the side that is rewritten (Linux: enum nf_nat_manip_type).
type Manip uint8

// The sides.
const (
	Source Manip = iota
	Destination
)

// ManipAt is the side that NAT rewrites at a hook point.
func ManipAt(p hook.Point) Manip {
	if p == hook.Postrouting || p == hook.Input {
		return Source
	}
	return Destination
}

// done is the status bit that says that the side was decided, bit the one
// that says that it is translated.
func (m Manip) done() conntrack.Status {
	if m == Source {
		return conntrack.SrcNATDone
	}
	return conntrack.DstNATDone
}

// bit is the status bit for a packet of direction d: for replies the sides
// swap.
func (m Manip) bit(d conntrack.Dir) conntrack.Status {
	if (m == Source) == (d == conntrack.Original) {
		return conntrack.SrcNAT
	}
	return conntrack.DstNAT
}

// key points at the word that a mapping changes: of ICMP the id, for both
// sides.
func key(t *conntrack.Tuple, m Manip) *uint16 {
	if m == Source || t.Proto == packet.ICMP || t.Proto == packet.ICMPv6 {
		return &t.SrcL4
	}
	return &t.DstL4
}

// portIn reports whether the tuple's word lies in the range; protocols
// without one are always in. Linux: l4proto_in_range.
func (r *Range) portIn(t *conntrack.Tuple, m Manip) bool {
	switch t.Proto {
	case packet.ICMP, packet.ICMPv6, packet.GRE, packet.TCP, packet.UDP, packet.UDPLite, packet.SCTP:
		v := *key(t, m)
		return v >= r.MinPort && v <= r.MaxPort
	}
	return true
}

// has reports whether the tuple's source lies in the range.
// Linux: nf_in_range.
func (r *Range) has(t *conntrack.Tuple) bool {
	if r.Flags&MapIPs != 0 {
		n := t.L3.Len()
		if bytes.Compare(t.Src[:n], r.MinAddr[:n]) < 0 || bytes.Compare(t.Src[:n], r.MaxAddr[:n]) > 0 {
			return false
		}
	}
	return r.Flags&ProtoSpecified == 0 || r.portIn(t, Source)
}
