package gateway

import (
	"fmt"

	"weir/machine"
)

// open opens the device of a link; it stays down.
func open(l machine.Link, queues int) (Device, error) {
	switch l.Kind {
	case machine.TUN:
		return openTUN(l.Device, l.Iface.MTU, queues)
	case machine.PacketDev:
		return openPacket(l.Device, l.Iface.MAC, queues)
	case machine.XDP:
		return openXDP(l.Device, l.Iface.MAC)
	}
	return nil, fmt.Errorf("interface %s: link %s is not supported here", l.Iface.Name, l.Kind)
}
