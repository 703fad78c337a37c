package gen

import (
	"fmt"
	"maps"
	"net/netip"
	"strconv"

	"weir/internal/kernel"
)

// The interfaces of every machine, and Local, by which it sends itself.
const (
	lan, wan, dmz = "lan0", "wan0", "dmz0"

	Local = "local"
)

// Machine is a router with three interfaces.
type Machine struct {
	Ifaces []kernel.Iface
	Routes []kernel.Route
	// Sysctl holds every key that differs between machines, so that one
	// machine can be turned into another with the same interfaces.
	Sysctl map[string]string
}

// place is what lies behind an interface for one family.
type place struct {
	dev   string
	self  []netip.Addr // the machine's own
	hosts []netip.Addr
	free  []netip.Addr // in the interface's network, nobody's: for NAT
	net   netip.Prefix
}

// world is where the hosts of a machine live.
type world struct {
	places [2][]place // IPv4, IPv6
}

func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }
func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// family is 0 for IPv4, 1 for IPv6.
func family(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

func addrs(format string, from, n int) (out []netip.Addr) {
	for i := range n {
		out = append(out, addr(fmt.Sprintf(format, from+i)))
	}
	return out
}

// newMachine rolls interfaces, routes and the world around them.
func newMachine(d dice) (Machine, world) {
	mtu := func() int { return oneOf(d, 1500, 1500, 1500, 1400, 1280) }
	m := Machine{Ifaces: []kernel.Iface{
		{Name: lan, MTU: mtu(), Addrs: []netip.Prefix{prefix("192.0.2.1/25"), prefix("2001:db8:1::1/64")}},
		{Name: wan, MTU: mtu(), Addrs: []netip.Prefix{prefix("203.0.113.2/24"), prefix("2001:db8:2::2/64")}},
		{Name: dmz, MTU: mtu(), Addrs: []netip.Prefix{prefix("192.0.2.129/25"), prefix("2001:db8:3::1/64")}},
	}}
	w := world{places: [2][]place{
		{
			{lan, []netip.Addr{addr("192.0.2.1")}, addrs("192.0.2.%d", 10, 4), addrs("192.0.2.%d", 100, 4), prefix("192.0.2.0/25")},
			{wan, []netip.Addr{addr("203.0.113.2")}, append(addrs("198.51.100.%d", 10, 4), addr("203.0.113.1")), addrs("203.0.113.%d", 40, 8), prefix("203.0.113.0/24")},
			{dmz, []netip.Addr{addr("192.0.2.129")}, addrs("192.0.2.%d", 140, 3), addrs("192.0.2.%d", 200, 4), prefix("192.0.2.128/25")},
		}, {
			{lan, []netip.Addr{addr("2001:db8:1::1")}, addrs("2001:db8:1::%d", 10, 4), addrs("2001:db8:1::a:%d", 1, 4), prefix("2001:db8:1::/64")},
			{wan, []netip.Addr{addr("2001:db8:2::2")}, append(addrs("2001:db8:ffff::%d", 10, 4), addr("2001:db8:2::1")), addrs("2001:db8:2::4%d", 0, 8), prefix("2001:db8:2::/64")},
			{dmz, []netip.Addr{addr("2001:db8:3::1")}, addrs("2001:db8:3::%d", 10, 3), addrs("2001:db8:3::a:%d", 1, 4), prefix("2001:db8:3::/64")},
		},
	}}
	if d.percent(30) { // a second address, which MASQUERADE does not choose
		m.Ifaces[1].Addrs = append(m.Ifaces[1].Addrs, prefix("203.0.113.3/24"), prefix("2001:db8:2::3/64"))
		w.places[0][1].self = append(w.places[0][1].self, addr("203.0.113.3"))
		w.places[1][1].self = append(w.places[1][1].self, addr("2001:db8:2::3"))
	}
	m.Routes = []kernel.Route{
		{To: prefix("0.0.0.0/0"), Via: addr("203.0.113.1"), Dev: wan},
		{To: prefix("::/0"), Via: addr("2001:db8:2::1"), Dev: wan},
	}
	for i, to := range []string{"198.51.100.200/32", "2001:db8:dead::/48"} {
		if d.percent(60) {
			m.Routes = append(m.Routes, kernel.Route{To: prefix(to), Type: oneOf(d, "blackhole", "unreachable", "prohibit")})
		}
		if d.percent(30) {
			m.Routes = append(m.Routes, kernel.Route{
				To:  prefix([]string{"198.51.100.128/26", "2001:db8:4::/48"}[i]),
				Via: []netip.Addr{addr("192.0.2.140"), addr("2001:db8:3::10")}[i], Dev: dmz,
			})
		}
	}
	return m, w
}

// timeouts that rolls may change, with their defaults.
var timeouts = []struct {
	key      string
	standard int
}{
	{"generic_timeout", 600}, {"udp_timeout", 30}, {"udp_timeout_stream", 120},
	{"icmp_timeout", 30}, {"icmpv6_timeout", 30}, {"gre_timeout", 30},
	{"tcp_timeout_syn_sent", 120}, {"tcp_timeout_established", 432000}, {"tcp_timeout_close", 10},
	{"tcp_timeout_max_retrans", 300}, {"tcp_timeout_unacknowledged", 300}, {"tcp_timeout_time_wait", 120},
}

// newSysctl rolls the settings. Every key is always there.
func newSysctl(d dice) map[string]string {
	bit := func(standard, change int) string {
		if d.percent(change) {
			standard = 1 - standard
		}
		return strconv.Itoa(standard)
	}
	const ct = "net.netfilter.nf_conntrack_"
	m := map[string]string{
		ct + "tcp_loose":                          bit(1, 20),
		ct + "tcp_be_liberal":                     bit(0, 15),
		ct + "tcp_ignore_invalid_rst":             bit(0, 20),
		ct + "checksum":                           bit(1, 20),
		ct + "tcp_max_retrans":                    strconv.Itoa(oneOf(d, 3, 3, 0, 1, 2)),
		ct + "acct":                               "1",
		ct + "log_invalid":                        "255",
		"net.ipv4.ip_forward":                     bit(1, 2),
		"net.ipv4.icmp_echo_ignore_all":           bit(0, 5),
		"net.ipv4.icmp_echo_ignore_broadcasts":    bit(1, 20),
		"net.ipv4.icmp_errors_use_inbound_ifaddr": bit(0, 15),
		"net.ipv4.ip_default_ttl":                 oneOf(d, "64", "64", "64", "128", "1"),
		"net.ipv6.icmp.echo_ignore_all":           bit(0, 5),
		// The kernel forgets by the wall clock.
		"net.ipv4.route.mtu_expires": "1000000",
		"net.ipv6.route.mtu_expires": "1000000",
	}
	for _, t := range timeouts {
		v := t.standard
		if d.percent(8) {
			v = oneOf(d, 20, 70, 150, 3000) // far from every --ctexpire border
		}
		m[ct+t.key] = strconv.Itoa(v)
	}
	for _, dev := range []string{lan, wan, dmz} {
		m["net.ipv4.conf."+dev+".rp_filter"] = oneOf(d, "0", "0", "0", "1", "2")
		m["net.ipv4.conf."+dev+".accept_local"] = bit(0, 10)
		m["net.ipv4.conf."+dev+".route_localnet"] = bit(0, 5)
	}
	return m
}

// Config is the machine for the kernel, without rules.
func (m Machine) Config() kernel.Config {
	return kernel.Config{Ifaces: m.Ifaces, Routes: m.Routes, Sysctl: maps.Clone(m.Sysctl), Trace: true}
}

// place finds what lies behind an interface.
func (w *world) place(f int, dev string) *place {
	for i := range w.places[f] {
		if w.places[f][i].dev == dev {
			return &w.places[f][i]
		}
	}
	return nil
}

// host is any host, with the interface it is behind.
func (w *world) host(d dice, f int) (netip.Addr, string) {
	p := &w.places[f][d.weighted(5, 4, 2)]
	return oneOf(d, p.hosts...), p.dev
}

// own is any address of the machine.
func (w *world) own(d dice, f int) netip.Addr {
	return oneOf(d, oneOf(d, w.places[f]...).self...)
}

// free is any address that a NAT rule may hand out.
func (w *world) free(d dice, f int) netip.Addr {
	return oneOf(d, w.places[f][d.weighted(1, 6, 2)].free...)
}

// ports are few, so that rules and packets meet, and include the borders of
// NAT's classes.
var ports = []int{1, 22, 53, 80, 443, 500, 511, 512, 600, 1000, 1023, 1024, 5000, 5001, 8080, 33434, 65535}
