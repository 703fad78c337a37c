// Package target holds iptables' target extensions, one file each: what the
// target is, what a rule's instance holds, how its options are read and
// printed, and what it does to a packet. The list of them is in package
// xtables/std. Layer 6.
package target
