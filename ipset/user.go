package ipset

import (
	"math"

	"weir/packet"
)

// Op is what is done with an element.
type Op uint8

// The operations.
const (
	Add Op = iota
	Del
	Test
)

// Request is an element as a user wrote it: with ranges and networks where
// the type spreads them over several members, and with what was given of the
// extensions.
type Request struct {
	IP, IPTo, IP2, IP2To       packet.Addr
	HasIPTo, HasIP2To          bool
	CIDR, CIDR2                uint8
	HasCIDR, HasCIDR2          bool
	Port, PortTo               uint16
	HasPortTo                  bool
	Proto                      uint8
	HasProto                   bool
	Mark                       uint32
	MAC                        [6]byte
	HasMAC                     bool
	Iface                      [16]byte
	Physdev, Wildcard, Nomatch bool
	Set, Ref                   string // list:set
	HasRef, Before             bool
	Timeout                    uint32
	HasTimeout                 bool
	Packets, Bytes             uint64
	HasPackets, HasBytes       bool
	Comment                    string
	HasComment                 bool
	Skb                        Skbinfo
	HasMark, HasPrio, HasQueue bool
}

// Do adds, deletes or tests an element. A test answers OK if it is in the set
// and ErrExist if not. With exist, adding what is there and deleting what is
// not is no error. now is the packet clock in ns.
func (ss *Sets) Do(op Op, name string, r *Request, exist bool, now int64) Error {
	s := ss.Lookup(name)
	if s == nil {
		return ErrNoSet
	}
	ss.gen++
	g := given{timeout: s.timeout, packets: unset, bytes: unset, comment: r.Comment, skb: r.Skb}
	err := s.extensions(r, &g)
	if n := uint32(r.Port); s.typ == BitmapPort && (n < s.bitmap.first || n > s.bitmap.last) {
		err = ErrBitmapRange
	}
	switch {
	case err != OK:
	case s.typ == ListSet:
		err = s.doList(op, r, &g, exist, now)
	case s.typ == BitmapPort:
		err = s.doBitmapPort(op, r, &g, exist, now)
	case !s.typ.Hash():
		err = s.doBitmapIP(op, r, &g, exist, now)
	default:
		err = s.doHash(op, r, &g, exist, now)
	}
	switch {
	case op == Test && err == errComplete:
		return OK
	case op == Test && (err == OK || err == errNomatch && r.Nomatch):
		return OK
	case op == Test: // Linux tells no other reason
		return ErrExist
	case op != Test && err == ErrExist && exist:
		return OK
	}
	return err
}

func (s *Set) extensions(r *Request, g *given) Error {
	switch {
	case r.HasTimeout && !s.hasTimeout:
		return ErrTimeout
	case (r.HasBytes || r.HasPackets) && !s.counters:
		return ErrCounter
	case r.HasComment && !s.comment:
		return ErrComment
	case (r.HasMark || r.HasPrio || r.HasQueue) && !s.skbinfo:
		return ErrSkbinfo
	}
	if r.HasTimeout {
		g.timeout = r.Timeout
	}
	if r.HasPackets {
		g.packets = r.Packets
	}
	if r.HasBytes {
		g.bytes = r.Bytes
	}
	return OK
}

// one does it with a single member; the table grows as it must.
func (s *Set) one(op Op, e *Elem, g *given, exist bool, now int64) Error {
	for {
		var err Error
		switch {
		case s.typ.Hash() && op == Add:
			if err = s.addHash(e, g, exist, now); err == errGrow {
				if err = s.grow(now); err == OK {
					continue
				}
			}
		case s.typ.Hash() && op == Del:
			err = s.delHash(e, now)
		case s.typ.Hash():
			err = s.testHash(e, nil, now)
		case op == Add:
			err = s.addBitmap(e, g, exist, now)
		case op == Del:
			err = s.delBitmap(e, now)
		default:
			err = s.testBitmap(e, nil, now)
		}
		return err
	}
}

// each does it with a member of a range; what -exist forgives does not end it.
func (s *Set) each(op Op, e *Elem, g *given, exist bool, now int64) Error {
	x := *e
	if err := s.one(op, &x, g, exist, now); err != OK && !(err == ErrExist && exist) {
		return err
	}
	return OK
}

func (s *Set) doList(op Op, r *Request, g *given, exist bool, now int64) Error {
	id, ok := s.sets.ID(r.Set)
	if !ok {
		return ErrListName
	}
	if s.sets.list[id].typ == ListSet {
		return ErrListLoop
	}
	where, ref := 0, -1
	if r.Before && !r.HasRef {
		return ErrListBefore
	}
	if r.HasRef {
		if ref, ok = s.sets.ID(r.Ref); !ok {
			return ErrListNameRef
		}
		where = -1
		if r.Before {
			where = 1
		}
	}
	switch op {
	case Add:
		s.cleanList(now)
		return s.addList(id, ref, where, g, exist, now)
	case Del:
		s.cleanList(now)
		return s.delList(id, ref, where)
	}
	return s.testList(id, ref, where, now)
}

func (s *Set) doBitmapPort(op Op, r *Request, g *given, exist bool, now int64) Error {
	b := &s.bitmap
	lo := uint32(r.Port)
	if op == Test {
		return s.one(op, &Elem{id: int32(lo - b.first)}, g, exist, now)
	}
	hi := lo
	if r.HasPortTo {
		if hi = uint32(r.PortTo); lo > hi {
			if lo, hi = hi, lo; lo < b.first {
				return ErrBitmapRange
			}
		}
	}
	if hi > b.last {
		return ErrBitmapRange
	}
	for ; lo <= hi; lo++ {
		if err := s.each(op, &Elem{id: int32(lo - b.first)}, g, exist, now); err != OK {
			return err
		}
	}
	return OK
}

func (s *Set) doBitmapIP(op Op, r *Request, g *given, exist bool, now int64) Error {
	b := &s.bitmap
	lo := v4(r.IP)
	if lo < b.first || lo > b.last {
		return ErrBitmapRange
	}
	if op == Test || s.typ == BitmapIPMAC {
		return s.one(op, &Elem{id: b.id(lo), MAC: r.MAC, HasMAC: r.HasMAC}, g, exist, now)
	}
	lo, hi, err := r.span(lo)
	if err != OK {
		return err
	}
	if lo < b.first || hi > b.last {
		return ErrBitmapRange
	}
	for ip := uint64(lo); ip <= uint64(hi); ip += uint64(b.hosts) {
		if err := s.each(op, &Elem{id: b.id(uint32(ip))}, g, exist, now); err != OK {
			return err
		}
	}
	return OK
}

// span is the addresses that the first part of an element stands for.
func (r *Request) span(ip uint32) (lo, hi uint32, err Error) {
	switch {
	case r.HasIPTo:
		lo, hi = ip, v4(r.IPTo)
		if lo > hi {
			lo, hi = hi, lo
		}
		return lo, hi, OK
	case r.HasCIDR:
		if r.CIDR == 0 || r.CIDR > 32 {
			return 0, 0, ErrCIDR
		}
		return ip & hostmask(r.CIDR), ip | ^hostmask(r.CIDR), OK
	}
	return ip, ip, OK
}

// withPorts are the protocols of which ranges of ports are spread.
func withPorts(proto uint8) bool {
	switch proto {
	case packet.TCP, packet.SCTP, packet.UDP, packet.UDPLite:
		return true
	}
	return false
}

func (s *Set) doHash(op Op, r *Request, g *given, exist bool, now int64) Error {
	e := Elem{IP: r.IP, IP2: r.IP2, CIDR: s.hostMask, CIDR2: s.hostMask, Proto: r.Proto, Port: r.Port, Mark: r.Mark,
		MAC: r.MAC, HasMAC: true, Iface: r.Iface, Physdev: r.Physdev, Wildcard: r.Wildcard, Nomatch: r.Nomatch}
	if err := s.prepare(r, &e); err != OK {
		return err
	}
	ports := withPorts(r.Proto) && r.HasPortTo
	nets := s.netCount > 0
	spread := ports || r.HasIPTo || r.HasIP2To
	if first := s.info.part[0]; first == partIP && r.HasCIDR && s.family == packet.IPv4 {
		spread = true
	}
	if op == Test || !spread {
		if nets {
			c := s.cidrs(&e)
			for i := range s.netCount {
				s.setNet(&e, i, c[i])
			}
		}
		return s.one(op, &e, g, exist, now)
	}
	lo, hi := uint16(r.Port), uint16(r.Port)
	if r.HasPortTo {
		if hi = r.PortTo; lo > hi {
			lo, hi = hi, lo
		}
	}
	if !ports {
		lo, hi = e.Port, e.Port
	}
	if s.family == packet.IPv6 {
		c := s.cidrs(&e)
		for i := range s.netCount {
			s.setNet(&e, i, c[i])
		}
		for p := int(lo); p <= int(hi); p++ {
			e.Port = uint16(p)
			if err := s.each(op, &e, g, exist, now); err != OK {
				return err
			}
		}
		return OK
	}
	return s.spread(op, r, &e, lo, hi, g, exist, now)
}

// prepare checks and masks the parts of an element.
func (s *Set) prepare(r *Request, e *Elem) Error {
	v6 := s.family == packet.IPv6
	for _, p := range s.kinds {
		if p == partProtoPort {
			switch {
			case !r.HasProto:
				return ErrProto
			case r.Proto == 0:
				return ErrNoProto
			}
			icmp := uint8(packet.ICMP)
			if v6 {
				icmp = packet.ICMPv6
			}
			if !withPorts(r.Proto) && r.Proto != icmp {
				e.Port = 0
			}
		}
	}
	least := uint8(1)
	if s.typ == HashNetIface {
		least = 0
	}
	switch s.typ {
	case HashNet, HashNetIface, HashNetPort, HashNetNet, HashNetPortNet:
		if r.HasCIDR {
			if r.CIDR < least || r.CIDR > s.hostMask {
				return ErrCIDR
			}
			e.CIDR = r.CIDR
		}
	case HashMAC:
	default:
		if v6 && r.HasCIDR && r.CIDR != s.hostMask {
			return ErrCIDR
		}
	}
	if r.HasCIDR2 && (s.typ == HashIPPortNet || s.typ == HashNetNet || s.typ == HashNetPortNet) {
		if r.CIDR2 == 0 || r.CIDR2 > s.hostMask {
			return ErrCIDR
		}
		e.CIDR2 = r.CIDR2
	}
	s.bits(&e.IP)
	switch s.typ {
	case HashIP:
		if e.IP.IsZero() {
			return ErrHashElem
		}
	case HashIPPort:
		if e.IP.IsZero() {
			return ErrInvalid
		}
	case HashNetNet:
		s.bits(&e.IP2)
	case HashMAC, HashIPMAC:
		if e.MAC == [6]byte{} {
			return ErrHashElem
		}
	case HashIPMark:
		e.Mark &= s.hash.markmask
	}
	return OK
}

// bits keeps of an address what netmask or bitmask leave.
func (s *Set) bits(a *packet.Addr) {
	if !s.hash.masked {
		return
	}
	for i := range a {
		a[i] &= s.hash.bitmask[i]
	}
}

// whole says that a range has every address: Linux refuses to spread it.
func whole(lo, hi uint32) bool { return lo == 0 && hi == math.MaxUint32 }

// blockOf is the largest network that begins at lo and ends at hi or before.
func blockOf(lo, hi uint32) (cidr uint8, last uint32) {
	for c := uint8(1); c < 32; c++ {
		if m := hostmask(c); lo&m == lo && lo|^m <= hi {
			return c, lo | ^m
		}
	}
	return 32, lo
}

// spread does it with every member of an IPv4 range: addresses outermost, then
// ports, then second addresses.
func (s *Set) spread(op Op, r *Request, e *Elem, port, portTo uint16, g *given, exist bool, now int64) Error {
	net1 := s.info.part[0] == partNet
	lo, hi, err := r.span(v4(e.IP))
	switch {
	case net1 && !r.HasIPTo:
		lo, hi = v4(e.IP)&hostmask(e.CIDR), v4(e.IP)|^hostmask(e.CIDR)
	case err != OK:
		return err
	case net1 && whole(lo, hi):
		return ErrHashRange
	case s.typ == HashIP && lo == 0:
		return ErrHashElem
	}
	lo2, hi2 := v4(e.IP2), v4(e.IP2)
	switch {
	case s.typ == HashIPPortIP:
	case r.HasIP2To:
		if hi2 = v4(r.IP2To); lo2 > hi2 {
			lo2, hi2 = hi2, lo2
		}
		if whole(lo2, hi2) {
			return ErrHashRange
		}
	case r.HasCIDR2:
		lo2, hi2 = lo2&hostmask(e.CIDR2), lo2|^hostmask(e.CIDR2)
	}
	net2 := s.typ == HashIPPortNet || s.netCount == 2
	step := uint64(1)
	if s.typ.Masked() && s.typ != HashNetNet && s.hash.netmask < 32 {
		step = 1 << (32 - s.hash.netmask)
	}
	for a := uint64(lo); a <= uint64(hi); {
		e.IP = addr4(uint32(a))
		next := a + step
		if net1 {
			c, last := blockOf(uint32(a), hi)
			e.CIDR, next = c, uint64(last)+1
		}
		for p := int(port); p <= int(portTo); p++ {
			e.Port = uint16(p)
			for b := uint64(lo2); b <= uint64(hi2); {
				e.IP2 = addr4(uint32(b))
				next2 := b + 1
				if net2 {
					c, last := blockOf(uint32(b), hi2)
					e.CIDR2, next2 = c, uint64(last)+1
				}
				if err := s.each(op, e, g, exist, now); err != OK {
					return err
				}
				b = next2
			}
		}
		a = next
	}
	return OK
}
