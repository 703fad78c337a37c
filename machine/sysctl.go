package machine

import (
	"strconv"
	"strings"
)

// setting is one sysctl that weir obeys, with the values that Linux accepts.
type setting struct {
	name   string // "*" stands for an interface, "all" or "default"
	lo, hi int64
}

// settings is every sysctl that weir knows (Linux: nf_conntrack_standalone.c,
// sysctl_net_ipv4.c, devinet.c, addrconf.c, ip_fragment.c).
var settings = []setting{
	{"net.ipv4.ip_forward", 0, 1<<31 - 1},
	{"net.ipv4.ip_default_ttl", 1, 255},
	{"net.ipv4.fwmark_reflect", 0, 1 << 30},
	{"net.ipv4.ipfrag_time", 0, 1<<31 - 1},
	{"net.ipv4.ipfrag_high_thresh", 0, 1 << 60},
	{"net.ipv4.ipfrag_max_dist", 0, 1<<31 - 1},
	{"net.ipv4.icmp_echo_ignore_all", 0, 1},
	{"net.ipv4.icmp_echo_ignore_broadcasts", 0, 1},
	{"net.ipv4.icmp_errors_use_inbound_ifaddr", 0, 1},
	{"net.ipv4.icmp_ratelimit", 0, 1<<31 - 1},
	{"net.ipv4.icmp_ratemask", 0, 1<<31 - 1},
	{"net.ipv4.icmp_msgs_per_sec", 0, 1<<31 - 1},
	{"net.ipv4.icmp_msgs_burst", 0, 1<<31 - 1},
	{"net.ipv4.conf.*.forwarding", 0, 1<<31 - 1},
	{"net.ipv4.conf.*.rp_filter", 0, 2},
	{"net.ipv4.conf.*.accept_local", 0, 1},
	{"net.ipv4.conf.*.accept_source_route", 0, 1},
	{"net.ipv4.conf.*.send_redirects", 0, 1},
	{"net.ipv4.conf.*.route_localnet", 0, 1},
	{"net.ipv4.conf.*.src_valid_mark", 0, 1},
	{"net.ipv4.conf.*.shared_media", 0, 1},
	{"net.ipv4.route.mtu_expires", 0, 1<<31 - 1},
	{"net.ipv4.route.min_pmtu", 68, 1<<31 - 1},
	{"net.ipv6.route.mtu_expires", 0, 1<<31 - 1},
	{"net.ipv4.route.error_cost", 0, 1<<31 - 1},
	{"net.ipv4.route.error_burst", 0, 1<<31 - 1},
	{"net.ipv6.fwmark_reflect", 0, 1},
	{"net.ipv6.ip6frag_time", 0, 1<<31 - 1},
	{"net.ipv6.ip6frag_high_thresh", 0, 1 << 60},
	{"net.ipv6.icmp.ratelimit", 0, 1<<31 - 1},
	{"net.ipv6.icmp.ratemask", -1, -1},
	{"net.ipv6.icmp.echo_ignore_all", 0, 1},
	{"net.ipv6.icmp.echo_ignore_anycast", 0, 1},
	{"net.ipv6.icmp.echo_ignore_multicast", 0, 1},
	{"net.ipv6.conf.*.forwarding", 0, 1<<31 - 1},
	{"net.ipv6.conf.*.hop_limit", 1, 255},
	{"net.ipv6.conf.*.accept_source_route", -1 << 31, 1<<31 - 1},
	{"net.ipv6.conf.*.disable_ipv6", 0, 1},
	{"net.netfilter.nf_conntrack_max", 0, 1<<31 - 1},
	{"net.netfilter.nf_conntrack_buckets", 0, 1<<31 - 1},
	{"net.nf_conntrack_max", 0, 1<<31 - 1},
	{"net.netfilter.nf_conntrack_checksum", 0, 1},
	{"net.netfilter.nf_conntrack_log_invalid", 0, 255},
	{"net.netfilter.nf_conntrack_acct", 0, 1},
	{"net.netfilter.nf_conntrack_timestamp", 0, 1},
	{"net.netfilter.nf_conntrack_events", 0, 2},
	{"net.netfilter.nf_conntrack_generic_timeout", 0, 1<<32 - 1},
	{"net.netfilter.nf_conntrack_tcp_timeout_syn_sent", 0, 1<<32 - 1},
	{"net.netfilter.nf_conntrack_tcp_timeout_syn_recv", 0, 1<<32 - 1},
	{"net.netfilter.nf_conntrack_tcp_timeout_established", 0, 1<<32 - 1},
	{"net.netfilter.nf_conntrack_tcp_timeout_fin_wait", 0, 1<<32 - 1},
	{"net.netfilter.nf_conntrack_tcp_timeout_close_wait", 0, 1<<32 - 1},
	{"net.netfilter.nf_conntrack_tcp_timeout_last_ack", 0, 1<<32 - 1},
	{"net.netfilter.nf_conntrack_tcp_timeout_time_wait", 0, 1<<32 - 1},
	{"net.netfilter.nf_conntrack_tcp_timeout_close", 0, 1<<32 - 1},
	{"net.netfilter.nf_conntrack_tcp_timeout_max_retrans", 0, 1<<32 - 1},
	{"net.netfilter.nf_conntrack_tcp_timeout_unacknowledged", 0, 1<<32 - 1},
	{"net.netfilter.nf_conntrack_tcp_loose", 0, 1},
	{"net.netfilter.nf_conntrack_tcp_be_liberal", 0, 1},
	{"net.netfilter.nf_conntrack_tcp_ignore_invalid_rst", 0, 1},
	{"net.netfilter.nf_conntrack_tcp_max_retrans", 0, 255},
	{"net.netfilter.nf_conntrack_udp_timeout", 0, 1<<32 - 1},
	{"net.netfilter.nf_conntrack_udp_timeout_stream", 0, 1<<32 - 1},
	{"net.netfilter.nf_conntrack_icmp_timeout", 0, 1<<32 - 1},
	{"net.netfilter.nf_conntrack_icmpv6_timeout", 0, 1<<32 - 1},
	{"net.netfilter.nf_conntrack_sctp_timeout_closed", 0, 1<<32 - 1},
	{"net.netfilter.nf_conntrack_sctp_timeout_cookie_wait", 0, 1<<32 - 1},
	{"net.netfilter.nf_conntrack_sctp_timeout_cookie_echoed", 0, 1<<32 - 1},
	{"net.netfilter.nf_conntrack_sctp_timeout_established", 0, 1<<32 - 1},
	{"net.netfilter.nf_conntrack_sctp_timeout_shutdown_sent", 0, 1<<32 - 1},
	{"net.netfilter.nf_conntrack_sctp_timeout_shutdown_recd", 0, 1<<32 - 1},
	{"net.netfilter.nf_conntrack_sctp_timeout_shutdown_ack_sent", 0, 1<<32 - 1},
	{"net.netfilter.nf_conntrack_sctp_timeout_heartbeat_sent", 0, 1<<32 - 1},
	{"net.netfilter.nf_conntrack_gre_timeout", 0, 1<<32 - 1},
	{"net.netfilter.nf_conntrack_gre_timeout_stream", 0, 1<<32 - 1},
	{"net.netfilter.nf_conntrack_frag6_timeout", 0, 1<<31 - 1},
	{"net.netfilter.nf_conntrack_frag6_high_thresh", 0, 1 << 60},
}

// findSetting finds a sysctl by its name; nil if weir does not know it.
func findSetting(key string) *setting {
	for i := range settings {
		s := &settings[i]
		if s.name == key {
			return s
		}
		front, back, ok := strings.Cut(s.name, "*")
		if ok && len(key) > len(front)+len(back) && strings.HasPrefix(key, front) && strings.HasSuffix(key, back) &&
			!strings.Contains(key[len(front):len(key)-len(back)], ".") {
			return s
		}
	}
	return nil
}

// checkSysctl says whether weir knows a sysctl and what is wrong with its
// value, if anything.
func checkSysctl(key, value string) (known bool, msg string) {
	s := findSetting(key)
	if s == nil {
		return false, ""
	}
	if s.lo == -1 && s.hi == -1 {
		return true, "" // a list; see the settings that have one
	}
	v, err := strconv.ParseInt(strings.TrimSpace(value), 0, 64)
	if err != nil {
		return true, key + ": " + quote(value) + " is not a number"
	}
	if v < s.lo || v > s.hi {
		return true, key + ": " + value + " is not between " + strconv.FormatInt(s.lo, 10) + " and " + strconv.FormatInt(s.hi, 10)
	}
	return true, ""
}

// sysctlConf reads key = value lines; keys that weir does not know are
// somebody else's.
func (l *loader) sysctlConf(f File) {
	eachLine(f.Text, func(n int, line string) {
		text := strings.TrimSpace(line)
		if text == "" || text[0] == '#' || text[0] == ';' {
			return
		}
		k, v, ok := strings.Cut(line, "=")
		key := strings.TrimPrefix(strings.TrimSpace(k), "-")
		if !ok {
			l.fail(f.Name, n, 1, "expected key = value")
			return
		}
		if strings.Contains(key, "/") && !strings.Contains(key, ".") {
			key = strings.ReplaceAll(key, "/", ".") // as in /etc/sysctl.d
		}
		value := strings.TrimSpace(v)
		known, msg := checkSysctl(key, value)
		if msg != "" {
			col := len(k) + 2 + len(v) - len(strings.TrimLeft(v, " \t"))
			l.fail(f.Name, n, col, msg)
			return
		}
		if known {
			l.m.Sysctl[key] = value
		}
	})
}

// nearest names the known sysctl that a typo probably meant, as the end of a
// message.
func nearest(key string) string {
	best, at := 4, ""
	for i := range settings {
		if d := distance(key, settings[i].name, best); d < best {
			best, at = d, settings[i].name
		}
	}
	if at == "" {
		return ""
	}
	return "; " + at + " is meant?"
}

// distance is the edit distance of two words, or limit if it is not below.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diag := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			up := row[j]
			cost := diag
			if a[i-1] != b[j-1] {
				cost++
			}
			row[j] = min(cost, up+1, row[j-1]+1)
			diag = up
		}
	}
	return min(row[len(b)], limit)
}
