package route

import (
	"math"

	"weir/packet"
)

// Learning is how a family believes what routers say of the path MTU (Linux:
// the sysctls net.ipv4.route.mtu_expires and min_pmtu,
// net.ipv6.route.mtu_expires).
type Learning struct {
	Life int64 // ns
	// Least is the smallest MTU of IPv4 that is believed, in bytes; who names
	// a smaller one gets this and no more "don't fragment".
	Least int
}

// learnedMax bounds the destinations about which something was learned.
const learnedMax = 4096

type destination struct {
	fam packet.Family
	dst packet.Addr
}

type learned struct {
	mtu    int
	locked bool
	until  int64
}

// LearnMTU notes that packets to dst must not be longer than mtu bytes, as a
// router on the way said to this machine. It reports whether that is news. now
// is ns since the epoch. Linux: __ip_rt_update_pmtu, __ip6_rt_update_pmtu.
func (t *Table) LearnMTU(f packet.Family, dst packet.Addr, mtu int, how Learning, now int64) bool {
	r := t.Lookup(&Key{Family: f, Dst: dst})
	if r.Type != Unicast || r.PathMTU() < mtu || f == packet.IPv6 && (mtu < 1280 || mtu == r.PathMTU()) {
		return false
	}
	l := learned{mtu: mtu, until: now + how.Life}
	if f == packet.IPv4 && mtu < how.Least {
		l.mtu, l.locked = min(r.PathMTU(), how.Least), true
	}
	if t.learned == nil {
		t.learned = map[destination]learned{}
	}
	if len(t.learned) >= learnedMax {
		t.forgetMTUs(now)
	}
	t.learned[destination{f, dst}] = l
	if len(t.learned) == 1 || l.until < t.oldest {
		t.oldest = l.until
	}
	return true
}

// ExpireMTUs forgets what was learned too long ago and reports whether there
// was any.
func (t *Table) ExpireMTUs(now int64) bool {
	n := len(t.learned)
	if n == 0 || now <= t.oldest {
		return false
	}
	t.oldest = math.MaxInt64
	for d, l := range t.learned {
		if l.until < now {
			delete(t.learned, d)
		} else {
			t.oldest = min(t.oldest, l.until)
		}
	}
	return len(t.learned) < n
}

// forgetMTUs makes room: those that are over, else the one that is next to be.
func (t *Table) forgetMTUs(now int64) {
	if t.ExpireMTUs(now) {
		return
	}
	for d, l := range t.learned {
		if l.until == t.oldest {
			delete(t.learned, d)
			return
		}
	}
}

// PathMTU is the largest packet that reaches the destination whole, as far as
// is known: the route's MTU, or what was learned (Linux: dst_mtu).
func (r *Result) PathMTU() int {
	if r.Learned != 0 {
		return min(r.MTU, r.Learned)
	}
	return r.MTU
}
