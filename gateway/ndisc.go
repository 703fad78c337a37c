package gateway

import (
	"encoding/binary"

	"weir/engine"
	"weir/packet"
)

// Neighbour discovery (RFC 4861).
const (
	ndSolicit   = 135
	ndAdvertise = 136
	ndHops      = 255

	ndSource = 1 // options: the sender's link address, and the target's
	ndTarget = 2

	ndRouter    = 0x80 // flags of an advertisement
	ndSolicited = 0x40
	ndOverride  = 0x20
)

// isND reports a packet of neighbour discovery that the machine took: rules
// of INPUT have seen it, as in Linux.
func isND(d []byte) bool {
	return len(d) >= 64 && d[0]>>4 == 6 && d[6] == packet.ICMPv6 && (d[40] == ndSolicit || d[40] == ndAdvertise)
}

// discover takes a solicitation or an advertisement. Linux: net/ipv6/ndisc.c
// ndisc_recv_ns, ndisc_recv_na.
func (e *Ethernet) discover(d []byte) {
	p := packet.Packet{}
	if packet.Parse(d, &p) != nil || p.TTL() != ndHops || p.L4 != 40 || len(p.Data) < 64 || !p.L4ChecksumOK() {
		return
	}
	m := p.Data[40:]
	var target packet.Addr
	copy(target[:], m[8:24])
	if m[1] != 0 || target[0] == 0xff {
		return
	}
	src, dst := p.Src(), p.Dst()
	now := e.port.g.clock()
	if m[0] == ndSolicit {
		mac, has, ok := linkAddress(m[24:], ndSource)
		if !ok || src.IsZero() && has || !e.owns6(target) {
			return
		}
		e.advertise(src, dst, target, mac, has, now)
		return
	}
	mac, has, ok := linkAddress(m[24:], ndTarget)
	if !ok || dst[0] == 0xff && m[4]&ndSolicited != 0 || !has || e.owns6(target) {
		return
	}
	e.release(e.neigh.learn(hop{target, packet.IPv6}, mac, false, m[4]&ndOverride != 0, m[4]&ndSolicited != 0, now))
}

// linkAddress finds a link address among the options; not ok: they are broken.
func linkAddress(o []byte, kind byte) (mac MAC, has, ok bool) {
	for len(o) > 0 {
		if len(o) < 8 || o[1] == 0 || len(o) < int(o[1])*8 {
			return mac, false, false
		}
		if o[0] == kind && !has {
			if o[1] != 1 {
				return mac, false, false
			}
			mac, has = MAC(o[2:]), true
		}
		o = o[int(o[1])*8:]
	}
	return mac, has, true
}

// owns6 reports an address of the link's interface.
func (e *Ethernet) owns6(a packet.Addr) bool {
	for _, x := range e.port.iface.Load().Addrs {
		if x.Prefix.Addr().Is6() && packet.AddrOf(x.Prefix.Addr()) == a {
			return true
		}
	}
	return false
}

// advertise answers a solicitation.
func (e *Ethernet) advertise(src, dst, target packet.Addr, mac MAC, has bool, now int64) {
	flags := byte(ndOverride)
	to := src
	if src.IsZero() { // somebody wants to know whether the address is taken
		to = packet.Addr{0xff, 2, 15: 1}
	} else {
		flags |= ndSolicited
		if has {
			e.release(e.neigh.learn(hop{src, packet.IPv6}, mac, true, true, false, now))
		}
	}
	if e.port.g.routes6.Load() {
		flags |= ndRouter
	}
	e.sendND(ndAdvertise, flags, target, to, target, ndTarget)
}

// solicit6 asks for a neighbour. Linux: ndisc_solicit.
func (e *Ethernet) solicit6(q *question) {
	var src packet.Addr
	if len(q.data) >= 40 {
		copy(src[:], q.data[8:24])
	}
	if src.IsZero() || !e.owns6(src) {
		src = packet.Addr{}
		for _, x := range e.port.iface.Load().Addrs {
			if a := x.Prefix.Addr(); a.Is6() && a.IsLinkLocalUnicast() {
				src = packet.AddrOf(a)
				break
			}
		}
	}
	if src.IsZero() {
		return
	}
	a := q.hop.addr
	to := packet.Addr{0xff, 2, 11: 1, 12: 0xff, 13: a[13], 14: a[14], 15: a[15]}
	if q.uni {
		to = a
	}
	e.sendND(ndSolicit, 0, src, to, a, ndSource)
}

// sendND sends a message by way of OUTPUT and POSTROUTING.
func (e *Ethernet) sendND(typ, flags byte, src, dst, target packet.Addr, option byte) {
	d := make([]byte, 72)
	d[0], d[6], d[7] = 0x60, packet.ICMPv6, ndHops
	binary.BigEndian.PutUint16(d[4:], 32)
	copy(d[8:], src[:])
	copy(d[24:], dst[:])
	m := d[40:]
	m[0], m[4] = typ, flags
	copy(m[8:], target[:])
	m[24], m[25] = option, 1
	copy(m[26:], e.mac[:])
	p := packet.Packet{Data: d, Family: packet.IPv6}
	p.Reparse()
	p.FixL4Checksum()
	out := e.port.iface.Load()
	now := e.port.g.clock()
	var list [][]byte
	e.port.g.Do(func(m *engine.Machine) {
		for _, o := range m.Depart(&engine.Departure{Data: d, Out: out}, now).Out {
			if o.Dev == out {
				list = append(list, append([]byte(nil), o.Data...))
			}
		}
	})
	for _, b := range list {
		_, _ = e.queues[0].Write([]Packet{{Data: b}})
	}
}
