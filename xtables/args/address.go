package args

import (
	"net/netip"
	"strings"

	"weir/packet"
	"weir/xtables"
)

// Address reads an address of the family. IPv4 addresses may leave out parts
// and use other bases, as inet_aton(3) allows ("10.1" is 10.0.0.1). Host names
// are refused.
func Address(f packet.Family, s string) (packet.Addr, bool) {
	if f == packet.IPv6 {
		a, err := netip.ParseAddr(s)
		if err != nil || !a.Is6() || a.Zone() != "" {
			return packet.Addr{}, false
		}
		return packet.AddrOf(a), true
	}
	parts := strings.Split(s, ".")
	if len(parts) > 4 {
		return packet.Addr{}, false
	}
	var v uint64
	for i, p := range parts {
		last := i == len(parts)-1
		max := uint64(255)
		if last {
			max = 1<<(8*(4-i)) - 1
		}
		if p == "" || p[0] < '0' || p[0] > '9' {
			return packet.Addr{}, false
		}
		n, ok := Number(p, 0, max)
		if !ok {
			return packet.Addr{}, false
		}
		if last {
			v |= n
		} else {
			v |= n << (24 - 8*i)
		}
	}
	return packet.Addr{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}, true
}

// Dotted reads an address of the family as most ranges take it: IPv4 with
// missing parts zero ("1.2.3" is 1.2.3.0), numbers in decimal.
func Dotted(f packet.Family, s string) (packet.Addr, bool) {
	if f == packet.IPv6 {
		return Address(f, s)
	}
	var a packet.Addr
	parts := strings.Split(s, ".")
	if len(parts) > 4 {
		return a, false
	}
	for i, p := range parts {
		n, ok := Number(p, 0, 255)
		if !ok {
			return a, false
		}
		a[i] = byte(n)
	}
	return a, true
}

// Strict reads an address as inet_pton(3) does: all parts, nothing else.
func Strict(f packet.Family, s string) (packet.Addr, bool) {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" || packet.FamilyOf(a) != f {
		return packet.Addr{}, false
	}
	return packet.AddrOf(a), true
}

// PrefixLen reads what stands behind an address's slash: a number of bits, or
// a mask as an address. A mask with holes counts as a whole address, which is
// what iptables makes of it for the options of extensions.
func PrefixLen(f packet.Family, s string) (int, bool) {
	bits := f.Len() * 8
	if n, ok := Number(s, 0, uint64(bits)); ok {
		return int(n), true
	}
	if s == "" {
		return 0, false
	}
	a, ok := Dotted(f, s)
	if !ok {
		return 0, false
	}
	if f == packet.IPv4 && strings.Count(s, ".") != 3 && !a.IsZero() {
		return bits, true // iptables takes the last part for the last byte
	}
	n := 0
	for n < bits && a[n/8]&(0x80>>(n%8)) != 0 {
		n++
	}
	if a != MaskOf(f, n) {
		return bits, true
	}
	return n, true
}

// MaskOf is the mask of a prefix length.
func MaskOf(f packet.Family, n int) (m packet.Addr) {
	for i := 0; i < f.Len() && n > 0; i++ {
		if n >= 8 {
			m[i] = 0xff
		} else {
			m[i] = 0xff << (8 - n)
		}
		n -= 8
	}
	return m
}

// Subnet is an address with a prefix length and the mask that belongs to it.
// Addr is as written, not masked.
type Subnet struct {
	Family     packet.Family
	Addr, Mask packet.Addr
	Bits       int
}

// Addr appends an address as inet_ntop(3) writes it: IPv6 with 96 zero bits and
// something in the next 16 ends in dotted decimal.
func Addr(b []byte, f packet.Family, a packet.Addr) []byte {
	if f == packet.IPv6 && [12]byte(a[:12]) == [12]byte{} && a[12]|a[13] != 0 {
		return packet.Addr{a[12], a[13], a[14], a[15]}.IP(packet.IPv4).AppendTo(append(b, "::"...))
	}
	return a.IP(f).AppendTo(b)
}

// SubnetOf is the argument of g as address[/mask].
func SubnetOf(f packet.Family, g *xtables.Given) (Subnet, error) {
	s := Subnet{Family: f, Bits: f.Len() * 8}
	addr, mask, has := strings.Cut(Text(g), "/")
	var ok bool
	if s.Addr, ok = Address(f, addr); !ok {
		return s, Errorf(g, "--%s: %q is not an %s address (host names are not looked up)", g.Name, addr, ipName(f))
	}
	if has {
		if s.Bits, ok = PrefixLen(f, mask); !ok {
			return s, Errorf(g, "--%s: %q is neither a mask nor a prefix length", g.Name, mask)
		}
	}
	s.Mask = MaskOf(f, s.Bits)
	return s, nil
}

// Has reports whether a is in the subnet.
func (s *Subnet) Has(a *packet.Addr) bool {
	for i := range a {
		if (a[i]^s.Addr[i])&s.Mask[i] != 0 {
			return false
		}
	}
	return true
}

// Append writes a space, the address and the prefix length unless it is whole.
func (s *Subnet) Append(b []byte) []byte {
	b = Addr(append(b, ' '), s.Family, s.Addr)
	if s.Bits == s.Family.Len()*8 {
		return b
	}
	b = append(b, '/')
	return appendDec(b, uint64(s.Bits))
}

func ipName(f packet.Family) string {
	if f == packet.IPv6 {
		return "IPv6"
	}
	return "IPv4"
}
