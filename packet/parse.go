package packet

import "encoding/binary"

// HeaderKind is what is wrong with an IP header.
type HeaderKind uint8

// The kinds of a HeaderError.
const (
	Short        HeaderKind = iota + 1 // shorter than the header or than the length it states
	BadVersion                         // neither 4 nor 6
	BadHeaderLen                       // IPv4 header length below 20 or behind the end
	BadTotalLen                        // IPv4 total length below the header length
	BadHeaderSum                       // IPv4 header checksum
)

var headerErrors = [...]HeaderError{
	{}, {Short, "truncated"}, {BadVersion, "IP version is neither 4 nor 6"},
	{BadHeaderLen, "IPv4 header length below 20 bytes"}, {BadTotalLen, "IPv4 total length below the header length"},
	{BadHeaderSum, "IPv4 header checksum is wrong"},
}

// HeaderError is returned by Parse. It is a shared value: compare Kind.
type HeaderError struct {
	Kind HeaderKind
	msg  string
}

func (e *HeaderError) Error() string { return e.msg }

func headerError(k HeaderKind) error { return &headerErrors[k] }

// Parse fills p from the bytes of one IP packet, with the checks that Linux
// makes before the first hook, and cuts off what lies behind the datagram.
// On error p is not to be used. Link is left as it was.
//
// Linux: net/ipv4/ip_input.c ip_rcv_core, net/ipv6/ip6_input.c ip6_rcv_core.
func Parse(data []byte, p *Packet) error {
	if len(data) < 1 {
		return headerError(Short)
	}
	link := p.Link
	*p = Packet{Link: link}
	switch data[0] >> 4 {
	case 4:
		return p.parse4(data)
	case 6:
		return p.parse6(data)
	default:
		return headerError(BadVersion)
	}
}

func (p *Packet) parse4(data []byte) error {
	if len(data) < 20 {
		return headerError(Short)
	}
	ihl := int(data[0]&15) * 4
	if ihl < 20 {
		return headerError(BadHeaderLen)
	}
	if len(data) < ihl {
		return headerError(Short)
	}
	if Fold(Sum(data[:ihl], 0)) != 0xffff {
		return headerError(BadHeaderSum)
	}
	total := int(binary.BigEndian.Uint16(data[2:]))
	if len(data) < total {
		return headerError(Short)
	}
	if total < ihl {
		return headerError(BadTotalLen)
	}
	p.Data = data[:total]
	p.Family = IPv4
	p.Reparse()
	return nil
}

func (p *Packet) parse6(data []byte) error {
	if len(data) < 40 {
		return headerError(Short)
	}
	n := int(binary.BigEndian.Uint16(data[4:]))
	// A payload length of 0 with hop-by-hop options means what is there; a
	// jumbo payload option is for the router to refuse.
	if n != 0 || data[6] != HopByHop {
		if len(data) < 40+n {
			return headerError(Short)
		}
		data = data[:40+n]
	}
	p.Data = data
	p.Family = IPv6
	p.Reparse()
	return nil
}

// Reparse finds the layer-4 header and the fragment fields again after Data
// changed shape. Data and Family must be set and the IP header whole.
func (p *Packet) Reparse() {
	p.FragOff, p.More, p.FragHdr = 0, false, 0
	if p.Family == IPv4 {
		d := p.Data
		p.Proto = d[9]
		fo := binary.BigEndian.Uint16(d[6:])
		p.FragOff = fo & 0x1fff << 3
		p.More = fo&0x2000 != 0
		p.L4 = int(d[0]&15) * 4
		if p.FragOff != 0 {
			p.L4 = -1
		}
		return
	}
	proto, off, fr := SkipExtHdr(p.Data)
	p.Proto, p.L4 = proto, off
	p.FragOff, p.More, p.FragHdr = fr.Off, fr.More, fr.Hdr
	if p.FragOff != 0 {
		p.L4 = -1
	}
}

// FragInfo is what an IPv6 fragment header says.
type FragInfo struct {
	Hdr  int // offset of the fragment header, 0 if there is none
	Off  uint16
	More bool
	ID   uint32
}

// isExt reports the extension headers that Linux skips to find layer 4.
// Linux: net/ipv6/exthdrs_core.c ipv6_ext_hdr.
func isExt(proto uint8) bool {
	switch proto {
	case HopByHop, Routing, Fragment, AH, NoNext, DestOpts:
		return true
	}
	return false
}

// SkipExtHdr walks the extension headers of an IPv6 packet. off is the offset
// of the first header that is none of them, or the packet's end if the headers
// say that it begins at the end or behind; -1 when the chain is cut off or ends
// in "no next header". proto is the number of that header, or of the one that
// could not be read. At a fragment that is
// not the first the walk stops: off is behind the fragment header.
//
// Linux: net/ipv6/exthdrs_core.c ipv6_skip_exthdr.
func SkipExtHdr(d []byte) (proto uint8, off int, fr FragInfo) {
	proto, off = d[6], 40
	for isExt(proto) {
		if proto == NoNext || off+2 > len(d) {
			return proto, -1, fr
		}
		n := 0
		switch proto {
		case Fragment:
			if off+4 > len(d) {
				return proto, -1, fr
			}
			w := binary.BigEndian.Uint16(d[off+2:])
			fr = FragInfo{Hdr: off, Off: w &^ 7, More: w&1 != 0}
			if off+8 <= len(d) {
				fr.ID = binary.BigEndian.Uint32(d[off+4:])
			}
			if fr.Off != 0 {
				return d[off], min(off+8, len(d)), fr
			}
			n = 8
		case AH:
			n = (int(d[off+1]) + 2) * 4
		default:
			n = (int(d[off+1]) + 1) * 8
		}
		proto = d[off]
		off += n
	}
	return proto, min(off, len(d)), fr
}

// FindLastHdr finds the header that ip6tables -p compares: like SkipExtHdr,
// but "no next header" is a protocol like others.
// frag is the offset of a fragment that is not the first, in bytes. ok is false
// when the chain is cut off or goes on behind such a fragment.
//
// Linux: net/ipv6/exthdrs_core.c ipv6_find_hdr with target -1.
func FindLastHdr(d []byte) (proto uint8, off int, frag uint16, ok bool) {
	proto, off = d[6], 40
	for isExt(proto) && proto != NoNext {
		if off+2 > len(d) || proto == Routing && off+4 > len(d) {
			return proto, off, frag, false
		}
		n := 0
		switch proto {
		case Fragment:
			if off+4 > len(d) {
				return proto, off, frag, false
			}
			if w := binary.BigEndian.Uint16(d[off+2:]) &^ 7; w != 0 {
				if next := d[off]; !isExt(next) || next == NoNext {
					return next, off + 8, w, true
				}
				return proto, off, 0, false
			}
			n = 8
		case AH:
			n = (int(d[off+1]) + 2) * 4
		default:
			n = (int(d[off+1]) + 1) * 8
		}
		proto = d[off]
		off += n
	}
	return proto, off, frag, true
}
