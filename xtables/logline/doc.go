// Package logline writes the line with which Linux logs a packet: -j LOG,
// TRACE and the log_invalid lines of connection tracking. Layer 3.
package logline
