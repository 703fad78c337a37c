package target

import "weir/xtables"

// Refused are the targets that weir knows and does not have, each with the
// reason that a rule with it is refused with.
func Refused() []xtables.TargetExt {
	var list []xtables.TargetExt
	for _, r := range [...]struct {
		name, why string
		fs        xtables.Families
	}{
		{"CLUSTERIP", "the kernel no longer has this target; use the cluster match", xtables.V4},
		{"ULOG", "the kernel no longer has this target; use NFLOG", xtables.V4},
		{"LED", "weir has no lights to switch", xtables.Both},
		{"SECMARK", "there are no security labels; a Linux without SELinux refuses it too", xtables.Both},
	} {
		list = append(list, xtables.TargetExt{Name: r.name, Families: r.fs, Refuse: r.why, Doc: "no: " + r.why})
	}
	return list
}
