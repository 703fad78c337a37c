package conntrack

import (
	"encoding/binary"

	"weir/packet"
)

// coder writes the values of a snapshot to b, or reads them from it: one list of
// fields for both. What cannot be read is zero and sets bad.
type coder struct {
	b       []byte
	reading bool
	bad     bool
	// shift is added to moments that are read.
	shift int64
}

// take is the next n bytes to read.
func (c *coder) take(n int) []byte {
	if c.bad || len(c.b) < n {
		c.bad = true
		return make([]byte, n)
	}
	d := c.b[:n]
	c.b = c.b[n:]
	return d
}

func (c *coder) kind(v uint8) { c.b = append(c.b, v) }

func (c *coder) u8(v *uint8) {
	if c.reading {
		*v = c.take(1)[0]
		return
	}
	c.b = append(c.b, *v)
}

func (c *coder) u16(v *uint16) {
	if c.reading {
		*v = binary.LittleEndian.Uint16(c.take(2))
		return
	}
	c.b = binary.LittleEndian.AppendUint16(c.b, *v)
}

func (c *coder) u32(v *uint32) {
	if c.reading {
		*v = binary.LittleEndian.Uint32(c.take(4))
		return
	}
	c.b = binary.LittleEndian.AppendUint32(c.b, *v)
}

func (c *coder) u64(v *uint64) {
	if c.reading {
		*v = binary.LittleEndian.Uint64(c.take(8))
		return
	}
	c.b = binary.LittleEndian.AppendUint64(c.b, *v)
}

func (c *coder) i32(v *int32) {
	u := uint32(*v)
	c.u32(&u)
	*v = int32(u)
}

func (c *coder) i64(v *int64) {
	u := uint64(*v)
	c.u64(&u)
	*v = int64(u)
}

// moment is a time; 0 is none.
func (c *coder) moment(v *int64) {
	c.i64(v)
	if c.reading && *v != 0 {
		*v += c.shift
	}
}

// below is a byte that must be less than limit.
func (c *coder) below(v *uint8, limit uint8) {
	c.u8(v)
	if *v >= limit {
		c.bad, *v = true, 0
	}
}

func (c *coder) truth(v *bool) {
	u := uint8(0)
	if *v {
		u = 1
	}
	c.below(&u, 2)
	*v = u == 1
}

// text is up to 255 bytes.
func (c *coder) text(v *string) {
	n := uint8(min(len(*v), 255))
	c.u8(&n)
	if c.reading {
		*v = string(c.take(int(n)))
		return
	}
	c.b = append(c.b, (*v)[:n]...)
}

func (c *coder) addr(v *packet.Addr, f packet.Family) {
	n := f.Len()
	if c.reading {
		*v = packet.Addr{}
		copy(v[:n], c.take(n))
		return
	}
	c.b = append(c.b, v[:n]...)
}

func (c *coder) tuple(t *Tuple) {
	l3 := uint8(t.L3)
	c.u8(&l3)
	if t.L3 = packet.Family(l3); t.L3 != packet.IPv4 && t.L3 != packet.IPv6 {
		c.bad, t.L3 = true, packet.IPv4
	}
	c.u8(&t.Proto)
	c.addr(&t.Src, t.L3)
	c.addr(&t.Dst, t.L3)
	c.u16(&t.SrcL4)
	c.u16(&t.DstL4)
	c.u16(&t.Zone)
}

func (c *coder) stats(s *Stats) {
	for _, v := range [...]*uint64{
		&s.Found, &s.Invalid, &s.Insert, &s.InsertFailed, &s.Drop, &s.EarlyDrop, &s.Error, &s.SearchRestart,
		&s.ClashResolve, &s.ChainTooLong, &s.ExpectNew, &s.ExpectCreate, &s.ExpectDelete,
	} {
		c.u64(v)
	}
}

// keptFlags is the flags of a connection that a snapshot keeps.
const keptFlags = counted | stamped | inSources | labelled

// conn is a record of a connection.
func (c *coder) conn(r *saved) {
	k := &r.c
	c.tuple(&k.Tuple[Original])
	c.tuple(&k.Tuple[Reply])
	o, p := &k.Tuple[Original], &k.Tuple[Reply]
	if o.L3 != p.L3 || o.Proto != p.Proto {
		c.bad = true
	}
	status := uint32(k.Status)
	c.u32(&status)
	k.Status = Status(status)
	if k.Status&(Confirmed|Dying|IsTemplate) != Confirmed {
		c.bad = true
	}
	flags := uint8(k.flags & keptFlags)
	c.u8(&flags)
	if c.reading {
		k.flags = connFlags(flags) & keptFlags
	}
	c.moment(&k.deadline)
	c.u64(&k.Seq)
	c.u32(&k.Mark)
	mask := uint16(k.eventMask)
	c.u16(&mask)
	k.eventMask = EventMask(mask)
	c.u32(&r.masqIf)
	c.u64(&r.master)
	c.text(&r.policy)
	c.below(&r.sides, 4)
	if k.flags&counted != 0 {
		for d := range r.counters {
			c.u64(&r.counters[d].Packets)
			c.u64(&r.counters[d].Bytes)
		}
	}
	if k.flags&stamped != 0 {
		c.i64(&r.start)
	}
	if k.flags&labelled != 0 {
		for i := range r.labels {
			c.u64(&r.labels[i])
		}
	}
	c.state(k)
	c.truth(&r.ext)
	if r.ext {
		c.extension(r)
	}
}

// state is what the tracker knows.
func (c *coder) state(k *Conn) {
	if t := k.TCP(); t != nil {
		for d := range t.Side {
			s := &t.Side[d]
			c.u32(&s.End)
			c.u32(&s.MaxEnd)
			c.u32(&s.MaxWin)
			c.u32(&s.MaxAck)
			c.below(&s.Scale, 15)
			c.u8((*uint8)(&s.Flags))
		}
		c.below((*uint8)(&t.State), uint8(numTCPStates))
		c.below((*uint8)(&t.lastDir), 2)
		c.below((*uint8)(&t.lastClass), uint8(classNone)+1)
		c.u8(&t.retrans)
		c.below(&t.lastWScale, 15)
		c.u8((*uint8)(&t.lastFlags))
		c.u16(&t.lastWin)
		c.u32(&t.lastSeq)
		c.u32(&t.lastAck)
		c.u32(&t.lastEnd)
		return
	}
	if s := k.SCTP(); s != nil {
		c.below((*uint8)(&s.State), uint8(NumSCTPStates))
		for d := range s.Tag {
			c.u32(&s.Tag[d])
			c.truth(&s.init[d])
		}
		c.truth(&s.hbFailed)
		c.below((*uint8)(&s.lastDir), 2)
		return
	}
	if g := k.GRE(); g != nil {
		c.i64(&g.Timeout)
		c.i64(&g.StreamTimeout)
		return
	}
	if k.Proto() == packet.UDP {
		c.moment(k.streamDeadline())
	}
}

func (c *coder) extension(r *saved) {
	c.truth(&r.attached)
	c.text(&r.helper)
	c.u8((*uint8)(&r.expMask))
	for i := range r.data {
		c.u32(&r.data[i])
	}
	for d := range r.seq {
		c.u32(&r.seq[d].pos)
		c.i32(&r.seq[d].before)
		c.i32(&r.seq[d].after)
	}
	c.truth(&r.proxied)
	if r.proxied {
		c.u32(&r.proxy.ISN)
		c.u32(&r.proxy.Echo)
		c.u32(&r.proxy.Offset)
	}
}

// expect is a record of an expectation.
func (c *coder) expect(x *savedExpect) {
	c.tuple(&x.Tuple)
	c.addr(&x.SrcMask, x.Tuple.L3)
	c.u16(&x.SrcL4Mask)
	c.u64(&x.master)
	c.text(&x.helper)
	c.text(&x.assign)
	c.below(&x.Class, maxClasses)
	c.u8((*uint8)(&x.Flags))
	c.u8((*uint8)(&x.Fn))
	c.below((*uint8)(&x.Dir), 2)
	c.u16(&x.SavedL4)
	c.addr(&x.SavedAddr, x.Tuple.L3)
	c.u64(&x.Seq)
	c.moment(&x.deadline)
}

// key is a record of a key of PPTP.
func (c *coder) key(x *savedKey) {
	c.tuple(&x.tuple)
	c.u64(&x.owner)
	c.below(&x.dir, 2)
}

// end is the last record.
func (c *coder) end(x *savedEnd) {
	for i := range x.counts {
		c.u32(&x.counts[i])
	}
	c.u32(&x.total)
	c.u64(&x.seqs)
	c.u64(&x.seq)
	c.u64(&x.expectSeq)
	c.stats(&x.stats)
}
