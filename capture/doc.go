// Package capture reads pcap and pcapng files and writes pcapng: link-layer
// frames in, IP packets with the interface, the direction and the time that
// the capture knows out.
//
// A Reader hands out frames that point into its buffer and are valid until the
// next call; reading allocates nothing per packet. Whatever stands before a
// corruption or a truncation is delivered first, then an *Error with the
// number of the packet.
//
// Layer 9: imports packet.
package capture
