package ipset

// slots is where the extensions stand in a record of 32-bit words: -1 if the
// set has none of that kind.
type slots struct {
	timeout, counter, skb, comment int
	words                          int
}

func newSlots(s *Set) slots {
	x := slots{-1, -1, -1, -1, 0}
	take := func(has bool, n int) int {
		if !has {
			return -1
		}
		x.words += n
		return x.words - n
	}
	x.timeout = take(s.hasTimeout, 2)
	x.counter = take(s.counters, 4)
	x.skb = take(s.skbinfo, 4)
	x.comment = take(s.comment, 1)
	return x
}

func get64(w []uint32) uint64    { return uint64(w[0]) | uint64(w[1])<<32 }
func put64(w []uint32, v uint64) { w[0], w[1] = uint32(v), uint32(v>>32) }

// comments are the texts of a set's members. bytes is what Linux would count.
type comments struct {
	text  []string
	free  []uint32
	bytes int
}

const commentHead = 16

func (c *comments) set(w *uint32, text string) {
	if *w != 0 {
		c.bytes -= commentHead + len(c.text[*w-1]) + 1
		c.text[*w-1] = ""
		c.free = append(c.free, *w)
		*w = 0
	}
	if text == "" {
		return
	}
	if n := len(c.free); n > 0 {
		*w, c.free = c.free[n-1], c.free[:n-1]
	} else {
		c.text = append(c.text, "")
		*w = uint32(len(c.text))
	}
	c.text[*w-1] = text
	c.bytes += commentHead + len(text) + 1
}

// given is what an add says of extensions; unset counters stay as they are.
type given struct {
	timeout        uint32
	packets, bytes uint64
	comment        string
	skb            Skbinfo
}

// expired: the time has come. A time of 0 never comes.
func (s *Set) expired(x []uint32, now int64) bool {
	if s.exts.timeout < 0 {
		return false
	}
	t := int64(get64(x[s.exts.timeout:]))
	return t != 0 && t < now
}

func until(now int64, seconds uint32) uint64 {
	if seconds == 0 {
		return 0
	}
	t := now + int64(seconds)*1e9
	if t == 0 {
		t = 1
	}
	return uint64(t)
}

// left is the seconds to go: at least 1 until the time has come.
func left(t uint64, now int64) uint32 {
	if t == 0 {
		return 0
	}
	return uint32(max((int64(t)-now)/1e9, 1))
}

// init writes the extensions of an added member.
func (s *Set) init(x []uint32, g *given, now int64) {
	e := &s.exts
	if e.counter >= 0 {
		if g.packets != unset {
			put64(x[e.counter:], g.packets)
		}
		if g.bytes != unset {
			put64(x[e.counter+2:], g.bytes)
		}
	}
	if e.comment >= 0 {
		s.comments.set(&x[e.comment], g.comment)
	}
	if e.skb >= 0 {
		x[e.skb], x[e.skb+1], x[e.skb+2], x[e.skb+3] = g.skb.Mark, g.skb.Mask, g.skb.Prio, uint32(g.skb.Queue)
	}
	if e.timeout >= 0 {
		put64(x[e.timeout:], until(now, g.timeout))
	}
}

// clear lets go what an extension holds.
func (s *Set) clear(x []uint32) {
	if s.exts.comment >= 0 {
		s.comments.set(&x[s.exts.comment], "")
	}
}

// read is the extensions for a listing.
func (s *Set) read(x []uint32, now int64) (out Ext) {
	e := &s.exts
	if e.timeout >= 0 {
		out.Timeout = left(get64(x[e.timeout:]), now)
	}
	if e.counter >= 0 {
		out.Packets, out.Bytes = get64(x[e.counter:]), get64(x[e.counter+2:])
	}
	if e.skb >= 0 {
		out.Skb = Skbinfo{x[e.skb], x[e.skb+1], x[e.skb+2], uint16(x[e.skb+3])}
	}
	if e.comment >= 0 && x[e.comment] != 0 {
		out.Comment = s.comments.text[x[e.comment]-1]
	}
	return out
}

// found is what follows when a test finds a member: false if it does not
// count after all (include/linux/netfilter/ipset: ip_set_match_extensions).
func (s *Set) found(x []uint32, o *Options, now int64) bool {
	if s.expired(x, now) {
		return false
	}
	if o == nil {
		return true
	}
	if c := s.exts.counter; c >= 0 {
		s.count(x, o)
		if o.matchCounters() && !(o.Packets.match(get64(x[c:])) && o.Bytes.match(get64(x[c+2:]))) {
			return false
		}
	}
	if k := s.exts.skb; k >= 0 {
		o.Skb = Skbinfo{x[k], x[k+1], x[k+2], uint16(x[k+3])}
	}
	return true
}

func (s *Set) count(x []uint32, o *Options) {
	if o.NoCounters {
		return
	}
	c := s.exts.counter
	put64(x[c+2:], get64(x[c+2:])+uint64(o.length))
	put64(x[c:], get64(x[c:])+1)
}

// kernelSize is the bytes that Linux keeps for a member whose own part has so
// many, counted as it counts them for "Size in memory".
func (s *Set) kernelSize(elem, align int) int {
	up := func(n, a int) int { return (n + a - 1) &^ (a - 1) }
	n := elem
	add := func(has bool, size, a int) {
		if has {
			n = up(n, a) + size
			align = max(align, a)
		}
	}
	add(s.counters, 16, 8)
	add(s.hasTimeout, 8, 8)
	add(s.skbinfo, 16, 4)
	add(s.comment, 8, 8)
	return up(n, align)
}

// Shift moves the timeouts of all members by so many ns: sets that were loaded
// when the time was not known yet are put into the present.
func (ss *Sets) Shift(by int64) {
	for _, s := range ss.list {
		if s == nil || s.exts.timeout < 0 {
			continue
		}
		move := func(x []uint32) {
			if t := x[s.exts.timeout:]; get64(t) != 0 {
				put64(t, get64(t)+uint64(by))
			}
		}
		switch {
		case s.typ == ListSet:
			for _, x := range s.list.ext {
				move(x)
			}
		case s.typ.Hash():
			h := &s.hash
			for _, ref := range h.table {
				if ref == 0 {
					continue
				}
				b := h.bucketWords(ref)
				for i := range int(b[2]) {
					if used(b, i) {
						move(h.slot(b, i)[h.ext:])
					}
				}
			}
		default:
			for id := range s.bitmap.n {
				if s.bitmap.has(id) && (s.typ != BitmapIPMAC || s.bitmap.filled[id]) {
					move(s.bitmapExt(id))
				}
			}
		}
	}
}
