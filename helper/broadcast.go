package helper

import (
	"weir/conntrack"
	"weir/hook"
	"weir/packet"
	"weir/route"
)

// netbiosNS expects the answers to this machine's own broadcasts.
// Linux: nf_conntrack_netbios_ns.c.
func netbiosNS() helper {
	return helper{name: "netbios-ns", families: four(), proto: packet.UDP, classes: one(1, 3*second), help: func(k *call) hook.Verdict {
		k.broadcast(3 * second)
		return hook.Accept
	}}
}

// broadcast expects answers from the whole network to which a packet of this
// machine's own is broadcast. Linux: nf_conntrack_broadcast.c.
func (k *call) broadcast(timeout int64) {
	t := k.t
	if !t.Local || t.Copy || t.Route.Type != route.Broadcast || k.dir != conntrack.Original || t.Out == nil {
		return
	}
	bits := -1
	for _, a := range t.Out.Addrs {
		if !a.Secondary && a.Broadcast.Is4() && packet.AddrOf(a.Broadcast) == t.Pkt.Dst() {
			bits = a.Prefix.Bits()
			break
		}
	}
	if bits <= 0 {
		return
	}
	e := conntrack.Expect{Master: k.c.ID(), Tuple: k.c.Tuple[conntrack.Reply], SrcL4Mask: 0xffff, Flags: conntrack.ExpectPermanent}
	for i := range bits {
		e.SrcMask[i/8] |= 0x80 >> (i % 8)
	}
	k.enter(&e, false)
	k.tb.Refresh(k.c, timeout, t.Now)
}
