package gateway

import (
	"encoding/binary"
	"errors"
	"sync"

	"weir/iface"
	"weir/packet"
)

// MAC is an Ethernet address.
type MAC = [6]byte

// Frame is one Ethernet frame of a batch.
type Frame struct {
	// Head is the 14 bytes of the header, Data what follows.
	Head, Data []byte
	Offload    packet.Offload
}

// FrameDevice carries Ethernet frames; NewEthernet makes a Device of it.
type FrameDevice interface {
	Name() string
	MTU() int // bytes of an IP packet
	Offloads() bool
	Up() error
	FrameQueues() []FrameQueue
	Stop() error
	Close() error
}

// FrameQueue is one queue of a FrameDevice, with the rules of Queue.
type FrameQueue interface {
	ReadFrames(batch []Frame) (n int, err error)
	WriteFrames(batch []Frame) (n int, err error)
}

// EtherTypes.
const (
	typeIPv4 = 0x0800
	typeARP  = 0x0806
	typeIPv6 = 0x86dd

	headLen = 14
)

// Ethernet is a Device on a link with Ethernet frames: it finds the neighbours
// of the link by ARP and neighbour discovery and answers for the addresses of
// the machine. Make one with NewEthernet.
type Ethernet struct {
	FrameDevice
	mac    MAC
	queues []*etherQueue
	neigh  neighbours
	port   *port // set before the first packet
	// writers are what Write needs, of which several may run.
	writers sync.Pool
}

// etherQueue is one queue.
type etherQueue struct {
	e      *Ethernet
	f      FrameQueue
	frames []Frame
}

// NewEthernet makes a device that has the address mac on its link.
func NewEthernet(f FrameDevice, mac MAC) *Ethernet {
	e := &Ethernet{FrameDevice: f, mac: mac}
	e.neigh.init()
	e.writers.New = func() any { return new(etherWriter) }
	for _, q := range f.FrameQueues() {
		e.queues = append(e.queues, &etherQueue{e: e, f: q, frames: make([]Frame, batchSize)})
	}
	return e
}

// Queues implements Device.
func (e *Ethernet) Queues() []Queue {
	list := make([]Queue, len(e.queues))
	for i, q := range e.queues {
		list[i] = q
	}
	return list
}

// Read implements Queue. Frames that are not IP are dealt with here.
func (q *etherQueue) Read(batch []Packet) (n int, err error) {
	for n == 0 {
		k, err := q.f.ReadFrames(q.frames[:min(len(batch), len(q.frames))])
		for i := range q.frames[:k] {
			f := &q.frames[i]
			switch proto := binary.BigEndian.Uint16(f.Head[12:]); proto {
			case typeIPv4, typeIPv6:
				b := &batch[n]
				*b = Packet{Data: f.Data, Offload: f.Offload}
				b.Link = packet.Link{Type: q.e.typeOf(f.Head), HasMAC: true, Dst: MAC(f.Head), Src: MAC(f.Head[6:]), Proto: proto}
				n++
			case typeARP:
				q.e.arp(f)
			}
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// typeOf says how a frame is addressed.
func (e *Ethernet) typeOf(head []byte) packet.LinkType {
	switch dst := MAC(head); {
	case dst == e.mac:
		return packet.ToHost
	case dst == broadcastMAC():
		return packet.ToBroadcast
	case dst[0]&1 != 0:
		return packet.ToMulticast
	}
	return packet.ToOther
}

func broadcastMAC() MAC { return MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff} }

// Write implements Queue. Packets whose neighbour is not known yet wait for it,
// and count as sent.
func (q *etherQueue) Write(batch []Packet) (n int, err error) {
	w := q.e.writers.Get().(*etherWriter)
	defer q.e.writers.Put(w)
	w.frames, w.heads = w.frames[:0], w.heads[:0]
	waiting := 0
	for i := range batch {
		to, ok := q.e.nextHop(&batch[i])
		if !ok {
			waiting++
			continue
		}
		w.add(to, q.e.mac, &batch[i])
	}
	if len(w.frames) > 0 {
		n, err = q.f.WriteFrames(w.frames)
	}
	return n + waiting, err
}

// nextHop is the link address that a packet goes to; not ok: the packet waits.
func (e *Ethernet) nextHop(b *Packet) (MAC, bool) {
	d := b.Data
	via, fam := b.Via, packet.IPv4
	if d[0]>>4 == 6 {
		fam = packet.IPv6
	}
	if via.IsZero() {
		p := packet.Packet{Data: d, Family: fam}
		via = p.Dst()
		switch {
		case fam == packet.IPv6 && via[0] == 0xff:
			return MAC{0x33, 0x33, via[12], via[13], via[14], via[15]}, true
		case fam == packet.IPv4 && via[0]&0xf0 == 0xe0:
			return MAC{1, 0, 0x5e, via[1] & 0x7f, via[2], via[3]}, true
		case fam == packet.IPv4 && broadcast4(e.port.iface.Load(), via):
			return broadcastMAC(), true
		}
	}
	mac, ok, ask := e.neigh.use(hop{via, fam}, b, e.port.g.clock())
	if ask != nil {
		e.solicit(ask)
	}
	return mac, ok
}

// broadcast4 reports an IPv4 broadcast address of an interface.
func broadcast4(i *iface.Iface, a packet.Addr) bool {
	if a == (packet.Addr{0xff, 0xff, 0xff, 0xff}) {
		return true
	}
	for _, x := range i.Addrs {
		if !x.Prefix.Addr().Is4() || x.Prefix.Bits() > 30 {
			continue
		}
		if x.Broadcast.IsValid() {
			if packet.AddrOf(x.Broadcast) == a {
				return true
			}
			continue
		}
		last := x.Prefix.Addr().As4()
		binary.BigEndian.PutUint32(last[:], binary.BigEndian.Uint32(last[:])|(1<<(32-x.Prefix.Bits())-1))
		if a == (packet.Addr{last[0], last[1], last[2], last[3]}) {
			return true
		}
	}
	return false
}

// etherWriter is the memory of one Write.
type etherWriter struct {
	frames []Frame
	heads  []byte
}

func (w *etherWriter) add(to, from MAC, b *Packet) {
	if cap(w.heads)-len(w.heads) < headLen {
		w.heads = make([]byte, 0, max(2*cap(w.heads), 4*batchSize*headLen)) // those before keep theirs
	}
	at := len(w.heads)
	w.heads = w.heads[:at+headLen]
	h := w.heads[at:]
	copy(h, to[:])
	copy(h[6:], from[:])
	proto := uint16(typeIPv4)
	if b.Data[0]>>4 == 6 {
		proto = typeIPv6
	}
	binary.BigEndian.PutUint16(h[12:], proto)
	w.frames = append(w.frames, Frame{Head: h[:headLen:headLen], Data: b.Data, Offload: b.Offload})
}

// gone implements leaver.
func (e *Ethernet) gone() error {
	if d, ok := e.FrameDevice.(leaver); ok {
		return d.gone()
	}
	return nil
}

// Resume takes back a Stop, if the device below can.
func (e *Ethernet) Resume() error {
	if r, ok := e.FrameDevice.(interface{ Resume() error }); ok {
		return r.Resume()
	}
	return errors.New("the device stops for good")
}
