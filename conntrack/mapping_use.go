package conntrack

import "weir/packet"

// Sides of a connection that may have a mapping: who began it, and who answers.
const (
	MappingOfSource = iota
	MappingOfDestination
)

// UseMapping says that the unconfirmed connection c uses m for one of its sides:
// m lives as long as c does. remote is the address that the inside sends to, for
// address-dependent filtering. The connection gets timeouts that are no
// shorter than the RFCs want them, unless a rule chose its timeouts.
func (tb *Table) UseMapping(c *Conn, side int, m *Mapping, remote *packet.Addr) {
	s := &tb.mappings
	n := c.index / chunkConns
	for uint32(len(s.uses)) <= n {
		s.uses = append(s.uses, nil)
	}
	if s.uses[n] == nil {
		s.uses[n] = alloc[[chunkConns][2]mappingUse](tb.regions)
	}
	u := &s.uses[n][c.index%chunkConns][side]
	if u.mapping != 0 {
		return
	}
	if m.refs == 0 {
		s.unhold(m)
	}
	m.refs++
	u.mapping = m.slot
	if m.Filter == FilterAddressDependent {
		u.permit = tb.addPermit(m, remote)
	}
	c.flags |= mapping
	tb.lengthen(c)
}

// leaveMappings is for a connection that ends.
func (tb *Table) leaveMappings(c *Conn, now int64) {
	c.flags &^= mapping
	s := &tb.mappings
	both := &s.uses[c.index/chunkConns][c.index%chunkConns]
	for i := range both {
		u := both[i]
		both[i] = mappingUse{}
		if u.mapping == 0 {
			continue
		}
		if u.permit != 0 {
			tb.dropPermit(u.permit)
		}
		m := s.at(u.mapping)
		if m.refs--; m.refs == 0 {
			m.heldUntil = now + HoldDown
			s.hold(m, false)
		}
	}
}

// mappingUses is what a connection uses.
func (tb *Table) mappingUses(c *Conn) [2]mappingUse {
	if c.flags&mapping == 0 {
		return [2]mappingUse{}
	}
	return tb.mappings.uses[c.index/chunkConns][c.index%chunkConns]
}

// Permitted reports whether the filtering of a live mapping lets a new connection
// from the address in.
func (tb *Table) Permitted(m *Mapping, from *packet.Addr) bool {
	switch m.Filter {
	case FilterEndpointIndependent:
		return true
	case FilterAddressDependent:
		return tb.findPermit(m.slot, from) != 0
	}
	return false
}

func (tb *Table) findPermit(mapping uint32, a *packet.Addr) uint32 {
	s := &tb.mappings
	if s.permitCount == 0 {
		return 0
	}
	slot := s.permitHeads[tb.permitHash(mapping, a)&uint32(len(s.permitHeads)-1)]
	for slot != 0 {
		p := s.permitAt(slot)
		if p.mapping == mapping && p.addr == *a {
			break
		}
		slot = p.next
	}
	return slot
}

func (tb *Table) addPermit(m *Mapping, a *packet.Addr) uint32 {
	s := &tb.mappings
	if slot := tb.findPermit(m.slot, a); slot != 0 {
		s.permitAt(slot).refs++
		return slot
	}
	if s.permitCount >= len(s.permitHeads) {
		s.permitHeads = make([]uint32, max(64, 2*len(s.permitHeads)))
		for slot := uint32(1); slot < s.permitUsed; slot++ {
			if p := s.permitAt(slot); p.refs > 0 {
				tb.chainPermit(slot, p)
			}
		}
	}
	slot := s.permitFree
	if slot != 0 {
		s.permitFree = s.permitAt(slot).next
	} else {
		s.permitUsed = max(s.permitUsed, 1)
		if s.permitUsed/chunkMappings == uint32(len(s.permits)) {
			s.permits = append(s.permits, alloc[[chunkMappings]permit](tb.regions))
		}
		slot = s.permitUsed
		s.permitUsed++
	}
	p := s.permitAt(slot)
	*p = permit{addr: *a, mapping: m.slot, refs: 1}
	tb.chainPermit(slot, p)
	s.permitCount++
	m.permits++
	return slot
}

func (tb *Table) chainPermit(slot uint32, p *permit) {
	heads := tb.mappings.permitHeads
	head := &heads[tb.permitHash(p.mapping, &p.addr)&uint32(len(heads)-1)]
	p.next, *head = *head, slot
}

func (tb *Table) dropPermit(slot uint32) {
	s := &tb.mappings
	p := s.permitAt(slot)
	if p.refs--; p.refs > 0 {
		return
	}
	link := &s.permitHeads[tb.permitHash(p.mapping, &p.addr)&uint32(len(s.permitHeads)-1)]
	for *link != slot {
		link = &s.permitAt(*link).next
	}
	*link = p.next
	s.at(p.mapping).permits--
	*p = permit{next: s.permitFree}
	s.permitFree = slot
	s.permitCount--
}

// KeepPermit lets what c may have opened for address-dependent filtering stay open
// for HoldDown: c is about to be dropped, but its source has sent.
func (tb *Table) KeepPermit(c *Conn, now int64) {
	slot := tb.mappingUses(c)[MappingOfSource].permit
	if slot == 0 {
		return
	}
	p := tb.mappings.permitAt(slot)
	if p.until == 0 {
		p.refs++
		p.due = now + HoldDown
		tb.mappings.keep(slot, p)
	}
	p.until = now + HoldDown
}

func (s *mappings) keep(slot uint32, p *permit) {
	if p.laterKept = 0; s.keptFirst == 0 {
		s.keptFirst = slot
	} else {
		s.permitAt(s.keptLast).laterKept = slot
	}
	s.keptLast = slot
}

// expirePermits lets those go that were kept long enough.
func (tb *Table) expirePermits(now int64) {
	s := &tb.mappings
	for range expireAtOnce {
		slot := s.keptFirst
		if slot == 0 {
			return
		}
		p := s.permitAt(slot)
		if p.due > now {
			return
		}
		s.keptFirst = p.laterKept
		if p.until > now {
			p.due = p.until
			s.keep(slot, p)
			continue
		}
		p.until = 0
		tb.dropPermit(slot)
	}
}

// longPolicy is the number of the timeout policy of connections with a mapping;
// the table's own have smaller ones.
const longPolicy = 255

// longPolicyName names it in snapshots; no policy of a file is called so.
const longPolicyName = "mapping\x00"

// longTimeout is how long a connection with a mapping lives at least, in ns:
// RFC 4787 REQ-5, RFC 5382 REQ-5 and RFC 7857 section 2, RFC 5508 REQ-2.
func longTimeout(proto uint8, i int) int64 {
	const idle, transitory = (2*60 + 4) * 60 * second, 4 * 60 * second
	switch proto {
	case packet.TCP:
		switch i {
		case int(TCPEstablished), TCPRetrans, TCPUnack:
			return idle
		}
		return transitory
	case packet.UDP, packet.UDPLite:
		return 300 * second
	case packet.ICMP, packet.ICMPv6:
		return 60 * second
	}
	return 0
}

// lengthen gives the policy to a connection that has none; its timeout so far
// is that of the packet that is under way.
func (tb *Table) lengthen(c *Conn) {
	if c.policy != 0 || c.Status&Confirmed != 0 {
		return
	}
	c.policy = longPolicy
	i := 0
	if t := c.TCP(); t != nil {
		i = int(t.State)
	}
	c.deadline = max(c.deadline, longTimeout(c.Proto(), i))
}
