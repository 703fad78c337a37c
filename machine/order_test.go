package machine

import (
	"net/netip"
	"testing"

	"weir/iface"
)

func TestIPv6AddressesAreTurnedRound(t *testing.T) {
	var list []iface.Addr
	for _, s := range []string{"192.0.2.1/24", "192.0.2.2/24", "2001:db8::3/64", "2001:db8::2/64", "fe80::1/64"} {
		list = append(list, iface.Addr{Prefix: netip.MustParsePrefix(s)})
	}
	oldestFirst(list)
	for i, want := range []string{"192.0.2.1/24", "192.0.2.2/24", "fe80::1/64", "2001:db8::2/64", "2001:db8::3/64"} {
		if got := list[i].Prefix.String(); got != want {
			t.Errorf("address %d is %s, want %s", i, got, want)
		}
	}
}
