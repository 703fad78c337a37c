package xtables

// Counter counts the packets that matched a rule, or came to a policy, and
// their bytes from the IP header on.
type Counter struct{ Packets, Bytes uint64 }

// Counter is the counter of rule i of a chain of this table, counted from 0;
// i = len(c.Rules) is the chain's end, which for a built-in chain is its
// policy.
func (tb *Table) Counter(c *Chain, i int) Counter {
	tb.settle()
	return tb.counters[c.start+i]
}

// Add counts packets at an op that a hook.Memo named. Marks below zero stand for
// many ops: -1-2n adds to hits[n], -2-2n takes off from it.
func (tb *Table) Add(op int32, packets, bytes uint64) {
	if op < 0 {
		tb.unsettled = true
		h := &tb.hits[-(op+1)/2]
		if op&1 == 0 {
			packets, bytes = -packets, -bytes
		}
		h.Packets += packets
		h.Bytes += bytes
		return
	}
	tb.counters[op].Packets += packets
	tb.counters[op].Bytes += bytes
}

// settle adds the hits of groups to the counters of their rules: a hit counts at
// every rule of the group that stands before it.
func (tb *Table) settle() {
	if !tb.unsettled {
		return
	}
	tb.unsettled = false
	for _, cl := range tb.classes {
		for _, g := range cl.groups {
			hits := tb.hits[g.hits : int(g.hits)+len(g.ops)+1]
			sum := Counter{}
			for i := len(g.ops); i > 0; i-- {
				sum.Packets += hits[i].Packets
				sum.Bytes += hits[i].Bytes
				tb.counters[g.ops[i-1]].Packets += sum.Packets
				tb.counters[g.ops[i-1]].Bytes += sum.Bytes
			}
			clear(hits)
		}
	}
}

// resetHits gives each group its places in hits.
func (tb *Table) resetHits() {
	n := 0
	for _, cl := range tb.classes {
		for i := range cl.groups {
			cl.groups[i].hits = uint32(n)
			n += len(cl.groups[i].ops) + 1
		}
	}
	tb.hits = make([]Counter, n)
}

// SwapCounters replaces all counters at once and returns the ones before. nil
// means zero. The slice belongs to the table from then on; its length is that
// of the slice returned.
func (tb *Table) SwapCounters(c []Counter) (before []Counter) {
	tb.settle()
	if c == nil {
		c = make([]Counter, len(tb.counters))
	}
	before, tb.counters = tb.counters, c
	return before
}

// startCounters is a slab with what was loaded.
func (tb *Table) startCounters() []Counter {
	s := make([]Counter, 0, len(tb.ops))
	for _, c := range tb.Chains {
		for _, r := range c.Rules {
			s = append(s, r.Start)
		}
		s = append(s, c.Start)
	}
	return s
}
