// Package dnsset fills sets of addresses from DNS answers: a rule with
// "-m set --match-set allow dst" then allows names instead of addresses. What a
// trusted resolver answers, on its way through the machine, is read before it
// reaches whoever asked, and each address of a name that is wanted becomes a
// member of the set for as long as the answer's TTL says.
//
// An answer is believed only if it belongs to a tracked connection that was
// opened to port 53 of a resolver that is trusted, has survived the filter, and
// came in by the interface that leads to that resolver. Addresses count if they
// belong to the name that was asked for, directly or by way of the aliases in
// the answer. DNS over TCP is not read.
//
// Nothing of this is in Linux. Layer 9: imports conntrack, hook, ipset, packet,
// xtables, engine.
package dnsset
