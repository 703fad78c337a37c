package route

import (
	"math/bits"
	"net/netip"

	"weir/iface"
	"weir/packet"
)

// selectAddr4 chooses an address of dev that has at least the scope and, if
// to is valid, shares a subnet with it; else the first of that scope, else one
// of another interface. Linux: net/ipv4/devinet.c inet_select_addr.
func (t *Table) selectAddr4(dev *iface.Iface, to netip.Addr, scope iface.Scope) (found netip.Addr) {
	if len(dev.Addrs) == 1 {
		to = netip.Addr{} // there is nothing to choose
	}
	for i := range dev.Addrs {
		a := &dev.Addrs[i]
		if !a.Prefix.Addr().Is4() || a.Secondary || min(a.Scope, iface.Host) > scope {
			continue
		}
		if !to.IsValid() || subnet4(a).Contains(to) {
			return a.Prefix.Addr()
		}
		if !found.IsValid() {
			found = a.Prefix.Addr()
		}
	}
	if found.IsValid() {
		return found
	}
	for _, other := range t.ifs.All() {
		for i := range other.Addrs {
			a := &other.Addrs[i]
			if a.Prefix.Addr().Is4() && !a.Secondary && a.Scope != iface.LinkLocal && a.Scope <= scope {
				return a.Prefix.Addr()
			}
		}
	}
	return netip.Addr{}
}

// subnet4 is the network in which an address's neighbours are: around the
// peer of a point-to-point link.
func subnet4(a *iface.Addr) netip.Prefix {
	if a.Peer.IsValid() {
		return netip.PrefixFrom(a.Peer, a.Prefix.Bits())
	}
	return a.Prefix
}

// SourceFor chooses the address of this machine from which a packet to dst
// leaves by out: what MASQUERADE maps to. gateway is the next hop, zero if dst
// is on the link. The zero Addr means that there is none.
//
// Linux: inet_select_addr with the next hop and scope universe;
// ipv6_dev_get_saddr.
func (t *Table) SourceFor(f packet.Family, dst packet.Addr, out *iface.Iface, gateway packet.Addr) packet.Addr {
	if f == packet.IPv6 {
		return t.source6(dst, out)
	}
	hop := gateway
	if hop.IsZero() {
		hop = dst
	}
	if a := t.selectAddr4(out, hop.IP(f), iface.Universe); a.IsValid() {
		return packet.AddrOf(a)
	}
	return packet.Addr{}
}

// LinkSource is like SourceFor for IPv4 but also takes addresses of link
// scope: the sender of ICMP errors under icmp_errors_use_inbound_ifaddr.
func (t *Table) LinkSource(to packet.Addr, dev *iface.Iface) packet.Addr {
	if a := t.selectAddr4(dev, to.IP(packet.IPv4), iface.LinkLocal); a.IsValid() {
		return packet.AddrOf(a)
	}
	return packet.Addr{}
}

// First is the first address of an interface: what REDIRECT maps to. For IPv6
// a link-local address counts only if there is no other. Linux:
// nf_nat_redirect_ipv4 and nf_nat_redirect_ipv6.
func (t *Table) First(f packet.Family, dev *iface.Iface) (packet.Addr, bool) {
	if dev == nil {
		return packet.Addr{}, false
	}
	// IPv6 keeps the newest address first.
	for n := range dev.Addrs {
		a := &dev.Addrs[n]
		if f == packet.IPv6 {
			a = &dev.Addrs[len(dev.Addrs)-1-n]
		}
		if ip := a.Prefix.Addr(); packet.FamilyOf(ip) == f && !(f == packet.IPv6 && ip.IsLinkLocalUnicast()) {
			return packet.AddrOf(ip), true
		}
	}
	for n := len(dev.Addrs) - 1; f == packet.IPv6 && n >= 0; n-- {
		if ip := dev.Addrs[n].Prefix.Addr(); ip.Is6() {
			return packet.AddrOf(ip), true
		}
	}
	return packet.Addr{}, false
}

// source6 is the source address selection of RFC 6724 section 5 with the
// rules that Linux applies to configured addresses. Of equals, interfaces
// count in their order and on each the address that was added last.
func (t *Table) source6(dst packet.Addr, out *iface.Iface) packet.Addr {
	var best score6
	d := rate6(dst)
	onlyOut := out != nil && (dst[0] == 0xff || d.scope <= 2)
	for _, dev := range t.ifs.All() {
		if onlyOut && dev != out {
			continue
		}
		for i := len(dev.Addrs) - 1; i >= 0; i-- {
			a := &dev.Addrs[i]
			if !a.Prefix.Addr().Is6() {
				continue
			}
			s := score6{addr: packet.AddrOf(a.Prefix.Addr()), ok: true}
			s.same = s.addr == dst
			s.scope = scopeDistance(rate6(s.addr).scope, d.scope)
			s.preferred = !a.Deprecated
			s.onOut = out == nil || dev == out
			s.label = label6(s.addr) == d.label
			s.match = min(commonBits(s.addr, dst), a.Prefix.Bits())
			if s.better(&best) {
				best = s
			}
		}
	}
	return best.addr
}

// score6 is how well a source fits, by the rules in their order.
type score6 struct {
	addr      packet.Addr
	ok        bool
	same      bool // rule 1
	scope     int  // rule 2
	preferred bool // rule 3
	onOut     bool // rule 5
	label     bool // rule 6
	match     int  // rule 8
}

func (s *score6) better(b *score6) bool {
	switch {
	case !b.ok:
		return true
	case s.same != b.same:
		return s.same
	case s.scope != b.scope:
		return s.scope > b.scope
	case s.preferred != b.preferred:
		return s.preferred
	case s.onOut != b.onOut:
		return s.onOut
	case s.label != b.label:
		return s.label
	}
	return s.match > b.match
}

type rating6 struct {
	scope int
	label int
}

func rate6(a packet.Addr) rating6 { return rating6{scope6(a), label6(a)} }

// scopeDistance orders source scopes for a destination: the smallest that
// reaches it is best, then the largest that does not.
func scopeDistance(src, dst int) int {
	if src >= dst {
		return -src
	}
	return src - 128
}

// scope6 is the scope of RFC 4291: 1 interface, 2 link, 5 site, 14 global.
// The unspecified address has a scope below all. Linux: __ipv6_addr_src_scope.
func scope6(a packet.Addr) int {
	switch {
	case a.IsZero():
		return -1
	case a[0] == 0xff:
		return int(a[1] & 15)
	case a[0] == 0xfe && a[1]&0xc0 == 0x80, a == packet.Addr{15: 1}:
		return 2
	case a[0] == 0xfe && a[1]&0xc0 == 0xc0:
		return 5
	}
	return 14
}

// label6 is the policy table of RFC 6724 section 2.1 as Linux has it.
// Linux: net/ipv6/addrlabel.c.
func label6(a packet.Addr) int {
	zero := func(n int) bool {
		for _, b := range a[:n] {
			if b != 0 {
				return false
			}
		}
		return true
	}
	switch {
	case a == packet.Addr{15: 1}:
		return 0
	case zero(10) && a[10] == 0xff && a[11] == 0xff:
		return 4
	case zero(12):
		return 3
	case a[0] == 0x20 && a[1] == 0x02:
		return 2
	case a[0] == 0x20 && a[1] == 0x01 && a[2] == 0 && a[3] == 0:
		return 6
	case a[0] == 0x20 && a[1] == 0x01 && a[2] == 0 && a[3]&0xf0 == 0x10:
		return 7
	case a[0] == 0x3f && a[1] == 0xfe:
		return 12
	case a[0]&0xfe == 0xfc:
		return 5
	case a[0] == 0xfe && a[1]&0xc0 == 0xc0:
		return 11
	}
	return 1
}

// commonBits is the length of the prefix that two addresses share.
func commonBits(a, b packet.Addr) int {
	for i := range a {
		if x := a[i] ^ b[i]; x != 0 {
			return i*8 + bits.LeadingZeros8(x)
		}
	}
	return 128
}
