package netstack

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

// Host is a host of its own with one interface.
type Host struct {
	stack *stack.Stack
	addr  netip.Prefix
}

// NewHost makes a host with an address and a default route by router.
func NewHost(link stack.LinkEndpoint, addr netip.Prefix, router netip.Addr) (*Host, error) {
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol, arp.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol},
	})
	if err := s.CreateNIC(1, link); err != nil {
		return nil, fmt.Errorf("interface: %v", err)
	}
	proto, any := ipv4.ProtocolNumber, header.IPv4EmptySubnet
	if addr.Addr().Is6() {
		proto, any = ipv6.ProtocolNumber, header.IPv6EmptySubnet
	}
	a := tcpip.ProtocolAddress{Protocol: proto, AddressWithPrefix: tcpip.AddressWithPrefix{
		Address: tcpip.AddrFromSlice(addr.Addr().AsSlice()), PrefixLen: addr.Bits(),
	}}
	if err := s.AddProtocolAddress(1, a, stack.AddressProperties{}); err != nil {
		return nil, fmt.Errorf("%v: %v", addr, err)
	}
	s.SetRouteTable([]tcpip.Route{
		{Destination: a.AddressWithPrefix.Subnet(), NIC: 1},
		{Destination: any, Gateway: tcpip.AddrFromSlice(router.AsSlice()), NIC: 1},
	})
	return &Host{s, addr}, nil
}

// Dial connects by TCP; network and address are those of net.Dial, without
// names.
func (h *Host) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	return gonet.DialContextTCP(ctx, h.stack, full(to), number(to.Addr()))
}

// Listen takes TCP connections to a port.
func (h *Host) Listen(port uint16) (net.Listener, error) {
	at := netip.AddrPortFrom(h.addr.Addr(), port)
	return gonet.ListenTCP(h.stack, full(at), number(at.Addr()))
}

// Client is an HTTP client on the host that gives up after a while.
func (h *Host) Client(patience time.Duration) *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: h.Dial, DisableKeepAlives: true}, Timeout: patience}
}

func full(a netip.AddrPort) tcpip.FullAddress {
	return tcpip.FullAddress{NIC: 1, Addr: tcpip.AddrFromSlice(a.Addr().AsSlice()), Port: a.Port()}
}

func number(a netip.Addr) tcpip.NetworkProtocolNumber {
	if a.Is6() {
		return ipv6.ProtocolNumber
	}
	return ipv4.ProtocolNumber
}
