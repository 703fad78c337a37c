package ipset

import "weir/packet"

// Type is a type of sets.
type Type uint8

// The types.
const (
	BitmapIP Type = iota
	BitmapIPMAC
	BitmapPort
	HashIP
	HashIPMAC
	HashIPMark
	HashIPPort
	HashIPPortIP
	HashIPPortNet
	HashMAC
	HashNet
	HashNetIface
	HashNetNet
	HashNetPort
	HashNetPortNet
	ListSet
	NumTypes
)

// part is what one dimension of a type asks for.
type part uint8

const (
	partIP part = iota
	partNet
	partPort // of tcp and udp
	partProtoPort
	partMAC
	partMark
	partIface
	partSet
)

type typeInfo struct {
	name     string
	revision int
	dim      int
	part     [3]part
	v6       bool // both families
	any      bool // of no family
}

func (t Type) info() typeInfo {
	switch t {
	case BitmapIP:
		return typeInfo{name: "bitmap:ip", revision: 3, dim: 1, part: [3]part{partIP}}
	case BitmapIPMAC:
		return typeInfo{name: "bitmap:ip,mac", revision: 3, dim: 2, part: [3]part{partIP, partMAC}}
	case BitmapPort:
		return typeInfo{name: "bitmap:port", revision: 3, dim: 1, part: [3]part{partPort}, any: true}
	case HashIP:
		return typeInfo{name: "hash:ip", revision: 6, dim: 1, part: [3]part{partIP}, v6: true}
	case HashIPMAC:
		return typeInfo{name: "hash:ip,mac", revision: 1, dim: 2, part: [3]part{partIP, partMAC}, v6: true}
	case HashIPMark:
		return typeInfo{name: "hash:ip,mark", revision: 3, dim: 2, part: [3]part{partIP, partMark}, v6: true}
	case HashIPPort:
		return typeInfo{name: "hash:ip,port", revision: 7, dim: 2, part: [3]part{partIP, partProtoPort}, v6: true}
	case HashIPPortIP:
		return typeInfo{name: "hash:ip,port,ip", revision: 6, dim: 3, part: [3]part{partIP, partProtoPort, partIP}, v6: true}
	case HashIPPortNet:
		return typeInfo{name: "hash:ip,port,net", revision: 8, dim: 3, part: [3]part{partIP, partProtoPort, partNet}, v6: true}
	case HashMAC:
		return typeInfo{name: "hash:mac", revision: 1, dim: 1, part: [3]part{partMAC}, any: true}
	case HashNet:
		return typeInfo{name: "hash:net", revision: 7, dim: 1, part: [3]part{partNet}, v6: true}
	case HashNetIface:
		return typeInfo{name: "hash:net,iface", revision: 8, dim: 2, part: [3]part{partNet, partIface}, v6: true}
	case HashNetNet:
		return typeInfo{name: "hash:net,net", revision: 4, dim: 2, part: [3]part{partNet, partNet}, v6: true}
	case HashNetPort:
		return typeInfo{name: "hash:net,port", revision: 8, dim: 2, part: [3]part{partNet, partProtoPort}, v6: true}
	case HashNetPortNet:
		return typeInfo{name: "hash:net,port,net", revision: 3, dim: 3, part: [3]part{partNet, partProtoPort, partNet}, v6: true}
	case ListSet:
		return typeInfo{name: "list:set", revision: 3, dim: 1, part: [3]part{partSet}, any: true}
	}
	return typeInfo{}
}

func (t Type) parts() []part {
	i := t.info()
	return append([]part(nil), i.part[:i.dim]...)
}

// String is the name that ipset(8) uses: "hash:ip,port".
func (t Type) String() string { return t.info().name }

// Revision is the newest that both Linux 6.18 and ipset 7.17 have.
func (t Type) Revision() int { return t.info().revision }

// Dimension is how many parts an element has, 1 to 3.
func (t Type) Dimension() int { return t.info().dim }

// Dual reports whether sets of the type have a family of their own; the
// others are IPv4 or of no family.
func (t Type) Dual() bool { return t.info().v6 }

// Neutral reports whether the type is of no family.
func (t Type) Neutral() bool { return t.info().any }

// Hash reports whether it is a hash type.
func (t Type) Hash() bool { return t >= HashIP && t <= HashNetPortNet }

// Nets reports whether elements are networks: such types know nomatch.
func (t Type) Nets() bool { return t.nets() > 0 }

func (t Type) nets() (n int) {
	switch t {
	case HashNet, HashNetIface, HashNetPort, HashIPPortNet:
		return 1
	case HashNetNet, HashNetPortNet:
		return 2
	}
	return 0
}

// Masked reports whether the type takes netmask and bitmask.
func (t Type) Masked() bool { return t == HashIP || t == HashIPPort || t == HashNetNet }

// Elem is a member.
type Elem struct {
	IP, IP2         packet.Addr
	CIDR, CIDR2     uint8 // bits of the networks
	Proto           uint8
	Port            uint16 // or ICMP type<<8 | code
	Mark            uint32
	MAC             [6]byte
	HasMAC          bool // bitmap:ip,mac may have none
	Physdev         bool
	Wildcard        bool
	Nomatch         bool
	Iface           [16]byte
	Set             string // list:set
	id              int32
	setID           int
	hasPort, noElem bool
}

// IfaceName is the interface.
func (e *Elem) IfaceName() string { return cstring(e.Iface[:]) }

func cstring(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}

// Ext is the extensions of a member.
type Ext struct {
	// Timeout is the seconds left, 0 for ever.
	Timeout        uint32
	Packets, Bytes uint64
	Comment        string
	Skb            Skbinfo
}

// Skbinfo is what -j SET --map-set takes over.
type Skbinfo struct {
	Mark, Mask, Prio uint32
	Queue            uint16
}

// Types is every type, in the order of their names.
func Types() (list []Type) {
	for t := range NumTypes {
		list = append(list, t)
	}
	return list
}
