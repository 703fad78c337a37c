//go:build darwin || windows

package gateway

import (
	"fmt"
	"runtime"

	"golang.zx2c4.com/wireguard/tun"

	"weir/machine"
)

// open opens the device of a link: a TUN device, with one queue.
func open(l machine.Link, _ int) (Device, error) {
	if l.Kind != machine.TUN {
		return nil, fmt.Errorf("interface %s: link %s is not supported on %s", l.Iface.Name, l.Kind, runtime.GOOS)
	}
	mtu := l.Iface.MTU
	if mtu == 0 {
		mtu = 1500
	}
	t, err := tun.CreateTUN(l.Device, mtu)
	if err != nil {
		return nil, fmt.Errorf("TUN device %s: %w", l.Device, err)
	}
	return newLibDev(t)
}
