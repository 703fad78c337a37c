package args

import (
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

// Ports is the argument of g as a port or a range "lo:hi" with either side
// missing. The order is not checked.
func Ports(g *xtables.Given, proto string) (lo, hi uint16, err error) {
	parts := strings.Split(Text(g), ":")
	if len(parts) > 2 {
		return 0, 0, Errorf(g, "--%s: %q has more than 2 parts", g.Name, Text(g))
	}
	vals := [2]uint16{0, 65535}
	for i, p := range parts {
		if p == "" && len(parts) == 2 {
			continue
		}
		v, ok := PortNumber(p, proto)
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

// OrderedPorts is Ports, refusing a range that runs backwards.
func OrderedPorts(g *xtables.Given, proto string) (PortRange, error) {
	lo, hi, err := Ports(g, proto)
	if err == nil && lo > hi {
		err = Errorf(g, "--%s: the range %q runs backwards", g.Name, Text(g))
	}
	return PortRange{Lo: lo, Hi: hi, Not: g.Invert}, err
}
