// Package socket knows the sockets of a machine: which one a packet is for, as
// far as rules and the end of the way in ask. It opens none.
//
// Layer 1.
package socket
