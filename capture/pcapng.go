package capture

import (
	"io"
	"math"
	"math/bits"
)

// Block types and options of pcapng (draft-ietf-opsawg-pcapng).
const (
	ngSection   = 0x0a0d0d0a
	ngIfaceDesc = 1
	ngOldPacket = 2
	ngSimple    = 3
	ngEnhanced  = 6

	optEnd      = 0
	optComment  = 1
	optEpbFlags = 2
	optIfName   = 2
	optTsResol  = 9
	optTsOffset = 14
	ngMinBlock  = 12
	ngByteMagic = 0x1a2b3c4d
	ngSwapped   = 0x4d3c2b1a

	maxSec = math.MaxInt64 / 2_000_000_000
)

// ngIface is an interface description of the current section.
type ngIface struct {
	name    string
	link    uint16
	snap    uint32
	binary  bool   // a unit is 2^-exp seconds, else 10^-exp
	exp     uint   // see binary
	perSec  uint64 // units a second
	tsShift int64  // seconds to add
}

// nextNg reads blocks until one holds a packet.
func (c *Reader) nextNg(r *Record) error {
	for {
		b, typ, err := c.block()
		if err != nil {
			return err
		}
		switch typ {
		case ngSection:
			c.ifs = c.ifs[:0]
			if v := c.u16(b[4:]); v != 1 {
				return c.fail("pcapng version %d is not known", v)
			}
		case ngIfaceDesc:
			if err := c.describe(b); err != nil {
				return err
			}
		case ngEnhanced, ngOldPacket:
			return c.packetBlock(r, b, typ)
		case ngSimple:
			return c.simpleBlock(r, b)
		}
	}
}

// block consumes one block and returns what stands between its type and
// length in front and its length behind.
func (c *Reader) block() ([]byte, uint32, error) {
	h, err := c.src.peek(8)
	if err != nil {
		if err == io.EOF {
			return nil, 0, err
		}
		return nil, 0, c.cut(err, "a block header")
	}
	typ := c.u32(h)
	if typ == ngSection { // reads the same in both byte orders
		h, err = c.src.peek(12)
		if err != nil {
			return nil, 0, c.cut(err, "a section header")
		}
		c.setOrder(false)
		switch c.u32(h[8:]) {
		case ngByteMagic:
		case ngSwapped:
			c.setOrder(true)
		default:
			return nil, 0, c.fail("a section header without byte-order magic")
		}
	}
	n := int(c.u32(h[4:]))
	min := ngMinBlock
	if typ == ngSection {
		min = 28
	}
	if n < min || n > maxRecord || n%4 != 0 {
		return nil, 0, c.fail("a block length of %d bytes cannot be", n)
	}
	b, err := c.src.peek(n)
	if err != nil {
		return nil, 0, c.cut(err, "a block")
	}
	if t := int(c.u32(b[n-4:])); t != n {
		return nil, 0, c.fail("a block states %d bytes in front and %d behind", n, t)
	}
	c.src.skip(n)
	return b[8 : n-4], typ, nil
}

// options calls f for each option until f returns false; lengths that do not
// fit end the list.
func (c *Reader) options(b []byte, f func(code uint16, v []byte)) {
	for len(b) >= 4 {
		code, n := c.u16(b), int(c.u16(b[2:]))
		if code == optEnd || 4+n > len(b) {
			return
		}
		f(code, b[4:4+n])
		n = 4 + (n+3)&^3
		if n > len(b) {
			return
		}
		b = b[n:]
	}
}

func (c *Reader) describe(b []byte) error {
	if len(b) < 8 {
		return c.fail("an interface description is too short")
	}
	i := ngIface{link: c.u16(b), snap: c.u32(b[4:]), exp: 6}
	c.options(b[8:], func(code uint16, v []byte) {
		switch {
		case code == optIfName:
			for len(v) > 0 && v[len(v)-1] == 0 {
				v = v[:len(v)-1]
			}
			i.name = string(v)
		case code == optTsResol && len(v) >= 1:
			i.binary, i.exp = v[0]&0x80 != 0, uint(v[0]&0x7f)
		case code == optTsOffset && len(v) >= 8:
			lo, hi := uint64(c.u32(v)), uint64(c.u32(v[4:]))
			if c.big {
				lo, hi = hi, lo
			}
			i.tsShift = int64(hi<<32 | lo)
		}
	})
	if i.binary && i.exp > 63 || !i.binary && i.exp > 19 {
		return c.fail("a time stamp resolution of %d digits cannot be", i.exp)
	}
	i.perSec = 1 << i.exp
	if !i.binary {
		i.perSec = 1
		for range i.exp {
			i.perSec *= 10
		}
	}
	c.ifs = append(c.ifs, i)
	return nil
}

// time converts a time stamp to nanoseconds since the epoch.
func (i *ngIface) time(ts uint64) (int64, bool) {
	if i.perSec == 1000000000 && i.tsShift == 0 {
		return int64(ts), ts <= math.MaxInt64
	}
	sec, rest := ts/i.perSec, ts%i.perSec
	hi, lo := bits.Mul64(rest, 1e9)
	ns, _ := bits.Div64(hi, lo, i.perSec)
	if sec > maxSec {
		return 0, false
	}
	if s := i.tsShift; s > maxSec || s < -maxSec {
		return 0, false
	}
	return (int64(sec)+i.tsShift)*1e9 + int64(ns), true
}

func (c *Reader) packetBlock(r *Record, b []byte, typ uint32) error {
	if len(b) < 20 {
		return c.fail("a packet block of %d bytes is too short", len(b))
	}
	id := int(c.u32(b))
	if typ == ngOldPacket {
		id = int(c.u16(b))
	}
	if id >= len(c.ifs) {
		return c.fail("interface %d was never described", id)
	}
	i := &c.ifs[id]
	caplen := int(c.u32(b[12:]))
	if caplen > len(b)-20 {
		return c.fail("%d bytes of packet in a block of %d", caplen, len(b)+12)
	}
	t, ok := i.time(uint64(c.u32(b[4:]))<<32 | uint64(c.u32(b[8:])))
	if !ok {
		return c.fail("its time stamp lies beyond the year 2262")
	}
	c.n++
	c.last = t
	*r = Record{
		N: c.n, Time: t, LinkType: i.link, IfName: i.name,
		Data: b[20 : 20+caplen : 20+caplen], OrigLen: int(c.u32(b[16:])),
	}
	// Most packets carry no options; a short walk here avoids the closure.
	for o := b[20+min((caplen+3)&^3, len(b)-20):]; len(o) >= 8; {
		code, n := c.u16(o), int(c.u16(o[2:]))
		if code == optEnd || 4+n > len(o) {
			break
		}
		if code == optEpbFlags && n == 4 {
			w := c.u32(o[4:])
			r.Dir = Direction(w & 3)
			r.Reception = Reception(w >> 2 & 7)
		}
		o = o[min(4+(n+3)&^3, len(o)):]
	}
	return nil
}

func (c *Reader) simpleBlock(r *Record, b []byte) error {
	if len(b) < 4 {
		return c.fail("a packet block of %d bytes is too short", len(b))
	}
	if len(c.ifs) == 0 {
		return c.fail("a packet before any interface")
	}
	i := &c.ifs[0]
	orig := int(c.u32(b))
	caplen := min(orig, len(b)-4)
	if i.snap != 0 {
		caplen = min(caplen, int(i.snap))
	}
	c.n++
	*r = Record{N: c.n, Time: c.last, LinkType: i.link, IfName: i.name, Data: b[4 : 4+caplen : 4+caplen], OrigLen: orig}
	return nil
}
