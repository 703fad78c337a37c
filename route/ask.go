package route

import (
	"weir/iface"
	"weir/packet"
)

// AddrType is the kind of an address as -m addrtype sees it. With dev, only
// routes and addresses of that interface count.
//
// IPv4 (Linux: __inet_dev_addr_type) looks into the local table: an address
// that is nothing else is Unicast. IPv6 (Linux: xt_addrtype.c
// match_lookup_rt6) looks the address up: Unreachable is one to which no route leads.
func (t *Table) AddrType(f packet.Family, a packet.Addr, dev *iface.Iface) Type {
	if f == packet.IPv6 {
		return t.addrType6(a, dev)
	}
	switch {
	case a.IsZero(), a == Broadcast4():
		return Broadcast
	case a[0]&0xf0 == 0xe0:
		return Multicast
	}
	n, _ := t.local4.bart.Lookup(a.IP(f))
	k := Key{Family: f, Dst: a}
	e := n.find(&k, nil, false)
	if e == nil || dev != nil && e.route.Dev != dev {
		return Unicast
	}
	switch e.route.Type {
	case Blackhole, Unreachable, Prohibit, Throw:
		return Unicast
	}
	return e.route.Type
}

// Broadcast4 is 255.255.255.255.
func Broadcast4() packet.Addr { return packet.Addr{255, 255, 255, 255} }

func (t *Table) addrType6(a packet.Addr, dev *iface.Iface) Type {
	switch {
	case a[0] == 0xff:
		return Multicast
	case dev != nil && t.Owns(packet.IPv6, a, dev):
		return Local
	}
	k := Key{Family: packet.IPv6, Dst: a, Out: dev}
	switch r := t.Lookup(&k); r.Type {
	case Local:
		if dev != nil {
			return Unicast
		}
		return Local
	case Anycast:
		return Anycast
	case None, Blackhole, Unreachable, Prohibit:
		return Unreachable
	}
	return Unicast
}

// IsAnycast6 reports an IPv6 address that is one of this machine's anycast
// addresses or the subnet-router address of a connected network: nobody sends
// an error to it. Linux: ipv6_anycast_destination.
func (t *Table) IsAnycast6(a packet.Addr) bool {
	k := Key{Family: packet.IPv6, Dst: a}
	for i := range t.steps6 {
		n, _ := t.steps6[i].found(&k)
		if e := n.find(&k, nil, false); e != nil && e.result.Type != Throw {
			return e.result.Type == Anycast || e.result.Type == Unicast && !e.route.Via.IsValid() &&
				e.route.To.Bits() < 127 && packet.AddrOf(e.route.To.Addr()) == a
		}
	}
	return false
}

// Filter is how the reverse path is checked (sysctl rp_filter).
type Filter uint8

// The values of rp_filter.
const (
	NoFilter Filter = 0
	Strict   Filter = 1 // the way back is by the same interface
	Loose    Filter = 2 // there is a way back by any interface
)

// Source is a question to CheckSource.
type Source struct {
	Src, Dst packet.Addr // Dst zero for broadcasts
	In       *iface.Iface
	// Out is the way out, nil for packets to this machine.
	Out    *iface.Iface
	Mark   uint32 // 0 unless src_valid_mark
	TOS    uint8
	Filter Filter
	// AcceptLocal takes packets from the machine's own addresses.
	AcceptLocal bool
	// Redirects: In sends redirects, for which the full check runs when a
	// packet leaves as it came.
	Redirects bool
}

// SourceVerdict is what CheckSource found.
type SourceVerdict uint8

// The verdicts of CheckSource.
const (
	SourceOK      SourceVerdict = iota
	SourceDirect                // and the sender is a neighbour
	SourceMartian               // an address that cannot send
	SourceReverse               // the reverse path filter
)

// CheckSource validates the source address of a received IPv4 packet.
//
// Linux: net/ipv4/fib_frontend.c fib_validate_source.
func (t *Table) CheckSource(q *Source) SourceVerdict {
	if q.Filter == NoFilter && (q.In != q.Out || !q.Redirects) {
		if q.AcceptLocal {
			return SourceOK
		}
		if !t.customLocal {
			if t.Owns(packet.IPv4, q.Src, nil) {
				return SourceMartian
			}
			return SourceOK
		}
	}
	k := Key{Family: packet.IPv4, Dst: q.Src, Src: q.Dst, In: q.Out, Mark: q.Mark, TOS: q.TOS}
	r := t.lookup4(&k)
	if r == nil {
		return lastResort(q.Filter)
	}
	if r.route.Type != Unicast && (r.route.Type != Local || !q.AcceptLocal) {
		return SourceMartian
	}
	if r.route.Dev == q.In || r.route.Type == Local && q.In == t.lo {
		return near(r)
	}
	if !hasAddr4(q.In) {
		return lastResort(q.Filter)
	}
	if q.Filter == Strict {
		return SourceReverse
	}
	k.Out = q.In
	if r = t.lookup4(&k); r != nil && r.route.Type == Unicast {
		return near(r)
	}
	return SourceOK
}

// lookup4 finds the IPv4 route itself; nil for none and for the types that
// Linux's look-up reports as errors.
func (t *Table) lookup4(k *Key) *entry {
	for i := range t.steps4 {
		s := &t.steps4[i]
		n, of := s.found(k)
		if of && s.trie == nil {
			return nil
		}
		e := n.find(k, k.Out, true)
		if e == nil || e.route.Type == Throw {
			continue
		}
		switch e.route.Type {
		case Blackhole, Unreachable, Prohibit:
			return nil
		}
		return e
	}
	return nil
}

func near(e *entry) SourceVerdict {
	if e.result.Scope >= iface.Host {
		return SourceDirect
	}
	return SourceOK
}

func lastResort(f Filter) SourceVerdict {
	if f != NoFilter {
		return SourceReverse
	}
	return SourceOK
}

func hasAddr4(i *iface.Iface) bool {
	for n := range i.Addrs {
		if i.Addrs[n].Prefix.Addr().Is4() {
			return true
		}
	}
	return false
}
