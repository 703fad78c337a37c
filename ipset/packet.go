package ipset

import (
	"encoding/binary"

	"weir/packet"
)

// Compare is how a counter is compared.
type Compare uint8

// The comparisons.
const (
	CompareNone Compare = iota
	CompareEQ
	CompareNE
	CompareLT
	CompareGT
)

// Counter is a comparison with a counter of a member.
type Counter struct {
	Op    Compare
	Value uint64
}

func (c Counter) match(v uint64) bool {
	switch c.Op {
	case CompareEQ:
		return v == c.Value
	case CompareNE:
		return v != c.Value
	case CompareLT:
		return v < c.Value
	case CompareGT:
		return v > c.Value
	}
	return true
}

// Options is how a rule asks a set about a packet.
type Options struct {
	// Dim is how many directions are given; Src says which of them are the
	// source.
	Dim int
	Src [6]bool
	// ReturnNomatch turns the answer of members marked nomatch.
	ReturnNomatch bool
	// NoCounters and NoSubcounters leave the counters as they are.
	NoCounters, NoSubcounters bool
	Packets, Bytes            Counter
	// Exist lets an added member get a new timeout; Timeout is the one to
	// give, if HasTimeout.
	Exist, HasTimeout bool
	Timeout           uint32
	// Skb is what the member that was found carries.
	Skb Skbinfo

	ignoreCounters bool
	length         int
}

func (o *Options) matchCounters() bool {
	return !o.ignoreCounters && (o.Packets.Op != CompareNone || o.Bytes.Op != CompareNone)
}

// Probe is a packet as sets look at it.
type Probe struct {
	Pkt     *packet.Packet
	In, Out string // interfaces, empty where there is none
	Mark    uint32
	Now     int64
}

// Match reports whether the packet is in the set of that number
// (net/netfilter/ipset/ip_set_core.c ip_set_test).
func (ss *Sets) Match(id int, p *Probe, o *Options) bool {
	s := ss.At(id)
	if s == nil || !s.takes(p, o) {
		return false
	}
	o.length = len(p.Pkt.Data)
	err := s.probe(Test, p, o)
	switch err {
	case errComplete:
		s.probe(Add, p, o)
		return true
	case OK:
		return !(o.ReturnNomatch && s.netCount > 0)
	case errNomatch:
		return o.ReturnNomatch && s.netCount > 0
	}
	return false
}

// Put adds the packet to the set, or removes it.
func (ss *Sets) Put(op Op, id int, p *Probe, o *Options) {
	s := ss.At(id)
	if s == nil || !s.takes(p, o) {
		return
	}
	o.length = len(p.Pkt.Data)
	s.probe(op, p, o)
}

// takes: the directions suffice and the family is right.
func (s *Set) takes(p *Probe, o *Options) bool {
	return o.Dim >= s.info.dim && (s.family == 0 || s.family == p.Pkt.Family)
}

// probe does it with the member that the packet stands for.
func (s *Set) probe(op Op, p *Probe, o *Options) Error {
	if s.typ == ListSet {
		return s.probeList(op, p, o)
	}
	var e Elem
	if err := s.element(op, p, o, &e); err != OK {
		return err
	}
	g := given{timeout: s.timeout, packets: 1, bytes: uint64(o.length)}
	if o.HasTimeout {
		g.timeout = o.Timeout
	}
	switch {
	case s.typ.Hash() && op == Add:
		return s.addHash(&e, &g, o.Exist, p.Now)
	case s.typ.Hash() && op == Del:
		return s.delHash(&e, p.Now)
	case s.typ.Hash():
		return s.testHash(&e, o, p.Now)
	case op == Add:
		return s.addBitmap(&e, &g, o.Exist, p.Now)
	case op == Del:
		return s.delBitmap(&e, p.Now)
	}
	return s.testBitmap(&e, o, p.Now)
}

// probeList asks the members one after the other until one is done.
func (s *Set) probeList(op Op, p *Probe, o *Options) Error {
	if op != Test {
		for i, id := range s.list.ids {
			if m := s.sets.At(id); m != nil && !s.expired(s.list.ext[i], p.Now) && m.takes(p, o) && m.probe(op, p, o) == OK {
				return OK
			}
		}
		return ErrExist
	}
	sub := *o
	sub.ignoreCounters = true
	sub.NoCounters = o.NoCounters || o.NoSubcounters
	for i, id := range s.list.ids {
		if s.expired(s.list.ext[i], p.Now) || !s.sets.Match(id, p, &sub) {
			continue
		}
		o.Skb = sub.Skb
		if s.found(s.list.ext[i], o, p.Now) {
			return OK
		}
	}
	return ErrExist
}

func side(p *packet.Packet, src bool) packet.Addr {
	if src {
		return p.Src()
	}
	return p.Dst()
}

// element is the member that the packet stands for.
func (s *Set) element(op Op, p *Probe, o *Options, e *Elem) Error {
	if !s.typ.Hash() && s.typ != BitmapPort {
		return s.elementBitmap(p, o, e)
	}
	e.CIDR, e.CIDR2 = s.hostMask, s.hostMask
	if op != Test {
		for i := range s.netCount {
			if l := s.hash.nets[i]; len(l) > 0 {
				if i == 1 || s.typ == HashIPPortNet {
					e.CIDR2 = l[0].cidr
				} else {
					e.CIDR = l[0].cidr
				}
			}
		}
	}
	if e.CIDR == 0 || e.CIDR2 == 0 && s.hostMask != 0 {
		return ErrInvalid
	}
	for i, part := range s.kinds {
		src := o.Src[i]
		switch part {
		case partIP, partNet:
			a := side(p.Pkt, src)
			if i == 0 {
				if s.bits(&a); a.IsZero() && (s.typ == HashIP || s.typ == HashIPPort) {
					return ErrInvalid
				}
				e.IP = mask(a, e.CIDR)
			} else {
				if s.typ == HashNetNet {
					s.bits(&a)
				}
				e.IP2 = mask(a, e.CIDR2)
			}
		case partPort, partProtoPort:
			var ok bool
			if e.Port, e.Proto, ok = ports(p.Pkt, src); !ok {
				return ErrInvalid
			}
			if part == partPort {
				if e.Proto != packet.TCP && e.Proto != packet.UDP {
					return ErrInvalid
				}
				if n := uint32(e.Port); n < s.bitmap.first || n > s.bitmap.last {
					return ErrBitmapRange
				}
				e.id = int32(uint32(e.Port) - s.bitmap.first)
			}
		case partMark:
			e.Mark = p.Mark & s.hash.markmask
		case partMAC:
			if err := s.mac(p, src, e); err != OK {
				return err
			}
		case partIface:
			name := p.Out
			if src {
				name = p.In
			}
			if name == "" {
				return ErrInvalid
			}
			copy(e.Iface[:15], name)
		}
	}
	return OK
}

func (s *Set) elementBitmap(p *Probe, o *Options, e *Elem) Error {
	a := side(p.Pkt, o.Src[0])
	ip := v4(a)
	if ip < s.bitmap.first || ip > s.bitmap.last {
		return ErrBitmapRange
	}
	e.id = s.bitmap.id(ip)
	if s.typ == BitmapIPMAC {
		return s.mac(p, o.Src[1], e)
	}
	return OK
}

func (s *Set) mac(p *Probe, src bool, e *Elem) Error {
	if !p.Pkt.Link.HasMAC {
		return ErrInvalid
	}
	e.MAC, e.HasMAC = p.Pkt.Link.Dst, true
	if src {
		e.MAC = p.Pkt.Link.Src
	}
	if e.MAC == [6]byte{} {
		return ErrInvalid
	}
	return OK
}

// ports is the protocol of a packet and one of its ports, or ICMP's type and
// code (net/netfilter/ipset/ip_set_getport.c).
func ports(p *packet.Packet, src bool) (port uint16, proto uint8, ok bool) {
	if p.Family == packet.IPv4 && p.FragOff > 0 {
		switch proto = p.Data[9]; proto {
		case packet.TCP, packet.SCTP, packet.UDP, packet.UDPLite, packet.ICMP, 0:
			return 0, proto, false
		}
		return 0, proto, true
	}
	if p.L4 < 0 || p.FragOff > 0 {
		return 0, 0, false
	}
	proto = p.Proto
	if p.Family == packet.IPv4 && proto == 0 {
		return 0, 0, false
	}
	h := p.Data[p.L4:]
	need := 0
	switch proto {
	case packet.TCP:
		need = 20
	case packet.SCTP:
		need = 12
	case packet.UDP, packet.UDPLite, packet.ICMP, packet.ICMPv6:
		need = 8
	default:
		return 0, proto, true
	}
	if len(h) < need {
		return 0, proto, false
	}
	at := 2
	if src || proto == packet.ICMP || proto == packet.ICMPv6 {
		at = 0
	}
	return binary.BigEndian.Uint16(h[at:]), proto, true
}
