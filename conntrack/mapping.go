package conntrack

import (
	"encoding/binary"

	"weir/packet"
)

// Filtering is who may send to a mapping of its own accord. The words are those
// of RFC 4787, section 5.
type Filtering uint8

// The filterings. FilterLinux lets only answers in: the behaviour of Linux, which
// is address and port dependent.
const (
	FilterLinux Filtering = iota
	FilterEndpointIndependent
	FilterAddressDependent
)

// HoldDown is how long the outer endpoint of a mapping that ended is given to
// nobody but the source that had it (RFC 6888, REQ-8), in ns.
const HoldDown = 120 * second

// Endpoint is an address with a port, or with the id of an ICMP query.
type Endpoint struct {
	Addr packet.Addr
	Port uint16
}

// Pool is where the outer endpoints of mappings come from. Both ends belong to
// it; ports count if HasPorts.
type Pool struct {
	MinAddr, MaxAddr packet.Addr
	MinPort, MaxPort uint16
	HasPorts, Random bool
}

// Mapping is the outer endpoint that a source keeps whomever it talks to: the
// endpoint-independent mapping of RFC 4787, which Linux does not have. It lives
// as long as a connection uses it; then its outer endpoint is held down.
type Mapping struct {
	Inside, Outside Endpoint
	// ZoneIn and ZoneOut are the zones of the original and the reply tuples of
	// connections from the inside.
	ZoneIn, ZoneOut uint16
	Proto           uint8
	L3              packet.Family
	Filter          Filtering
	// Out is the index of the interface behind which the outside is.
	Out uint32
	// Pool is where other sources get theirs when they talk to this one.
	Pool Pool

	refs      uint32 // connections that use it; 0: it is held down
	permits   uint32 // addresses that it has sent to, as far as they count
	heldUntil int64
	// Chains of equal hashes, and of those that are held down, the oldest
	// first. insideNext also chains free slots.
	insideNext, outsideNext  uint32
	heldNext, heldPrev, slot uint32
}

// Live reports a mapping that a connection uses.
func (m *Mapping) Live() bool { return m.refs > 0 }

// permit is an address that a mapping has sent to, for address-dependent
// filtering.
type permit struct {
	addr          packet.Addr
	mapping, refs uint32
	next          uint32 // chain of equal hashes, or of free slots
	// until is when one that was kept ends (see KeepPermit), 0 if it was not;
	// due is when it is looked at for that, and laterKept the one after it.
	until, due int64
	laterKept  uint32
}

// mappingUse is one side of a connection that has a mapping: its slot, and that
// of its permit; 0 is none.
type mappingUse struct{ mapping, permit uint32 }

// outside is an interface behind which the outside is, and for how many mappings.
type outside struct {
	index uint32
	count int
}

const chunkMappings = 256

// mappings is all mappings of a table. Slot 0 is never used.
type mappings struct {
	chunks          []*[chunkMappings]Mapping
	inside, outside []uint32 // chains by hash
	used, free      uint32
	count           int
	heldFirst       uint32
	heldLast        uint32
	outs            []outside

	permits     []*[chunkMappings]permit
	permitHeads []uint32
	permitUsed  uint32
	permitFree  uint32
	permitCount int
	keptFirst   uint32
	keptLast    uint32

	// uses is by the slot of the connection, in the chunks that have some.
	uses []*[chunkConns][2]mappingUse
}

func (s *mappings) at(slot uint32) *Mapping {
	return &s.chunks[slot/chunkMappings][slot%chunkMappings]
}

func (s *mappings) permitAt(slot uint32) *permit {
	return &s.permits[slot/chunkMappings][slot%chunkMappings]
}

// Outside reports whether a mapping has its outside behind the interface.
func (tb *Table) Outside(index uint32) bool {
	for i := range tb.mappings.outs {
		if tb.mappings.outs[i].index == index {
			return true
		}
	}
	return false
}

// countOut adds to an interface, or takes away.
func (s *mappings) countOut(index uint32, n int) {
	for i := range s.outs {
		if o := &s.outs[i]; o.index == index {
			if o.count += n; o.count == 0 {
				s.outs = append(s.outs[:i], s.outs[i+1:]...)
			}
			return
		}
	}
	s.outs = append(s.outs, outside{index, n})
}

// HasMappings reports whether there is any mapping, held down or not.
func (tb *Table) HasMappings() bool { return tb.mappings.count > 0 }

// Mappings is how many there are, and how many of them are held down.
func (tb *Table) Mappings() (all, held int) {
	s := &tb.mappings
	for slot := s.heldFirst; slot != 0; slot = s.at(slot).heldNext {
		held++
	}
	return s.count, held
}

func (tb *Table) endpointHash(e *Endpoint, zone uint16, proto uint8, l3 packet.Family) uint32 {
	le := binary.LittleEndian
	last := uint64(e.Port) | uint64(zone)<<16 | uint64(proto)<<32 | uint64(l3)<<40 | 3<<62
	return uint32(tb.hashKey.six(le.Uint64(e.Addr[:]), le.Uint64(e.Addr[8:]), 0, 0, last))
}

func (tb *Table) permitHash(mapping uint32, a *packet.Addr) uint32 {
	le := binary.LittleEndian
	return uint32(tb.hashKey.six(le.Uint64(a[:]), le.Uint64(a[8:]), 0, 1, uint64(mapping)))
}

// MappingOf finds the mapping of the source of t, which is to be seen in zone
// out by the other side, that fits; nil if there is none.
func (tb *Table) MappingOf(t *Tuple, out uint16, now int64, fits func(*Mapping) bool) *Mapping {
	s := &tb.mappings
	if s.count == 0 {
		return nil
	}
	tb.expireMappings(now)
	from := Endpoint{t.Src, t.SrcL4}
	h := tb.endpointHash(&from, t.Zone, t.Proto, t.L3)
	for slot := s.inside[h&uint32(len(s.inside)-1)]; slot != 0; slot = s.at(slot).insideNext {
		m := s.at(slot)
		if m.Inside == from && m.Proto == t.Proto && m.L3 == t.L3 && m.ZoneIn == t.Zone && m.ZoneOut == out && !m.over(now) && fits(m) {
			return m
		}
	}
	return nil
}

// MappingAt finds the mapping, held down or not, whose outer endpoint is the
// destination of t, as one from the outside sees it; nil if it is nobody's.
func (tb *Table) MappingAt(t *Tuple, now int64) *Mapping {
	s := &tb.mappings
	if s.count == 0 {
		return nil
	}
	tb.expireMappings(now)
	to := Endpoint{t.Dst, t.DstL4}
	if t.Proto == packet.ICMP || t.Proto == packet.ICMPv6 {
		to.Port = t.SrcL4
	}
	if m := s.outsideOf(tb.endpointHash(&to, t.Zone, t.Proto, t.L3), &to, t); m != nil && !m.over(now) {
		return m
	}
	return nil
}

func (s *mappings) outsideOf(h uint32, to *Endpoint, t *Tuple) *Mapping {
	for slot := s.outside[h&uint32(len(s.outside)-1)]; slot != 0; slot = s.at(slot).outsideNext {
		if m := s.at(slot); m.Outside == *to && m.Proto == t.Proto && m.L3 == t.L3 && m.ZoneOut == t.Zone {
			return m
		}
	}
	return nil
}

// over reports a mapping that has been held down long enough.
func (m *Mapping) over(now int64) bool { return m.refs == 0 && m.heldUntil <= now }

// AddMapping enters a mapping whose outer endpoint is nobody's and that is about
// to be used: see UseMapping. Nil when there is no room: there are never more than
// nf_conntrack_max.
func (tb *Table) AddMapping(n *Mapping) *Mapping {
	s := &tb.mappings
	if tb.cfg.Max > 0 && s.count >= tb.cfg.Max {
		return nil
	}
	if s.count >= len(s.inside) {
		tb.growMappings()
	}
	slot := s.free
	if slot != 0 {
		s.free = s.at(slot).insideNext
	} else {
		s.used = max(s.used, 1)
		if s.used/chunkMappings == uint32(len(s.chunks)) {
			s.chunks = append(s.chunks, alloc[[chunkMappings]Mapping](tb.regions))
		}
		slot = s.used
		s.used++
	}
	m := s.at(slot)
	*m = *n
	m.slot, m.refs, m.permits, m.heldNext, m.heldPrev = slot, 0, 0, 0, 0
	s.count++
	s.countOut(m.Out, 1)
	tb.chainMapping(m)
	// Until it is used it is one that is over.
	m.heldUntil = 0
	s.hold(m, true)
	return m
}

func (tb *Table) chainMapping(m *Mapping) {
	s := &tb.mappings
	in := &s.inside[tb.endpointHash(&m.Inside, m.ZoneIn, m.Proto, m.L3)&uint32(len(s.inside)-1)]
	out := &s.outside[tb.endpointHash(&m.Outside, m.ZoneOut, m.Proto, m.L3)&uint32(len(s.outside)-1)]
	m.insideNext, m.outsideNext = *in, *out
	*in, *out = m.slot, m.slot
}

// growMappings doubles the chains.
func (tb *Table) growMappings() {
	s := &tb.mappings
	n := max(64, 2*len(s.inside))
	s.inside, s.outside = make([]uint32, n), make([]uint32, n)
	for slot := uint32(1); slot < s.used; slot++ {
		if m := s.at(slot); m.slot != 0 {
			tb.chainMapping(m)
		}
	}
}

// hold puts a mapping to those that are held down.
func (s *mappings) hold(m *Mapping, first bool) {
	switch {
	case s.heldFirst == 0:
		s.heldFirst, s.heldLast = m.slot, m.slot
	case first:
		m.heldNext = s.heldFirst
		s.at(s.heldFirst).heldPrev, s.heldFirst = m.slot, m.slot
	default:
		m.heldPrev = s.heldLast
		s.at(s.heldLast).heldNext, s.heldLast = m.slot, m.slot
	}
}

// unhold takes it away from them.
func (s *mappings) unhold(m *Mapping) {
	if m.heldPrev != 0 {
		s.at(m.heldPrev).heldNext = m.heldNext
	} else {
		s.heldFirst = m.heldNext
	}
	if m.heldNext != 0 {
		s.at(m.heldNext).heldPrev = m.heldPrev
	} else {
		s.heldLast = m.heldPrev
	}
	m.heldNext, m.heldPrev = 0, 0
}

// expireAtOnce is how many mappings one packet may clear away.
const expireAtOnce = 16

// expireMappings frees mappings that were held down long enough.
func (tb *Table) expireMappings(now int64) {
	s := &tb.mappings
	if s.keptFirst != 0 {
		tb.expirePermits(now)
	}
	for range expireAtOnce {
		if s.heldFirst == 0 {
			return
		}
		m := s.at(s.heldFirst)
		if !m.over(now) || m.permits > 0 {
			return
		}
		s.unhold(m)
		tb.freeMapping(m)
	}
}

func (tb *Table) freeMapping(m *Mapping) {
	s := &tb.mappings
	link := &s.inside[tb.endpointHash(&m.Inside, m.ZoneIn, m.Proto, m.L3)&uint32(len(s.inside)-1)]
	for *link != m.slot {
		link = &s.at(*link).insideNext
	}
	*link = m.insideNext
	link = &s.outside[tb.endpointHash(&m.Outside, m.ZoneOut, m.Proto, m.L3)&uint32(len(s.outside)-1)]
	for *link != m.slot {
		link = &s.at(*link).outsideNext
	}
	*link = m.outsideNext
	s.countOut(m.Out, -1)
	slot := m.slot
	*m = Mapping{insideNext: s.free}
	s.free = slot
	s.count--
}
