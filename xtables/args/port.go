package args

import (
	"strconv"
	"strings"

	"weir/xtables"
	"weir/xtables/names"
)

// PortNumber is a port by number, or by name with the protocol ("" is any).
func PortNumber(s, proto string) (uint16, bool) {
	if v, ok := Number(s, 0, 65535); ok {
		return uint16(v), true
	}
	return names.Service(s, proto)
}

// resolved is a port as getaddrinfo(3) reads it: a decimal number, of which 16
// of the lower 32 bits are kept unless these are a negative number, or a name.
func resolved(s string) (uint16, bool) {
	t := strings.TrimPrefix(strings.TrimLeft(s, " \t\n\v\f\r"), "+")
	if t == "" || t[0] < '0' || t[0] > '9' {
		return names.Service(s, "")
	}
	v, err := strconv.ParseUint(t, 10, 64)
	return uint16(v), err == nil && int32(v) >= 0
}

// Port is the argument of g as one port, read as Ports reads it; nothing is 0.
func Port(g *xtables.Given) (uint16, error) {
	w := Text(g)
	n, ok := resolved(w)
	if !ok && w != "" {
		err := Errorf(g, "--%s: no port or service %q", g.Name, w).(*xtables.Error)
		err.Said, err.Status = `Port "`+w+`" does not resolve to anything.`, 2
		return 0, err
	}
	return n, nil
}

// Ports is the argument of g as a port or a range "lo:hi" with either side
// missing, with numbers as getaddrinfo(3) reads them: 65536 is 0. The order is
// not checked.
func Ports(g *xtables.Given) (lo, hi uint16, err error) { return portSpan(g, resolved) }

func portSpan(g *xtables.Given, read func(string) (uint16, bool)) (lo, hi uint16, err error) {
	parts := strings.Split(Text(g), ":")
	if len(parts) > 2 {
		return 0, 0, Errorf(g, "--%s: %q has more than 2 parts", g.Name, Text(g))
	}
	vals := [2]uint16{0, 65535}
	for i, p := range parts {
		if p == "" && len(parts) == 2 {
			continue
		}
		v, ok := read(p)
		if !ok {
			return 0, 0, NoPort(g, p)
		}
		vals[i] = v
	}
	if len(parts) == 1 {
		vals[1] = vals[0]
	}
	return vals[0], vals[1], nil
}

// NoPort is the error for a word that is no port.
func NoPort(g *xtables.Given, word string) error {
	err := Errorf(g, "--%s: no port or service %q", g.Name, word).(*xtables.Error)
	err.Said, err.Status = "invalid port/service `"+word+"' specified", 2
	return err
}

// PortRange is the ports of an option with its "!".
type PortRange struct {
	Lo, Hi uint16
	Not    bool
}

// AnyPort is every port: what an option that is not given means.
func AnyPort() PortRange { return PortRange{Hi: 65535} }

// Has reports whether a port passes.
func (r PortRange) Has(p uint16) bool { return (p >= r.Lo && p <= r.Hi) != r.Not }

// Append writes the option as tcp and udp print it; nothing for all ports.
func (r PortRange) Append(b []byte, name string) []byte {
	if r.Lo == 0 && r.Hi == 65535 {
		return b
	}
	b = Name(b, r.Not, name)
	return Range(b, uint64(r.Lo), uint64(r.Hi))
}

// OrderedPorts is such a range of numbers in any base up to 65535, or of names
// of the protocol's services. One that runs backwards is refused.
func OrderedPorts(g *xtables.Given, proto string) (PortRange, error) {
	lo, hi, err := portSpan(g, func(s string) (uint16, bool) { return PortNumber(s, proto) })
	if err == nil && lo > hi {
		err = Errorf(g, "--%s: the range %q runs backwards", g.Name, Text(g))
	}
	return PortRange{Lo: lo, Hi: hi, Not: g.Invert}, err
}
