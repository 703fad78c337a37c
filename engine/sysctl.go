package engine

import (
	"fmt"
	"strconv"
	"strings"

	"weir/conntrack"
	"weir/router"
)

// conntrackSysctls says which field each net.netfilter.nf_conntrack_* setting
// is. Timeouts are in seconds (Linux: net/netfilter/nf_conntrack_standalone.c).
var conntrackSysctls = map[string]func(c *conntrack.Config, v int64){
	"max":                    func(c *conntrack.Config, v int64) { c.Max = int(v) },
	"expect_max":             func(c *conntrack.Config, v int64) { c.ExpectMax = int(v) },
	"buckets":                func(c *conntrack.Config, v int64) { c.Buckets = int(v) },
	"checksum":               func(c *conntrack.Config, v int64) { c.Checksum = v != 0 },
	"acct":                   func(c *conntrack.Config, v int64) { c.Acct = v != 0 },
	"timestamp":              func(c *conntrack.Config, v int64) { c.Timestamp = v != 0 },
	"events":                 func(c *conntrack.Config, v int64) { c.Events = int(v) },
	"log_invalid":            func(c *conntrack.Config, v int64) { c.LogInvalid = int(v) },
	"tcp_loose":              func(c *conntrack.Config, v int64) { c.TCPLoose = v != 0 },
	"tcp_be_liberal":         func(c *conntrack.Config, v int64) { c.TCPBeLiberal = v != 0 },
	"tcp_ignore_invalid_rst": func(c *conntrack.Config, v int64) { c.TCPIgnoreInvalidRST = v != 0 },
	"tcp_max_retrans":        func(c *conntrack.Config, v int64) { c.TCPMaxRetrans = int(v) },

	"generic_timeout":    func(c *conntrack.Config, v int64) { c.GenericTimeout = v * second },
	"icmp_timeout":       func(c *conntrack.Config, v int64) { c.ICMPTimeout = v * second },
	"icmpv6_timeout":     func(c *conntrack.Config, v int64) { c.ICMPv6Timeout = v * second },
	"udp_timeout":        func(c *conntrack.Config, v int64) { c.UDPTimeout = v * second },
	"udp_timeout_stream": func(c *conntrack.Config, v int64) { c.UDPStreamTimeout = v * second },
	"gre_timeout":        func(c *conntrack.Config, v int64) { c.GRETimeout = v * second },
	"gre_timeout_stream": func(c *conntrack.Config, v int64) { c.GREStreamTimeout = v * second },

	"tcp_timeout_syn_sent":       tcpTimeout(conntrack.TCPSynSent),
	"tcp_timeout_syn_recv":       tcpTimeout(conntrack.TCPSynRecv),
	"tcp_timeout_established":    tcpTimeout(conntrack.TCPEstablished),
	"tcp_timeout_fin_wait":       tcpTimeout(conntrack.TCPFinWait),
	"tcp_timeout_close_wait":     tcpTimeout(conntrack.TCPCloseWait),
	"tcp_timeout_last_ack":       tcpTimeout(conntrack.TCPLastAck),
	"tcp_timeout_time_wait":      tcpTimeout(conntrack.TCPTimeWait),
	"tcp_timeout_close":          tcpTimeout(conntrack.TCPClose),
	"tcp_timeout_max_retrans":    tcpTimeout(conntrack.TCPRetrans),
	"tcp_timeout_unacknowledged": tcpTimeout(conntrack.TCPUnack),

	"sctp_timeout_closed":            sctpTimeout(conntrack.SCTPClosed),
	"sctp_timeout_cookie_wait":       sctpTimeout(conntrack.SCTPCookieWait),
	"sctp_timeout_cookie_echoed":     sctpTimeout(conntrack.SCTPCookieEchoed),
	"sctp_timeout_established":       sctpTimeout(conntrack.SCTPEstablished),
	"sctp_timeout_shutdown_sent":     sctpTimeout(conntrack.SCTPShutdownSent),
	"sctp_timeout_shutdown_recd":     sctpTimeout(conntrack.SCTPShutdownRecd),
	"sctp_timeout_shutdown_ack_sent": sctpTimeout(conntrack.SCTPShutdownAckSent),
	"sctp_timeout_heartbeat_sent":    sctpTimeout(conntrack.SCTPHeartbeatSent),
}

const second = int64(1e9)

func tcpTimeout[S ~int | ~uint8](s S) func(*conntrack.Config, int64) {
	return func(c *conntrack.Config, v int64) { c.TCPTimeouts[s] = v * second }
}

func sctpTimeout(s conntrack.SCTPStateName) func(*conntrack.Config, int64) {
	return func(c *conntrack.Config, v int64) { c.SCTPTimeouts[s] = v * second }
}

// conntrackConfig reads the settings of connection tracking. Other names are
// for others.
func conntrackConfig(values map[string]string) (conntrack.Config, []error) {
	c := conntrack.DefaultConfig()
	var errs []error
	for name, v := range values {
		short, ok := strings.CutPrefix(name, "net.netfilter.nf_conntrack_")
		if name == "net.nf_conntrack_max" {
			short, ok = "max", true
		}
		set := conntrackSysctls[short]
		if !ok || set == nil {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(v), 0, 64)
		if err != nil || n < 0 || n > 1<<32-1 {
			errs = append(errs, fmt.Errorf("sysctl %s: %q is not a number that fits", name, v))
			continue
		}
		set(&c, n)
	}
	return c, errs
}

// SetSysctls replaces all settings, between packets; those that are not named
// have their defaults. As in Linux they hold for what comes from now on:
// connections keep the timeout that they have until their next packet. After an
// error nothing has changed. Whether the machine is a router for IPv6 counts for
// its anycast addresses from the next SetNetwork on.
func (m *Machine) SetSysctls(values map[string]string) []error {
	ct, errs := conntrackConfig(values)
	rc, err := router.FromSysctl(values, m.env.Ifaces)
	if err != nil {
		errs = append(errs, err)
	}
	if len(errs) > 0 || !m.ready {
		return errs
	}
	m.forget()
	m.workers.halt()
	c := m.env.CT.Config()
	ct.HashKey = c.HashKey
	*c = ct
	m.workers.goOn()
	m.router.SetConfig(rc)
	m.routing.Anycast6 = rc.Forward6
	return nil
}
