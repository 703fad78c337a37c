// Package xtables evaluates iptables rules: tables of chains of rules, each
// with a test of the IP header and the interfaces, matches and a target.
//
// Rules come from package xtables/save. NewTable checks them as Linux does
// when it loads a table and compiles them to a flat array; Table.Walk runs it.
// A Table is immutable but for its counters, so that rules are replaced by
// putting another Ruleset in the place of the old one.
//
// Extensions (-m and -j) are descriptions in a List; package xtables/std has
// the one that weir uses. The built-in targets ACCEPT, DROP, RETURN and QUEUE
// belong to this package.
//
// # Allocation
//
// Walk allocates nothing unless the packet is traced.
//
// Layer 4: imports hook. It translates no packet; targets do.
package xtables
