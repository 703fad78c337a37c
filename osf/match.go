package osf

import (
	"encoding/binary"

	"weir/packet"
)

// TTL is how the packet's TTL is compared with the fingerprint's.
type TTL uint8

// The ways, with iptables' numbers.
const (
	Same TTL = iota // it is the same
	Less            // it is less or the same
	Any             // it does not count
)

// Segment is what of a packet a fingerprint is about. Make one with Read.
type Segment struct {
	ttl     uint8
	df      bool
	size    uint16
	window  uint16
	options []byte
	moved   bool // see Next
}

// Read takes the first segment of a connection apart; false if the packet is
// none, or its options are cut off.
func (s *Segment) Read(p *packet.Packet) bool {
	d, h := p.Data, p.HeaderLen()
	if p.Family != packet.IPv4 || len(d) < h+20 || d[h+13]&packet.TCPSyn == 0 {
		return false
	}
	be := binary.BigEndian
	*s = Segment{ttl: d[8], df: d[6]&0x40 != 0, size: be.Uint16(d[2:]), window: be.Uint16(d[h+14:])}
	if n := int(d[h+12]>>4) * 4; n > 20 {
		if len(d) < h+n {
			return false
		}
		s.options = d[h+20 : h+n]
	}
	return true
}

// Next is the number of the first fingerprint from number from on that fits,
// of the genre, nil for any; -1 if none does. As in Linux, which goes on
// reading behind the options once a fingerprint fitted, none with options fits
// after the first.
//
// Linux: net/netfilter/nfnetlink_osf.c nf_osf_match.
func (l *List) Next(s *Segment, from int, genre *string, ttl TTL) int {
	if l == nil {
		return -1
	}
	for i := from; i < len(l.fingers); i++ {
		f := &l.fingers[i]
		if f.df == s.df && (genre == nil || f.Genre == *genre) && s.fits(f, ttl) {
			s.moved = true
			return i
		}
	}
	return -1
}

// At is the fingerprint of a number that Next gave.
func (l *List) At(i int) *Finger { return &l.fingers[i] }

// Hops is how many routers the segment passed if the fingerprint is right.
func (s *Segment) Hops(f *Finger) int { return int(f.ttl) - int(s.ttl) }

// fits follows Linux nf_osf_match_one.
func (s *Segment) fits(f *Finger, ttl TTL) bool {
	if s.size != f.size || !s.near(f.ttl, ttl) || len(s.options) != f.length || s.moved && f.length > 0 {
		return false
	}
	mss, at := uint32(0), 0
	for i := range len(f.kinds) {
		if s.options[at] != f.kinds[i] {
			return false
		}
		if f.kinds[i] == 2 {
			mss = uint32(binary.BigEndian.Uint16(s.options[at+2:]))
		}
		at += optionSize(f.kinds[i])
	}
	// Some modems lower the segment size, so that two usual ones count too.
	const usual, lowered = 1460, 1448
	w := uint32(s.window)
	switch f.kind {
	case ofMSS:
		return w == f.window*mss || w == f.window*usual || w == f.window*lowered
	case ofMTU:
		return w == f.window*(mss+40) || w == f.window*(usual+40) || w == f.window*(lowered+40)
	case divides:
		return f.window != 0 && w%f.window == 0
	}
	return f.window == 0 || w == f.window
}

// near compares the TTL. Linux: nf_osf_ttl, whose look at the addresses of the
// link changes nothing: the TTL is larger there, and not the same.
func (s *Segment) near(want uint8, how TTL) bool {
	return how == Any || s.ttl == want || how == Less && s.ttl < want
}
