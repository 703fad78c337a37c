//go:build linux

package kernel

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Down switches a device off.
func (k *Kernel) Down(dev string) error {
	return k.link(dev, func(h *netlink.Handle, l netlink.Link) error { return h.LinkSetDown(l) })
}

// RemoveAddress takes an address from a device.
func (k *Kernel) RemoveAddress(dev string, a netip.Prefix) error {
	return k.link(dev, func(h *netlink.Handle, l netlink.Link) error {
		ad, err := netlink.ParseAddr(a.String())
		if err != nil {
			return err
		}
		return h.AddrDel(l, ad)
	})
}

// RemoveRoute takes a route of the main table away.
func (k *Kernel) RemoveRoute(r Route) error {
	return k.link(r.Dev, func(h *netlink.Handle, l netlink.Link) error {
		_, dst, err := parseNet(r.To)
		if err != nil {
			return err
		}
		return h.RouteDel(&netlink.Route{Dst: dst, LinkIndex: l.Attrs().Index, Priority: r.Metric})
	})
}

func (k *Kernel) link(dev string, f func(*netlink.Handle, netlink.Link) error) error {
	return k.ns.do(func() error {
		h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return fmt.Errorf("kernel: netlink: %w", err)
		}
		defer h.Close()
		l, err := h.LinkByName(dev)
		if err == nil {
			err = f(h, l)
		}
		if err != nil {
			return fmt.Errorf("kernel: device %s: %w", dev, err)
		}
		return nil
	})
}
