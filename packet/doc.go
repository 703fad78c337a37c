// Package packet gives names to the bytes of IP packets: addresses, header
// fields, checksums. It keeps no state and knows no connection.
//
// Parse checks lengths once; the views that a parsed Packet offers do not
// check again. Headers behind the IP header are not promised to be whole:
// whoever reads layer 4 asks len(p.Payload()) first.
//
// # Allocation
//
// Nothing here allocates except Packet.Grow when the buffer is full.
//
// Layer 0: imports the standard library only.
package packet
