package gateway

import (
	"fmt"

	"weir/engine"
	"weir/iface"
	"weir/machine"
	"weir/packet"
)

// plugLocal makes the port that leads to the machine's own stack: lo's.
func (g *Gateway) plugLocal() (errs []error) {
	if len(g.mach.Listen) > 0 {
		errs = append(errs, fmt.Errorf("%s: listen: with local: %s the sockets are those of the system", g.mach.Dir, g.mach.LocalTUN))
	}
	lo := g.eng.Routes().Loopback()
	p := &port{g: g, name: machine.Local, local: true, given: g.opt.Devices[machine.Local]}
	p.link = machine.Link{Iface: &iface.Iface{Name: machine.Local, MTU: g.smallestMTU()}, Kind: machine.TUN, Device: g.mach.LocalTUN}
	p.iface.Store(lo)
	g.ports = append(g.ports, p)
	g.byDev[lo.Index] = p
	return errs
}

// smallestMTU is what the machine's own stack may send by any interface.
func (g *Gateway) smallestMTU() int {
	m := maxPacket
	for _, i := range g.mach.Ifaces {
		if !i.Loopback {
			m = min(m, i.MTU)
		}
	}
	return m
}

// carryLocal lets packets of the machine's own stack leave. Those from other
// addresses than the machine's, such as what a system says by itself on a
// device, are dropped.
func (w *worker) carryLocal(batch []Packet) {
	p, g := w.p, w.p.g
	p.stats.rx.add(uint64(len(batch)), bytesOf(batch))
	now := g.clock()
	w.arena = w.arena[:0]
	g.eng.Do(func() {
		for i := range batch {
			b := &batch[i]
			if !g.ours(b.Data) {
				p.stats.foreign.Add(1)
				continue
			}
			r := g.eng.Depart(&engine.Departure{Data: b.Data, Offload: b.Offload}, now)
			for k := range r.Out {
				// Others use the machine before this is sent.
				at := len(w.arena)
				w.arena = append(w.arena, r.Out[k].Data...)
				r.Out[k].Data = w.arena[at:len(w.arena):len(w.arena)]
			}
			w.sender.queue(r.Out)
		}
	})
	w.sender.flush()
}

// ours reports a packet from an address of the machine. Only within Do.
func (g *Gateway) ours(d []byte) bool {
	p := packet.Packet{Data: d}
	switch {
	case len(d) >= 20 && d[0]>>4 == 4:
		p.Family = packet.IPv4
	case len(d) >= 40 && d[0]>>4 == 6:
		p.Family = packet.IPv6
	default:
		return false
	}
	return g.eng.Routes().IsLocal(p.Family, p.Src())
}
