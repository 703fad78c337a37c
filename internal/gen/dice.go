package gen

import (
	"fmt"
	"math/rand/v2"
)

// dice is the one source of choices.
type dice struct{ *rand.Rand }

func newDice(seed, stream uint64) dice { return dice{rand.New(rand.NewPCG(seed, stream))} }

// percent is true in p of 100 cases.
func (d dice) percent(p int) bool { return d.IntN(100) < p }

// between is a number from lo to hi inclusive.
func (d dice) between(lo, hi int) int { return lo + d.IntN(hi-lo+1) }

// not is the inversion of an option now and then.
func (d dice) not() string {
	if d.percent(15) {
		return "! "
	}
	return ""
}

// span is one number or lo:hi, from choices that border on what packets carry.
func (d dice) span(sep string, values ...int) string {
	a := oneOf(d, values...)
	if d.percent(50) {
		return fmt.Sprint(a)
	}
	b := oneOf(d, values...)
	return fmt.Sprintf("%d%s%d", min(a, b), sep, max(a, b))
}

// oneOf picks one value.
func oneOf[T any](d dice, v ...T) T { return v[d.IntN(len(v))] }

// weighted picks an index in proportion to its weight.
func (d dice) weighted(w ...int) int {
	total := 0
	for _, x := range w {
		total += x
	}
	n := d.IntN(total)
	for i, x := range w {
		if n < x {
			return i
		}
		n -= x
	}
	return len(w) - 1
}

// some picks n different values, in their order.
func some[T any](d dice, n int, v ...T) []T {
	var out []T
	for i, x := range v {
		if d.IntN(len(v)-i) < n-len(out) {
			out = append(out, x)
		}
	}
	return out
}
