package gateway

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"weir/iface"
	"weir/packet"
)

func TestBroadcastAddresses(t *testing.T) {
	i := &iface.Iface{Addrs: []iface.Addr{
		{Prefix: netip.MustParsePrefix("203.0.113.2/24")},
		{Prefix: netip.MustParsePrefix("192.0.2.0/31")},
		{Prefix: netip.MustParsePrefix("198.51.100.1/25"), Broadcast: netip.MustParseAddr("198.51.100.99")},
	}}
	for a, want := range map[string]bool{
		"255.255.255.255": true, "203.0.113.255": true, "198.51.100.99": true,
		"203.0.113.1": false, "203.0.113.2": false, "192.0.2.1": false, "198.51.100.127": false,
	} {
		if got := broadcast4(i, packet.AddrOf(netip.MustParseAddr(a))); got != want {
			t.Errorf("%s: %v", a, got)
		}
	}
}

func TestFramesOfAnotherVLAN(t *testing.T) {
	aux := func(status uint32) []byte {
		b := make([]byte, 40)
		ne := binary.NativeEndian
		ne.PutUint64(b, 36) // struct cmsghdr: length, level, type
		ne.PutUint32(b[8:], 263)
		ne.PutUint32(b[12:], 8)
		ne.PutUint32(b[16:], status)
		return b
	}
	if !tagged(aux(1<<4)) || tagged(aux(1)) || tagged(nil) {
		t.Error("the tag is told wrongly")
	}
}
