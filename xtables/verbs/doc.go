// Package verbs is iptables(8), iptables-save(8) and iptables-restore(8) and
// their IPv6 twins as functions: a rule set and a command line go in, a rule
// set, what the program prints and how it ends come out. Nothing is read or
// written but through the Call.
//
// What they print and how they end is what iptables-legacy 1.8.9 does. Messages
// about values of extensions are weir's own where iptables' are not known; names
// of hosts and networks are not looked up, in either direction.
//
// Layer 7.
package verbs
