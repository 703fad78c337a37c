// Package line is the small language in which one packet is one line:
//
//	+2.5s lan0 tcp 192.0.2.10:4000 > 198.51.100.1:443 S seq=1 win=65535 mss=1460
//
// Parse reads a line and builds the packet's bytes with right checksums. The
// whole language is described in docs/packets.md.
//
// Layer 9: imports hook, packet.
package line
