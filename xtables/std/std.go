// Package std is the list of the extensions that weir has. Nothing registers
// itself: what does not stand here does not exist. Layer 7.
package std

import (
	"weir/xtables"
	"weir/xtables/match"
	"weir/xtables/target"
)

// List is every match and target, for save.Parse.
func List() xtables.List { return xtables.List{Matches: Matches(), Targets: Targets()} }

// Matches is every -m.
func Matches() []xtables.MatchExt {
	return append([]xtables.MatchExt{
		match.Addrtype(),
		match.AH(),
		match.AH6(),
		match.BPF(),
		match.Cluster(),
		match.Comment(),
		match.Connbytes(),
		match.Connlabel(),
		match.Connlimit(),
		match.Connmark(),
		match.Conntrack(),
		match.CPU(),
		match.DCCP(),
		match.Devgroup(),
		match.DSCP(),
		match.Dst(),
		match.ECN(),
		match.ESP(),
		match.EUI64(),
		match.Frag(),
		match.Hashlimit(),
		match.HBH(),
		match.Helper(),
		match.HL(),
		match.ICMP(),
		match.ICMP6(),
		match.IPComp(),
		match.Iprange(),
		match.IPv6Header(),
		match.Length(),
		match.Limit(),
		match.MAC(),
		match.Mark(),
		match.MH(),
		match.Multiport(),
		match.Nfacct(),
		match.OSF(),
		match.Owner(),
		match.Physdev(),
		match.Pkttype(),
		match.Policy(),
		match.Quota(),
		match.Rateest(),
		match.Realm(),
		match.Recent(),
		match.Rpfilter(),
		match.RT(),
		match.SCTP(),
		match.Set(),
		match.Socket(),
		match.SRH(),
		match.State(),
		match.Statistic(),
		match.String(),
		match.TCP(),
		match.TCPMSS(),
		match.Time(),
		match.TOS(),
		match.TTL(),
		match.U32(),
		match.UDP(),
	}, match.Refused()...)
}

// Targets is every -j besides ACCEPT, DROP, RETURN and QUEUE, which package
// xtables has itself.
func Targets() []xtables.TargetExt {
	return append([]xtables.TargetExt{
		target.Audit(),
		target.Checksum(),
		target.Classify(),
		target.Connmark(),
		target.Connsecmark(),
		target.CT(),
		target.DNAT(),
		target.DNPT(),
		target.DSCP(),
		target.ECN(),
		target.HL(),
		target.HMark(),
		target.IdleTimer(),
		target.Log(),
		target.Mark(),
		target.Masquerade(),
		target.Netmap(),
		target.NFLog(),
		target.NFQueue(),
		target.Notrack(),
		target.RateEst(),
		target.Redirect(),
		target.Reject(),
		target.Set(),
		target.SNAT(),
		target.SNPT(),
		target.SynProxy(),
		target.TCPMSS(),
		target.TCPOptStrip(),
		target.Tee(),
		target.TOS(),
		target.TProxy(),
		target.Trace(),
		target.TTL(),
	}, target.Refused()...)
}
