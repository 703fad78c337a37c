package match

import (
	"weir/hook"
	"weir/packet"
)

// extHeader finds an IPv6 extension header of a kind. ok is false if there is
// none; a chain that is cut off before it is dropped.
//
// Linux: net/ipv6/exthdrs_core.c ipv6_find_hdr.
func extHeader(t *hook.Traversal, kind uint8, need int) (h []byte, ok bool) {
	d := t.Pkt.Data
	next, off := d[6], 40
	for {
		found := next == kind
		if !found && !isExt(next) {
			return nil, false
		}
		if len(d)-off < 2 || (next == packet.Fragment || next == packet.Routing) && len(d)-off < 4 {
			t.Hotdrop = true
			return nil, false
		}
		if found {
			if len(d)-off < need {
				t.Hotdrop = true
				return nil, false
			}
			return d[off:], true
		}
		n := (int(d[off+1]) + 1) * 8
		switch next {
		case packet.Fragment:
			if d[off+2] != 0 || d[off+3]&0xf8 != 0 {
				return nil, false // behind it stands the middle of something
			}
			n = 8
		case packet.AH:
			n = (int(d[off+1]) + 2) * 4
		}
		next, off = d[off], off+n
	}
}

func isExt(n uint8) bool {
	switch n {
	case packet.HopByHop, packet.Routing, packet.Fragment, packet.AH, packet.DestOpts:
		return true
	}
	return false
}
