package names

import (
	"strings"

	"weir/packet"
)

// ICMPType is a named type of ICMP or ICMPv6 with the codes it covers.
type ICMPType struct {
	Name       string
	Type       uint8
	Code, Last uint8 // codes from Code to Last
}

// ICMPTypes lists the names that iptables knows for the family, in its order.
// The first of a type is printed nowhere: iptables-save prints numbers.
func ICMPTypes(f packet.Family) []ICMPType {
	if f == packet.IPv6 {
		return []ICMPType{
			{"destination-unreachable", 1, 0, 255},
			{"no-route", 1, 0, 0},
			{"communication-prohibited", 1, 1, 1},
			{"beyond-scope", 1, 2, 2},
			{"address-unreachable", 1, 3, 3},
			{"port-unreachable", 1, 4, 4},
			{"failed-policy", 1, 5, 5},
			{"reject-route", 1, 6, 6},
			{"packet-too-big", 2, 0, 255},
			{"time-exceeded", 3, 0, 255},
			{"ttl-exceeded", 3, 0, 255},
			{"ttl-zero-during-transit", 3, 0, 0},
			{"ttl-zero-during-reassembly", 3, 1, 1},
			{"parameter-problem", 4, 0, 255},
			{"bad-header", 4, 0, 0},
			{"unknown-header-type", 4, 1, 1},
			{"unknown-option", 4, 2, 2},
			{"echo-request", 128, 0, 255},
			{"ping", 128, 0, 255},
			{"echo-reply", 129, 0, 255},
			{"router-solicitation", 133, 0, 255},
			{"router-advertisement", 134, 0, 255},
			{"neighbour-solicitation", 135, 0, 255},
			{"neighbor-solicitation", 135, 0, 255},
			{"neighbour-advertisement", 136, 0, 255},
			{"neighbor-advertisement", 136, 0, 255},
			{"redirect", 137, 0, 255},
		}
	}
	return []ICMPType{
		{"any", 255, 0, 255},
		{"echo-reply", 0, 0, 255},
		{"pong", 0, 0, 255},
		{"destination-unreachable", 3, 0, 255},
		{"network-unreachable", 3, 0, 0},
		{"host-unreachable", 3, 1, 1},
		{"protocol-unreachable", 3, 2, 2},
		{"port-unreachable", 3, 3, 3},
		{"fragmentation-needed", 3, 4, 4},
		{"source-route-failed", 3, 5, 5},
		{"network-unknown", 3, 6, 6},
		{"host-unknown", 3, 7, 7},
		{"network-prohibited", 3, 9, 9},
		{"host-prohibited", 3, 10, 10},
		{"TOS-network-unreachable", 3, 11, 11},
		{"TOS-host-unreachable", 3, 12, 12},
		{"communication-prohibited", 3, 13, 13},
		{"host-precedence-violation", 3, 14, 14},
		{"precedence-cutoff", 3, 15, 15},
		{"source-quench", 4, 0, 255},
		{"redirect", 5, 0, 255},
		{"network-redirect", 5, 0, 0},
		{"host-redirect", 5, 1, 1},
		{"TOS-network-redirect", 5, 2, 2},
		{"TOS-host-redirect", 5, 3, 3},
		{"echo-request", 8, 0, 255},
		{"ping", 8, 0, 255},
		{"router-advertisement", 9, 0, 255},
		{"router-solicitation", 10, 0, 255},
		{"time-exceeded", 11, 0, 255},
		{"ttl-exceeded", 11, 0, 255},
		{"ttl-zero-during-transit", 11, 0, 0},
		{"ttl-zero-during-reassembly", 11, 1, 1},
		{"parameter-problem", 12, 0, 255},
		{"ip-header-bad", 12, 0, 0},
		{"required-option-missing", 12, 1, 1},
		{"timestamp-request", 13, 0, 255},
		{"timestamp-reply", 14, 0, 255},
		{"address-mask-request", 17, 0, 255},
		{"address-mask-reply", 18, 0, 255},
	}
}

// FindICMP finds the type that word abbreviates, without case. other is a
// second type that it would abbreviate too, which makes it ambiguous.
func FindICMP(f packet.Family, word string) (t ICMPType, other string, ok bool) {
	for _, c := range ICMPTypes(f) {
		if len(word) > len(c.Name) || !strings.EqualFold(c.Name[:len(word)], word) {
			continue
		}
		if ok {
			return t, c.Name, false
		}
		t, ok = c, true
	}
	return t, "", ok
}
