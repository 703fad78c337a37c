package target

import "weir/xtables"

// wantsSYN reports whether another match of the rule lets only segments with
// SYN pass.
func wantsSYN(c *xtables.Context) bool {
	return c.Rule == nil
}
