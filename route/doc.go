// Package route finds the way of a packet as Linux does: the tables in the
// order of the policy rules, local, main and default if there are none, the longest prefix in each, several routes of
// one prefix by metric; and what else the kernel asks its tables for: source
// addresses, address types, the reverse path.
//
// A Table is immutable and safe for concurrent use. Looking up allocates
// nothing. Multipath routes are not modelled.
//
// Layer 1.
package route
