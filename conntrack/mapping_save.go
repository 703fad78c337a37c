package conntrack

import (
	"cmp"
	"slices"

	"weir/packet"
)

// savedSides is which sides of a connection have a mapping, as bits.
func (tb *Table) savedSides(c *Conn) (sides uint8) {
	for i, u := range tb.mappingUses(c) {
		if u.mapping != 0 {
			sides |= 1 << i
		}
	}
	return sides
}

// mapping is a record of a mapping.
func (c *coder) mapping(m *Mapping) {
	l3 := uint8(m.L3)
	c.u8(&l3)
	if m.L3 = packet.Family(l3); m.L3 != packet.IPv4 && m.L3 != packet.IPv6 {
		c.bad, m.L3 = true, packet.IPv4
	}
	c.u8(&m.Proto)
	for _, e := range []*Endpoint{&m.Inside, &m.Outside} {
		c.addr(&e.Addr, m.L3)
		c.u16(&e.Port)
	}
	c.u16(&m.ZoneIn)
	c.u16(&m.ZoneOut)
	c.below((*uint8)(&m.Filter), uint8(FilterAddressDependent)+1)
	c.u32(&m.Out)
	c.addr(&m.Pool.MinAddr, m.L3)
	c.addr(&m.Pool.MaxAddr, m.L3)
	c.u16(&m.Pool.MinPort)
	c.u16(&m.Pool.MaxPort)
	c.truth(&m.Pool.HasPorts)
	c.truth(&m.Pool.Random)
	c.moment(&m.heldUntil)
}

// writeMapping writes one. If it is used, it is held until then plus HoldDown
// where nothing uses it when it is read.
func (s *Snapshot) writeMapping(c *coder, m *Mapping) {
	if m.refs > 0 {
		m.heldUntil = s.now + HoldDown
	}
	c.mapping(m)
}

// enterMappings enters mappings, and gives the connections theirs.
func (l *Loading) enterMappings(list []Mapping) {
	tb := l.tb
	slices.SortStableFunc(list, func(a, b Mapping) int { return cmp.Compare(b.heldUntil, a.heldUntil) })
	for i := range list { // each stands before those that were entered
		m := &list[i]
		to := Tuple{Proto: m.Proto, L3: m.L3, Zone: m.ZoneOut, Dst: m.Outside.Addr, DstL4: m.Outside.Port, SrcL4: m.Outside.Port}
		if tb.mappings.count > 0 && tb.mappings.outsideOf(tb.endpointHash(&m.Outside, m.ZoneOut, m.Proto, m.L3), &m.Outside, &to) != nil {
			continue
		}
		if n := tb.AddMapping(m); n != nil {
			n.heldUntil = m.heldUntil
		}
	}
	for seq, sides := range l.sides {
		if c := l.find(seq); c != nil && tb.mappings.count > 0 {
			tb.giveMappings(c, sides)
		}
	}
	l.sides = nil
}

// giveMappings finds the mappings of a connection by its tuples.
func (tb *Table) giveMappings(c *Conn, sides uint8) {
	o, r := &c.Tuple[Original], &c.Tuple[Reply]
	for side := range 2 {
		if sides>>side&1 == 0 {
			continue
		}
		// As one from the outside sees it, and who is sent to.
		to, inside, remote := *r, Endpoint{o.Src, o.SrcL4}, &r.Src
		if sides == 3 {
			remote = &o.Dst
		}
		if side == MappingOfDestination {
			to, inside, remote = *o, Endpoint{r.Src, r.SrcL4}, &o.Src
			if sides == 3 {
				remote = &r.Dst
			}
		}
		out := Endpoint{to.Dst, to.DstL4}
		if to.Proto == packet.ICMP || to.Proto == packet.ICMPv6 {
			out.Port = to.SrcL4
		}
		m := tb.mappings.outsideOf(tb.endpointHash(&out, to.Zone, to.Proto, to.L3), &out, &to)
		if m != nil && m.Inside == inside {
			tb.UseMapping(c, side, m, remote)
		}
	}
}
