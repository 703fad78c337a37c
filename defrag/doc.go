// Package defrag puts the fragments of IPv4 and IPv6 datagrams together as
// Linux does before connection tracking and before local delivery. Both
// families go one way; where they differ, the family's rules are data.
//
// # Ownership
//
// Add copies what it keeps. A datagram that is complete gets a buffer of its
// own, which the packet then owns.
//
// # Limits
//
// Memory is bounded by Rules.HighThresh for each family and use; a datagram
// that does not become complete is given up after Rules.Timeout of the packet
// clock, when Expire is called.
//
// Layer 1. Not safe for concurrent use.
package defrag
