package gateway

import (
	"fmt"
	"net"
	"net/netip"

	"weir/iface"
	"weir/machine"
)

// address gives interfaces on Ethernet what Linux gives them: the device's
// address, and where there is IPv6 the link-local address that follows from it.
func (g *Gateway) address(m *machine.Machine) (errs []error) {
	links := map[string]machine.Link{}
	for _, l := range m.Links {
		links[l.Iface.Name] = l
	}
	for _, i := range m.Ifaces {
		l := links[i.Name]
		given := g.opt.Devices[i.Name]
		e, ether := given.(*Ethernet)
		switch {
		case ether:
			i.MAC = e.mac
		case given != nil || l.Kind != machine.PacketDev && l.Kind != machine.XDP:
			continue
		case i.MAC == MAC{}:
			mac, known := g.macs[l.Device]
			if !known {
				dev, err := net.InterfaceByName(l.Device)
				if err != nil || len(dev.HardwareAddr) != len(mac) {
					errs = append(errs, fmt.Errorf("%s: interface %s: the system has no Ethernet device %s", m.Dir, i.Name, l.Device))
					continue
				}
				mac = MAC(dev.HardwareAddr)
				g.macs[l.Device] = mac // later it may be forbidden to ask
			}
			i.MAC = mac
		}
		if six, local := addresses6(i); six && !local {
			a := [16]byte{0: 0xfe, 1: 0x80, 8: i.MAC[0] ^ 2, 9: i.MAC[1], 10: i.MAC[2], 11: 0xff, 12: 0xfe, 13: i.MAC[3], 14: i.MAC[4], 15: i.MAC[5]}
			i.Addrs = append(i.Addrs, iface.Addr{Prefix: netip.PrefixFrom(netip.AddrFrom16(a), 64), Scope: iface.LinkLocal})
		}
	}
	return errs
}

// addresses6 says whether an interface has IPv6 addresses, and a link-local one
// among them.
func addresses6(i *iface.Iface) (six, local bool) {
	for _, a := range i.Addrs {
		if ip := a.Prefix.Addr(); ip.Is6() {
			six = true
			local = local || ip.IsLinkLocalUnicast()
		}
	}
	return six, local
}

// forwards6 says whether a machine is a router for IPv6.
func forwards6(m *machine.Machine) bool {
	v := m.Sysctl["net.ipv6.conf.all.forwarding"]
	return v != "" && v != "0"
}
