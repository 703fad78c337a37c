package packet

import "encoding/binary"

// IP protocol numbers that the engine treats by name (IANA).
const (
	HopByHop  = 0
	ICMP      = 1
	IGMP      = 2
	IPIP      = 4
	TCP       = 6
	UDP       = 17
	DCCP      = 33
	Routing   = 43
	Fragment  = 44
	GRE       = 47
	ESP       = 50
	AH        = 51
	ICMPv6    = 58
	NoNext    = 59
	DestOpts  = 60
	MobilityH = 135
	UDPLite   = 136
	SCTP      = 132
)

// LinkType says how a packet was addressed on the link (Linux: skb->pkt_type).
type LinkType uint8

// The link types that rules can ask for.
const (
	ToHost LinkType = iota
	ToBroadcast
	ToMulticast
	ToOther
	Looped // sent and received by this machine through lo
)

// Link is what is known of the frame that carried a packet.
type Link struct {
	Type   LinkType
	HasMAC bool // Src, Dst and EtherType are valid: the packet came in an Ethernet frame
	Src    [6]byte
	Dst    [6]byte
	Proto  uint16 // EtherType
}

// Packet is one IP packet and the offsets of its headers. It holds no
// connection, mark or interface: those belong to the traversal.
//
// Data runs from the IP header to the end of the datagram; trailing padding
// of the link is cut off. The bytes belong to whoever called the engine and
// may be rewritten in place; a step that needs more room replaces Data.
type Packet struct {
	Data   []byte
	Family Family
	// Proto is the protocol of the layer-4 header: for IPv6 the one behind
	// the extension headers that are skipped (Linux: ipv6_skip_exthdr).
	Proto uint8
	// L4 is the offset of that header in Data, or -1 when there is none:
	// a fragment that is not the first, a header chain that is cut off, or
	// "no next header". L4 may equal len(Data).
	L4 int
	// FragOff is the offset of a fragment's payload in bytes; More is its
	// "more fragments" flag. Both zero: a whole packet (or an IPv6 atomic
	// fragment).
	FragOff uint16
	More    bool
	// FragHdr is the offset of the IPv6 fragment header, 0 if none.
	FragHdr int
	Link    Link
	// Reassembled describes the fragments that a reassembled packet was
	// made of; nil for a packet that arrived whole.
	Reassembled *Geometry
	// Summed says that the checksum of layer 4 was found right on the way in
	// (Linux: csum_valid, set by __skb_checksum_complete). SetSummed sets it.
	Summed bool
	// head is what the sum then had of the header fields that change.
	head uint16
	// Unsummed says that the TCP or UDP checksum is still to be filled in: who looks
	// into the packet sees the pseudo header's sum. Data has the final one all
	// the same (Linux: CHECKSUM_PARTIAL).
	Unsummed bool
	// Offload is what a device has to do yet. Where it is Partial, the checksum
	// of layer 4 in Data means nothing.
	Offload Offload
}

// Geometry remembers the cut of a reassembled packet, so that it can leave as
// it came (Linux: frag_list and IPCB(skb)->frag_max_size).
type Geometry struct {
	// MaxSize is the largest fragment in bytes (IPv4: total length; IPv6: see
	// router). It is 0 for a packet that the machine made in parts, since it
	// was too long for the way that was chosen first.
	MaxSize int
	DF      bool  // the largest fragment carried "don't fragment"
	Parts   []int // IP payload bytes of each fragment, in order of offset
	// ID is the identification, IPv6 only.
	ID uint32
	// Body is where in an IPv6 packet the fragmentable part begins.
	Body int
}

// Pull says that the first n bytes are to be written. Of a reassembled packet
// the fragments that they reach into become one with the first, so that it no
// longer leaves as it came (Linux: skb_ensure_writable, __pskb_pull_tail).
func (p *Packet) Pull(n int) {
	g := p.Reassembled
	if g == nil || len(g.Parts) == 0 {
		return
	}
	head := g.Body
	if p.Family == IPv4 {
		head = p.HeaderLen()
	}
	for n > head+g.Parts[0] && len(g.Parts) > 1 {
		take := min(n-head-g.Parts[0], g.Parts[1])
		g.Parts[0] += take
		g.Parts[1] -= take
		if g.Parts[1] == 0 {
			g.Parts = append(g.Parts[:1], g.Parts[2:]...)
		}
	}
}

// SetSummed notes that the checksum of layer 4 is right.
func (p *Packet) SetSummed() {
	p.Summed, p.head = true, p.fields()
}

// Stale says that the IPv6 header changed since SetSummed, which Linux's sum
// over the whole packet does not follow. That of IPv4 sums up by itself.
func (p *Packet) Stale() bool { return p.Summed && p.head != p.fields() }

// fields sums up traffic class and hop limit with what shares their words.
func (p *Packet) fields() uint16 {
	if p.Family == IPv4 {
		return 0
	}
	return Fold(Sum(p.Data[:2], Sum(p.Data[6:8], 0)))
}

// Src is the source address.
func (p *Packet) Src() (a Addr) {
	if p.Family == IPv4 {
		copy(a[:4], p.Data[12:16])
	} else {
		copy(a[:], p.Data[8:24])
	}
	return a
}

// Dst is the destination address.
func (p *Packet) Dst() (a Addr) {
	if p.Family == IPv4 {
		copy(a[:4], p.Data[16:20])
	} else {
		copy(a[:], p.Data[24:40])
	}
	return a
}

// Len is the length that rules and counters see: the whole packet from the
// IP header on, in bytes.
func (p *Packet) Len() int { return len(p.Data) }

// TTL is the time to live or hop limit.
func (p *Packet) TTL() uint8 {
	if p.Family == IPv4 {
		return p.Data[8]
	}
	return p.Data[7]
}

// TOS is the IPv4 TOS byte or the IPv6 traffic class.
func (p *Packet) TOS() uint8 {
	if p.Family == IPv4 {
		return p.Data[1]
	}
	return p.Data[0]<<4 | p.Data[1]>>4
}

// HeaderLen is the offset behind the IP header proper: IPv4 with its
// options, IPv6 always 40.
func (p *Packet) HeaderLen() int {
	if p.Family == IPv4 {
		return int(p.Data[0]&15) * 4
	}
	return 40
}

// Payload is the layer-4 header and all behind it; nil if L4 is -1.
func (p *Packet) Payload() []byte {
	if p.L4 < 0 {
		return nil
	}
	return p.Data[p.L4:]
}

// NonFirstFragment reports a fragment whose offset is not zero.
func (p *Packet) NonFirstFragment() bool { return p.FragOff != 0 }

// ID is the IPv4 identification.
//
// Precondition: Family is IPv4.
func (p *Packet) ID() uint16 { return binary.BigEndian.Uint16(p.Data[4:]) }

// DF reports the IPv4 "don't fragment" flag; false for IPv6.
func (p *Packet) DF() bool { return p.Family == IPv4 && p.Data[6]&0x40 != 0 }
