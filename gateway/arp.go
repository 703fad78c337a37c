package gateway

import (
	"encoding/binary"

	"weir/engine"
	"weir/packet"
	"weir/route"
)

// ARP (RFC 826).
const (
	arpLen     = 28
	arpRequest = 1
	arpReply   = 2
)

// arp takes an ARP frame: it answers for the addresses of the machine and
// learns. Linux: net/ipv4/arp.c arp_process, with arp_ignore, arp_filter and
// proxy_arp off.
func (e *Ethernet) arp(f *Frame) {
	d, be := f.Data, binary.BigEndian
	if len(d) < arpLen || be.Uint16(d) != 1 || be.Uint16(d[2:]) != typeIPv4 || d[4] != 6 || d[5] != 4 {
		return
	}
	op := be.Uint16(d[6:])
	if op != arpRequest && op != arpReply {
		return
	}
	kind := e.typeOf(f.Head)
	if kind == packet.ToOther {
		return
	}
	var from, to packet.Addr
	mac := MAC(d[8:])
	copy(from[:4], d[14:18])
	copy(to[:4], d[24:28])
	if to[0]&0xf0 == 0xe0 || to[0] == 127 {
		return
	}
	now := e.port.g.clock()
	ours, foreign := e.owns4(from, to)
	if op == arpRequest && ours && foreign {
		if !from.IsZero() {
			e.release(e.neigh.learn(hop{from, packet.IPv4}, mac, true, true, false, now))
		}
		e.sendARP(arpReply, mac, mac, to, from)
		return
	}
	// An answer, or somebody who tells all of his address.
	if !from.IsZero() && foreign {
		e.release(e.neigh.learn(hop{from, packet.IPv4}, mac, false, true, op == arpReply && kind == packet.ToHost, now))
	}
}

// owns4 asks the machine whether a target is its own, and whether a sender is
// another and may be on this link.
func (e *Ethernet) owns4(from, to packet.Addr) (ours, foreign bool) {
	in := e.port.iface.Load()
	e.port.g.Do(func(m *engine.Machine) {
		rt := m.Routes()
		ours = rt.IsLocal(packet.IPv4, to)
		foreign = from.IsZero() || !rt.IsLocal(packet.IPv4, from)
		if ours && foreign && !from.IsZero() {
			v := rt.CheckSource(&route.Source{Src: from, Dst: to, In: in})
			foreign = v == route.SourceOK || v == route.SourceDirect
		}
	})
	return ours, foreign
}

// sendARP sends a request or a reply. to is where the frame goes, target the
// link address that stands in it.
func (e *Ethernet) sendARP(op uint16, to, target MAC, from, about packet.Addr) {
	var b [headLen + arpLen]byte
	be := binary.BigEndian
	copy(b[:], to[:])
	copy(b[6:], e.mac[:])
	be.PutUint16(b[12:], typeARP)
	d := b[headLen:]
	be.PutUint16(d, 1)
	be.PutUint16(d[2:], typeIPv4)
	d[4], d[5] = 6, 4
	be.PutUint16(d[6:], op)
	copy(d[8:], e.mac[:])
	copy(d[14:], from[:4])
	copy(d[18:], target[:])
	copy(d[24:], about[:4])
	_, _ = e.queues[0].f.WriteFrames([]Frame{{Head: b[:headLen], Data: d}})
}

// solicit asks for a neighbour.
func (e *Ethernet) solicit(q *question) {
	if q.hop.fam == packet.IPv6 {
		e.solicit6(q)
		return
	}
	// The sender is that of the packet, if it is the machine's (arp_announce 0).
	var src packet.Addr
	if len(q.data) >= 20 {
		copy(src[:4], q.data[12:16])
	}
	out := e.port.iface.Load()
	e.port.g.Do(func(m *engine.Machine) {
		if src.IsZero() || !m.Routes().IsLocal(packet.IPv4, src) {
			src = m.Routes().LinkSource(q.hop.addr, out)
		}
	})
	to := broadcastMAC()
	if q.uni {
		to = q.mac
	}
	e.sendARP(arpRequest, to, MAC{}, src, q.hop.addr)
}

// release sends packets that waited for their neighbour.
func (e *Ethernet) release(list []Packet) {
	if len(list) > 0 {
		_, _ = e.queues[0].Write(list)
	}
}

// tick is called now and then.
func (e *Ethernet) tick(now int64) {
	for _, q := range e.neigh.tick(now) {
		e.solicit(q)
	}
}
