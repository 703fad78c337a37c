package nat

import (
	"encoding/binary"

	"weir/conntrack"
	"weir/hook"
	"weir/internal/jhash"
	"weir/packet"
)

// search is the search for a mapping that nobody uses.
type search struct {
	t  *hook.Traversal
	tb *conntrack.Table
	c  *conntrack.Conn
	r  Range
	m  Manip
	// how tells for traces by which rule the mapping was found.
	how string
}

// unique finds the tuple that the connection is to have on the far side.
// Linux: get_unique_tuple.
func (s *search) unique(cur *conntrack.Tuple) conntrack.Tuple {
	r := &s.r
	if s.m == Source && r.Flags&randomMask == 0 {
		// Keep what is there, or what this source has elsewhere.
		if r.has(cur) {
			if !s.usedUnchanged(cur) {
				return *cur
			}
		} else if t, ok := s.ofSource(cur); ok && !s.used(&t) {
			s.how = "the mapping that this source has already"
			return t
		}
	}
	t := *cur
	s.bestAddress(&t)
	if r.Flags&randomMask == 0 {
		if r.Flags&ProtoSpecified != 0 {
			if r.Flags&ProtoOffset == 0 && r.portIn(&t, s.m) && (r.MinPort == r.MaxPort || !s.used(&t)) {
				s.how = "port kept"
				return t
			}
		} else if !s.used(&t) {
			s.how = "port kept"
			return t
		}
	}
	s.freePort(&t)
	return t
}

// ofSource is the mapping of another connection from the same source, if it
// lies in the range. Linux: find_appropriate_src.
func (s *search) ofSource(cur *conntrack.Tuple) (found conntrack.Tuple, ok bool) {
	orig := &s.c.Tuple[conntrack.Original]
	s.tb.EachSource(cur, s.c.Zone(), func(o *conntrack.Conn) bool {
		// A connection that this very packet ended is gone in Linux.
		if o.Tuple[conntrack.Original].Zone != orig.Zone || o.Has(conntrack.Dying) {
			return true
		}
		t, inv := o.Tuple[conntrack.Reply].Inverse()
		if !inv {
			return true
		}
		t.Dst, t.DstL4, t.Zone = cur.Dst, cur.DstL4, cur.Zone
		if !s.r.has(&t) {
			return true
		}
		found, ok = t, true
		return false
	})
	return found, ok
}

// used reports whether the answer to t is another connection's tuple, or whether
// its source is that of a mapping, which no other may have.
func (s *search) used(t *conntrack.Tuple) bool { return s.taken(t) || s.owned(t) }

// taken reports whether the answer to t is another connection's tuple.
// Linux: nf_nat_used_tuple.
func (s *search) taken(t *conntrack.Tuple) bool {
	reply, ok := t.Inverse()
	return ok && s.tb.Taken(reply, s.c, s.t.Now)
}

// usedUnchanged is used for a connection whose tuple would stay as it is. When
// the tuple is taken by a connection that begins from the other end at the
// same time, it is left to the clash at confirmation, which makes them one.
// Linux: nf_nat_used_tuple_new.
func (s *search) usedUnchanged(t *conntrack.Tuple) bool {
	const translated = conntrack.NATMask | conntrack.SeqAdjust
	if s.owned(t) {
		return true
	}
	if !s.taken(t) {
		return false
	}
	if !s.tb.ClashOK(t.Proto) {
		return true
	}
	if s.c.Status&translated != 0 {
		return true
	}
	o, _ := s.tb.LookupAs(s.c, *t, s.t.Now)
	if o == nil {
		reply, _ := t.Inverse()
		if o, _ = s.tb.LookupAs(s.c, reply, s.t.Now); o == nil {
			return false
		}
	}
	if o.Status&translated != 0 {
		return true
	}
	theirs, mine := o.Tuple[conntrack.Original], s.c.Tuple[conntrack.Reply]
	mine.Zone = theirs.Zone
	return theirs != mine
}

// hardAttempts is how many attempts before the end of a round a closed
// connection may be evicted.
const hardAttempts = 32

// usedHarder is used near the end of a search: the port of a TCP connection
// that is over may be taken for a new one that is later in sequence space.
// Linux: nf_nat_used_tuple_harder.
func (s *search) usedHarder(t *conntrack.Tuple, left int) bool {
	mine := s.c.TCP()
	if left > hardAttempts || mine == nil || mine.State != conntrack.TCPSynSent || s.owned(t) {
		return s.used(t)
	}
	reply, _ := t.Inverse()
	o, d := s.tb.LookupAs(s.c, reply, s.t.Now)
	if o == nil {
		return false
	}
	if d == conntrack.Original || o == s.c {
		return true
	}
	old := o.TCP()
	if old == nil || old.State < conntrack.TCPTimeWait ||
		o.Status&(conntrack.FixedTimeout|conntrack.Dying) != 0 || !o.Has(conntrack.SrcNAT) ||
		int32(mine.Side[conntrack.Original].End-old.Side[conntrack.Original].End) <= 0 {
		return true
	}
	return !s.tb.Kill(o, s.t.Now)
}

// bestAddress picks the address: the same for the same source and destination,
// or under Persistent for the same source. Linux: find_best_ips_proto.
func (s *search) bestAddress(t *conntrack.Tuple) {
	r := &s.r
	if r.Flags&MapIPs == 0 {
		return
	}
	addr := &t.Src
	if s.m == Destination {
		addr = &t.Dst
	}
	if r.MinAddr == r.MaxAddr {
		*addr = r.MinAddr
		return
	}
	le, be := binary.LittleEndian, binary.BigEndian
	last := t.L3.Len()/4 - 1
	dst := t.Dst // before it is overwritten
	var src [4]uint32
	for i := range src {
		src[i] = le.Uint32(t.Src[i*4:])
	}
	seed := uint32(0)
	if r.Flags&Persistent == 0 {
		zone := max(s.c.Tuple[conntrack.Original].Zone, s.c.Tuple[conntrack.Reply].Zone)
		seed = le.Uint32(dst[last*4:]) ^ uint32(zone)
	}
	j := jhash.Words(src[:], seed)
	full := false
	for i := 0; i <= last; i++ {
		lo, dist := uint32(0), ^uint32(0)
		if !full {
			lo = be.Uint32(r.MinAddr[i*4:])
			dist = be.Uint32(r.MaxAddr[i*4:]) - lo + 1
		}
		v := lo + uint32(uint64(j)*uint64(dist)>>32)
		be.PutUint32(addr[i*4:], v)
		if v != be.Uint32(r.MaxAddr[i*4:]) {
			full = true
		}
		if r.Flags&Persistent == 0 {
			// Linux reads the tuple here, of which the destination may just
			// have been written.
			if s.m == Destination {
				j ^= le.Uint32(addr[i*4:])
			} else {
				j ^= le.Uint32(dst[i*4:])
			}
		}
	}
}

// Limits of the search for a port.
const (
	maxAttempts = 128
	minAttempts = 16
)

// freePort changes the port, id or key until the tuple is free, or gives up;
// then the clash at confirmation drops the packet.
// Linux: nf_nat_l4proto_unique_tuple.
func (s *search) freePort(t *conntrack.Tuple) {
	lo, size, ok := s.ports(t)
	if !ok {
		if s.r.Flags&(randomMask|ProtoSpecified) == 0 {
			s.how = "taken, and nothing else may change"
		}
		return
	}
	k := key(t, s.m)
	var off uint16
	switch {
	case s.r.Flags&ProtoOffset != 0:
		off = *k - s.r.BasePort
	case s.r.Flags&randomMask != 0 || s.m != Destination:
		off = uint16(s.t.Env.Rand.PortOffset(lo, size, s.m == Source))
	}
	if s.t.Trace.On() {
		s.how = s.explainSearch(t, lo, size)
	}
	attempts := int(min(size, maxAttempts))
	for {
		for i := 0; i < attempts; i++ {
			*k = uint16(lo + uint32(off)%size)
			if !s.usedHarder(t, attempts-i) {
				return
			}
			off++
		}
		if uint32(attempts) >= size || attempts < minAttempts {
			if s.t.Trace.On() {
				s.how += ", and none is free"
			}
			return
		}
		attempts /= 2
		off = uint16(s.t.Env.Rand.PortOffset(lo, size, s.m == Source))
	}
}

// ports is the first port that may be tried and how many there are. Without a
// range, source ports stay in the class that they are in, since programs read
// a meaning into low ones.
func (s *search) ports(t *conntrack.Tuple) (lo, size uint32, ok bool) {
	given := s.r.Flags&ProtoSpecified != 0
	first, last := uint32(0), uint32(65535)
	switch t.Proto {
	case packet.ICMP, packet.ICMPv6:
	case packet.GRE:
		if s.tb.Master(s.c) == 0 {
			return 0, 0, false
		}
		first = 1
	case packet.TCP, packet.UDP, packet.UDPLite, packet.SCTP:
		if given {
			break
		}
		if s.m == Destination {
			return 0, 0, false
		}
		switch port := *key(t, s.m); {
		case port < 512:
			first, last = 1, 511
		case port < 1024:
			first, last = 600, 1023
		default:
			first = 1024
		}
	default:
		return 0, 0, false
	}
	if given {
		first, last = uint32(s.r.MinPort), uint32(s.r.MaxPort)
		if last < first {
			first, last = last, first
		}
	}
	return first, last - first + 1, true
}
