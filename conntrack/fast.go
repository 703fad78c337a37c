package conntrack

import (
	"encoding/binary"
	"math/bits"
	"sync/atomic"
	"unsafe"

	"weir/packet"
)

// The short way is for packets of established connections that change nothing
// but a timeout, counters and TCP's window: it does for them what Track and
// Confirm do, and nothing at all for the others, who then go there. It is cut
// into steps, so that a batch can take each step for all of its packets: the
// reads of memory then go on side by side. The steps before Own only guess.

// Probe is one packet on the short way.
type Probe struct {
	Data []byte // the datagram, without what lies behind it
	// L4 is where the header of TCP or UDP begins.
	L4     int
	Family packet.Family
	Proto  uint8
	Dir    Dir // of Conn, once it is there
	// Offload is set by who fills Data, before Read.
	Offload packet.Offload
	Conn    *Conn // the connection that it seems to be of, nil for none
	Ready   bool  // a note of who uses it: Read has taken it

	addrs  uint64 // IPv4: both, as four takes them
	ports  uint32 // SrcL4 | DstL4<<16
	tag    uint16 // in bucket
	hash   uint64 // of the tuple
	bucket *bucket
	near   [3]uintptr // lines to be brought near
}

// directory is where the parts of a table lie. It is replaced, never written.
// Chunks stand in it as plain addresses: indexing a pointer to an array reads
// the array's first line to see whether the pointer is nil.
type directory struct {
	conns    []unsafe.Pointer // see chunkOf
	counters []*[chunkConns][2]Counter
	chunks   []unsafe.Pointer // of buckets
	over     []unsafe.Pointer // *[chunkBuckets]bucket
}

// addresses is a list of pointers to arrays as plain addresses.
func addresses[T any](list []*T) []unsafe.Pointer { return *(*[]unsafe.Pointer)(unsafe.Pointer(&list)) }

// connAt and bucketAt are elements of a chunk.
func connAt(chunk unsafe.Pointer, i uint32) *Conn {
	return (*Conn)(unsafe.Add(chunk, uintptr(i)*unsafe.Sizeof(Conn{})))
}

func bucketAt(chunk unsafe.Pointer, i uint32) *bucket {
	return (*bucket)(unsafe.Add(chunk, uintptr(i)*unsafe.Sizeof(bucket{})))
}

// publish lets those on the short way see what grew.
func (tb *Table) publish() {
	d := tb.dir.Load()
	if d == nil || len(d.conns) != len(tb.conns) || len(d.counters) != len(tb.counters) ||
		len(d.chunks) != len(tb.index.chunks) || len(d.over) != len(tb.index.over) {
		tb.dir.Store(&directory{tb.conns, tb.counters, tb.index.chunks, addresses(tb.index.over)})
	}
	if s := uint64(tb.index.mask)<<32 | uint64(tb.index.buckets); s != tb.shape.Load() {
		tb.shape.Store(s) // after the buckets are there
	}
}

// Lane is one goroutine's view of a table for the short way.
type Lane struct {
	tb            *Table
	d             *directory
	buckets, mask uint32
	shared        bool
}

// Lane makes a view.
func (tb *Table) Lane() Lane { return Lane{tb: tb} }

// Begin brings the view up to date. It comes before the first Read of a batch.
func (l *Lane) Begin() {
	s := l.tb.shape.Load()
	l.buckets, l.mask = uint32(s), uint32(s>>32)
	l.d = l.tb.dir.Load()
	l.shared = l.tb.index.shared
}

// Read takes a packet apart; false if it is not for the short way. A packet
// that it takes has a whole IP header without options or extension headers,
// a good IPv4 header checksum, a TTL above 1, and a whole header of TCP or UDP.
func (l *Lane) Read(q *Probe, d []byte) bool {
	q.Conn = nil
	if len(d) < 28 {
		return false
	}
	be, le := binary.BigEndian, binary.LittleEndian
	var last, hash uint64
	switch {
	case d[0] == 0x45:
		n := int(be.Uint16(d[2:]))
		if n > len(d) || n < 28 || d[6]&0x3f|d[7] != 0 || d[8] <= 1 {
			return false
		}
		a, b := le.Uint64(d), le.Uint64(d[8:])
		s, c := bits.Add64(a, b, 0)
		s, c = bits.Add64(s, uint64(le.Uint32(d[16:])), c)
		if packet.FoldWords(s, c) != 0xffff {
			return false
		}
		q.Family, q.Proto, q.L4 = packet.IPv4, d[9], 20
		d = d[:n]
		q.ports = swapPorts(be.Uint32(d[20:]))
		last = uint64(q.ports) | uint64(q.Proto)<<48 | uint64(packet.IPv4)<<56
		q.addrs = le.Uint64(d[12:])
		hash = l.tb.hashKey.four(q.addrs, last)
	case d[0]>>4 == 6:
		n := 40 + int(be.Uint16(d[4:]))
		if n > len(d) || n < 48 || d[7] <= 1 {
			return false
		}
		q.Family, q.Proto, q.L4 = packet.IPv6, d[6], 40
		d = d[:n]
		q.ports = swapPorts(be.Uint32(d[40:]))
		last = uint64(q.ports) | uint64(q.Proto)<<48 | uint64(packet.IPv6)<<56
		hash = l.tb.hashKey.six(le.Uint64(d[8:]), le.Uint64(d[16:]), le.Uint64(d[24:]), le.Uint64(d[32:]), last)
	default:
		return false
	}
	if q.Proto != packet.UDP && (q.Proto != packet.TCP || len(d) < q.L4+20) {
		return false
	}
	q.Data, q.hash = d, hash
	var n uint32
	n, q.tag = locate(hash, l.buckets, l.mask)
	n, at := chunkOf(n, chunkBuckets, manyBuckets)
	q.bucket = bucketAt(l.d.chunks[n], at)
	return true
}

// swapPorts puts ports from the order of the wire into that of a tuple's last
// word.
func swapPorts(p uint32) uint32 { return bits.RotateLeft32(p, 16) }

// Guess finds the connection that the packet is likely of, without looking at
// the connection itself.
func (l *Lane) Guess(q *Probe) {
	spread := uint64(q.tag) * laneOnes
	b := q.bucket
	for hops := 0; ; hops++ {
		m := matches(atomic.LoadUint64(&b.tags[0]), atomic.LoadUint64(&b.tags[1]), atomic.LoadUint32(&b.tags2), spread)
		if m != 0 {
			r := entryRef(atomic.LoadUint32((*uint32)(&b.ref[first(m)])))
			if n, at := chunkOf(r.slot(), chunkConns, manyConns); r != 0 && n < uint32(len(l.d.conns)) {
				q.Conn, q.Dir = connAt(l.d.conns[n], at), r.dir()
				return
			}
		}
		n := atomic.LoadUint32(&b.next)
		if n == 0 || (n-1)/chunkBuckets >= uint32(len(l.d.over)) || hops == maxHops {
			return
		}
		b = bucketAt(l.d.over[(n-1)/chunkBuckets], (n-1)%chunkBuckets)
	}
}

// maxHops bounds the look through overflow buckets, which others may change
// meanwhile.
const maxHops = 8

// FetchBuckets has the buckets brought near of packets that Read was asked
// about, and FetchRecords, after Guess, what will be looked at next for those
// that it has taken. Neither waits for it.
func FetchBuckets(list []Probe) {
	if len(list) > 0 {
		prefetch((*uintptr)(unsafe.Pointer(&list[0].bucket)), unsafe.Sizeof(list[0]), len(list))
	}
}

// FetchRecords is described with FetchBuckets.
func (l *Lane) FetchRecords(list []Probe) {
	if len(list) == 0 {
		return
	}
	for i := range list {
		q := &list[i]
		p := uintptr(unsafe.Pointer(q.Conn))
		if p == 0 {
			q.near = l.foresee(q)
			continue
		}
		third := p
		if q.Proto == packet.TCP {
			third += 128
		}
		q.near[0], q.near[1], q.near[2] = p, p+64, third
	}
	prefetch3(&list[0].near, unsafe.Sizeof(list[0]), len(list))
}

// Own reports that the packet is of the connection that was guessed, and takes
// that from other workers until Done.
func (l *Lane) Own(q *Probe) bool {
	c := q.Conn
	if c == nil || l.tb.apart.Load() != 0 || !l.take(c) {
		return false
	}
	if !q.matches(c) {
		l.Done(q)
		return false
	}
	q.Dir = c.found(q.Dir)
	return true
}

// matches compares the packet with a tuple.
func (q *Probe) matches(c *Conn) bool {
	d, le := q.Data, binary.LittleEndian
	t := &c.Tuple[q.Dir]
	if uint32(t.SrcL4)|uint32(t.DstL4)<<16 != q.ports || t.Proto != q.Proto || t.L3 != q.Family || t.Zone != 0 {
		return false
	}
	if q.Family == packet.IPv4 {
		return uint64(le.Uint32(t.Src[:]))|uint64(le.Uint32(t.Dst[:]))<<32 == q.addrs
	}
	return le.Uint64(t.Src[:]) == le.Uint64(d[8:]) && le.Uint64(t.Src[8:]) == le.Uint64(d[16:]) &&
		le.Uint64(t.Dst[:]) == le.Uint64(d[24:]) && le.Uint64(t.Dst[8:]) == le.Uint64(d[32:])
}

// Judge is the protocol's tracker for a packet that Own has accepted. True:
// the packet is accounted for and Track and Confirm would have done no more.
// False: nothing has happened yet.
func (l *Lane) Judge(q *Probe, now int64) bool {
	c, tb := q.Conn, l.tb
	if !l.shared {
		tb.why = remark{}
	}
	const want = Confirmed | SeenReply
	if c.Status&(want|Dying) != want || c.ext != 0 || c.pending != 0 || c.expired(now) {
		return false
	}
	b := q.Data[q.L4:]
	var timeout int64
	if q.Proto == packet.UDP {
		if n := int(binary.BigEndian.Uint16(b[4:])); n < 8 || n > len(b) {
			return false
		}
		if tb.cfg.Checksum && !q.Offload.Good() && b[6]|b[7] != 0 && !packet.PlainSumOK(q.Data, q.L4, q.Proto) {
			return false
		}
		switch {
		case now <= *c.streamDeadline():
			timeout = tb.timeout(c, 0, tb.cfg.UDPTimeout)
		case c.Status&(Assured|NATClash) == 0:
			return false
		default:
			timeout = tb.timeout(c, 1, tb.cfg.UDPStreamTimeout)
		}
	} else {
		if tb.cfg.Checksum && !q.Offload.Good() && !packet.PlainSumOK(q.Data, q.L4, q.Proto) {
			return false
		}
		var ok bool
		if timeout, ok = tb.judgeTCP(c, q.Dir, b); !ok {
			return false
		}
	}
	if c.Status&FixedTimeout == 0 {
		c.deadline = timeout + now
	}
	if c.flags&counted != 0 {
		ct := &l.d.counters[c.index/chunkConns][c.index%chunkConns][q.Dir]
		ct.Packets++
		ct.Bytes += uint64(len(q.Data))
	}
	return true
}

// judgeTCP takes an acknowledgement, with data or without, that lies within
// the windows of an established connection.
func (tb *Table) judgeTCP(c *Conn, d Dir, b []byte) (timeout int64, ok bool) {
	off := int(b[12]>>4) * 4
	f := b[13]
	t := (*TCPState)(unsafe.Pointer(&c.proto))
	const judged = packet.TCPSyn | packet.TCPAck | packet.TCPFin | packet.TCPRst
	if off < 20 || off > len(b) || f&judged != packet.TCPAck || t.State != TCPEstablished || c.Status&Assured == 0 {
		return 0, false
	}
	from, to := &t.Side[d], &t.Side[1-d]
	if from.MaxWin == 0 {
		return 0, false
	}
	be := binary.BigEndian
	var s segment
	s.seq, s.ack, s.win, s.flags, s.class = be.Uint32(b[4:]), be.Uint32(b[8:]), be.Uint16(b[14:]), f, classAck
	s.end = s.seq + uint32(len(b)-off)
	sack := s.ack
	if off > 20 && to.Flags&TCPSackPerm != 0 {
		sack = highestSack(b[20:off], sack)
	}
	if !inside(from, to, s.seq, s.end, sack) {
		return 0, false
	}
	t.moveWindow(d, &s, s.seq, s.ack, s.end, sack)
	t.lastClass, t.lastDir = classAck, d
	return tb.tcpRefresh(c, t, TCPEstablished, classAck), true
}
