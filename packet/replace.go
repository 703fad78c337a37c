package packet

import "encoding/binary"

// Replace puts other bytes in the place of the packet, from the IP header on,
// and says whether they can be: a packet of the same family, of the length that
// stands in it. Checksums are not looked at, and not left to devices any more
// unless the packet is several segments. Linux: nfqnl_mangle.
func (p *Packet) Replace(data []byte) bool {
	if len(data) > 0xffff+40 || !p.Family.fits(data) {
		return false
	}
	p.Data = append(p.Data[:0:0], data...)
	p.Reparse()
	o := p.Offload
	o.Partial = o.Partial && o.Size > 0
	if !p.SetOffload(o) {
		return false
	}
	if g := p.Reassembled; g != nil {
		head := p.HeaderLen()
		if p.Family == IPv6 {
			head = g.Body
		}
		g.Parts = append(g.Parts[:0], max(len(data)-head, 0))
	}
	return true
}

// fits says whether data has a header of the family and the length that it says.
func (f Family) fits(data []byte) bool {
	if f == IPv6 {
		return len(data) >= 40 && data[0]>>4 == 6 && int(binary.BigEndian.Uint16(data[4:]))+40 == len(data)
	}
	return len(data) >= 20 && data[0]>>4 == 4 && data[0]&15 >= 5 && int(data[0]&15)*4 <= len(data) &&
		int(binary.BigEndian.Uint16(data[2:])) == len(data)
}
