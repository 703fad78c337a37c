package gateway

import (
	"encoding/binary"

	"weir/packet"
)

// The virtio-net header (struct virtio_net_hdr, linux/virtio_net.h) stands in
// front of each packet of a device that offloads. Its words are in the order of
// the machine.
const (
	vnetLen = 10

	vnetNeedsSum  = 1
	vnetDataValid = 2

	vnetPlain = 0
	vnetTCP4  = 1
	vnetTCP6  = 4
	vnetUDP   = 5
	vnetECN   = 0x80
)

// readVnet takes the header h of the packet d apart, which has before bytes of a
// link header in front. A checksum that the engine
// does not know how to leave open is filled in. false: the header makes no
// sense for the packet.
func readVnet(h, d []byte, before int) (o packet.Offload, ok bool) {
	ne := binary.NativeEndian
	kind := h[1] &^ vnetECN
	o.Checked = h[0]&vnetDataValid != 0
	if h[0]&vnetNeedsSum == 0 && kind == vnetPlain {
		return o, true
	}
	proto, l4 := layer4(d)
	if h[0]&vnetNeedsSum != 0 {
		start, off := int(ne.Uint16(h[6:]))-before, int(ne.Uint16(h[8:]))
		if start < 0 || start+off+2 > len(d) {
			return o, false
		}
		if start == l4 && (proto == packet.TCP && off == 16 || proto == packet.UDP && off == 6) {
			o.Partial = true
		} else {
			sum := ^packet.Fold(packet.Sum(d[start:], 0))
			binary.BigEndian.PutUint16(d[start+off:], sum)
		}
	}
	switch kind {
	case vnetPlain:
		return o, true
	case vnetTCP4, vnetTCP6:
		ok = proto == packet.TCP
	case vnetUDP:
		ok = proto == packet.UDP
	}
	o.Size = ne.Uint16(h[4:])
	if !o.Partial {
		o.Checked = true // segments that a device put together it has verified
	}
	return o, ok && o.Size > 0
}

// putVnet writes the header of a packet that is sent, and the sum of the pseudo
// header where a checksum is left to the device.
func putVnet(h []byte, p *Packet, before int) {
	clear(h[:vnetLen])
	o := p.Offload
	if o.Size == 0 && !o.Partial {
		return
	}
	ne := binary.NativeEndian
	d := p.Data
	proto, l4 := layer4(d)
	q := packet.Packet{Data: d, Family: packet.IPv4}
	if d[0]>>4 == 6 {
		q.Family = packet.IPv6
	}
	off, head, kind := 6, l4+8, byte(vnetUDP)
	if proto == packet.TCP {
		off, head, kind = 16, l4+int(d[l4+12]>>4)*4, vnetTCP4
		if q.Family == packet.IPv6 {
			kind = vnetTCP6
		}
		if d[l4+13]&packet.TCPCwr != 0 {
			kind |= vnetECN
		}
	}
	sum := packet.Fold(packet.PseudoSum(q.Family, q.Src(), q.Dst(), proto, len(d)-l4))
	binary.BigEndian.PutUint16(d[l4+off:], sum)
	h[0] = vnetNeedsSum
	ne.PutUint16(h[6:], uint16(before+l4))
	ne.PutUint16(h[8:], uint16(off))
	if o.Size > 0 && head+int(o.Size) < len(d) {
		h[1] = kind
		ne.PutUint16(h[2:], uint16(before+head))
		ne.PutUint16(h[4:], o.Size)
	}
}

// layer4 is the protocol of a packet and where its header begins; 0 and 0 if
// it is not TCP or UDP with a whole header.
func layer4(d []byte) (proto uint8, l4 int) {
	switch {
	case len(d) >= 20 && d[0]>>4 == 4:
		proto, l4 = d[9], int(d[0]&15)*4
	case len(d) >= 40 && d[0]>>4 == 6:
		if proto, l4 = d[6], 40; proto != packet.TCP && proto != packet.UDP {
			proto, l4, _ = packet.SkipExtHdr(d)
		}
	}
	if l4 > 0 && (proto == packet.TCP && l4+20 <= len(d) || proto == packet.UDP && l4+8 <= len(d)) {
		return proto, l4
	}
	return 0, 0
}

// splitter makes packets with offloads into packets as they stand on a wire.
type splitter struct {
	list  []Packet
	arena []byte
}

// plain is batch without offloads. It is valid until the next call.
func (s *splitter) plain(batch []Packet) []Packet {
	for i := range batch {
		if o := batch[i].Offload; o.Size > 0 || o.Partial {
			return s.split(batch)
		}
	}
	return batch
}

func (s *splitter) split(batch []Packet) []Packet {
	s.list, s.arena = s.list[:0], s.arena[:0]
	for i := range batch {
		b := &batch[i]
		var p packet.Packet
		if o := b.Offload; o.Size == 0 && !o.Partial || packet.Parse(b.Data, &p) != nil || !p.SetOffload(o) {
			s.list = append(s.list, *b)
			continue
		}
		if p.Offload.Size == 0 {
			p.Complete()
			s.list = append(s.list, Packet{Data: p.Data, Via: b.Via})
			continue
		}
		for k := range p.Segments() {
			s.list = append(s.list, Packet{Data: p.Segment(k, s.alloc(p.Wire())), Via: b.Via})
		}
	}
	return s.list
}

// alloc takes n bytes that live until the next call of plain.
func (s *splitter) alloc(n int) []byte {
	if cap(s.arena)-len(s.arena) < n {
		s.arena = make([]byte, 0, max(2*cap(s.arena), 128<<10))
	}
	at := len(s.arena)
	s.arena = s.arena[:at+n]
	return s.arena[at : at+n : at+n]
}
