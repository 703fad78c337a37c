package std

import (
	"slices"
	"strings"
	"testing"
)

// TestEveryExtensionIsKnown holds the extensions of iptables' manual page: each
// is there, or is refused with the reason.
func TestEveryExtensionIsKnown(t *testing.T) {
	matches := map[string]string{}
	for _, m := range Matches() {
		matches[m.Name] = m.Refuse
	}
	targets := map[string]string{}
	for _, x := range Targets() {
		targets[x.Name] = x.Refuse
	}
	check := func(have map[string]string, names, refused string) {
		no := strings.Fields(refused)
		for _, n := range append(strings.Fields(names), no...) {
			why, ok := have[n]
			if !ok || (why != "") != slices.Contains(no, n) {
				t.Errorf("%s: known %v, refused %q", n, ok, why)
			}
		}
	}
	check(matches, `addrtype ah bpf cluster comment connbytes connlabel connlimit connmark conntrack cpu dccp devgroup dscp dst ecn esp eui64
		frag hashlimit hbh helper hl icmp icmp6 iprange ipv6header length limit mac mark mh multiport nfacct osf owner physdev pkttype policy quota
		rateest realm recent rpfilter rt sctp set socket srh state statistic string tcp tcpmss time tos ttl u32 udp`, "cgroup ipvs unclean")
	check(targets, `AUDIT CHECKSUM CLASSIFY CONNMARK CONNSECMARK CT DNAT DNPT DSCP ECN HL HMARK IDLETIMER LOG MARK MASQUERADE NETMAP NFLOG NFQUEUE
		NOTRACK RATEEST REDIRECT REJECT SET SNAT SNPT SYNPROXY TCPMSS TCPOPTSTRIP TEE TOS TPROXY TRACE TTL`, "CLUSTERIP LED SECMARK ULOG")
}
