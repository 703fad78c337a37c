package xtables

// Counter counts the packets that matched a rule, or came to a policy, and
// their bytes from the IP header on.
type Counter struct{ Packets, Bytes uint64 }

// Counter is the counter of rule i of a chain of this table, counted from 0;
// i = len(c.Rules) is the chain's end, which for a built-in chain is its
// policy.
func (tb *Table) Counter(c *Chain, i int) Counter { return tb.counters[c.start+i] }

// Add counts packets at an op that a hook.Memo named.
func (tb *Table) Add(op int32, packets, bytes uint64) {
	tb.counters[op].Packets += packets
	tb.counters[op].Bytes += bytes
}

// SwapCounters replaces all counters at once and returns the ones before. nil
// means zero. The slice belongs to the table from then on; its length is that
// of the slice returned.
func (tb *Table) SwapCounters(c []Counter) (before []Counter) {
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
