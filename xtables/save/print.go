package save

import (
	"sort"
	"strconv"

	"weir/hook"
	"weir/xtables"
)

// Print is what iptables-legacy-save prints after loading the file: only the
// tables that it names, in the order raw, mangle, nat, filter, security,
// without the lines that begin with "#", counters zero.
func Print(f *File) []byte {
	var b []byte
	for _, t := range f.Rules.Tables {
		b = write(b, t, none, false)
	}
	return b
}

// Append appends the tables in use as iptables-save -c prints them: counters
// as they are now, those of rules only if counters is set. A nil Ruleset
// appends nothing.
func Append(b []byte, rs *xtables.Ruleset, counters bool) []byte {
	if rs == nil {
		return b
	}
	for _, t := range rs.Tables {
		b = write(b, t, t.Counter, counters)
	}
	return b
}

func none(*xtables.Chain, int) xtables.Counter { return xtables.Counter{} }

func write(b []byte, t *xtables.Table, counter func(*xtables.Chain, int) xtables.Counter, rules bool) []byte {
	b = append(append(append(b, '*'), t.Name...), '\n')
	chains := sorted(t)
	for _, c := range chains {
		b = append(append(b, ':'), c.Name...)
		n := xtables.Counter{}
		switch {
		case !c.Builtin:
			b = append(b, " - "...)
		case c.Policy == hook.Accept:
			b, n = append(b, " ACCEPT "...), counter(c, len(c.Rules))
		default:
			b, n = append(b, " DROP "...), counter(c, len(c.Rules))
		}
		b = append(appendCounter(b, n), '\n')
	}
	for _, c := range chains {
		for i, r := range c.Rules {
			if rules {
				b = append(appendCounter(b, counter(c, i)), ' ')
			}
			b = xtables.AppendWord(append(b, "-A "...), c.Name)
			b = append(r.Append(b), '\n')
		}
	}
	return append(b, "COMMIT\n"...)
}

// sorted is the built-in chains, then the user's by name: iptables-legacy
// keeps them so.
func sorted(t *xtables.Table) []*xtables.Chain {
	cs := append([]*xtables.Chain(nil), t.Chains...)
	n := 0
	for n < len(cs) && cs[n].Builtin {
		n++
	}
	sortChains(cs[n:])
	return cs
}

// sortChains leaves built-in chains in front and sorts the others by name.
func sortChains(cs []*xtables.Chain) {
	sort.SliceStable(cs, func(i, j int) bool { return !cs[i].Builtin && !cs[j].Builtin && cs[i].Name < cs[j].Name })
}

func appendCounter(b []byte, c xtables.Counter) []byte {
	b = append(b, '[')
	b = strconv.AppendUint(b, c.Packets, 10)
	b = append(b, ':')
	b = strconv.AppendUint(b, c.Bytes, 10)
	return append(b, ']')
}
