package target

import (
	"errors"
	"strconv"
	"strings"

	"weir/nat"
	"weir/packet"
	"weir/xtables"
	"weir/xtables/args"
)

// portsAllowed is an error unless the rule's protocol has something that can
// be translated as a port. iptables does not look at a "!" before it.
func portsAllowed(c *xtables.Context) error {
	switch c.Proto {
	case packet.TCP, packet.UDP, packet.SCTP, packet.DCCP, packet.ICMP:
		return nil
	}
	return errors.New("ports need -p tcp, udp, sctp, dccp or icmp")
}

// readTo reads [address[-address]][:port[-port[/base]]] into r; IPv6 addresses
// with a port stand in brackets.
func readTo(c *xtables.Context, g *xtables.Given, r *nat.Range) error {
	addr, ports, hasPorts := args.Text(g), "", false
	open := strings.IndexByte(addr, '[')
	switch {
	case c.Family == packet.IPv6 && open >= 0:
		end := strings.IndexByte(addr, ']')
		if end < open {
			return args.Errorf(g, "--%s: %q has no closing bracket", g.Name, addr)
		}
		_, ports, hasPorts = strings.Cut(addr[end:], ":")
		addr = addr[open+1 : end]
	case c.Family == packet.IPv4 || strings.Count(addr, ":") == 1:
		if i := strings.LastIndexByte(addr, ':'); i >= 0 {
			addr, ports, hasPorts = addr[:i], addr[i+1:], true
		}
	}
	if hasPorts {
		if err := portsAllowed(c); err != nil {
			return args.Errorf(g, "--%s: %v", g.Name, err)
		}
		if err := readPorts(g, ports, r); err != nil {
			return err
		}
		if addr == "" {
			return nil
		}
	}
	r.Flags |= nat.MapIPs
	lo, hi, has := strings.Cut(addr, "-")
	if !has {
		hi = lo
	}
	var ok1, ok2 bool
	r.MinAddr, ok1 = args.Strict(c.Family, lo)
	r.MaxAddr, ok2 = args.Strict(c.Family, hi)
	if !ok1 || !ok2 {
		return args.Errorf(g, "--%s: %q is not an address or a range of addresses", g.Name, addr)
	}
	return nil
}

// readPorts reads port[-port[/base]]; a single port may be a service's name.
func readPorts(g *xtables.Given, s string, r *nat.Range) error {
	bad := func(what string) error { return args.Errorf(g, "--%s: %s %q", g.Name, what, s) }
	r.Flags |= nat.ProtoSpecified
	lo, rest, ok := args.NumberPrefix(s, 0, 65535)
	if !ok {
		p, ok := args.PortNumber(s, "")
		if !ok {
			return bad("no port or service")
		}
		r.MinPort, r.MaxPort = p, p
		return nil
	}
	r.MinPort, r.MaxPort = uint16(lo), uint16(lo)
	if rest == "" {
		return nil
	}
	if rest[0] != '-' {
		return bad("not a port or a range port-port:")
	}
	hi, rest, ok := args.NumberPrefix(rest[1:], 0, 65535)
	if !ok {
		return bad("not a range of ports:")
	}
	if hi < lo {
		return bad("the range runs backwards:")
	}
	r.MaxPort = uint16(hi)
	if rest == "" {
		return nil
	}
	if rest[0] != '/' {
		return bad("not a range of ports:")
	}
	r.Flags |= nat.ProtoOffset
	if n, ok := args.Number(rest[1:], 1, 65535); ok {
		r.BasePort = uint16(n)
	} else if r.BasePort, ok = args.PortNumber(rest[1:], ""); !ok || r.BasePort == 0 {
		return bad("no base port or service in")
	}
	return nil
}

// appendTo writes addresses and ports as --to-source and its kind print them.
func appendTo(b []byte, f packet.Family, r *nat.Range) []byte {
	if r.Flags&nat.MapIPs != 0 {
		brackets := f == packet.IPv6 && r.Flags&nat.ProtoSpecified != 0
		if brackets {
			b = append(b, '[')
		}
		b = args.Addr(b, f, r.MinAddr)
		if r.MaxAddr != r.MinAddr {
			b = args.Addr(append(b, '-'), f, r.MaxAddr)
		}
		if brackets {
			b = append(b, ']')
		}
	}
	if r.Flags&nat.ProtoSpecified != 0 {
		b = appendPorts(append(b, ':'), r)
	}
	return b
}

func appendPorts(b []byte, r *nat.Range) []byte {
	b = strconv.AppendUint(b, uint64(r.MinPort), 10)
	if r.MaxPort != r.MinPort {
		b = strconv.AppendUint(append(b, '-'), uint64(r.MaxPort), 10)
	}
	if r.Flags&nat.ProtoOffset != 0 {
		b = strconv.AppendUint(append(b, '/'), uint64(r.BasePort), 10)
	}
	return b
}

// randomFlag is the flag of an option that says how to choose, 0 for others.
func randomFlag(name string) nat.Flags {
	switch name {
	case "random":
		return nat.ProtoRandom
	case "random-fully":
		return nat.ProtoRandomFully
	case "persistent":
		return nat.Persistent
	}
	return 0
}

func appendFlags(b []byte, r *nat.Range) []byte {
	for _, n := range []string{"random", "random-fully", "persistent"} {
		if r.Flags&randomFlag(n) != 0 {
			b = args.Name(b, false, n)
		}
	}
	return b
}
