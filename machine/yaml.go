package machine

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"weir/iface"
	"weir/packet"
	"weir/route"
	"weir/socket"
)

// yaml reads machine.yaml. The tree is walked by hand, so that every value
// keeps its place and every unknown key is refused.
func (l *loader) yaml(f File) {
	var doc yaml.Node
	err := yaml.Load(f.Text, &doc)
	if err != nil {
		l.yamlSyntax(f, err)
		return
	}
	y := &yamlReader{l: l, file: f.Name}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) == 0 || doc.Content[0].Kind != yaml.MappingNode {
		l.fail(f.Name, 1, 1, "expected the keys interfaces, routes, policy, sysctl, listen, local")
		return
	}
	root := doc.Content[0]
	var routes, policy, sysctl, listen *yaml.Node
	seen := false
	y.mapping(root, "", func(k, v *yaml.Node) bool {
		switch k.Value {
		case "interfaces":
			seen = true
			y.list(v, "interfaces", y.iface)
		case "routes":
			routes = v
		case "policy":
			policy = v
		case "sysctl":
			sysctl = v
		case "listen":
			listen = v
		case "local":
			y.local(v)
		default:
			return false
		}
		return true
	}, "interfaces", "routes", "policy", "sysctl", "listen", "local")
	if !seen {
		y.fail(root, "no interfaces are listed")
	}
	l.m.addLoopback()
	if routes != nil {
		y.list(routes, "routes", y.route)
	}
	if policy != nil {
		y.list(policy, "policy", y.policy)
		y.completePolicy()
	}
	if sysctl != nil {
		y.mapping(sysctl, "sysctl", func(k, v *yaml.Node) bool {
			if s, ok := y.scalar(v, k.Value); ok {
				known, msg := checkSysctl(k.Value, s)
				switch {
				case !known:
					y.fail(k, "weir knows no sysctl "+quote(k.Value)+nearest(k.Value))
				case msg != "":
					y.fail(v, msg)
				default:
					l.m.Sysctl[k.Value] = s
				}
			}
			return true
		})
	}
	if listen != nil {
		y.list(listen, "listen", y.listen)
	}
}

// yamlSyntax places an error of the YAML library.
func (l *loader) yamlSyntax(f File, err error) {
	line, col, msg := 1, 1, err.Error()
	var e *yaml.LoadError
	if errors.As(err, &e) {
		line, col, msg = max(e.Mark.Line, 1), max(e.Mark.Column, 1), e.Message
	}
	l.fail(f.Name, line, col, "YAML: "+strings.ReplaceAll(msg, "\n", " "))
}

type yamlReader struct {
	l    *loader
	file string
}

func (y *yamlReader) fail(n *yaml.Node, msg string) {
	y.l.fail(y.file, max(n.Line, 1), max(n.Column, 1), msg)
}

func (y *yamlReader) mapping(n *yaml.Node, what string, f func(k, v *yaml.Node) bool, known ...string) bool {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return true
	}
	if n.Kind != yaml.MappingNode {
		y.fail(n, what+": expected key: value pairs")
		return false
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if k.Kind != yaml.ScalarNode {
			y.fail(k, "a key must be a word")
			continue
		}
		if seen[k.Value] {
			y.fail(k, "key "+quote(k.Value)+" stands here twice")
			continue
		}
		seen[k.Value] = true
		if !f(k, v) {
			y.fail(k, "unknown key "+quote(k.Value)+"; known: "+strings.Join(known, ", "))
		}
	}
	return true
}

func (y *yamlReader) list(n *yaml.Node, what string, f func(*yaml.Node)) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return
	}
	if n.Kind != yaml.SequenceNode {
		y.fail(n, what+": expected a list")
		return
	}
	for _, e := range n.Content {
		f(e)
	}
}

func (y *yamlReader) scalar(n *yaml.Node, what string) (string, bool) {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		y.fail(n, what+": expected a value")
		return "", false
	}
	return n.Value, true
}

func (y *yamlReader) number(n *yaml.Node, what string, lo, hi int) int {
	s, ok := y.scalar(n, what)
	if !ok {
		return lo
	}
	v, err := strconv.Atoi(s)
	if err != nil || v < lo || v > hi {
		y.fail(n, what+": "+quote(s)+" is not a number from "+strconv.Itoa(lo)+" to "+strconv.Itoa(hi))
		return lo
	}
	return v
}

func (y *yamlReader) iface(n *yaml.Node) {
	m := y.l.m
	i := &iface.Iface{MTU: 1500}
	var link *yaml.Node
	y.mapping(n, "interface", func(k, v *yaml.Node) bool {
		switch k.Value {
		case "name":
			i.Name, _ = y.scalar(v, "name")
			switch {
			case i.Name == Local:
				y.fail(v, `"local" stands for the machine itself and cannot name an interface`)
			case i.Name != "" && !validName(i.Name):
				y.fail(v, quote(i.Name)+" cannot name an interface: 1 to 15 characters, no space, no slash")
			case m.Iface(i.Name) != nil:
				y.fail(v, "interface "+quote(i.Name)+" is listed twice")
			}
		case "addresses":
			y.list(v, "addresses", func(a *yaml.Node) { y.address(i, a) })
		case "mtu":
			i.MTU = y.number(v, "mtu", 68, 65536)
		case "index":
			i.Index = y.number(v, "index", 1, 1<<31-1)
			for _, o := range m.Ifaces {
				if o.Index == i.Index {
					y.fail(v, "index "+v.Value+" is that of "+o.Name)
				}
			}
		case "mac":
			s, _ := y.scalar(v, "mac")
			hw, err := net.ParseMAC(s)
			if err != nil || len(hw) != 6 {
				y.fail(v, quote(s)+" is not a MAC address")
				return true
			}
			copy(i.MAC[:], hw)
		case "link":
			link = v
		default:
			return false
		}
		return true
	}, "name", "addresses", "mtu", "mac", "index", "link")
	if i.Name == "" {
		y.fail(n, "an interface without a name")
		return
	}
	i.Loopback = i.Name == "lo"
	if i.Loopback && i.Index == 0 {
		i.Index = 1
	}
	for next := 2; i.Index == 0; next++ {
		free := true
		for _, o := range m.Ifaces {
			free = free && o.Index != next
		}
		if free {
			i.Index = next
		}
	}
	m.Ifaces = append(m.Ifaces, i)
	if link != nil {
		y.link(i, link)
	}
}

func validName(s string) bool {
	return len(s) <= 15 && s != "." && s != ".." && !strings.ContainsAny(s, " \t/:\n%")
}

func (y *yamlReader) address(i *iface.Iface, n *yaml.Node) {
	s, ok := y.scalar(n, "addresses")
	if !ok {
		return
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		a, aerr := netip.ParseAddr(s)
		if aerr != nil || a.Zone() != "" {
			y.fail(n, quote(s)+" is not an address with a prefix length, as 192.0.2.1/24")
			return
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	if p.Addr().IsMulticast() || p.Addr().IsUnspecified() {
		y.fail(n, quote(s)+" cannot be the address of an interface")
		return
	}
	a := iface.Addr{Prefix: p, Scope: scopeOf(p.Addr())}
	for _, o := range i.Addrs {
		if o.Prefix == p {
			y.fail(n, "address "+quote(s)+" is listed twice")
			return
		}
		if p.Addr().Is4() && o.Prefix.Masked() == p.Masked() && !o.Secondary {
			a.Secondary = true
		}
	}
	i.Addrs = append(i.Addrs, a)
}

// scopeOf is the scope that ip addr add gives an address.
func scopeOf(a netip.Addr) iface.Scope {
	switch {
	case a.IsLoopback():
		return iface.Host
	case a.Is6() && a.IsLinkLocalUnicast():
		return iface.LinkLocal
	case a.Is6() && a.As16()[0] == 0xfe && a.As16()[1]&0xc0 == 0xc0:
		return iface.Site
	}
	return iface.Universe
}

var routeTypes = map[string]route.Type{
	"unicast": route.Unicast, "local": route.Local, "broadcast": route.Broadcast,
	"anycast": route.Anycast, "multicast": route.Multicast, "blackhole": route.Blackhole,
	"unreachable": route.Unreachable, "prohibit": route.Prohibit, "throw": route.Throw,
}

func (y *yamlReader) route(n *yaml.Node) {
	m := y.l.m
	r := route.Route{Type: route.Unicast, Table: 254}
	before := len(y.l.errs)
	var devNode *yaml.Node
	deflt, table := false, false
	addr := func(v *yaml.Node, what string) netip.Addr {
		s, ok := y.scalar(v, what)
		a, err := netip.ParseAddr(s)
		if ok && (err != nil || a.Zone() != "") {
			y.fail(v, what+": "+quote(s)+" is not an address")
		}
		return a
	}
	y.mapping(n, "route", func(k, v *yaml.Node) bool {
		switch k.Value {
		case "to":
			s, ok := y.scalar(v, "to")
			if s == "default" {
				deflt = true
				return true
			}
			p, err := netip.ParsePrefix(s)
			if a, aerr := netip.ParseAddr(s); aerr == nil && a.Zone() == "" {
				p, err = netip.PrefixFrom(a, a.BitLen()), nil
			}
			switch {
			case ok && err != nil:
				y.fail(v, "to: "+quote(s)+" is not a network")
			case ok && p != p.Masked():
				y.fail(v, "to: "+quote(s)+" has address bits behind its prefix; "+p.Masked().String()+" is meant?")
			}
			r.To = p
		case "via":
			r.Via = addr(v, "via")
		case "src":
			r.Src = addr(v, "src")
		case "dev":
			s, _ := y.scalar(v, "dev")
			devNode = v
			if r.Dev = m.Iface(s); r.Dev == nil && s != "" {
				y.fail(v, "dev: the machine has no interface "+quote(s))
			}
		case "metric":
			r.Metric = y.number(v, "metric", 0, 1<<32-1)
		case "mtu":
			r.MTU = y.number(v, "mtu", 68, 65535)
		case "table":
			s, _ := y.scalar(v, "table")
			r.Table = y.l.table(s)
			table = true
		case "type":
			s, _ := y.scalar(v, "type")
			t, ok := routeTypes[s]
			if !ok {
				y.fail(v, "type: "+quote(s)+" is no type of route")
			}
			r.Type = t
		default:
			return false
		}
		return true
	}, "to", "via", "dev", "src", "metric", "mtu", "type", "table")
	if len(y.l.errs) > before {
		return
	}
	if deflt {
		r.To = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		if r.Via.Is6() || r.Src.Is6() {
			r.To = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
	}
	sends := r.Type == route.Unicast || r.Type == route.Local || r.Type == route.Broadcast || r.Type == route.Anycast || r.Type == route.Multicast
	switch {
	case !r.To.IsValid():
		y.fail(n, "a route without to")
	case r.Via.IsValid() && r.Via.Is4() && r.To.Addr().Is6():
		y.fail(n, "an IPv6 route by an IPv4 gateway")
	case r.Src.IsValid() && r.Src.Is4() != r.To.Addr().Is4():
		y.fail(n, "src is not of the family of the route")
	case sends && r.Dev == nil && !y.derive(&r):
		y.fail(n, "a route without dev, and no interface has an address in the network of its gateway")
	case !sends && (devNode != nil || r.Via.IsValid()):
		y.fail(n, "a route of this type goes nowhere: neither via nor dev")
	default:
		if r.Type == route.Unicast && !r.Via.IsValid() && r.To.Addr().Is4() {
			r.Scope = iface.LinkLocal
		}
		if r.Type == route.Local || r.Type == route.Broadcast {
			if !table {
				r.Table = route.TableLocal
			}
			r.Scope = iface.LinkLocal
			if r.Type == route.Local {
				r.Scope = iface.Host
			}
		}
		if r.Metric == 0 && r.To.Addr().Is6() && r.Type != route.Local {
			r.Metric = 1024
		}
		m.Routes = append(m.Routes, r)
	}
}

// derive finds the interface of a route from its gateway, as ip route does.
func (y *yamlReader) derive(r *route.Route) bool {
	if !r.Via.IsValid() {
		return false
	}
	for _, i := range y.l.m.Ifaces {
		for _, a := range i.Addrs {
			if a.Prefix.Contains(r.Via) {
				r.Dev = i
				return true
			}
		}
	}
	return false
}

// listen reads tcp/22, udp/192.0.2.1:53, tcp/[2001:db8::1]:80, and behind it the
// options of the socket: transparent, mark N, peer ADDRESS:PORT, dev NAME.
func (y *yamlReader) listen(n *yaml.Node) {
	t, ok := y.scalar(n, "listen")
	if !ok {
		return
	}
	s := socket.Socket{V4: true, V6: true}
	words := strings.Fields(t)
	if len(words) == 0 {
		words = []string{""}
	}
	proto, where, _ := strings.Cut(words[0], "/")
	switch proto {
	case "tcp":
		s.Proto = packet.TCP
	case "udp":
		s.Proto = packet.UDP
	default:
		y.fail(n, quote(t)+" is not a socket: tcp/22, udp/192.0.2.1:53, tcp/[2001:db8::1]:80")
		return
	}
	if strings.Contains(where, ":") {
		if msg := ssAddr(&s, where); msg != "" {
			y.fail(n, msg)
			return
		}
	} else {
		p, err := strconv.ParseUint(where, 10, 16)
		if err != nil || p == 0 {
			y.fail(n, quote(where)+" is not a port")
			return
		}
		s.Port = uint16(p)
	}
	for i := 1; i < len(words); i++ {
		value := ""
		if words[i] != "transparent" {
			if i+1 == len(words) {
				y.fail(n, quote(words[i])+" is no option of a socket, or lacks its value: transparent, mark N, peer ADDRESS:PORT, dev NAME")
				return
			}
			value = words[i+1]
		}
		var err error
		switch words[i] {
		case "transparent":
			s.Transparent = true
			continue
		case "mark":
			var m uint64
			m, err = strconv.ParseUint(value, 0, 32)
			s.Mark = uint32(m)
		case "peer":
			s.Peer, err = netip.ParseAddrPort(value)
		case "dev":
			s.Dev = value
		default:
			err = strconv.ErrSyntax
		}
		if err != nil {
			y.fail(n, quote(words[i]+" "+value)+" is no option of a socket: transparent, mark N, peer ADDRESS:PORT, dev NAME")
			return
		}
		i++
	}
	y.l.m.Listen = append(y.l.m.Listen, s)
}
