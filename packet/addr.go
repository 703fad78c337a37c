package packet

import "net/netip"

// Family is an address family with Linux's numbers (AF_INET, AF_INET6).
type Family uint8

// The two families that weir carries.
const (
	IPv4 Family = 2
	IPv6 Family = 10
)

// Len is the length of an address of the family in bytes.
func (f Family) Len() int {
	if f == IPv6 {
		return 16
	}
	return 4
}

// String is the name that conntrack(8) prints: "ipv4" or "ipv6".
func (f Family) String() string {
	if f == IPv6 {
		return "ipv6"
	}
	return "ipv4"
}

// Addr is an address of either family in one size, so that tuples and rules
// of both families share one path. An IPv4 address stands in the first four
// bytes and the rest is zero (Linux: union nf_inet_addr). It does not know
// its family; whoever holds it does.
type Addr [16]byte

// AddrOf converts an address from the outside world. IPv4-mapped IPv6
// addresses stay IPv6.
func AddrOf(a netip.Addr) Addr {
	if a.Is4() {
		b := a.As4()
		return Addr{b[0], b[1], b[2], b[3]}
	}
	if a.Is6() {
		return a.As16()
	}
	return Addr{}
}

// FamilyOf is the family of an address from the outside world.
func FamilyOf(a netip.Addr) Family {
	if a.Is4() {
		return IPv4
	}
	return IPv6
}

// IP converts back, for printing and for the edges of the library.
func (a Addr) IP(f Family) netip.Addr {
	if f == IPv4 {
		return netip.AddrFrom4([4]byte(a[:4]))
	}
	return netip.AddrFrom16(a)
}

// Append appends the address as inet_ntop(3) of the C library writes it, which
// shows the last 32 bits of an IPv4-compatible IPv6 address in dots.
func (a Addr) Append(b []byte, f Family) []byte {
	if f == IPv6 && [12]byte(a[:12]) == [12]byte{} && a[12]|a[13] != 0 {
		return netip.AddrFrom4([4]byte(a[12:])).AppendTo(append(b, "::"...))
	}
	return a.IP(f).AppendTo(b)
}

// IsZero reports whether every byte is zero.
func (a Addr) IsZero() bool { return a == Addr{} }
