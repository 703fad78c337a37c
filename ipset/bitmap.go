package ipset

import (
	"encoding/binary"
	"math/bits"

	"weir/packet"
)

// bitmapMax is the members that a bitmap may have.
const bitmapMax = 65536

// bitmap is the members of a bitmap set by their offset in the range.
type bitmap struct {
	first, last uint32
	netmask     uint8
	hosts       uint32 // addresses of one member
	n           int    // members in the range
	count       int
	member      []uint64
	ext         []uint32
	mac         [][6]byte
	filled      []bool
}

func v4(a packet.Addr) uint32 { return binary.BigEndian.Uint32(a[:4]) }

func addr4(v uint32) (a packet.Addr) {
	binary.BigEndian.PutUint32(a[:4], v)
	return a
}

func hostmask(n uint8) uint32 {
	if n == 0 {
		return 0
	}
	return ^uint32(0) << (32 - n)
}

func (s *Set) makeBitmap(c *Create) Error {
	b := &s.bitmap
	b.netmask, b.hosts = 32, 1
	if s.typ == BitmapPort {
		b.first, b.last = uint32(c.Port), uint32(c.PortTo)
	} else {
		b.first = v4(c.IP)
		switch {
		case c.HasTo:
			b.last = v4(c.IPTo)
		case c.CIDR >= 32:
			return ErrCIDR
		default:
			b.last = b.first | ^hostmask(c.CIDR)
			b.first &= hostmask(c.CIDR)
		}
	}
	if b.first > b.last {
		b.first, b.last = b.last, b.first
	}
	n := uint64(b.last) - uint64(b.first) + 1
	if c.HasNetmask && s.typ == BitmapIP {
		b.netmask = c.Netmask
		if b.netmask > 32 {
			return ErrNetmask
		}
		b.first &= hostmask(b.netmask)
		b.last |= ^hostmask(b.netmask)
		if b.netmask < 32 {
			m, common := uint32(0xfffffffe), uint8(32)
			for common--; common > 0 && m != 0 && b.last&m != b.first; common-- {
				m <<= 1
			}
			if m == 0 && (b.first != 0 || b.last != 0xffffffff) || b.netmask <= common {
				return ErrBitmapRange
			}
			b.hosts = 2 << (32 - b.netmask - 1)
			n = 2 << (b.netmask - common - 1)
		}
	}
	if n > bitmapMax {
		return ErrBitmapSize
	}
	b.n = int(n)
	s.exts = newSlots(s)
	s.flushBitmap()
	return OK
}

func (s *Set) flushBitmap() {
	b := &s.bitmap
	b.count = 0
	b.member = make([]uint64, (b.n+63)/64)
	b.ext = make([]uint32, b.n*s.exts.words)
	if s.typ == BitmapIPMAC {
		b.mac, b.filled = make([][6]byte, b.n), make([]bool, b.n)
	}
}

func (b *bitmap) has(id int) bool { return b.member[id>>6]>>(id&63)&1 != 0 }

func (s *Set) bitmapExt(id int) []uint32 {
	w := s.exts.words
	return s.bitmap.ext[id*w : id*w+w : id*w+w]
}

// bitmapID is the offset of an address.
func (b *bitmap) id(ip uint32) int32 { return int32((ip&hostmask(b.netmask) - b.first) / b.hosts) }

// bitmapExpired: the clock of a member without its MAC has not begun to run;
// Linux keeps the bare number of seconds there, which is long past as a time.
func (s *Set) bitmapExpired(id int, now int64) bool {
	x := s.bitmapExt(id)
	if s.typ == BitmapIPMAC && s.hasTimeout && !s.bitmap.filled[id] {
		return get64(x[s.exts.timeout:]) != 0
	}
	return s.expired(x, now)
}

func (s *Set) addBitmap(e *Elem, g *given, exist bool, now int64) Error {
	b, id := &s.bitmap, int(e.id)
	x := s.bitmapExt(id)
	was := b.has(id)
	failed, started := was, false
	if s.typ == BitmapIPMAC {
		switch {
		case was && b.filled[id]:
			if e.HasMAC && exist {
				b.mac[id] = e.MAC
			}
		case was && e.HasMAC:
			failed, started = false, true
		}
	}
	if failed {
		if !(s.hasTimeout && s.bitmapExpired(id, now)) && !exist {
			return ErrExist
		}
		s.clear(x)
	}
	if !was || !failed {
		if s.typ == BitmapIPMAC {
			b.filled[id] = e.HasMAC
			if e.HasMAC {
				b.mac[id] = e.MAC
			}
		}
	}
	stored := uint32(0)
	if started && s.hasTimeout {
		stored = uint32(get64(x[s.exts.timeout:]))
	}
	s.init(x, g, now)
	if s.typ == BitmapIPMAC && s.hasTimeout {
		switch {
		case started && g.timeout == s.timeout:
			put64(x[s.exts.timeout:], until(now, stored))
		case !started && !e.HasMAC:
			put64(x[s.exts.timeout:], uint64(g.timeout))
		}
	}
	if !was {
		b.member[id>>6] |= 1 << (id & 63)
		b.count++
	}
	return OK
}

func (s *Set) delBitmap(e *Elem, now int64) Error {
	b, id := &s.bitmap, int(e.id)
	if !b.has(id) {
		return ErrExist
	}
	b.member[id>>6] &^= 1 << (id & 63)
	b.count--
	late := s.hasTimeout && s.bitmapExpired(id, now)
	s.clear(s.bitmapExt(id))
	if late {
		return ErrExist
	}
	return OK
}

func (s *Set) testBitmap(e *Elem, o *Options, now int64) Error {
	b, id := &s.bitmap, int(e.id)
	if !b.has(id) {
		return ErrExist
	}
	if s.typ == BitmapIPMAC {
		if !e.HasMAC || !b.filled[id] {
			return errComplete
		}
		if e.MAC != b.mac[id] {
			return ErrExist
		}
	}
	if !s.found(s.bitmapExt(id), o, now) {
		return ErrExist
	}
	return OK
}

// live: the member is there and its time has not come.
func (s *Set) live(id int, now int64) bool {
	filled := s.typ != BitmapIPMAC || s.bitmap.filled[id]
	return !filled || !s.expired(s.bitmapExt(id), now)
}

func (s *Set) eachBitmap(now int64, f func(e *Elem, x *Ext) bool) {
	b := &s.bitmap
	for w, word := range b.member {
		for ; word != 0; word &= word - 1 {
			id := w<<6 + bits.TrailingZeros64(word)
			if !s.live(id, now) {
				continue
			}
			x := s.read(s.bitmapExt(id), now)
			e := Elem{id: int32(id), CIDR: 32}
			if s.typ == BitmapPort {
				e.Port = uint16(b.first + uint32(id))
			} else {
				e.IP = addr4(b.first + uint32(id)*b.hosts)
			}
			if s.typ == BitmapIPMAC {
				e.HasMAC, e.MAC = b.filled[id], b.mac[id]
				if !e.HasMAC && s.hasTimeout {
					x.Timeout = uint32(get64(s.bitmapExt(id)[s.exts.timeout:]))
				}
			}
			if !f(&e, &x) {
				return
			}
		}
	}
}

func (s *Set) bitmapSize(now int64) (n, bytes int) {
	b := &s.bitmap
	base := 88
	switch s.typ {
	case BitmapIPMAC:
		base = 80
	case BitmapPort:
		base = 72
	}
	for w, word := range b.member {
		for ; word != 0; word &= word - 1 {
			if s.live(w<<6+bits.TrailingZeros64(word), now) {
				n++
			}
		}
	}
	return n, base + 8*len(b.member) + b.n*s.kernelElem() + s.comments.bytes
}
