package nat

import (
	"weir/conntrack"
	"weir/hook"
)

// Setup chooses a mapping for one side of a new connection and writes it into
// the reply tuple. It returns false when the packet is to be dropped, with the
// reason in t. A confirmed connection is left alone. Linux: nf_nat_setup_info.
func Setup(t *hook.Traversal, c *conntrack.Conn, r *Range, m Manip) bool {
	return setup(t, c, r, m, false)
}

// NullBinding decides not to translate a side. It still keeps the reply tuple
// unique, for which a source port may change.
// Linux: nf_nat_alloc_null_binding.
func NullBinding(t *hook.Traversal, c *conntrack.Conn, m Manip) bool {
	r := Range{Flags: MapIPs}
	if m == Source {
		r.MinAddr = c.Tuple[conntrack.Reply].Dst
	} else {
		r.MinAddr = c.Tuple[conntrack.Reply].Src
	}
	r.MaxAddr = r.MinAddr
	return setup(t, c, &r, m, true)
}

func setup(t *hook.Traversal, c *conntrack.Conn, r *Range, m Manip, null bool) bool {
	if plain(t, c, r, m) {
		return true
	}
	if c.Has(conntrack.Confirmed) {
		return true
	}
	if c.Has(m.done()) {
		return fail(t, "decided already")
	}
	cur, ok := c.Tuple[conntrack.Reply].Inverse()
	if !ok {
		return fail(t, "a connection that has no answer")
	}
	s := search{t: t, tb: t.Env.CT, c: c, r: *r, m: m}
	var next conntrack.Tuple
	if r.Flags&EndpointIndependent != 0 && m == Source && mappable(cur.Proto) {
		if next, ok = s.mapped(&cur); !ok {
			return false
		}
	} else {
		next = s.unique(&cur)
	}
	if next != cur {
		reply, _ := next.Inverse()
		t.Env.CT.SetReply(c, reply)
		c.Status |= m.bit(conntrack.Original)
	}
	if m == Source {
		t.Env.CT.LinkSource(c)
	}
	c.Status |= m.done()
	if t.Trace.On() {
		s.explain(&cur, &next, null)
	}
	return true
}
