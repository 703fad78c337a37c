package match_test

import (
	"path/filepath"
	"testing"

	"weir/xtables"
	"weir/xtables/internal/exttest"
	"weir/xtables/match"
)

func list() xtables.List {
	return xtables.List{Matches: []xtables.MatchExt{
		match.Addrtype(), match.Comment(), match.Connmark(), match.Conntrack(), match.DSCP(), match.HL(),
		match.ICMP(), match.ICMP6(), match.Iprange(), match.Length(), match.Limit(), match.MAC(), match.Mark(),
		match.Multiport(), match.Physdev(), match.Pkttype(), match.State(), match.Statistic(), match.TCP(),
		match.TCPMSS(), match.TOS(), match.TTL(), match.UDP(),
		match.AH(), match.AH6(), match.Connbytes(), match.CPU(), match.DCCP(), match.Dst(), match.ECN(),
		match.ESP(), match.EUI64(), match.Frag(), match.HBH(), match.IPv6Header(), match.MH(), match.Owner(),
		match.Quota(), match.RT(), match.SCTP(), match.String(), match.U32(), match.Hashlimit(), match.Connlimit(), match.Helper(), match.Connlabel(), match.Cluster(), match.Devgroup(), match.Realm(), match.Policy(), match.BPF(), match.SRH(), match.Recent(), match.Rpfilter(), match.IPComp(), match.Time(),
	}}
}

// What iptables-legacy accepts is accepted and printed as it prints it; what
// it or the kernel refuses is refused.
func TestOptionsAsIptables(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.txt")
	if len(files) == 0 {
		t.Fatal("no recorded rules")
	}
	for _, f := range files {
		exttest.Golden(t, list(), f)
	}
}
