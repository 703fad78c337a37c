package gen

import (
	"maps"
	"slices"
	"strings"

	"weir/internal/kernel"
)

// Shrink makes a failing case smaller for as long as stillFails says that it
// fails: without packets, rules, chains, routes and settings that it does not
// need. The case itself is not changed. stillFails is called some hundred
// times.
func Shrink(c *Case, stillFails func(*Case) bool) *Case {
	best := clone(c)
	for {
		before := size(best)
		shrinkList(best, stillFails, best.Packets, func(c *Case, l []Packet) { c.Packets = l })
		shrinkRules(best, stillFails, func(c *Case) *string { return &c.Rules4 })
		shrinkRules(best, stillFails, func(c *Case) *string { return &c.Rules6 })
		shrinkSysctl(best, stillFails)
		shrinkList(best, stillFails, best.Machine.Routes, func(c *Case, l []kernel.Route) { c.Machine.Routes = l })
		if size(best) == before {
			return best
		}
	}
}

func clone(c *Case) *Case {
	n := *c
	n.Packets = slices.Clone(c.Packets)
	n.Machine.Routes = slices.Clone(c.Machine.Routes)
	n.Machine.Sysctl = maps.Clone(c.Machine.Sysctl)
	return &n
}

func size(c *Case) int {
	return len(c.Packets) + strings.Count(c.Rules4, "\n") + strings.Count(c.Rules6, "\n") + len(c.Machine.Sysctl) + len(c.Machine.Routes)
}

// shrinkList removes runs of elements, long ones first, and keeps in best the
// smallest list that still fails.
func shrinkList[T any](best *Case, fails func(*Case) bool, list []T, set func(*Case, []T)) {
	for run := max(1, len(list)/2); ; run /= 2 {
		for at := 0; at < len(list); {
			try := slices.Delete(slices.Clone(list), at, min(at+run, len(list)))
			c := clone(best)
			set(c, try)
			if fails(c) {
				list = try
				set(best, try)
			} else {
				at += run
			}
		}
		if run <= 1 {
			return
		}
	}
}

// shrinkRules removes rules, then chains that nothing names any more. The
// structure of the tables stays.
func shrinkRules(best *Case, fails func(*Case) bool, text func(*Case) *string) {
	lines := strings.Split(strings.TrimSpace(*text(best)), "\n")
	var rules []int
	for i, l := range lines {
		if strings.HasPrefix(l, "-A") {
			rules = append(rules, i)
		}
	}
	shrinkList(best, fails, rules, func(c *Case, keep []int) {
		var b strings.Builder
		for i, l := range lines {
			if !strings.HasPrefix(l, "-A") || slices.Contains(keep, i) {
				b.WriteString(l + "\n")
			}
		}
		*text(c) = b.String()
	})
	for _, l := range lines {
		name, ok := strings.CutSuffix(l, " - [0:0]")
		if !ok || strings.Count(*text(best), name[1:]+" ")+strings.Count(*text(best), name[1:]+"\n") > 1 {
			continue
		}
		c := clone(best)
		*text(c) = strings.Replace(*text(c), l+"\n", "", 1)
		if fails(c) {
			*text(best) = *text(c)
		}
	}
}

// shrinkSysctl removes settings, which leaves Linux's defaults.
func shrinkSysctl(best *Case, fails func(*Case) bool) {
	keys := slices.Sorted(maps.Keys(best.Machine.Sysctl))
	all := maps.Clone(best.Machine.Sysctl)
	shrinkList(best, fails, keys, func(c *Case, keep []string) {
		c.Machine.Sysctl = map[string]string{}
		for _, k := range keep {
			c.Machine.Sysctl[k] = all[k]
		}
	})
}
