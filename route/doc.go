// Package route finds the way of a packet as Linux does: the local, main and
// default tables in that order, the longest prefix in each, several routes of
// one prefix by metric; and what else the kernel asks its tables for: source
// addresses, address types, the reverse path.
//
// A Table is immutable and safe for concurrent use. Looking up allocates
// nothing. Policy rules (ip rule) other than the three of a fresh system, and
// multipath routes, are not modelled.
//
// Layer 1.
package route
