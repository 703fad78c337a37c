package hook

import "math"

// Priority orders the functions at a point: lower runs first. Of equals, the
// one registered later runs first, as in Linux.
type Priority int32

// Netfilter's named priorities; the Linux name stands beside each.
const (
	PriFirst           Priority = math.MinInt32 // NF_IP_PRI_FIRST
	PriRawBeforeDefrag Priority = -450          // NF_IP_PRI_RAW_BEFORE_DEFRAG
	PriDefrag          Priority = -400          // NF_IP_PRI_CONNTRACK_DEFRAG
	PriRaw             Priority = -300          // NF_IP_PRI_RAW
	PriSELinuxFirst    Priority = -225          // NF_IP_PRI_SELINUX_FIRST
	PriConntrack       Priority = -200          // NF_IP_PRI_CONNTRACK
	PriMangle          Priority = -150          // NF_IP_PRI_MANGLE
	PriDNAT            Priority = -100          // NF_IP_PRI_NAT_DST
	PriFilter          Priority = 0             // NF_IP_PRI_FILTER
	PriSecurity        Priority = 50            // NF_IP_PRI_SECURITY
	PriSNAT            Priority = 100           // NF_IP_PRI_NAT_SRC
	PriSELinuxLast     Priority = 225           // NF_IP_PRI_SELINUX_LAST
	PriHelper          Priority = 300           // NF_IP_PRI_CONNTRACK_HELPER
	PriConfirm         Priority = math.MaxInt32 // NF_IP_PRI_CONNTRACK_CONFIRM
	PriLast            Priority = math.MaxInt32 // NF_IP_PRI_LAST
)
