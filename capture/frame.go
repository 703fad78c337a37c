package capture

import (
	"encoding/binary"

	"weir/packet"
)

// Frame is what a record holds once its link layer is off.
type Frame struct {
	// IP is the bytes from the IP header on. Padding of the link may follow
	// the datagram.
	IP   []byte
	Link packet.Link
	// Outgoing: the capture marks the frame as sent by its machine.
	Outgoing bool
	// IfIndex is the interface index of a LINUX_SLL2 header, else 0.
	IfIndex int
	// VLAN is the id of the 802.1Q tag, -1 without one. A second tag makes
	// it the outer one and the frame Unreadable.
	VLAN int
	// Why says why there is no IP packet to see; empty if there is one.
	Why string
	// Unsupported: Why is a shortcoming of the reader, not a frame of
	// another protocol.
	Unsupported bool
}

const (
	etherIPv4 = 0x0800
	etherIPv6 = 0x86dd
	etherVLAN = 0x8100
	etherQinQ = 0x88a8
	etherQold = 0x9100
)

// Decode takes the link layer off a record. The result points into r.Data.
func (r *Record) Decode(f *Frame) {
	*f = Frame{VLAN: -1, Outgoing: r.Dir == Outbound}
	switch r.Reception {
	case MulticastFrame:
		f.Link.Type = packet.ToMulticast
	case BroadcastFrame:
		f.Link.Type = packet.ToBroadcast
	case Promiscuous:
		f.Link.Type = packet.ToOther
	}
	d := r.Data
	switch r.LinkType {
	case LinkRaw, LinkIPv4, LinkIPv6:
		f.IP = d
	case LinkNull, LinkLoop:
		f.null(d, r.LinkType == LinkLoop)
	case LinkEther:
		f.ether(d, r.Reception == ReceptionUnknown)
	case LinkSLL:
		if len(d) < 16 {
			f.Why = "cut off in the link header"
			return
		}
		f.cooked(d, binary.BigEndian.Uint16(d), binary.BigEndian.Uint16(d[14:]), 16)
	case LinkSLL2:
		if len(d) < 20 {
			f.Why = "cut off in the link header"
			return
		}
		f.IfIndex = int(binary.BigEndian.Uint32(d[4:]))
		f.cooked(d, uint16(d[10]), binary.BigEndian.Uint16(d), 20)
	default:
		f.Why = "link type " + linkName(r.LinkType) + " is not supported"
		f.Unsupported = true
	}
}

// null is BSD loopback: the address family in the byte order of the machine
// that captured, so whichever order makes sense.
func (f *Frame) null(d []byte, big bool) {
	if len(d) < 4 {
		f.Why = "cut off in the link header"
		return
	}
	af := binary.LittleEndian.Uint32(d)
	if big || af > 0xffff {
		af = binary.BigEndian.Uint32(d)
	}
	switch af {
	case 2, 10, 24, 28, 30: // AF_INET; AF_INET6 of Linux, NetBSD, FreeBSD, Darwin
		f.IP = d[4:]
	default:
		f.Why = "not IP"
	}
}

func (f *Frame) ether(d []byte, addressed bool) {
	if len(d) < 14 {
		f.Why = "cut off in the link header"
		return
	}
	f.Link.HasMAC = true
	copy(f.Link.Dst[:], d)
	copy(f.Link.Src[:], d[6:])
	if addressed && d[0]&1 != 0 {
		f.Link.Type = packet.ToMulticast
		if f.Link.Dst == [6]byte{255, 255, 255, 255, 255, 255} {
			f.Link.Type = packet.ToBroadcast
		}
	}
	f.upper(d, binary.BigEndian.Uint16(d[12:]), 14)
}

// cooked is what both SLL headers share. typ is the packet type, 4 outgoing.
func (f *Frame) cooked(d []byte, typ, proto uint16, n int) {
	switch typ {
	case 1:
		f.Link.Type = packet.ToBroadcast
	case 2:
		f.Link.Type = packet.ToMulticast
	case 3:
		f.Link.Type = packet.ToOther
	case 4:
		f.Outgoing = true
	}
	f.upper(d, proto, n)
}

// upper reads VLAN tags and takes the IP packet behind them.
func (f *Frame) upper(d []byte, proto uint16, n int) {
	for proto == etherVLAN || proto == etherQinQ || proto == etherQold {
		if len(d) < n+4 {
			f.Why = "cut off in the VLAN tag"
			return
		}
		if f.VLAN >= 0 {
			f.Why, f.Unsupported = "two VLAN tags are not supported", true
			return
		}
		f.VLAN = int(binary.BigEndian.Uint16(d[n:]) & 0xfff)
		proto = binary.BigEndian.Uint16(d[n+2:])
		n += 4
	}
	f.Link.Proto = proto
	if proto != etherIPv4 && proto != etherIPv6 {
		f.Why = "not IP"
		return
	}
	f.IP = d[n:]
}

// linkName is the LINKTYPE_ name of the types one is likely to meet.
func linkName(t uint16) string {
	switch t {
	case 9:
		return "PPP (9)"
	case 105:
		return "IEEE802_11 (105)"
	case 127:
		return "IEEE802_11_RADIOTAP (127)"
	case 239:
		return "NFLOG (239)"
	case 253:
		return "NETLINK (253)"
	}
	var b [5]byte
	i := len(b)
	for {
		i--
		b[i] = byte('0' + t%10)
		t /= 10
		if t == 0 {
			return string(b[i:])
		}
	}
}
