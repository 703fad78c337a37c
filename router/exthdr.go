package router

import (
	"encoding/binary"

	"weir/defrag"
	"weir/hook"
	"weir/packet"
	"weir/route"
)

// IPv6 options (RFC 8200 section 4.2).
const (
	opt6Pad1  = 0
	opt6PadN  = 1
	opt6Alert = 5
	opt6Jumbo = 0xc2
	opt6Label = 7    // CALIPSO, RFC 5570
	opt6IOAM  = 0x31 // RFC 9486
)

// maxOptions6 is how many options but padding a header may have, and how many
// bytes of padding may follow each other. Linux: max_dst_opts_number,
// max_hbh_opts_number.
const (
	maxOptions6 = 8
	maxPadding6 = 7
)

// hopOptions reads the hop-by-hop options, before the first hook. Linux:
// ipv6_parse_hopopts.
func (r *Router) hopOptions(p *passage) hook.Reason {
	d := p.t.Pkt.Data
	if len(d) < 48 || len(d) < 40+(int(d[41])+1)*8 {
		return hook.ReasonMalformed
	}
	return r.options6(p, 40, (int(d[41])+1)*8, true)
}

// options6 walks the options of the header at offset at and does what unknown
// ones ask for. Linux: ip6_parse_tlv.
func (r *Router) options6(p *passage, at, length int, hopByHop bool) hook.Reason {
	d := p.t.Pkt.Data
	end := at + length
	padding, count := 0, 0
	for off := at + 2; off < end; {
		if d[off] == opt6Pad1 {
			if padding++; padding > maxPadding6 {
				return hook.ReasonMalformed
			}
			off++
			continue
		}
		if end-off < 2 {
			return hook.ReasonMalformed
		}
		n := int(d[off+1]) + 2
		if off+n > end {
			return hook.ReasonMalformed
		}
		if d[off] == opt6PadN {
			// RFC 4942 section 2.1.9.5: long or non-zero padding hides things.
			if padding += n; padding > maxPadding6 {
				return hook.ReasonMalformed
			}
			for _, b := range d[off+2 : off+n] {
				if b != 0 {
					return hook.ReasonMalformed
				}
			}
			off += n
			continue
		}
		padding = 0
		if count++; count > maxOptions6 {
			return hook.ReasonMalformed
		}
		if why := r.option6(p, off, n, hopByHop); why != hook.NoReason {
			return why
		}
		off += n
	}
	return hook.NoReason
}

// option6 looks at one option.
func (r *Router) option6(p *passage, off, n int, hopByHop bool) hook.Reason {
	d := p.t.Pkt.Data
	switch {
	case hopByHop && d[off] == opt6Alert:
		if n != 4 {
			return hook.ReasonMalformed
		}
		return hook.NoReason
	case hopByHop && d[off] == opt6IOAM && off&3 != 0,
		hopByHop && d[off] == opt6Label: // no domain of interpretation is known
		return hook.ReasonMalformed
	case hopByHop && d[off] == opt6Jumbo:
		// Parse let no jumbogram in: the option is where none may be.
		switch {
		case n != 6 || off&3 != 2:
			return hook.ReasonMalformed
		case binary.BigEndian.Uint32(d[off+2:]) <= 65535:
			r.ICMPError(p.t, icmp6Parameter, icmp6BadField, uint32(off+2))
		case d[4]|d[5] != 0:
			r.ICMPError(p.t, icmp6Parameter, icmp6BadField, uint32(off))
		}
		return hook.ReasonMalformed
	}
	// RFC 8200: the two highest bits say what to do with an unknown option.
	switch d[off] >> 6 {
	case 0:
		return hook.NoReason
	case 3:
		if p.t.Pkt.Dst()[0] == 0xff {
			break
		}
		fallthrough
	case 2:
		r.ICMPError(p.t, icmp6Parameter, icmp6UnknownOption, uint32(off))
	}
	return hook.ReasonMalformed
}

// deliver6 walks the extension headers of a packet that INPUT accepted and
// hands it to its protocol. Linux: ip6_protocol_deliver_rcu.
func (r *Router) deliver6(p *passage) Fate {
	t := p.t
	proto, named, off := t.Pkt.Data[6], 6, 40
	if g := t.Pkt.Reassembled; g != nil && !t.In.Loopback {
		// Linux reads on behind what was reassembled on the way in, with the
		// first next header that it did not read on arrival.
		off = g.Body
		if proto == packet.HopByHop {
			named = 40
			proto = t.Pkt.Data[named]
		}
	}
	fragmented := false
	for {
		d := t.Pkt.Data
		switch proto {
		case packet.DestOpts, packet.Routing:
			if off+8 > len(d) || off+(int(d[off+1])+1)*8 > len(d) {
				return Delivered
			}
		}
		switch proto {
		case packet.HopByHop:
			// Only right behind the IPv6 header, where it was read on arrival.
			if off != 40 {
				r.ICMPError(t, icmp6Parameter, icmp6UnknownNext, uint32(named))
				return Delivered
			}
		case packet.DestOpts:
			if r.options6(p, off, (int(d[off+1])+1)*8, false) != hook.NoReason {
				return Delivered
			}
		case packet.Routing:
			if !r.routing6(p, off) {
				return Delivered
			}
		case packet.Fragment:
			if fragmented || d[4]|d[5] == 0 { // a jumbogram has no fragments
				r.ICMPError(t, icmp6Parameter, icmp6BadField, uint32(off))
				return Delivered
			}
			fragmented = true
			if off+8 <= len(d) && binary.BigEndian.Uint16(d[off+2:])&0xfff9 == 0 {
				// An atomic fragment is whole: step over the header.
				proto, named = d[off], off
				off += 8
				continue
			}
			if f, done := r.gather6(p, off); done {
				return f
			}
			// The datagram is whole and the fragment header gone.
			proto = t.Pkt.Data[named]
			continue
		case packet.NoNext:
			return Delivered
		default:
			r.take(p, proto, off, named)
			return Delivered
		}
		proto, named = d[off], off
		off += (int(d[off+1]) + 1) * 8
		if off > len(d) {
			return Delivered
		}
	}
}

// routing6 looks at a routing header; false ends the packet. Linux:
// ipv6_rthdr_rcv.
func (r *Router) routing6(p *passage, off int) bool {
	t := p.t
	d := t.Pkt.Data
	if t.Route.Type == route.Multicast || t.Pkt.Link.Type != packet.ToHost {
		return false
	}
	typ, left := d[off+2], d[off+3]
	switch {
	case typ == 4, typ == 3: // segment routing, RPL: off unless switched on
		return false
	case left == 0:
		return true
	}
	r.ICMPError(t, icmp6Parameter, icmp6BadField, uint32(off+2))
	return false
}

// gather6 reassembles where connection tracking does not. Linux:
// ipv6_frag_rcv.
func (r *Router) gather6(p *passage, off int) (Fate, bool) {
	t := p.t
	d := t.Pkt.Data
	if off+8 > len(d) {
		r.ICMPError(t, icmp6Parameter, icmp6BadField, uint32(off))
		return Delivered, true
	}
	st, cause := r.frags.Add(t.Pkt, defrag.Deliver, 0, t.In, t.Now)
	switch {
	case st == defrag.Waiting:
		return Held, true
	case st == defrag.Complete:
		return 0, false
	case cause == defrag.OddLength:
		r.ICMPError(t, icmp6Parameter, icmp6BadField, 4)
	case cause == defrag.HeadersSplit:
		r.ICMPError(t, icmp6Parameter, icmp6HeadersSplit, 0)
	}
	if st == defrag.PassedOn {
		return Delivered, true
	}
	return p.drop(reasonOf(cause)), true
}
