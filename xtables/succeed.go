package xtables

// Freeze is the rule set for another goroutine to read, with the counters as
// they are now. The state of matches is shared: it must not be walked.
func (rs *Ruleset) Freeze() *Ruleset {
	if rs == nil {
		return nil
	}
	f := &Ruleset{Family: rs.Family, Tables: make([]*Table, 0, len(rs.Tables))}
	for _, t := range rs.Tables {
		t.settle()
		c := t.Fork()
		copy(c.counters, t.counters)
		f.Tables = append(f.Tables, c)
	}
	return f
}

// Succession carries on what rules count while others are made ready to take
// their place (Linux: the counters that a replaced table had are added to the
// new one, IPT_SO_SET_ADD_COUNTERS).
type Succession struct{ tables []heir }

// heir is one table that takes the place of another.
type heir struct {
	next, live *Table
	frozen     []Counter
	ops        [][2]int32 // of next and of live
}

// Succeed prepares next, which was made of frozen, to follow live, of which
// frozen is a copy. Tables of next that are those of frozen become those of
// live. origin says which rule of frozen a rule of next is; nil for a new one.
func Succeed(next, frozen, live *Ruleset, origin func(*Rule) *Rule) *Succession {
	s := &Succession{}
	for i, t := range next.Tables {
		was, now := frozen.Table(t.Name), live.Table(t.Name)
		switch {
		case was == nil:
			continue
		case was == t:
			next.Tables[i] = now
			continue
		}
		h := heir{next: t, live: now, frozen: was.counters}
		at := make(map[*Rule]int32, len(was.rules))
		for op, r := range was.rules {
			if r != nil {
				at[r] = int32(op)
			}
		}
		for op, r := range t.rules {
			if r == nil {
				continue
			}
			if old := origin(r); old != nil {
				if from, ok := at[old]; ok {
					h.ops = append(h.ops, [2]int32{int32(op), from})
				}
			}
		}
		s.tables = append(s.tables, h)
	}
	return s
}

// Settle adds what the rules of live counted since they were frozen to those
// that come after them. It is called once, when live is not walked any more.
func (s *Succession) Settle() {
	for i := range s.tables {
		h := &s.tables[i]
		h.live.settle()
		for _, op := range h.ops {
			to, now, then := &h.next.counters[op[0]], &h.live.counters[op[1]], &h.frozen[op[1]]
			to.Packets += now.Packets - then.Packets
			to.Bytes += now.Bytes - then.Bytes
		}
	}
	s.tables = nil
}
