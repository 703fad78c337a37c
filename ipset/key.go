package ipset

import (
	"encoding/binary"

	"weir/packet"
)

// maxKey is the words of the longest key.
const maxKey = 10

// The bits of the word that stands behind the key of a type of networks.
const (
	flagNomatch  = 1
	flagWildcard = 2
)

func (s *Set) addrWords() int {
	if s.family == packet.IPv6 {
		return 4
	}
	return 1
}

// layout finds how many words a key has, how many of them are hashed, and how
// long a record is.
func (s *Set) layout() {
	if !s.typ.Hash() {
		return
	}
	a, h := s.addrWords(), &s.hash
	switch s.typ {
	case HashIP:
		h.key = a
	case HashIPMark, HashIPPort, HashNet, HashNetPort:
		h.key = a + 1
	case HashIPPortIP, HashIPPortNet, HashNetNet:
		h.key = 2*a + 1
	case HashNetPortNet:
		h.key = 2*a + 2
	case HashMAC:
		h.key = 2
	case HashIPMAC:
		h.key = a + 2
	case HashNetIface:
		h.key = a + 5
	}
	h.hashed = h.key
	if s.typ == HashNetIface {
		h.hashed = a + 1
	}
	h.rec = h.key + s.exts.words
	h.ext = h.key
	if s.netCount > 0 {
		h.rec++
		h.ext++
	}
}

// encode writes the member's bytes as Linux stores them, so that the hash is
// the same.
func (s *Set) encode(e *Elem, k *[maxKey]uint32) {
	n := s.addrWords()
	le := binary.LittleEndian
	put := func(at int, a *packet.Addr) {
		for i := range n {
			k[at+i] = le.Uint32(a[4*i:])
		}
	}
	port := uint32(e.Port>>8) | uint32(e.Port&0xff)<<8
	if s.typ == HashMAC {
		n = 0
	} else {
		put(0, &e.IP)
	}
	switch s.typ {
	case HashIPMark:
		k[n] = e.Mark
	case HashIPPort:
		k[n] = port | uint32(e.Proto)<<16
	case HashIPPortIP:
		put(n, &e.IP2)
		k[2*n] = port | uint32(e.Proto)<<16
	case HashIPPortNet:
		put(n, &e.IP2)
		k[2*n] = port | uint32(e.CIDR2-1)<<16 | uint32(e.Proto)<<24
	case HashNet:
		k[n] = uint32(e.CIDR) << 24
	case HashNetPort:
		k[n] = port | uint32(e.Proto)<<16 | uint32(e.CIDR-1)<<24
	case HashNetIface:
		k[n] = uint32(e.CIDR)<<8 | 1<<24
		if e.Physdev {
			k[n] |= 1
		}
		for i := range 4 {
			k[n+1+i] = le.Uint32(e.Iface[4*i:])
		}
	case HashNetNet:
		put(n, &e.IP2)
		k[2*n] = uint32(e.CIDR)<<16 | uint32(e.CIDR2)<<24
	case HashNetPortNet:
		put(n, &e.IP2)
		k[2*n] = port | uint32(e.CIDR)<<16 | uint32(e.CIDR2)<<24
		k[2*n+1] = uint32(e.Proto) << 24
	case HashMAC, HashIPMAC:
		k[n] = le.Uint32(e.MAC[:])
		k[n+1] = uint32(e.MAC[4]) | uint32(e.MAC[5])<<8
	}
}

// decode is the member that a record holds.
func (s *Set) decode(r []uint32) (e Elem) {
	n := s.addrWords()
	le := binary.LittleEndian
	get := func(at int) (a packet.Addr) {
		for i := range n {
			le.PutUint32(a[4*i:], r[at+i])
		}
		return a
	}
	port := func(w uint32) uint16 { return uint16(w&0xff)<<8 | uint16(w>>8&0xff) }
	if s.typ == HashMAC {
		n = 0
	} else {
		e.IP = get(0)
	}
	e.CIDR, e.CIDR2 = s.hostMask, s.hostMask
	switch s.typ {
	case HashIPMark:
		e.Mark = r[n]
	case HashIPPort:
		e.Port, e.Proto = port(r[n]), uint8(r[n]>>16)
	case HashIPPortIP:
		e.IP2 = get(n)
		e.Port, e.Proto = port(r[2*n]), uint8(r[2*n]>>16)
	case HashIPPortNet:
		e.IP2 = get(n)
		e.Port, e.CIDR2, e.Proto = port(r[2*n]), uint8(r[2*n]>>16&0x7f)+1, uint8(r[2*n]>>24)
	case HashNet:
		e.CIDR = uint8(r[n] >> 24)
	case HashNetPort:
		e.Port, e.Proto, e.CIDR = port(r[n]), uint8(r[n]>>16), uint8(r[n]>>24&0x7f)+1
	case HashNetIface:
		e.Physdev, e.CIDR = r[n]&1 != 0, uint8(r[n]>>8)
		for i := range 4 {
			le.PutUint32(e.Iface[4*i:], r[n+1+i])
		}
	case HashNetNet:
		e.IP2 = get(n)
		e.CIDR, e.CIDR2 = uint8(r[2*n]>>16), uint8(r[2*n]>>24)
	case HashNetPortNet:
		e.IP2 = get(n)
		e.Port, e.CIDR, e.CIDR2, e.Proto = port(r[2*n]), uint8(r[2*n]>>16), uint8(r[2*n]>>24), uint8(r[2*n+1]>>24)
	case HashMAC, HashIPMAC:
		le.PutUint32(e.MAC[:], r[n])
		e.MAC[4], e.MAC[5] = uint8(r[n+1]), uint8(r[n+1]>>8)
		e.HasMAC = true
	}
	if s.netCount > 0 {
		e.Nomatch, e.Wildcard = r[s.hash.key]&flagNomatch != 0, r[s.hash.key]&flagWildcard != 0
	}
	return e
}

// cidrs are the prefix lengths of a member's networks, by dimension.
func (s *Set) cidrs(e *Elem) (c [2]uint8) {
	switch s.typ {
	case HashIPPortNet:
		return [2]uint8{e.CIDR2}
	case HashNetNet, HashNetPortNet:
		return [2]uint8{e.CIDR, e.CIDR2}
	}
	return [2]uint8{e.CIDR}
}

// setNet shortens a network of the member to a prefix length.
func (s *Set) setNet(e *Elem, net int, cidr uint8) {
	if s.typ == HashIPPortNet || net == 1 {
		e.IP2, e.CIDR2 = mask(e.IP2, cidr), cidr
	} else {
		e.IP, e.CIDR = mask(e.IP, cidr), cidr
	}
}

// mask keeps the first n bits.
func mask(a packet.Addr, n uint8) packet.Addr {
	i := int(n) / 8
	if i < len(a) {
		a[i] &= ^(byte(0xff) >> (n % 8))
		clear(a[i+1:])
	}
	return a
}

// same says that a record is of a key; near counts records of the same network
// on whatever interface.
func (s *Set) equal(r []uint32, k *[maxKey]uint32, near *int) bool {
	h := &s.hash
	if s.typ != HashNetIface {
		for i, w := range r[:h.key] {
			if w != k[i] {
				return false
			}
		}
		return true
	}
	n := h.hashed - 1
	for i := range n {
		if r[i] != k[i] {
			return false
		}
	}
	if (r[n]^k[n])&0xff00 != 0 {
		return false
	}
	*near++
	if (r[n]^k[n])&1 != 0 {
		return false
	}
	wild := r[h.key]&flagWildcard != 0
	for i := n + 1; i < h.key; i++ {
		x := r[i] ^ k[i]
		if x == 0 {
			continue
		}
		if !wild {
			return false
		}
		for sh := 0; sh < 32; sh += 8 {
			if r[i]>>sh&0xff == 0 {
				return true
			}
			if x>>sh&0xff != 0 {
				return false
			}
		}
	}
	return true
}
