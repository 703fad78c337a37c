package lint

import (
	"slices"

	"weir/packet"
	"weir/xtables"
)

// fieldMask is a set of fields; anyTerm stands for all terms.
type fieldMask uint32

const (
	anyTerm   fieldMask = 1 << xtables.NumFields
	allFields           = anyTerm<<1 - 1
)

func maskOf(fs ...xtables.Field) (m fieldMask) {
	for _, f := range fs {
		m |= 1 << f
	}
	return m
}

// box is the packets that have each field among the values and answer each term
// so. No field of a box is empty: no box is the empty set.
type box struct {
	f     [xtables.NumFields]spans
	used  fieldMask // fields that are not nil; anyTerm if there are terms
	terms []term    // by id
}

type term struct {
	id  int
	not bool
}

// space is what boxes have in common: the family, and the terms by text.
type space struct {
	family packet.Family
	ids    map[string]int
}

func (s *space) term(t xtables.Term) term {
	id, ok := s.ids[t.Text]
	if !ok {
		id = len(s.ids)
		s.ids[t.Text] = id
	}
	return term{id, t.Not}
}

// limit narrows a field; false if nothing is left.
func (b *box) limit(f xtables.Field, s spans) bool {
	if s == nil {
		return true
	}
	b.f[f] = b.f[f].meet(s)
	b.used |= 1 << f
	return len(b.f[f]) > 0
}

// ask adds a term; false if it contradicts.
func (b *box) ask(t term) bool {
	for _, x := range b.terms {
		if x.id == t.id {
			return x.not == t.not
		}
	}
	b.terms = append(slices.Clip(b.terms), t)
	b.used |= anyTerm
	return true
}

// disjoint reports that no packet is in both.
func (b *box) disjoint(c *box) bool {
	for m, f := b.used&c.used&^anyTerm, 0; m != 0; m, f = m>>1, f+1 {
		if m&1 != 0 && !b.f[f].meets(c.f[f]) {
			return true
		}
	}
	for _, x := range b.terms {
		for _, y := range c.terms {
			if x.id == y.id && x.not != y.not {
				return true
			}
		}
	}
	return false
}

// meet is the packets of both; false if there are none.
func (b *box) meet(c *box) (box, bool) {
	out := *b
	for m, f := c.used&^anyTerm, xtables.Field(0); m != 0; m, f = m>>1, f+1 {
		if m&1 != 0 && !out.limit(f, c.f[f]) {
			return box{}, false
		}
	}
	for _, t := range c.terms {
		if !out.ask(t) {
			return box{}, false
		}
	}
	return out, true
}

// less appends the packets of b that are not in c, which must not be disjoint.
func (s *space) less(list []box, b *box, c *box) []box {
	rest := *b
	for m, f := c.used&^anyTerm, xtables.Field(0); m != 0; m, f = m>>1, f+1 {
		if m&1 == 0 {
			continue
		}
		if left := rest.f[f].less(c.f[f], xtables.Domain(f, s.family)); len(left) > 0 {
			piece := rest
			piece.f[f] = left
			piece.used |= 1 << f
			list = append(list, piece)
		}
		rest.limit(f, c.f[f])
	}
	for _, t := range c.terms {
		if slices.Contains(rest.terms, t) {
			continue
		}
		piece := rest
		piece.ask(term{t.id, !t.not})
		list = append(list, piece)
		rest.ask(t)
	}
	return list
}

// free forgets what b asks of the fields.
func (b *box) free(m fieldMask) box {
	if b.used&m == 0 {
		return *b
	}
	out := *b
	for f := range out.f {
		if m&(1<<f) != 0 {
			out.f[f] = nil
		}
	}
	if m&anyTerm != 0 {
		out.terms = nil
	}
	out.used &^= m
	return out
}

// meetAll is the packets of both unions; false if that takes more than max
// boxes.
func meetAll(a, b []box, max int) (out []box, ok bool) {
	for i := range a {
		for j := range b {
			x, some := a[i].meet(&b[j])
			if !some {
				continue
			}
			if len(out) == max {
				return nil, false
			}
			out = append(out, x)
		}
	}
	return out, true
}

// lessAll takes the union c from the union a; false if that takes more than
// max boxes.
func (s *space) lessAll(a, c []box, max int) ([]box, bool) {
	for i := range c {
		hit := false
		for k := range a {
			if !a[k].disjoint(&c[i]) {
				hit = true
				break
			}
		}
		if !hit {
			continue
		}
		var out []box
		for k := range a {
			if a[k].disjoint(&c[i]) {
				out = append(out, a[k])
			} else {
				out = s.less(out, &a[k], &c[i])
			}
		}
		if a = out; len(a) > max {
			return nil, false
		} else if len(a) == 0 {
			return nil, true
		}
	}
	return a, true
}
