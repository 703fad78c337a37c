package socket

import (
	"net/netip"

	"weir/iface"
	"weir/packet"
)

// Socket is a socket of the machine. It takes what is delivered to it and stays
// silent.
type Socket struct {
	// Proto is its protocol; with Port 0 it is a raw one, which takes all of
	// the protocol.
	Proto uint8
	// Addr restricts the destination; the zero Addr takes any.
	Addr netip.Addr
	Port uint16
	// V4 and V6 are the families that it takes.
	V4, V6 bool
	// Dev restricts the interface by which packets arrive; empty is any.
	Dev string
	// Peer is the other end of a connected one; zero if it listens, or takes
	// from anybody.
	Peer netip.AddrPort
	// Waiting marks what is left of a closed TCP connection (TIME_WAIT).
	Waiting bool
	// Transparent has the option IP_TRANSPARENT: it may stand for addresses
	// that are not the machine's.
	Transparent bool
	// Mark is the option SO_MARK.
	Mark uint32
}

// Wildcard reports a socket that is bound to no address.
func (s *Socket) Wildcard() bool { return !s.Waiting && !s.Addr.IsValid() }

// Kind is which sockets a search wants.
type Kind uint8

// The kinds. Any is what a packet is delivered to: a connected socket, else one
// that listens.
const (
	Any Kind = iota
	Connected
	Listening
)

// Query is a packet that looks for its socket.
type Query struct {
	Family       packet.Family
	Proto        uint8
	Src, Dst     packet.Addr
	Sport, Dport uint16
	In           *iface.Iface // by which it arrived
}

// Finder finds sockets. The library's user may have one of his own; it is asked
// from the goroutine of the packet, for packets of UDP and TCP.
type Finder interface {
	// Find is the socket of the packet, nil if there is none. It is valid
	// until the packet has run through.
	Find(q *Query, k Kind) *Socket
}

// List is sockets in the order in which they were opened.
type List []Socket

// Find follows Linux: inet_lookup_established, inet_lookup_listener and
// udp4_lib_lookup with their twins. Of sockets that fit equally well the newest
// has it.
func (l List) Find(q *Query, k Kind) *Socket {
	var best *Socket
	top := 0
	for i := range l {
		s := &l[i]
		if n := s.score(q, k); n > 0 && n >= top {
			best, top = s, n
		}
	}
	if best != nil && k == Listening && q.Proto != packet.TCP && best.Peer.IsValid() {
		return nil // a connected one stands before those that are not
	}
	return best
}

// score is how well a socket fits; 0 if it does not.
func (s *Socket) score(q *Query, k Kind) int {
	if s.Proto != q.Proto || s.Port != q.Dport ||
		!(q.Family == packet.IPv4 && s.V4 || q.Family == packet.IPv6 && s.V6) ||
		s.Dev != "" && (q.In == nil || s.Dev != q.In.Name) {
		return 0
	}
	n := 1
	if s.Addr.IsValid() {
		if s.Addr != q.Dst.IP(q.Family) {
			return 0
		}
		n += 64 // one that is bound to the address stands before all that are not
	}
	if s.Peer.IsValid() {
		if k == Listening && s.Proto == packet.TCP || s.Peer != netip.AddrPortFrom(q.Src.IP(q.Family), q.Sport) {
			return 0
		}
		n += 16
	} else if k == Connected {
		return 0
	}
	if s.Dev != "" {
		n += 4
	}
	if !(s.V4 && s.V6) {
		n++ // Linux prefers IPv4's own sockets to those of both
	}
	return n
}
