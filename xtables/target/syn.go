package target

import "weir/xtables"

// wantsSYN reports whether a match of the rule lets only segments with SYN
// pass.
func wantsSYN(c *xtables.Context) bool {
	if c.Rule == nil {
		return false
	}
	for _, m := range c.Rule.Matches {
		if s, ok := m.Match.(interface{ WantsSYN() bool }); ok && s.WantsSYN() {
			return true
		}
	}
	return false
}
