package socket

import (
	"net/netip"
	"testing"

	"weir/iface"
	"weir/packet"
)

// TestFind asks for the socket of a packet from 198.51.100.1:6000.
func TestFind(t *testing.T) {
	a := netip.MustParseAddr
	peer := netip.MustParseAddrPort("198.51.100.1:6000")
	list := List{
		0: {Proto: packet.UDP, Port: 53, V4: true, V6: true},
		1: {Proto: packet.UDP, Port: 53, V4: true},
		2: {Proto: packet.UDP, Port: 53, V4: true, Addr: a("192.0.2.1")},
		3: {Proto: packet.UDP, Port: 53, V4: true, Dev: "wan0"},
		4: {Proto: packet.UDP, Port: 54, V4: true, Addr: a("192.0.2.1"), Peer: peer},
		5: {Proto: packet.UDP, Port: 54, V4: true, Addr: a("192.0.2.1")},
		6: {Proto: packet.TCP, Port: 80, V4: true, Addr: a("192.0.2.1"), Peer: peer},
		7: {Proto: packet.TCP, Port: 80, V4: true},
		8: {Proto: packet.TCP, Port: 80, V4: true},
		9: {Proto: packet.UDP, Port: 55, V6: true},
	}
	for _, c := range []struct {
		name  string
		proto uint8
		dst   string
		port  uint16
		dev   string
		kind  Kind
		want  int
	}{
		{"the family's own stands before one of both", packet.UDP, "203.0.113.2", 53, "lan0", Any, 1},
		{"one of the interface stands before one of any", packet.UDP, "203.0.113.2", 53, "wan0", Any, 3},
		{"one of the address stands before one of the interface", packet.UDP, "192.0.2.1", 53, "wan0", Any, 2},
		{"a connected one stands before all", packet.UDP, "192.0.2.1", 54, "lan0", Any, 4},
		{"who wants no connected one gets none of UDP", packet.UDP, "192.0.2.1", 54, "lan0", Listening, -1},
		{"a connected segment", packet.TCP, "192.0.2.1", 80, "lan0", Any, 6},
		{"the newest of equals listens", packet.TCP, "192.0.2.1", 80, "lan0", Listening, 8},
		{"nobody is connected to the other address", packet.TCP, "192.0.2.2", 80, "lan0", Connected, -1},
		{"IPv6 alone does not take IPv4", packet.UDP, "192.0.2.1", 55, "lan0", Any, -1},
		{"no such port", packet.TCP, "192.0.2.1", 81, "lan0", Any, -1},
	} {
		q := Query{Family: packet.IPv4, Proto: c.proto, Src: packet.AddrOf(peer.Addr()), Sport: peer.Port(), Dst: packet.AddrOf(a(c.dst)), Dport: c.port, In: &iface.Iface{Name: c.dev}}
		got := -1
		if s := list.Find(&q, c.kind); s != nil {
			for i := range list {
				if s == &list[i] {
					got = i
				}
			}
		}
		if got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}
