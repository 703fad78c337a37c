// Package netstack puts weir in front of gVisor's network stack: what the
// stack sends goes through weir's rules and NAT, and nothing reaches it
// otherwise. It is the shape of gvisor-tap-vsock and of sandboxes that have
// gVisor as their network.
package netstack

import (
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"weir/gateway"
)

// Link is a stack.LinkEndpoint on one end of a link in memory, whose other end
// is an interface of a gateway.
type Link struct {
	*channel.Endpoint
	end *gateway.End
}

// New makes the link endpoint of an end. It lasts until the end is closed.
func New(end *gateway.End) *Link {
	l := &Link{channel.New(256, uint32(end.MTU()), ""), end}
	l.AddNotify(l)
	go l.receive()
	return l
}

// WriteNotify sends what the stack has written; gVisor calls it.
func (l *Link) WriteNotify() {
	for p := l.Read(); p != nil; p = l.Read() {
		v := p.ToView()
		l.end.Write([]gateway.Packet{{Data: v.AsSlice()}}) // what does not fit is lost, as on any link
		v.Release()
		p.DecRef()
	}
}

// receive hands packets to the stack.
func (l *Link) receive() {
	batch := make([]gateway.Packet, 64)
	for {
		n, err := l.end.Read(batch)
		if err != nil {
			return
		}
		for _, in := range batch[:n] {
			proto := ipv4.ProtocolNumber
			if header.IPVersion(in.Data) == header.IPv6Version {
				proto = ipv6.ProtocolNumber
			}
			p := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(in.Data)})
			l.InjectInbound(proto, p)
			p.DecRef()
		}
	}
}
