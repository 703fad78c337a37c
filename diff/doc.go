// Package diff says what two machines, or two rule sets, decide differently.
//
// With packets given, both machines get them, and the flows that fare
// differently are listed. Without, packets are searched for where it is likely
// that the two differ: each rule set is taken apart into regions (package
// lint), and wherever a packet may be in regions with different decisions, a
// few such packets are made, each with the packets that bring its connection
// into the right state and an answer. A difference is reported when two fresh
// machines, given these packets, do different things; so no difference is
// false. That none is found is no proof that there is none.
//
// Layer 11.
package diff
