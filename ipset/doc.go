// Package ipset is named sets of addresses, networks, ports, interfaces and
// other sets, as ip_set in Linux keeps them and ipset(8) fills them. Layer 1.
//
// A hash set is a table of buckets in slabs without Go pointers, laid out and
// grown as in Linux, with the same hash over the same bytes: a set with the
// same initval lists its members in the same order and doubles at the same
// member. A lookup allocates nothing. Time comes in as a parameter, and so
// does the randomness that an initval is drawn from.
//
// Sets are not safe for use by several goroutines at once.
package ipset
