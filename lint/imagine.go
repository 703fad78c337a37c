package lint

import (
	"fmt"
	"net/netip"
	"strings"

	"weir/engine"
	"weir/iface"
	"weir/packet"
	"weir/route"
	"weir/xtables"
)

func addrValue(f packet.Family, s string) xtables.Value {
	return xtables.AddrValue(f, packet.AddrOf(netip.MustParseAddr(s)))
}

// maxIfaces bounds the interfaces of a machine that is made up.
const maxIfaces = 200

// Imagine makes up a machine for rules that come without one: an interface for
// each name that they ask for and two more, net1 and net2, each with an address
// of its own. It has no rules, forwards, and sends by net2 what it has no other
// way for.
func Imagine(sets ...*xtables.Ruleset) engine.Config {
	c := engine.Config{Seed: 1, Sysctl: map[string]string{"net.ipv4.ip_forward": "1", "net.ipv6.conf.all.forwarding": "1"}}
	seen := map[string]bool{"lo": true, "": true}
	add := func(name string) {
		name = strings.Replace(name, "+", "0", 1)
		if seen[name] || name == "0" || len(name) > 15 || strings.ContainsAny(name, " /:") || len(c.Ifaces) == maxIfaces {
			return
		}
		seen[name] = true
		n := len(c.Ifaces) + 1
		c.Ifaces = append(c.Ifaces, &iface.Iface{Index: n + 1, Name: name, MTU: 1500, Addrs: []iface.Addr{
			{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, byte(n), 1}), 24)},
			{Prefix: netip.MustParsePrefix(fmt.Sprintf("2001:db8:%x::1/64", n))},
		}})
	}
	for _, rs := range sets {
		if rs == nil {
			continue
		}
		for _, t := range rs.Tables {
			for _, ch := range t.Chains {
				for _, r := range ch.Rules {
					add(r.Base.In)
					add(r.Base.Out)
				}
			}
		}
	}
	add("net1")
	seen["net2"] = false
	add("net2")
	last := c.Ifaces[len(c.Ifaces)-1]
	for _, to := range []string{"0.0.0.0/0", "::/0"} {
		c.Routes = append(c.Routes, route.Route{To: netip.MustParsePrefix(to), Dev: last, Type: route.Unicast})
	}
	return c
}
