// Package match holds iptables' matches, one file each: what the match is, what
// a rule's instance holds, how its options are read and printed, and the
// question it asks of a packet. The list of them is in package xtables/std.
// Layer 6.
package match
