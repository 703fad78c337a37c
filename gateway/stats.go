package gateway

import (
	"runtime"
	"sync/atomic"
)

// Stats counts what a device carried.
type Stats struct {
	Iface  string // the machine's name
	Device string // the system's name; empty while it is gone
	Queues int
	// Packets and bytes from the IP header on; a packet that holds several
	// segments counts as one.
	RxPackets, RxBytes uint64
	TxPackets, TxBytes uint64
	// TxDropped is packets that the device did not take.
	TxDropped uint64
	// Foreign is packets of the machine's own stack that came from addresses
	// which are not the machine's, and were dropped.
	Foreign uint64
	// Reopened is how often the device was gone and came back.
	Reopened uint64
}

// counter counts one direction.
type counter struct{ packets, bytes atomic.Uint64 }

func (c *counter) add(packets, bytes uint64) {
	c.packets.Add(packets)
	c.bytes.Add(bytes)
}

type counters struct {
	rx, tx    counter
	txDropped atomic.Uint64
	foreign   atomic.Uint64
	reopened  atomic.Uint64
}

func bytesOf(batch []Packet) (n uint64) {
	for i := range batch {
		n += uint64(len(batch[i].Data))
	}
	return n
}

// Stats are the counters of the devices, in the order of the interfaces.
func (g *Gateway) Stats() []Stats {
	list := make([]Stats, 0, len(g.ports))
	for _, p := range g.ports {
		s := Stats{
			Iface:     p.name,
			RxPackets: p.stats.rx.packets.Load(), RxBytes: p.stats.rx.bytes.Load(),
			TxPackets: p.stats.tx.packets.Load(), TxBytes: p.stats.tx.bytes.Load(),
			TxDropped: p.stats.txDropped.Load(), Foreign: p.stats.foreign.Load(), Reopened: p.stats.reopened.Load(),
		}
		p.mu.Lock()
		if p.dev != nil {
			s.Device, s.Queues = p.dev.Name(), len(*p.queues.Load())
		}
		p.mu.Unlock()
		list = append(list, s)
	}
	return list
}

// queues is how many queues a device may have.
func (g *Gateway) queues() int {
	if g.opt.Queues > 0 {
		return g.opt.Queues
	}
	return runtime.GOMAXPROCS(0)
}
