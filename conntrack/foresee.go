package conntrack

import (
	"encoding/binary"
	"unsafe"

	"weir/packet"
)

// The first packet of a connection is looked for under more names than its
// own: under its source, under its answer's tuple, and under that behind a
// mapping. In a big table each is a read of memory to wait for. A batch has
// them read beforehand, for all of its packets that seem to be new.

// foreseeFrom is the number of slots from which on a table may not be in the
// nearest caches.
const foreseeFrom = 1 << 13

// foresee is the lines that a packet is likely to need that Read has taken and
// that has no connection: its bucket if there is nothing worth it, or if
// workers run, among whom nobody can tell.
func (l *Lane) foresee(q *Probe) (near [3]uintptr) {
	tb, b := l.tb, q.bucket
	for i := range near {
		near[i] = uintptr(unsafe.Pointer(b))
	}
	if l.shared || tb.used < foreseeFrom { // with workers nobody may read used
		return near
	}
	d, le := q.Data, binary.LittleEndian
	t := Tuple{SrcL4: uint16(q.ports), DstL4: uint16(q.ports >> 16), Proto: q.Proto, L3: q.Family}
	if q.Family == packet.IPv4 {
		le.PutUint32(t.Src[:], le.Uint32(d[12:]))
		le.PutUint32(t.Dst[:], le.Uint32(d[16:]))
	} else {
		t.Src, t.Dst = packet.Addr(d[8:24]), packet.Addr(d[24:40])
	}
	if tb.sources.chunks != nil {
		near[0] = uintptr(unsafe.Pointer(tb.sources.home(tb.sourceHash(&t, 0))))
	}
	t.Src, t.Dst, t.SrcL4, t.DstL4 = t.Dst, t.Src, t.DstL4, t.SrcL4
	b, _ = tb.index.home(tb.hash(&t))
	near[1] = uintptr(unsafe.Pointer(b))
	if tb.mapped.L3 == t.L3 {
		t.Dst = tb.mapped.Dst
		b, _ = tb.index.home(tb.hash(&t))
		near[2] = uintptr(unsafe.Pointer(b))
	}
	return near
}

// absence is the hash of a tuple that no connection has, for as long as nothing
// is entered. The zero value says nothing.
type absence struct {
	hash    uint64
	inserts uint64 // the index's, when it was looked, and one more
}

// Absent reports that no connection has the tuple of a packet that Read has
// taken, which Track then need not find out again. False says nothing. It is
// for who has the table for himself.
func (tb *Table) Absent(q *Probe) bool {
	b, tag := tb.index.home(q.hash)
	if tb.index.any(b, tag) {
		return false
	}
	tb.absent = absence{q.hash, tb.index.inserts + 1}
	return true
}

// isAbsent reports that Absent was said of a hash.
func (tb *Table) isAbsent(h uint64) bool {
	return tb.absent.hash == h && tb.absent.inserts == tb.index.inserts+1
}

// vacancy is what is known to be free for the connection that was made last,
// so that confirmation does not look again. It holds until something is
// entered.
type vacancy struct {
	seq     uint64 // of the connection
	inserts uint64 // the index's, when it was looked
	orig    uint64 // hash of its original tuple
	reply   Tuple  // free if has
	hash    uint64 // of reply
	has     bool
}

// vacant is what is known for a connection; nil if nothing is.
func (tb *Table) vacant(c *Conn) *vacancy {
	if v := &tb.vacancy; v.seq == c.Seq && v.inserts == tb.index.inserts {
		return v
	}
	return nil
}

// Unused reports that no connection has reply, which has the zone of c in both
// directions, as the tuple of a direction. Expired connections that it meets
// are killed.
func (tb *Table) Unused(c *Conn, reply *Tuple, now int64) bool {
	v := tb.vacant(c)
	if v != nil && v.has && v.reply == *reply {
		return true
	}
	h := tb.hash(reply)
	if b, tag := tb.index.home(h); tb.index.any(b, tag) {
		if o, _ := tb.lookup(reply, h, anyDir, now); o != nil {
			return false
		}
	}
	if v != nil {
		v.reply, v.hash, v.has = *reply, h, true
	}
	return true
}
