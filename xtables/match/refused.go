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
		{"bpf", "packet filter programs are not implemented", xtables.Both},
		{"cgroup", "weir has no processes to ask", xtables.Both},
		{"cluster", "the cluster match is not implemented", xtables.Both},
		{"connlabel", "connection labels are not implemented", xtables.Both},
		{"connlimit", "limits of parallel connections are not implemented", xtables.Both},
		{"hashlimit", "limits by address are not implemented", xtables.Both},
		{"devgroup", "interfaces have no group in weir", xtables.Both},
		{"helper", "the match of connection helpers is not implemented", xtables.Both},
		{"ipvs", "weir has no virtual servers", xtables.Both},
		{"l2tp", "the match of L2TP is not implemented", xtables.Both},
		{"nfacct", "there are no accounting objects (nfacct)", xtables.Both},
		{"osf", "there are no operating system fingerprints", xtables.Both},
		{"policy", "weir has no IPsec policies", xtables.Both},
		{"rateest", "rate estimators are not implemented", xtables.Both},
		{"realm", "routes have no realm in weir", xtables.V4},
		{"set", "there are no sets (ipset) yet", xtables.Both},
		{"socket", "weir's listening sockets cannot be asked by a rule", xtables.Both},
		{"srh", "the match of segment routing is not implemented", xtables.V6},
		{"unclean", "the kernel has no such match", xtables.V4},
	} {
		list = append(list, xtables.MatchExt{Name: r.name, Families: r.fs, Refuse: r.why, Doc: "no: " + r.why})
	}
	return list
}
