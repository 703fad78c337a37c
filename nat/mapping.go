package nat

import (
	"weir/conntrack"
	"weir/hook"
	"weir/packet"
	"weir/trace"
)

// mappable is the protocols of which a source has an endpoint of its own that
// can be mapped for all destinations.
func mappable(proto uint8) bool {
	switch proto {
	case packet.TCP, packet.UDP, packet.UDPLite, packet.SCTP, packet.ICMP, packet.ICMPv6:
		return true
	}
	return false
}

// mapped is unique for an endpoint-independent mapping: what the source has for
// all that it talks to, else what nobody has; false, with the reason, if there is
// nothing. RFC 4787, REQ-1 to REQ-4.
func (s *search) mapped(cur *conntrack.Tuple) (conntrack.Tuple, bool) {
	r, reply := &s.r, &s.c.Tuple[conntrack.Reply]
	inside := *cur
	inside.Zone = s.c.Tuple[conntrack.Original].Zone
	m := s.tb.MappingOf(&inside, reply.Zone, s.t.Now, func(m *conntrack.Mapping) bool {
		t := conntrack.Tuple{Src: m.Outside.Addr, SrcL4: m.Outside.Port, Proto: m.Proto, L3: m.L3}
		return r.has(&t)
	})
	t := *cur
	switch {
	case m == nil:
		r.Flags |= Persistent // addresses are paired: REQ-2
		s.bestAddress(&t)
		if !s.freeEndpoint(&t) {
			return t, s.exhausted("every " + s.what() + " that was tried is taken")
		}
		n := conntrack.Mapping{
			Inside: conntrack.Endpoint{Addr: cur.Src, Port: cur.SrcL4}, Outside: conntrack.Endpoint{Addr: t.Src, Port: t.SrcL4},
			ZoneIn: inside.Zone, ZoneOut: reply.Zone, Proto: cur.Proto, L3: cur.L3, Out: s.outside(), Pool: r.pool(),
		}
		if m = s.tb.AddMapping(&n); m == nil {
			return t, s.exhausted("there are nf_conntrack_max mappings")
		}
	default:
		s.how = "the mapping that this source has for all"
		if !m.Live() {
			s.how = "the mapping that this source had"
		}
		t.Src, t.SrcL4 = m.Outside.Addr, m.Outside.Port
		if s.taken(&t) {
			return t, s.exhausted("its mapping would have two connections with one answer")
		}
	}
	if r.behind == 0 {
		m.Filter = r.Filter // the rule that was asked last
	}
	s.tb.UseMapping(s.c, conntrack.MappingOfSource, m, &cur.Dst)
	return t, true
}

// outside is the interface by which the mapping's connections leave. One that
// talks to another mapping has that one's.
func (s *search) outside() uint32 {
	if s.r.behind != 0 {
		return s.r.behind
	}
	if s.t.Out == nil {
		return 0
	}
	return uint32(s.t.Out.Index)
}

// pool is what of a range counts for mappings.
func (r *Range) pool() conntrack.Pool {
	return conntrack.Pool{
		MinAddr: r.MinAddr, MaxAddr: r.MaxAddr, MinPort: r.MinPort, MaxPort: r.MaxPort,
		HasPorts: r.Flags&ProtoSpecified != 0, Random: r.Flags&randomMask != 0,
	}
}

// poolRange is the range of another mapping's pool. Who is let in to a mapping from
// there is left to the rule that its source will meet.
func poolRange(m *conntrack.Mapping) Range {
	p := &m.Pool
	r := Range{
		Flags: MapIPs | EndpointIndependent, behind: m.Out,
		MinAddr: p.MinAddr, MaxAddr: p.MaxAddr, MinPort: p.MinPort, MaxPort: p.MaxPort,
	}
	if p.HasPorts {
		r.Flags |= ProtoSpecified
	}
	if p.Random {
		r.Flags |= ProtoRandom
	}
	return r
}

// freeEndpoint looks for a port, or an id, that no mapping has and that is not
// held down: the source's own, else one of its class, for UDP of its parity.
func (s *search) freeEndpoint(t *conntrack.Tuple) bool {
	lo, size := s.endpoints(t)
	k, step := &t.SrcL4, uint32(1)
	if (t.Proto == packet.UDP || t.Proto == packet.UDPLite) && size > 1 {
		step = 2
		if skip := (lo ^ uint32(*k)) & 1; skip != 0 {
			lo, size = lo+1, size-1
		}
		size = (size + 1) / 2
	}
	if own := uint32(*k); s.r.Flags&randomMask == 0 && own >= lo && own <= lo+(size-1)*step && !s.used(t) {
		s.how = s.what() + " kept"
		return true
	}
	if s.t.Trace.On() {
		s.how = s.explainSearch(t, lo, (size-1)*step+1)
	}
	for attempts := min(size, maxAttempts); ; attempts /= 2 {
		off := s.t.Env.Rand.PortOffset(lo, size, true)
		for i := range attempts {
			*k = uint16(lo + (off+i)%size*step)
			if !s.used(t) {
				return true
			}
		}
		if attempts >= size || attempts < minAttempts {
			return false
		}
	}
}

// endpoints is the first port or id that a mapping may have, and how many there
// are: those of the range, else those of the class that the source's port is in
// (RFC 4787, REQ-3a). Of the low ones those that name a service are left out.
func (s *search) endpoints(t *conntrack.Tuple) (lo, size uint32) {
	first, last := uint32(0), uint32(65535)
	switch {
	case s.r.Flags&ProtoSpecified != 0:
		first, last = uint32(s.r.MinPort), uint32(s.r.MaxPort)
	case t.Proto == packet.ICMP || t.Proto == packet.ICMPv6:
	case t.SrcL4 < 1024:
		first, last = 512, 1023
		if own := uint32(t.SrcL4); own != 0 && own < first && !s.used(t) && s.r.Flags&randomMask == 0 {
			return own, 1
		}
	default:
		first = 1024
	}
	return first, last - first + 1
}

// what is the word for what is searched.
func (s *search) what() string {
	if p := s.c.Proto(); p == packet.ICMP || p == packet.ICMPv6 {
		return "id"
	}
	return "port"
}

// owned reports that a mapping has the source of t, or had it a moment ago.
func (s *search) owned(t *conntrack.Tuple) bool {
	if s.m != Source || !s.tb.HasMappings() {
		return false
	}
	reply, ok := t.Inverse()
	reply.Zone = s.c.Tuple[conntrack.Reply].Zone
	return ok && s.tb.MappingAt(&reply, s.t.Now) != nil
}

// exhausted drops a packet for which there is no mapping, says why, and tells the
// sender that it is not allowed (RFC 5508, REQ-8).
func (s *search) exhausted(why string) bool {
	if s.t.Trace.On() {
		s.t.Trace.Add(trace.Step{Kind: trace.KindNAT, Text: "no mapping: " + why, Verdict: "DROP"})
	}
	if s.t.Pkt.Family == packet.IPv4 {
		s.t.Env.Emit.ICMPError(s.t, 3, 13, 0)
	} else {
		s.t.Env.Emit.ICMPError(s.t, 1, 1, 0)
	}
	s.t.Drop(hook.ReasonNATExhausted)
	return false
}

// inbound lets the first packet of a connection to the outer endpoint of a mapping
// in, if its filtering says so. It runs when no rule decided on the destination.
// From the inside the packet is sent back with an outer source of its own
// (RFC 4787, REQ-8 and REQ-9).
func inbound(t *hook.Traversal, c *conntrack.Conn) hook.Verdict {
	tb, o := t.Env.CT, c.Tuple[conntrack.Original]
	if o.Proto == packet.ICMP || o.Proto == packet.ICMPv6 || c.Has(conntrack.Confirmed) {
		return hook.Accept
	}
	m := tb.MappingAt(&o, t.Now)
	if m == nil || m.ZoneIn != c.Tuple[conntrack.Reply].Zone {
		return hook.Accept
	}
	if !m.Live() {
		passOver(t, m, "which ended, and is held down")
		return hook.Accept
	}
	if m.Filter == conntrack.FilterLinux {
		passOver(t, m, "to which only answers are let in")
		return hook.Accept
	}
	from, behind := o.Src, t.In != nil && !tb.Outside(uint32(t.In.Index))
	if !behind {
		behind = tb.MappingOf(&o, m.ZoneOut, t.Now, func(*conntrack.Mapping) bool { return true }) != nil
	}
	if behind {
		r := poolRange(m)
		if !Setup(t, c, &r, Source) {
			return hook.Drop
		}
		from = c.Tuple[conntrack.Reply].Dst
	}
	if !tb.Permitted(m, &from) {
		if behind {
			tb.KeepPermit(c, t.Now) // so that two behind this machine can open for each other
		}
		if t.Trace.On() {
			t.Trace.Add(trace.Step{Kind: trace.KindNAT, Text: mappingText(m) + ", to which filtering does not let " + from.IP(o.L3).String() + " in: nothing was sent there", Verdict: "DROP"})
		}
		return t.Drop(hook.ReasonNATFiltered)
	}
	if t.Trace.On() {
		text := mappingText(m) + ", to which filtering lets everybody in"
		if m.Filter == conntrack.FilterAddressDependent {
			text = mappingText(m) + ", to which filtering lets " + from.IP(o.L3).String() + " in: something was sent there"
		}
		t.Trace.Add(trace.Step{Kind: trace.KindNAT, Text: text, Match: true})
	}
	r := Range{Flags: MapIPs | ProtoSpecified, MinAddr: m.Inside.Addr, MaxAddr: m.Inside.Addr, MinPort: m.Inside.Port, MaxPort: m.Inside.Port}
	if !Setup(t, c, &r, Destination) {
		return hook.Drop
	}
	tb.UseMapping(c, conntrack.MappingOfDestination, m, &from)
	return hook.Accept
}

// passOver says that a mapping has nothing for a packet.
func passOver(t *hook.Traversal, m *conntrack.Mapping, why string) {
	if t.Trace.On() {
		t.Trace.Add(trace.Step{Kind: trace.KindNAT, Text: mappingText(m) + ", " + why})
	}
}

// mappingText is a mapping for traces.
func mappingText(m *conntrack.Mapping) string {
	in := conntrack.Tuple{Src: m.Inside.Addr, SrcL4: m.Inside.Port, Proto: m.Proto, L3: m.L3}
	out := conntrack.Tuple{Src: m.Outside.Addr, SrcL4: m.Outside.Port, Proto: m.Proto, L3: m.L3}
	return sideText(&out, Source) + " is the mapping of " + sideText(&in, Source)
}
