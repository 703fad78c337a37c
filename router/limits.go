package router

import (
	"weir/iface"
	"weir/packet"
)

// limits bounds how many ICMP messages the machine sends.
type limits struct {
	peers map[packet.Addr]*peerLimit
	// credit of the limit on all messages together, and when it was last
	// filled.
	credit  int
	stamp   int64
	started bool
}

// peerLimit is the tokens of one other machine, in ns (Linux: inet_peer).
type peerLimit struct {
	tokens, last int64
	redirects    int
	redirected   int64
	errTokens    int64
	errLast      int64
}

// maxPeers bounds the memory; beyond it all are forgotten.
const maxPeers = 1 << 16

const minute = 60e9

func (l *limits) of(a packet.Addr, now int64) *peerLimit {
	p := l.peers[a]
	if p == nil {
		if len(l.peers) >= maxPeers {
			clear(l.peers)
		}
		p = &peerLimit{last: now - minute, errLast: now - minute}
		l.peers[a] = p
	}
	return p
}

// limited reports the types for which the limits count. Linux:
// icmpv4_mask_allow, icmpv6_mask_allow.
func (l *limits) limited(r *Router, f packet.Family, typ, code uint8) bool {
	if f == packet.IPv6 {
		return r.cfg.RateMask6[typ/64]&(1<<(typ%64)) != 0
	}
	return typ <= icmpLastType && !(typ == icmpDestUnreach && code == icmpFragNeeded) && r.cfg.RateMask4&(1<<typ) != 0
}

// all takes from the limit on all messages together. Linux takes 0 to 2 at
// random for each; here it is 1. Linux: icmp_global_allow.
func (l *limits) all(r *Router, f packet.Family, typ, code uint8) bool {
	if r.cfg.MsgsPerSecond == 0 || !l.limited(r, f, typ, code) {
		return true
	}
	const second, least = int64(1e9), int64(20e6)
	if !l.started {
		l.started, l.stamp = true, r.now-second
	}
	if d := min(r.now-l.stamp, second); d >= least {
		if n := int(int64(r.cfg.MsgsPerSecond) * d / second); n > 0 {
			l.stamp = r.now
			l.credit = min(l.credit+n, r.cfg.MsgsBurst)
		}
	}
	if l.credit == 0 {
		return false
	}
	l.credit--
	return true
}

// peer takes from the limit of one destination. Linux: inet_peer_xrlim_allow.
func (l *limits) peer(r *Router, f packet.Family, dst packet.Addr, out *iface.Iface, typ, code uint8) bool {
	cost := r.cfg.RateLimit4
	if f == packet.IPv6 {
		cost = r.cfg.RateLimit6
	}
	if cost == 0 || out.Loopback || !l.limited(r, f, typ, code) {
		return true
	}
	const burst = 6
	p := l.of(dst, r.now)
	p.tokens = min(p.tokens+r.now-p.last, burst*cost)
	p.last = r.now
	if p.tokens < cost {
		return false
	}
	p.tokens -= cost
	return true
}

// routeError limits unreachables for lack of an IPv4 route. Linux: ip_error.
func (l *limits) routeError(r *Router, to packet.Addr) bool {
	cost := r.cfg.RouteErrorCost
	if cost == 0 {
		return true
	}
	p := l.of(to, r.now)
	p.errTokens = min(p.errTokens+r.now-p.errLast, r.cfg.RouteErrorBurst)
	p.errLast = r.now
	if p.errTokens < cost {
		return false
	}
	p.errTokens -= cost
	return true
}

// redirect spaces redirects out, twice as far each time, and gives up after
// nine until the sender was silent for a while. Linux: ip_rt_send_redirect.
func (l *limits) redirect(r *Router, to packet.Addr) bool {
	const load, number = int64(20e6), 9
	const silence = load << (number + 1)
	p := l.of(to, r.now)
	if r.now > p.redirected+silence {
		p.redirects = 0
	}
	if p.redirects >= number {
		p.redirected = r.now
		return false
	}
	if p.redirects != 0 && r.now <= p.redirected+load<<p.redirects {
		return false
	}
	p.redirected = r.now
	p.redirects++
	return true
}
