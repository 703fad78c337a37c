// Package logline writes the line with which Linux logs a packet: -j LOG,
// TRACE and the log_invalid lines of connection tracking. Layer 4.
package logline
