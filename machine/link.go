package machine

import (
	"strings"

	"go.yaml.in/yaml/v4"

	"weir/iface"
)

// link reads the device of an interface: tun, tun:NAME, packet:NAME, xdp:NAME.
func (y *yamlReader) link(i *iface.Iface, n *yaml.Node) {
	s, ok := y.scalar(n, "link")
	if !ok {
		return
	}
	kind, dev, named := strings.Cut(s, ":")
	l := Link{Iface: i, Kind: LinkKind(kind), Device: dev}
	switch {
	case i.Loopback:
		y.fail(n, "link: lo has no device")
		return
	case l.Kind == TUN && !named:
		l.Device = i.Name
	case l.Kind != TUN && l.Kind != PacketDev && l.Kind != XDP:
		y.fail(n, "link: "+quote(s)+" is not a link: tun, tun:NAME, packet:NAME, xdp:NAME")
		return
	}
	y.device(n, l.Device)
	y.l.m.Links = append(y.l.m.Links, l)
}

// local reads the name of the device that leads to the kernel.
func (y *yamlReader) local(n *yaml.Node) {
	if s, ok := y.scalar(n, "local"); ok {
		y.device(n, s)
		y.l.m.LocalTUN = s
	}
}

// device checks the name of a system's device, which has one use.
func (y *yamlReader) device(n *yaml.Node, name string) {
	if name == "" || !validName(name) {
		y.fail(n, quote(name)+" cannot name a device: 1 to 15 characters, no space, no slash")
		return
	}
	used := y.l.m.LocalTUN == name
	for _, l := range y.l.m.Links {
		used = used || l.Device == name
	}
	if used {
		y.fail(n, "device "+quote(name)+" is used twice")
	}
}
