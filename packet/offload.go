package packet

import "encoding/binary"

// Offload is what a device leaves, or is left, to do for a packet (Linux:
// skb_shared_info's gso_size, ip_summed; virtio-net's header). The zero value is
// a packet as it stands on a wire.
type Offload struct {
	// Size is the payload bytes of each segment but the last, if the packet
	// is several segments of TCP or UDP behind one header; 0 if it is not.
	Size uint16
	// Partial: the checksum of TCP or UDP is not in the packet yet; who puts
	// it on a wire fills it in (Linux: CHECKSUM_PARTIAL).
	Partial bool
	// Checked: the device has found the checksum of layer 4 right (Linux:
	// CHECKSUM_UNNECESSARY).
	Checked bool
}

// Good says that the checksum of layer 4 needs no verification.
func (o Offload) Good() bool { return o.Partial || o.Checked }

// Wire is the length in bytes of the longest packet that d is on a wire, with
// layer 4 at l4. For a packet of segments the header there is whole.
func (o Offload) Wire(d []byte, l4 int, proto uint8) int {
	switch {
	case o.Size == 0:
		return len(d)
	case proto == TCP:
		l4 += int(d[l4+12]>>4) * 4
	default:
		l4 += 8
	}
	return min(l4+int(o.Size), len(d))
}

// SetOffload notes what a device left to do; false if that cannot be: only
// whole packets of TCP and UDP have segments or want a checksum.
func (p *Packet) SetOffload(o Offload) bool {
	p.Offload, p.Unsummed = o, o.Partial
	if o.Size == 0 && !o.Partial {
		return true
	}
	if p.L4 < 0 || p.More {
		return false
	}
	h := p.Data[p.L4:]
	switch p.Proto {
	case TCP:
		return len(h) >= 20 && h[12]>>4 >= 5 && int(h[12]>>4)*4 <= len(h)
	case UDP:
		return len(h) >= 8
	}
	return false
}

// Wire is the length in bytes of the longest packet that p is on a wire.
func (p *Packet) Wire() int { return p.Offload.Wire(p.Data, p.L4, p.Proto) }

// Complete fills in the checksum that was left to a device.
func (p *Packet) Complete() {
	if p.Offload.Partial {
		p.FixL4Checksum()
		p.Offload.Partial = false
	}
}

// Segments is into how many packets Segment cuts p.
func (p *Packet) Segments() int {
	if p.Offload.Size == 0 {
		return 1
	}
	body := len(p.Data) - p.segmentHead()
	return max(1, (body+int(p.Offload.Size)-1)/int(p.Offload.Size))
}

// segmentHead is the length of the headers that all segments share.
func (p *Packet) segmentHead() int {
	if p.Proto == TCP {
		return p.L4 + int(p.Data[p.L4+12]>>4)*4
	}
	return p.L4 + 8
}

// Segment writes segment i of p into b and returns it, complete with its
// checksums; b has room for Wire() bytes. p itself is left alone.
//
// Linux: inet_gso_segment, tcp_gso_segment, __udp_gso_segment.
func (p *Packet) Segment(i int, b []byte) []byte {
	be := binary.BigEndian
	head, size := p.segmentHead(), int(p.Offload.Size)
	from := head + i*size
	to := min(from+size, len(p.Data))
	b = b[:head+to-from]
	copy(b, p.Data[:head])
	copy(b[head:], p.Data[from:to])
	s := Packet{Data: b, Family: p.Family, Proto: p.Proto, L4: p.L4}
	if p.Family == IPv4 {
		be.PutUint16(b[4:], be.Uint16(b[4:])+uint16(i))
		be.PutUint16(b[2:], uint16(len(b)))
		be.PutUint16(b[10:], IPv4HeaderChecksum(b[:s.HeaderLen()]))
	} else {
		be.PutUint16(b[4:], uint16(len(b)-40))
	}
	h := b[p.L4:]
	if p.Proto == TCP {
		be.PutUint32(h[4:], be.Uint32(h[4:])+uint32(i*size))
		if to < len(p.Data) {
			h[13] &^= TCPFin | TCPPsh
		}
		if i > 0 {
			h[13] &^= TCPCwr
		}
	} else {
		be.PutUint16(h[4:], uint16(len(h)))
	}
	s.FixL4Checksum()
	return b
}
