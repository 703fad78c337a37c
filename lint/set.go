package lint

import (
	"math/bits"

	"weir/xtables"
)

// spans is a set of values: they run upwards and do not touch. nil is every
// value, an empty slice none.
type spans []xtables.Span

func next(v xtables.Value) xtables.Value {
	lo, c := bits.Add64(v.Lo, 1, 0)
	return xtables.Value{Hi: v.Hi + c, Lo: lo}
}

func prev(v xtables.Value) xtables.Value {
	lo, c := bits.Sub64(v.Lo, 1, 0)
	return xtables.Value{Hi: v.Hi - c, Lo: lo}
}

// meet is the values of both.
func (a spans) meet(b spans) spans {
	if a == nil {
		return b
	}
	if b == nil {
		return a
	}
	out := spans{}
	for i, j := 0, 0; i < len(a) && j < len(b); {
		lo, hi := a[i].Lo, a[i].Hi
		if b[j].Lo.Cmp(lo) > 0 {
			lo = b[j].Lo
		}
		if b[j].Hi.Cmp(hi) < 0 {
			hi = b[j].Hi
		}
		if lo.Cmp(hi) <= 0 {
			out = append(out, xtables.Span{Lo: lo, Hi: hi})
		}
		if a[i].Hi.Cmp(b[j].Hi) < 0 {
			i++
		} else {
			j++
		}
	}
	return out
}

// meets reports a common value.
func (a spans) meets(b spans) bool {
	if a == nil || b == nil {
		return len(a) > 0 || len(b) > 0 || a == nil && b == nil
	}
	for i, j := 0, 0; i < len(a) && j < len(b); {
		switch {
		case a[i].Hi.Cmp(b[j].Lo) < 0:
			i++
		case b[j].Hi.Cmp(a[i].Lo) < 0:
			j++
		default:
			return true
		}
	}
	return false
}

// less is the values of a that b does not have. all is the domain.
func (a spans) less(b spans, all xtables.Span) spans {
	if b == nil {
		return spans{}
	}
	if a == nil {
		a = spans{all}
	}
	out := spans{}
	j := 0
	for _, s := range a {
		lo, done := s.Lo, false
		for j > 0 && b[j-1].Hi.Cmp(lo) >= 0 {
			j--
		}
		for ; j < len(b) && b[j].Lo.Cmp(s.Hi) <= 0; j++ {
			if b[j].Hi.Cmp(lo) < 0 {
				continue
			}
			if b[j].Lo.Cmp(lo) > 0 {
				out = append(out, xtables.Span{Lo: lo, Hi: prev(b[j].Lo)})
			}
			if b[j].Hi.Cmp(s.Hi) >= 0 {
				done = true
				break
			}
			lo = next(b[j].Hi)
		}
		if !done {
			out = append(out, xtables.Span{Lo: lo, Hi: s.Hi})
		}
	}
	return out
}

func (a spans) has(v xtables.Value) bool {
	if a == nil {
		return true
	}
	for _, s := range a {
		if s.Lo.Cmp(v) <= 0 && s.Hi.Cmp(v) >= 0 {
			return true
		}
	}
	return false
}
