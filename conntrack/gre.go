package conntrack

import "weir/packet"

// greKey remembers what PPTP agreed on for one direction of a call: the call id
// of the other end, which the packets of this direction do not carry (Linux:
// struct nf_ct_gre_keymap).
type greKey struct {
	tuple Tuple
	owner ID
	dir   Dir
}

// AddGREKey makes GRE packets of a tuple carry its source key, on behalf of a
// connection. False: the connection has another key for that direction.
// Linux: nf_ct_gre_keymap_add.
func (tb *Table) AddGREKey(owner *Conn, d Dir, t *Tuple) bool {
	for i := range tb.greKeys {
		if k := &tb.greKeys[i]; k.owner == owner.ID() && k.dir == d {
			return k.fits(t)
		}
	}
	tb.greKeys = append(tb.greKeys, greKey{*t, owner.ID(), d})
	return true
}

// ForgetGREKeys removes the keys of a connection.
// Linux: nf_ct_gre_keymap_destroy.
func (tb *Table) ForgetGREKeys(owner ID) {
	kept := tb.greKeys[:0]
	for _, k := range tb.greKeys {
		if k.owner != owner {
			kept = append(kept, k)
		}
	}
	tb.greKeys = kept
}

// fits reports a tuple of the same addresses and destination key.
func (k *greKey) fits(t *Tuple) bool {
	u := &k.tuple
	return u.L3 == t.L3 && u.Src == t.Src && u.Dst == t.Dst && u.Proto == t.Proto && u.DstL4 == t.DstL4
}

// greSource gives the tuple of a GRE packet of version 1, whose header is b, the
// key of its source. Linux: gre_keymap_lookup.
func (tb *Table) greSource(t *Tuple, b []byte) {
	if t.Proto != packet.GRE || len(tb.greKeys) == 0 || len(b) < 8 || b[1]&7 != 1 {
		return
	}
	for i := range tb.greKeys {
		if tb.greKeys[i].fits(t) {
			t.SrcL4 = tb.greKeys[i].tuple.SrcL4
			return
		}
	}
}
