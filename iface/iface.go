// Package iface describes the network interfaces of a machine. It is data
// only: no device is opened here. Layer 0.
package iface

import "net/netip"

// Iface is one network interface. It is immutable once a machine runs.
type Iface struct {
	Index int // as in /sys/class/net/NAME/ifindex; 1 is lo
	Name  string
	MTU   int // bytes of an IP packet
	// Loopback marks lo.
	Loopback bool
	// Down marks one that was switched off: no route leads by it, and nothing
	// arrives there. Its IPv4 addresses stay the machine's.
	Down  bool
	Addrs []Addr // in the order in which they were added; the first is the primary one
	MAC   [6]byte
}

// Addr is an address of an interface.
type Addr struct {
	// Prefix holds the address itself, not masked, and the length of the
	// connected network.
	Prefix    netip.Prefix
	Peer      netip.Addr // the other end of a point-to-point link, or zero
	Broadcast netip.Addr // IPv4 broadcast address, or zero
	Scope     Scope
	// Secondary marks a further IPv4 address of a subnet that already has one.
	Secondary bool
	// Deprecated is an IPv6 address with preferred_lft 0: last choice as a source.
	Deprecated bool
}

// Scope is an address's or a route's scope with Linux's numbers (rtnetlink.h).
type Scope uint8

// The scopes; a larger number reaches less far.
const (
	Universe  Scope = 0
	Site      Scope = 200
	LinkLocal Scope = 253
	Host      Scope = 254
	Nowhere   Scope = 255
)

// Set is the interfaces of one machine.
type Set struct {
	list   []*Iface
	byName map[string]*Iface
	byIdx  map[int]*Iface
}

// NewSet makes a set. Names and indices must be unique; a later duplicate
// replaces the earlier one in look-ups.
func NewSet(list ...*Iface) *Set {
	s := &Set{list: list, byName: make(map[string]*Iface), byIdx: make(map[int]*Iface)}
	for _, i := range list {
		s.byName[i.Name] = i
		s.byIdx[i.Index] = i
	}
	return s
}

// All is every interface in the order given. The slice must not be changed.
func (s *Set) All() []*Iface { return s.list }

// Name finds an interface by name, or nil.
func (s *Set) Name(n string) *Iface { return s.byName[n] }

// Index finds an interface by index, or nil.
func (s *Set) Index(i int) *Iface { return s.byIdx[i] }
