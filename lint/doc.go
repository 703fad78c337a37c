// Package lint finds what is wrong with rule sets that load: rules that can
// never match, chains that nobody calls, answers that are dropped.
//
// Each rule is described as boxes over the fields of a packet (xtables.Box).
// What is said of a rule is proved by them: that no packet comes to a rule is
// claimed only when the packets that it could match, less those that earlier
// rules are sure to take, are none. A rule that counts, draws or remembers is
// never taken to be sure. A finding comes with a packet where one can be made,
// and that packet is run through the rules before it is shown.
//
// Layer 10.
package lint
