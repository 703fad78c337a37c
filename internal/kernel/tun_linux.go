//go:build linux

package kernel

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// readRing is how many packets may leave by one device because of one.
const readRing = 4096

// tun is one device and the descriptor of its wire.
type tun struct {
	name string
	fd   int
	head int // bytes of the link header
}

// openTun makes the device. Without IFF_NAPI a write runs the whole receive
// path; without IFF_VNET_HDR the kernel finishes every checksum.
func openTun(i Iface) (*tun, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("kernel: /dev/net/tun: %w", err)
	}
	t := &tun{name: i.Name, fd: fd}
	kind := uint16(unix.IFF_TUN)
	if i.MAC != [6]byte{} {
		kind, t.head = unix.IFF_TAP, 14
	}
	req, err := unix.NewIfreq(i.Name)
	if err == nil {
		req.SetUint16(kind | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("kernel: device %s: %w", i.Name, err)
	}
	return t, nil
}

// configure gives the device its size, addresses and carrier.
func configure(h *netlink.Handle, i Iface) error {
	link, err := h.LinkByName(i.Name)
	if err != nil {
		return fmt.Errorf("kernel: device %s: %w", i.Name, err)
	}
	mtu := i.MTU
	if mtu == 0 {
		mtu = 1500
	}
	errs := []error{h.LinkSetTxQLen(link, readRing), h.LinkSetMTU(link, mtu)}
	if i.MAC != [6]byte{} {
		errs = append(errs, h.LinkSetHardwareAddr(link, i.MAC[:]), h.LinkSetARPOff(link))
	}
	for _, a := range i.Addrs {
		ad, err := netlink.ParseAddr(a.String())
		if err != nil {
			return err
		}
		ad.Flags = unix.IFA_F_NODAD
		if err := h.AddrAdd(link, ad); err != nil {
			return fmt.Errorf("kernel: device %s: address %s: %w", i.Name, a, err)
		}
	}
	return errors.Join(append(errs, h.LinkSetUp(link))...)
}

// addRoute adds a route of the main table.
func addRoute(h *netlink.Handle, r Route) error {
	_, dst, err := parseNet(r.To)
	if err != nil {
		return err
	}
	nr := &netlink.Route{Dst: dst, Family: unix.AF_INET, Priority: r.Metric, MTU: r.MTU}
	if r.Src.IsValid() {
		nr.Src = r.Src.AsSlice()
	}
	if r.To.Addr().Is6() {
		nr.Family = unix.AF_INET6
	}
	if r.Via.IsValid() {
		nr.Gw = r.Via.AsSlice()
	}
	switch r.Type {
	case "", "unicast":
	case "blackhole":
		nr.Type = unix.RTN_BLACKHOLE
	case "unreachable":
		nr.Type = unix.RTN_UNREACHABLE
	case "prohibit":
		nr.Type = unix.RTN_PROHIBIT
	case "throw":
		nr.Type = unix.RTN_THROW
	case "local":
		nr.Type, nr.Table, nr.Scope = unix.RTN_LOCAL, unix.RT_TABLE_LOCAL, netlink.SCOPE_HOST
	case "broadcast":
		nr.Type, nr.Table, nr.Scope = unix.RTN_BROADCAST, unix.RT_TABLE_LOCAL, netlink.SCOPE_LINK
	case "multicast":
		nr.Type = unix.RTN_MULTICAST
	default:
		return fmt.Errorf("kernel: route type %q is not known", r.Type)
	}
	if r.Table != 0 {
		nr.Table = r.Table
	}
	if r.Dev != "" {
		link, err := h.LinkByName(r.Dev)
		if err != nil {
			return fmt.Errorf("kernel: route to %s: device %s: %w", r.To, r.Dev, err)
		}
		nr.LinkIndex = link.Attrs().Index
	}
	if nr.Gw == nil && nr.Type == 0 {
		nr.Scope = netlink.SCOPE_LINK
		if nr.Family == unix.AF_INET6 {
			nr.Scope = netlink.SCOPE_UNIVERSE
		}
	}
	if err := h.RouteAdd(nr); err != nil {
		return fmt.Errorf("kernel: route to %s: %w", r.To, err)
	}
	return nil
}
