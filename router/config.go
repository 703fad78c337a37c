package router

import (
	"strconv"
	"strings"

	"weir/defrag"
	"weir/iface"
	"weir/route"
)

// Dev is the settings of one interface, with those of "all" already worked in.
type Dev struct {
	Forward4      bool         // net.ipv4.conf.*.forwarding
	Filter        route.Filter // rp_filter: the larger of all and the interface
	AcceptLocal   bool
	RouteLocalnet bool
	Redirects     bool // send_redirects
	SharedMedia   bool
	SourceRoute4  bool // accept_source_route: all and the interface
	ValidMark     bool // src_valid_mark
	HopLimit      uint8
	Disable6      bool
}

// Config is the sysctls that a router obeys. Make one with DefaultConfig or
// FromSysctl. Times are in ns.
type Config struct {
	Devs     map[int]Dev // by interface index
	Dev      Dev         // of an interface that Devs does not have
	Forward6 bool        // net.ipv6.conf.all.forwarding
	TTL      uint8       // ip_default_ttl

	// Handover: what is delivered to the machine goes to the Sink by lo, for a
	// stack that is somebody else's.
	Handover bool

	EchoIgnoreAll4, EchoIgnoreBroadcasts                   bool
	EchoIgnoreAll6, EchoIgnoreAnycast, EchoIgnoreMulticast bool
	AnycastErrors                                          bool // net.ipv6.icmp.error_anycast_as_unicast
	ErrorsUseInbound                                       bool // icmp_errors_use_inbound_ifaddr
	ReflectMark4, ReflectMark6                             bool // fwmark_reflect

	// RateLimit is the time one ICMP error to one destination costs, 0 for
	// no limit; RateMask the types it counts for. MsgsPerSecond limits all
	// of them together, 0 for no limit.
	RateLimit4, RateLimit6   int64
	RateMask4                uint32
	RateMask6                [4]uint64
	MsgsPerSecond, MsgsBurst int
	// RouteErrorCost and RouteErrorBurst limit unreachables for lack of an
	// IPv4 route per sender (net.ipv4.route.error_cost, error_burst), 0 for
	// no limit.
	RouteErrorCost, RouteErrorBurst int64

	// PathMTU is how IPv4 and IPv6 believe what routers tell.
	PathMTU [2]route.Learning

	Defrag defrag.Config
}

// DefaultConfig is a fresh Linux with rate limits and redirects off.
func DefaultConfig() Config {
	c := Config{
		Dev:                  Dev{HopLimit: 64, SharedMedia: true},
		TTL:                  64,
		EchoIgnoreBroadcasts: true,
		RateMask4:            6168,
		MsgsBurst:            50,
		PathMTU:              [2]route.Learning{{Life: 600e9, Least: 552}, {Life: 600e9}},
		Defrag:               defrag.DefaultConfig(),
	}
	// All ICMPv6 errors but "packet too big".
	c.RateMask6[0], c.RateMask6[1] = ^uint64(1<<2), ^uint64(0)
	return c
}

// FromSysctl reads the settings by their dotted names ("net.ipv4.ip_forward";
// an interface's own dots are slashes). Names that it does not know are
// ignored; rate limits and redirects are off unless named. A value that is no
// number is an error.
func FromSysctl(values map[string]string, ifs *iface.Set) (Config, error) {
	c := DefaultConfig()
	s := sysctls{values: values}
	c.TTL = uint8(s.num("net.ipv4.ip_default_ttl", int64(c.TTL)))
	c.EchoIgnoreAll4 = s.num("net.ipv4.icmp_echo_ignore_all", 0) != 0
	c.EchoIgnoreBroadcasts = s.num("net.ipv4.icmp_echo_ignore_broadcasts", 1) != 0
	c.EchoIgnoreAll6 = s.num("net.ipv6.icmp.echo_ignore_all", 0) != 0
	c.EchoIgnoreAnycast = s.num("net.ipv6.icmp.echo_ignore_anycast", 0) != 0
	c.EchoIgnoreMulticast = s.num("net.ipv6.icmp.echo_ignore_multicast", 0) != 0
	c.AnycastErrors = s.num("net.ipv6.icmp.error_anycast_as_unicast", 0) != 0
	c.ErrorsUseInbound = s.num("net.ipv4.icmp_errors_use_inbound_ifaddr", 0) != 0
	c.ReflectMark4 = s.num("net.ipv4.fwmark_reflect", 0) != 0
	c.ReflectMark6 = s.num("net.ipv6.fwmark_reflect", 0) != 0
	const ms, sec, jiffy = 1e6, 1e9, 4e6
	c.RateLimit4 = s.num("net.ipv4.icmp_ratelimit", 0) * ms
	c.RateLimit6 = s.num("net.ipv6.icmp.ratelimit", 0) * ms
	c.RateMask4 = uint32(s.num("net.ipv4.icmp_ratemask", int64(c.RateMask4)))
	if v, ok := values["net.ipv6.icmp.ratemask"]; ok {
		c.RateMask6 = s.bitmap("net.ipv6.icmp.ratemask", v)
	}
	c.MsgsPerSecond = int(s.num("net.ipv4.icmp_msgs_per_sec", 0))
	c.MsgsBurst = int(s.num("net.ipv4.icmp_msgs_burst", int64(c.MsgsBurst)))
	c.RouteErrorCost = s.num("net.ipv4.route.error_cost", 0) * jiffy
	c.RouteErrorBurst = s.num("net.ipv4.route.error_burst", 0) * jiffy

	c.PathMTU = [2]route.Learning{
		{Life: s.num("net.ipv4.route.mtu_expires", 600) * sec, Least: int(s.num("net.ipv4.route.min_pmtu", 552))},
		{Life: s.num("net.ipv6.route.mtu_expires", 600) * sec},
	}

	d := &c.Defrag
	d.V4.Timeout = s.num("net.ipv4.ipfrag_time", 30) * sec
	d.V4.HighThresh = int(s.num("net.ipv4.ipfrag_high_thresh", int64(d.V4.HighThresh)))
	d.V4.MaxDist = uint32(s.num("net.ipv4.ipfrag_max_dist", int64(d.V4.MaxDist)))
	d.V6.Timeout = s.num("net.netfilter.nf_conntrack_frag6_timeout", 60) * sec
	d.V6.HighThresh = int(s.num("net.netfilter.nf_conntrack_frag6_high_thresh", int64(d.V6.HighThresh)))
	d.V6Deliver.Timeout = s.num("net.ipv6.ip6frag_time", 60) * sec
	d.V6Deliver.HighThresh = int(s.num("net.ipv6.ip6frag_high_thresh", int64(d.V6Deliver.HighThresh)))

	c.Forward6 = s.num("net.ipv6.conf.all.forwarding", 0) != 0
	c.Dev = s.dev("default")
	c.Devs = make(map[int]Dev)
	for _, i := range ifs.All() {
		c.Devs[i.Index] = s.dev(strings.ReplaceAll(i.Name, ".", "/"))
	}
	return c, s.err
}

// sysctls reads numbers and keeps the first error.
type sysctls struct {
	values map[string]string
	err    error
}

func (s *sysctls) num(name string, def int64) int64 {
	v, ok := s.values[name]
	if !ok {
		return def
	}
	n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
	if err != nil && s.err == nil {
		s.err = &SysctlError{Name: name, Value: v}
	}
	return n
}

// bitmap reads a list like "0-1,3-127".
func (s *sysctls) bitmap(name, v string) (set [4]uint64) {
	for part := range strings.SplitSeq(strings.TrimSpace(v), ",") {
		if part == "" {
			continue
		}
		lo, hi, ranged := strings.Cut(part, "-")
		if !ranged {
			hi = lo
		}
		a, err1 := strconv.ParseUint(lo, 10, 8)
		b, err2 := strconv.ParseUint(hi, 10, 8)
		if (err1 != nil || err2 != nil) && s.err == nil {
			s.err = &SysctlError{Name: name, Value: v}
		}
		for ; a <= b; a++ {
			set[a/64] |= 1 << (a % 64)
		}
	}
	return set
}

// dev joins the settings of an interface with those of "all" as Linux does
// for each (include/linux/inetdevice.h). An interface without a setting of its
// own has that of "default".
func (s *sysctls) dev(name string) (d Dev) {
	own := func(fam, key string, def int64) int64 {
		return s.num("net."+fam+".conf."+name+"."+key, s.num("net."+fam+".conf.default."+key, def))
	}
	all := func(key string, def int64) int64 { return s.num("net.ipv4.conf.all."+key, def) }
	or := func(key string) bool { return own("ipv4", key, 0) != 0 || all(key, 0) != 0 }

	forward := s.num("net.ipv4.ip_forward", all("forwarding", 0))
	d.Forward4 = own("ipv4", "forwarding", forward) != 0
	d.Filter = route.Filter(max(own("ipv4", "rp_filter", 0), all("rp_filter", 0)))
	d.AcceptLocal = or("accept_local")
	d.RouteLocalnet = or("route_localnet")
	d.Redirects = or("send_redirects")
	d.SharedMedia = own("ipv4", "shared_media", 1) != 0 || all("shared_media", 1) != 0
	d.SourceRoute4 = own("ipv4", "accept_source_route", 1) != 0 && all("accept_source_route", 0) != 0
	d.ValidMark = or("src_valid_mark")
	d.HopLimit = uint8(own("ipv6", "hop_limit", 64))
	d.Disable6 = own("ipv6", "disable_ipv6", 0) != 0 || s.num("net.ipv6.conf.all.disable_ipv6", 0) != 0
	return d
}

// SysctlError is a setting whose value cannot be read.
type SysctlError struct{ Name, Value string }

func (e *SysctlError) Error() string {
	return e.Name + ": " + strconv.Quote(e.Value) + " is not a number"
}

// dev is the settings of an interface.
func (r *Router) dev(i *iface.Iface) *Dev {
	if d := r.devs[i.Index]; d != nil {
		return d
	}
	return &r.cfg.Dev
}
