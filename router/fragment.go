package router

import (
	"encoding/binary"

	"weir/hook"
	"weir/packet"
)

// finish cuts a packet that does not fit and transmits it. Linux:
// ip_finish_output, ip6_finish_output.
func (r *Router) finish(p *passage) Fate {
	t := p.t
	pk := t.Pkt
	mtu := r.mtu(t, false)
	g := pk.Reassembled
	four := pk.Family == packet.IPv4
	if pk.Wire() <= mtu && (g == nil || g.MaxSize == 0 || !four && len(pk.Data) <= g.MaxSize) {
		return r.transmit(p, pk)
	}
	// Who may not cut: IPv4 with "don't fragment", IPv6 that arrived whole;
	// a reassembled packet may be cut again if its parts would fit.
	refuse := four && pk.DF() && (g == nil || g.MaxSize > mtu) ||
		!four && (g == nil && !p.made || g != nil && g.MaxSize > mtu)
	if refuse {
		if four {
			r.ICMPError(t, icmpDestUnreach, icmpFragNeeded, uint32(mtu))
		} else {
			r.packetTooBig6(t, mtu)
		}
		return p.drop(hook.ReasonTooBig)
	}
	if g != nil && g.MaxSize != 0 && g.MaxSize < mtu {
		mtu = g.MaxSize
		if !four {
			mtu = max(mtu, 1280)
		}
	}
	if pk.Offload.Size > 0 {
		return r.cutSegments(p, mtu)
	}
	return r.cut(p, mtu)
}

// cutSegments cuts each segment of a packet that is several. Linux:
// ip_finish_output_gso.
func (r *Router) cutSegments(p *passage, mtu int) (f Fate) {
	whole := p.t.Pkt
	one := packet.Packet{Family: whole.Family, Link: whole.Link}
	p.t.Pkt = &one
	for i := range whole.Segments() {
		one.Data = whole.Segment(i, r.alloc(whole.Wire()))
		one.Reparse()
		f = r.cut(p, mtu)
	}
	p.t.Pkt = whole
	return f
}

// cut sends a packet as fragments of at most mtu bytes: at the boundaries at
// which it came if they fit, else at the largest multiples of eight.
//
// Linux: ip_do_fragment, ip6_fragment.
func (r *Router) cut(p *passage, mtu int) Fate {
	pk := p.t.Pkt
	pk.Complete()
	c := cutter{r: r, p: p, four: pk.Family == packet.IPv4}
	c.head = pk.HeaderLen()
	if !c.four {
		c.head, c.nextHdr = unfragmentable(pk.Data)
		mtu -= 8
		r.fragID++
		c.id = r.fragID
	}
	room := mtu - c.head
	c.body = pk.Data[c.head:]
	if room < 8 {
		return p.drop(hook.ReasonTooBig)
	}
	if g := pk.Reassembled; g != nil && c.fits(g, room) {
		// The boundaries are kept; "don't fragment" is not.
		for _, n := range g.Parts {
			c.next(n)
		}
		return c.fate
	}
	if c.four {
		w := binary.BigEndian.Uint16(pk.Data[6:])
		c.base, c.more = int(w&0x1fff)*8, w&0x2000 != 0
		c.df = pk.Reassembled != nil && pk.Reassembled.DF
	}
	for c.at < len(c.body) {
		n := min(room, len(c.body)-c.at)
		if c.at+n < len(c.body) {
			n &^= 7
		}
		c.next(n)
	}
	return c.fate
}

// fits reports whether the old boundaries can be kept.
func (c *cutter) fits(g *packet.Geometry, room int) bool {
	if len(g.Parts) < 2 {
		return false
	}
	total := len(c.body)
	for i, n := range g.Parts {
		if n > room || n&7 != 0 && i < len(g.Parts)-1 {
			return false
		}
		total -= n
	}
	// A hook function may have changed the length.
	return total == 0
}

// cutter makes the fragments of one packet.
type cutter struct {
	r       *Router
	p       *passage
	four    bool
	head    int // bytes of headers that each fragment repeats
	nextHdr int // IPv6: offset of the field that will name the fragment header
	id      uint32
	body    []byte
	at      int
	base    int // IPv4: offset of the packet itself, which may be a fragment
	more    bool
	df      bool
	fate    Fate
}

// next sends the next n bytes.
func (c *cutter) next(n int) {
	extra := 0
	if !c.four {
		extra = 8
	}
	src := c.p.t.Pkt
	d := c.r.alloc(c.head + extra + n)
	copy(d, src.Data[:c.head])
	copy(d[c.head+extra:], c.body[c.at:c.at+n])
	more := c.at+n < len(c.body) || c.more
	if c.four {
		w := uint16((c.base + c.at) / 8)
		if more {
			w |= 0x2000
		}
		if c.df {
			w |= 0x4000
		}
		binary.BigEndian.PutUint16(d[2:], uint16(len(d)))
		binary.BigEndian.PutUint16(d[6:], w)
		if c.at > 0 && c.base == 0 {
			blankOptions(d[20:c.head])
		}
		binary.BigEndian.PutUint16(d[10:], packet.IPv4HeaderChecksum(d[:c.head]))
	} else {
		h := d[c.head:]
		h[0], h[1] = d[c.nextHdr], 0
		d[c.nextHdr] = packet.Fragment
		w := uint16(c.at)
		if more {
			w |= 1
		}
		binary.BigEndian.PutUint16(h[2:], w)
		binary.BigEndian.PutUint32(h[4:], c.id)
		binary.BigEndian.PutUint16(d[4:], uint16(len(d)-40))
	}
	c.at += n
	f := &c.r.piece
	*f = packet.Packet{Data: d, Family: src.Family, Link: src.Link}
	f.Reparse()
	c.fate = c.r.transmit(c.p, f)
}

// unfragmentable is the length of the headers that go into every fragment of
// an IPv6 packet, and where the last of them names what follows. Linux:
// ip6_find_1stfragopt.
func unfragmentable(d []byte) (n, nextHdr int) {
	n, nextHdr = 40, 6
	routing := false
	for n+2 <= len(d) {
		switch d[nextHdr] {
		case packet.HopByHop:
		case packet.Routing:
			routing = true
		case packet.DestOpts:
			if routing {
				return n, nextHdr
			}
		default:
			return n, nextHdr
		}
		l := (int(d[n+1]) + 1) * 8
		if n+l > len(d) {
			return n, nextHdr
		}
		nextHdr = n
		n += l
	}
	return n, nextHdr
}
