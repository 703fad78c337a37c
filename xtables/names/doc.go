// Package names holds the names that rules may use instead of numbers:
// services, protocols, DSCP classes, ICMP types, log levels. Nothing is read
// from the machine that weir runs on. Layer 2.
package names
