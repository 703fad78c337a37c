package route

import (
	"net/netip"

	"github.com/gaissmai/bart"

	"weir/iface"
	"weir/packet"
)

// The numbers of the three tables (rtnetlink.h RT_TABLE_*).
const (
	TableDefault = 253
	TableMain    = 254
	TableLocal   = 255
)

// entry is one route with what a look-up answers for it.
type entry struct {
	route  Route
	result Result
}

// node is the routes of one prefix in their order, linked to the next shorter
// prefix of the same trie, so that a look-up that finds no suitable route goes
// on there.
type node struct {
	prefix netip.Prefix
	up     *node
	routes []entry
}

// trie is the prefixes that are searched together.
type trie struct{ bart bart.Table[*node] }

// Table is the routing of one machine. Make one with New.
type Table struct {
	ifs *iface.Set
	lo  *iface.Iface
	// steps4 and steps6 are where a look-up goes. Without policy rules IPv4 has
	// local and main together, then default, and IPv6 local, then main.
	steps4, steps6 []step
	local4         *trie // what tells the type of an IPv4 address
	// owned maps the addresses of interfaces to those interfaces.
	owned map[packet.Addr][]owner
	// customLocal: somebody added an IPv4 local route or a policy rule by hand
	// (Linux: fib_has_custom_local_routes, fib4_has_custom_rules).
	customLocal bool
	// learned are path MTUs that routers told of.
	learned map[destination]learned
	oldest  int64 // of them: when the first is over
}

// owner is one place where an address is configured.
type owner struct {
	dev *iface.Iface
	fam packet.Family
}

// Options says how New reads its list of routes.
type Options struct {
	// Complete4 and Complete6: the list has the family's local, broadcast
	// and connected routes, as `ip route show table all` prints them, and
	// nothing is derived from the addresses.
	Complete4, Complete6 bool
	// Anycast6 adds the subnet-router anycast address of each prefix, which
	// Linux takes when it forwards IPv6 (RFC 4291 section 2.6.1).
	Anycast6 bool
	// Rules are the policy rules; a family that has none has the FreshRules.
	Rules []Rule
}

// Loopback is the interface by which the machine talks to itself: the one of
// the set, or one that New made because the set had none.
func (t *Table) Loopback() *iface.Iface { return t.lo }

// Ifaces is the interfaces that the table was made for.
func (t *Table) Ifaces() *iface.Set { return t.ifs }

func (t *Table) way(f packet.Family) []step {
	if f == packet.IPv6 {
		return t.steps6
	}
	return t.steps4
}

// Lookup finds the route of a packet. The result's Type is None when there is
// none. Throw routes end the search in their table and are never returned.
//
// Linux: net/ipv4/fib_trie.c fib_table_lookup, net/ipv6/route.c
// ip6_pol_route.
func (t *Table) Lookup(k *Key) Result {
	oif, strict := k.Out, k.Out != nil
	if k.Family == packet.IPv6 && oif == nil && k.In != nil {
		oif, strict = k.In, needScope(k.Dst)
	}
	steps := t.way(k.Family)
	for i := range steps {
		s := &steps[i]
		n, of := s.found(k)
		if of && s.trie == nil {
			return Result{Type: s.rule.Type}
		}
		if e := n.find(k, oif, strict); e != nil && e.result.Type != Throw {
			r := e.result
			if r.Type == Local && k.Family == packet.IPv6 {
				r.PrefSrc = k.Dst
			}
			if len(t.learned) > 0 && r.Type == Unicast {
				l := t.learned[destination{k.Family, k.Dst}]
				r.Learned, r.Locked = l.mtu, l.locked
			}
			return r
		}
	}
	return Result{}
}

// find is the first suitable route of the prefix, or of the shorter ones.
func (n *node) find(k *Key, oif *iface.Iface, strict bool) *entry {
	for ; n != nil; n = n.up {
		var best *entry
		for i := range n.routes {
			e := &n.routes[i]
			r := &e.route
			if r.TOS != 0 && r.TOS != k.TOS&0xfc {
				continue
			}
			if best != nil && (r.Metric != best.route.Metric || r.Table != best.route.Table) {
				break
			}
			if oif == nil || r.Dev == nil || r.Dev == oif {
				return e
			}
			// IPv6 prefers the route by the interface among equals but
			// takes another when it need not be that one.
			if !strict && best == nil {
				best = e
			}
		}
		if best != nil {
			return best
		}
	}
	return nil
}

// needScope reports an IPv6 address that means something on one link only.
// Linux: rt6_need_strict.
func needScope(a packet.Addr) bool {
	return a[0] == 0xff || a[0] == 0xfe && a[1]&0xc0 == 0x80 || a == packet.Addr{15: 1}
}

// LinkScoped reports an IPv6 address that is valid on one link only: link-local
// unicast, or multicast of interface or link scope (Linux:
// __ipv6_addr_needs_scope_id).
func LinkScoped(a packet.Addr) bool {
	if a[0] == 0xff {
		return a[1]&15 == 1 || a[1]&15 == 2
	}
	return a[0] == 0xfe && a[1]&0xc0 == 0x80
}

// Owns reports whether an address is configured on dev, or on any interface
// if dev is nil. For IPv4 this is about configured addresses, not about the
// local routes around them: 127.0.0.2 is local but not owned.
//
// Linux: inet_lookup_ifaddr_rcu, ipv6_chk_addr.
func (t *Table) Owns(f packet.Family, a packet.Addr, dev *iface.Iface) bool {
	for _, o := range t.owned[a] {
		// A global IPv6 address counts on every interface; a link-local
		// one on its own only.
		if o.fam == f && (dev == nil || o.dev == dev) {
			return true
		}
	}
	return false
}

// IsLocal reports an address that the machine takes as its own.
func (t *Table) IsLocal(f packet.Family, a packet.Addr) bool {
	k := Key{Family: f, Dst: a}
	return t.Lookup(&k).Type == Local
}
