package hook

import "sort"

// Func is a function at a hook point.
type Func func(t *Traversal) Verdict

// Entry places a function.
type Entry struct {
	At   Point
	Pri  Priority
	Name string
	Fn   Func
	// Steady: Fn says itself, by Traversal.Memo.Varying, of which packets it
	// has to see those that follow, too. Without it every packet is walked.
	Steady bool
}

// Pipeline is the functions of all points in the order in which they run. It
// is immutable; With makes a new one.
type Pipeline struct {
	entries []Entry
	at      [NumPoints][]Entry
	fns     [NumPoints][]Func // of at, side by side
}

// New sorts entries into a pipeline: by priority, and of equals the later one
// in the list first (Linux: nf_hook_entries_grow).
func New(entries []Entry) *Pipeline {
	p := &Pipeline{entries: entries}
	for i := len(entries) - 1; i >= 0; i-- {
		e := entries[i]
		p.at[e.At] = append(p.at[e.At], e)
	}
	for i := range p.at {
		at := p.at[i]
		sort.SliceStable(at, func(a, b int) bool { return at[a].Pri < at[b].Pri })
		for _, e := range at {
			p.fns[i] = append(p.fns[i], e.Fn)
		}
	}
	return p
}

// With is the pipeline with one more function, registered last.
func (p *Pipeline) With(e Entry) *Pipeline {
	return New(append(append([]Entry(nil), p.entries...), e))
}

// At lists the functions of a point in running order. It must not be changed.
func (p *Pipeline) At(pt Point) []Entry { return p.at[pt] }

// Run passes a packet through the functions of a point, from number from on, and
// returns Accept, Drop, Stolen, or Queue with the number of the function that
// said so. A drop without a reason gets ReasonUser, since every function of the
// engine gives its own.
func (p *Pipeline) Run(pt Point, t *Traversal, from int) (Verdict, int) {
	t.Point = pt
	fns := p.fns[pt]
	for i := from; i < len(fns); i++ {
		v := fns[i](t)
		if v == Accept {
			continue
		}
		for v == Repeat {
			v = fns[i](t)
		}
		switch v {
		case Accept:
		case Stop:
			return Accept, i
		case Drop:
			if t.Why == NoReason {
				t.Why = ReasonUser
			}
			return Drop, i
		default:
			return v, i
		}
	}
	return Accept, len(fns)
}
