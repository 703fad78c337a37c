package match

import "weir/xtables"

// Refused are the matches that weir knows and does not have, each with the
// reason that a rule with it is refused with.
func Refused() []xtables.MatchExt {
	var list []xtables.MatchExt
	for _, r := range [...]struct {
		name, why string
		fs        xtables.Families
	}{
		{"cgroup", "weir has no processes to ask", xtables.Both},
		{"ipvs", "weir has no virtual servers", xtables.Both},
		{"l2tp", "iptables has no such match", xtables.Both},
		{"unclean", "the kernel has no such match", xtables.V4},
	} {
		list = append(list, xtables.MatchExt{Name: r.name, Families: r.fs, Refuse: r.why, Doc: "no: " + r.why})
	}
	return list
}
