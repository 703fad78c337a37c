package defrag

import (
	"encoding/binary"

	"weir/iface"
	"weir/packet"
)

// frag is what the headers of one fragment say.
type frag struct {
	off, end int
	more, df bool
	ecn      uint8 // as a bit
	size     int   // counts for the largest fragment
	payload  int   // offset of the payload in the packet
	nextHdr  int
	fragHdr  int
}

// Add takes a packet. If it is a fragment it is kept, and the packet that makes
// its datagram whole becomes that datagram: Data, Reassembled and the offsets
// are set. zone is the conntrack zone.
//
// Linux: net/ipv4/ip_fragment.c ip_defrag,
// net/ipv6/netfilter/nf_conntrack_reasm.c nf_ct_frag6_gather,
// net/ipv6/reassembly.c ipv6_frag_rcv.
func (q *Queue) Add(p *packet.Packet, u User, zone uint16, in *iface.Iface, now int64) (Status, Cause) {
	if p.Family == packet.IPv4 && p.FragOff == 0 && !p.More {
		return PassedOn, NoCause
	}
	k := key{src: p.Src(), dst: p.Dst(), zone: zone, fam: p.Family, user: u}
	var f frag
	if p.Family == packet.IPv4 {
		k.id, k.proto = uint32(p.ID()), p.Proto
		f = read4(p)
	} else {
		var ok bool
		if f, ok = read6(p.Data); !ok {
			return PassedOn, NoCause
		}
		if f.off == 0 && chainCut(p.Data) {
			if u == Deliver {
				return Dropped, HeadersSplit
			}
			return PassedOn, NoCause
		}
		k.id = binary.BigEndian.Uint32(p.Data[f.fragHdr+4:])
		if in != nil && (k.dst[0] == 0xff || k.dst[0] == 0xfe && k.dst[1]&0xc0 == 0x80) {
			k.dev = in.Index
		}
	}
	pool := q.pool(&k)
	if pool.mem > pool.rules.HighThresh || pool.rules.HighThresh == 0 {
		return Dropped, Memory
	}
	d := q.open[k]
	if d == nil {
		d = q.create(k, now)
	}
	if p.Family == packet.IPv4 && q.tooFar(d, pool.rules.MaxDist) {
		q.restart(d, now)
	}
	st, c := q.insert(d, p, &f)
	if st == Waiting {
		d.headIn = in
		if d.first && d.last && d.meat == d.length {
			return q.finish(d, p)
		}
	}
	return st, c
}

func read4(p *packet.Packet) frag {
	h := p.HeaderLen()
	f := frag{off: int(p.FragOff), more: p.More, df: p.DF(), ecn: 1 << (p.TOS() & 3), payload: h}
	f.end = f.off + len(p.Data) - h
	return f
}

// read6 finds the fragment header. Linux: find_prev_fhdr, which stops at
// anything that is no extension header.
func read6(d []byte) (f frag, ok bool) {
	if d[4] == 0 && d[5] == 0 {
		return f, false
	}
	next, nextAt, off := d[6], 6, 40
	for {
		switch next {
		case packet.Fragment:
			if off+8 > len(d) {
				return f, false
			}
			w := binary.BigEndian.Uint16(d[off+2:])
			f = frag{off: int(w &^ 7), more: w&1 != 0, ecn: 1 << (d[1] >> 4 & 3), size: len(d), payload: off + 8, nextHdr: nextAt, fragHdr: off}
			f.end = f.off + len(d) - f.payload
			return f, true
		case packet.HopByHop, packet.Routing, packet.DestOpts, packet.AH:
			if off+2 > len(d) {
				return f, false
			}
			n := (int(d[off+1]) + 1) * 8
			if next == packet.AH {
				n = (int(d[off+1]) + 2) * 4
			}
			next, nextAt = d[off], off
			off += n
		default:
			return f, false
		}
	}
}

// chainCut reports a first fragment that ends inside the upper-layer header.
// Like Linux it lets pass a chain that is cut off earlier or ends without one.
// Linux: ipv6frag_thdr_truncated.
func chainCut(d []byte) bool {
	proto, off, _ := packet.SkipExtHdr(d)
	if off < 0 {
		return false
	}
	switch proto {
	case packet.TCP:
		off += 20
	case packet.UDP, packet.ICMPv6:
		off += 8
	default:
		off++
	}
	return off > len(d)
}

// maxHollow bounds datagrams of which nothing but the length is known; they
// take no memory that is counted.
const maxHollow = 1 << 14

// insert files a fragment. Linux: ip_frag_queue, nf_ct_frag6_queue.
func (q *Queue) insert(d *datagram, p *packet.Packet, f *frag) (Status, Cause) {
	four := d.key.fam == packet.IPv4
	deliver6 := !four && d.key.user == Deliver
	// bad drops the fragment; all but IPv6 conntrack give up the datagram
	// with it. There an empty last one counts as the end all the same.
	bad := func(c Cause) (Status, Cause) {
		if four || deliver6 || len(d.pieces) == 0 && (!d.last || len(q.open) > maxHollow) {
			q.kill(d)
		}
		return Dropped, c
	}
	if !four && f.end > 65535 {
		return Dropped, BadLength
	}
	if !f.more {
		if f.end < d.length || d.last && f.end != d.length {
			return bad(BadLength)
		}
		d.last, d.length = true, f.end
	} else {
		if f.end&7 != 0 {
			switch {
			case deliver6:
				return Dropped, OddLength
			case !four:
				q.kill(d)
				return PassedOn, NoCause
			}
			f.end &^= 7
		}
		if f.end > d.length {
			if d.last {
				return bad(BadLength)
			}
			d.length = f.end
		}
	}
	if f.end <= f.off {
		return bad(BadLength)
	}
	at, run, c := d.place(f)
	if c == Duplicate {
		return Dropped, c
	}
	if c != NoCause {
		q.kill(d)
		return Dropped, c
	}
	n := f.end - f.off
	pc := piece{off: f.off, end: f.end, run: run, size: truesize(len(p.Data))}
	pc.data = append([]byte(nil), p.Data[f.payload:f.payload+n]...)
	d.pieces = append(d.pieces, piece{})
	copy(d.pieces[at+1:], d.pieces[at:])
	d.pieces[at] = pc
	q.pool(&d.key).mem += pc.size
	d.meat += n
	d.ecn |= f.ecn
	size := f.size
	if four {
		size = n + f.payload
	}
	d.maxSize = max(d.maxSize, size)
	if f.df {
		d.maxDF = max(d.maxDF, size)
	}
	if f.off == 0 {
		d.first = true
		d.head = append([]byte(nil), p.Data[:f.payload]...)
		d.nextHdr, d.fragHdr = f.nextHdr, f.fragHdr
	}
	return Waiting, NoCause
}

// place finds where a fragment goes. A fragment that lies inside one run of
// pieces, those that came one right behind the other, is a duplicate; any
// other overlap is one. Linux: inet_frag_queue_insert.
func (d *datagram) place(f *frag) (at int, run bool, c Cause) {
	n := len(d.pieces)
	if n == 0 {
		return 0, false, NoCause
	}
	if tail := &d.pieces[n-1]; tail.end < f.end {
		if f.off < tail.end {
			return 0, false, Overlap
		}
		return n, f.off == tail.end, NoCause
	}
	for i := 0; i < n; {
		start, j := d.pieces[i].off, i+1
		for j < n && d.pieces[j].run {
			j++
		}
		end := d.pieces[j-1].end
		switch {
		case f.end <= start:
			return i, false, NoCause
		case f.off >= end:
			i = j
			continue
		case f.off >= start && f.end <= end:
			return 0, false, Duplicate
		}
		return 0, false, Overlap
	}
	return n, false, NoCause
}

// ecnOf joins the ECN fields of fragments, given as bits 1<<field: CE wins
// over ECT; not-ECT with any other is refused (RFC 3168 section 5.3). Linux:
// ip_frag_ecn_table.
func ecnOf(seen uint8) (or uint8, ok bool) {
	const notECT, ce = 1, 8
	switch {
	case seen&notECT != 0 && seen != notECT:
		return 0, false
	case seen&ce != 0 && seen != ce:
		return 3, true
	}
	return 0, true
}

// finish puts the datagram into the packet. Linux: ip_frag_reasm,
// nf_ct_frag6_reasm.
func (q *Queue) finish(d *datagram, p *packet.Packet) (Status, Cause) {
	q.kill(d)
	ecn, ok := ecnOf(d.ecn)
	if !ok {
		return Dropped, BadECN
	}
	head := d.head
	four := d.key.fam == packet.IPv4
	geo := &packet.Geometry{MaxSize: max(d.maxSize, d.maxDF), DF: d.maxDF == d.maxSize && d.maxDF > 0, Parts: make([]int, len(d.pieces))}
	if !four {
		// The fragment header goes, its next header stays.
		geo.Body = d.fragHdr
		geo.ID = binary.BigEndian.Uint32(head[d.fragHdr+4:])
		head[d.nextHdr] = head[d.fragHdr]
		head = append(head[:d.fragHdr], head[d.fragHdr+8:]...)
	}
	total := len(head) + d.length
	if four && total > 65535 || !four && total-40 > 65535 {
		return Dropped, BadLength
	}
	data := make([]byte, 0, total+64)
	data = append(data, head...)
	for i := range d.pieces {
		data = append(data, d.pieces[i].data...)
		geo.Parts[i] = d.pieces[i].end - d.pieces[i].off
	}
	if four {
		binary.BigEndian.PutUint16(data[2:], uint16(total))
		data[1] |= ecn
		data[6], data[7] = 0, 0
		if geo.DF {
			data[6] = 0x40
		}
		binary.BigEndian.PutUint16(data[10:], packet.IPv4HeaderChecksum(data[:len(head)]))
	} else {
		binary.BigEndian.PutUint16(data[4:], uint16(total-40))
		data[1] |= ecn << 4
	}
	p.Data = data
	p.Reassembled = geo
	p.Reparse()
	return Complete, NoCause
}
