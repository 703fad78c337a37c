package verbs

import (
	"encoding/binary"
	"net/netip"
	"strings"

	"weir/packet"
)

// parseAddr reads an address as inet_aton(3) or inet_pton(3) do.
func parseAddr(s string) (packet.Addr, packet.Family) {
	if a, ok := inetAton(s); ok {
		return a, packet.IPv4
	}
	a, err := netip.ParseAddr(s)
	if err != nil || !a.Is6() || a.Zone() != "" {
		return packet.Addr{}, 0
	}
	return a.As16(), packet.IPv6
}

// inetAton reads one to four numbers in any base with dots between; the last
// fills what the others leave.
func inetAton(s string) (a packet.Addr, ok bool) {
	parts := strings.Split(s, ".")
	if len(parts) > 4 || s == "" {
		return a, false
	}
	v := uint32(0)
	for i, p := range parts {
		if p == "" || digit(p[0]) > 9 {
			return a, false
		}
		n, end := cUint(p, 0)
		last := i == len(parts)-1
		if end != len(p) || !last && n > 255 || last && n >= 1<<(8*(4-i)) {
			return a, false
		}
		if last {
			v |= uint32(n)
		} else {
			v |= uint32(n) << (24 - 8*i)
		}
	}
	binary.BigEndian.PutUint32(a[:], v)
	return a, true
}

// addressOptions is what an address option sets.
type addressOption struct {
	opt, maskOpt option
	attrs        *attrs
	dst, reply   bool
	cidr         bool
	name         string
}

// address takes an address, with a length where a mask goes with it.
func (c *Command) address(s *scan, code rune, v string) *Failure {
	o := map[rune]addressOption{
		's': {opt: optSrc, maskOpt: optMaskSrc, attrs: &c.ct, cidr: true, name: "orig-src"},
		'd': {opt: optDst, maskOpt: optMaskDst, attrs: &c.ct, dst: true, cidr: true, name: "orig-dst"},
		'r': {opt: optReplySrc, attrs: &c.ct, reply: true, name: "reply-src"},
		'q': {opt: optReplyDst, attrs: &c.ct, reply: true, dst: true, name: "reply-dst"},
		'[': {opt: optTupleSrc, maskOpt: optMaskSrc, attrs: &c.exp, cidr: true, name: "tuple-src"},
		']': {opt: optTupleDst, maskOpt: optMaskDst, attrs: &c.exp, dst: true, cidr: true, name: "tuple-dst"},
		'{': {opt: optMaskSrc, attrs: &c.mask, name: "mask-src"},
		'}': {opt: optMaskDst, attrs: &c.mask, dst: true, name: "mask-dst"},
		'n': {opt: optSrcNAT, name: "src-nat"}, 'g': {opt: optDstNAT, name: "dst-nat"}, 'j': {opt: optAnyNAT, name: "any-nat"},
	}[code]
	host, length, slash := strings.Cut(v, "/")
	a, f := parseAddr(host)
	if f == 0 {
		return s.wrong("Invalid IP address `" + v + "'")
	}
	if bad := c.setFamily(s, f); bad != nil {
		return bad
	}
	bits := int64(-1)
	if slash {
		n, end := cUint(length, 10)
		bits = int64(n)
		if length == "" {
			bits, end = 0, 0
		}
		if end != len(length) || bits < 0 || bits > int64(f.Len()*8) {
			bits = -2
		}
		if !o.cidr {
			return s.wrong("CIDR notation unavailable for `--" + o.name + "'")
		}
		if bits == -2 {
			return s.wrong("Invalid netmask")
		}
	}
	c.opts |= 1 << o.opt
	if o.attrs == nil {
		c.natAddr, c.ct.tuple.L3 = a, f
		c.ct.say(fOrigL3)
		return nil
	}
	o.attrs.setAddr(a, f, o.dst, o.reply)
	if bits < 0 || bits == int64(f.Len()*8) {
		return nil
	}
	c.opts |= 1 << o.maskOpt
	c.mask.setAddr(prefixMask(int(bits)), f, o.dst, false)
	return nil
}

// setAddr says one address.
func (a *attrs) setAddr(v packet.Addr, f packet.Family, dst, reply bool) {
	t, field, l3 := &a.tuple, fOrigSrc, fOrigL3
	if reply {
		t, field, l3 = &a.reply, fReplySrc, fReplyL3
	}
	if dst {
		t.Dst = v
		field++
	} else {
		t.Src = v
	}
	a.tuple.L3, a.reply.L3 = f, f
	a.say(field)
	a.say(l3)
}

// prefixMask is so many bits.
func prefixMask(bits int) (m packet.Addr) {
	for i := range m {
		switch n := bits - 8*i; {
		case n >= 8:
			m[i] = 255
		case n > 0:
			m[i] = ^byte(0) << (8 - n)
		}
	}
	return m
}

// nat takes -n, -g and -j with an address and a port perhaps.
func (c *Command) nat(s *scan, code rune) *Failure {
	c.opts |= map[rune]options{'n': 1 << optSrcNAT, 'g': 1 << optDstNAT, 'j': 1 << optAnyNAT}[code]
	v, ok := s.optional()
	if !ok {
		return nil
	}
	host, port, why := hostPort(v)
	if why != "" {
		return s.wrong(why)
	}
	if bad := c.address(s, code, host); bad != nil {
		return bad
	}
	if code != 'g' {
		c.ct.snat = c.natAddr
		c.ct.say(fSNATAddr)
		if port != "" {
			c.ct.snatPort = uint16(atoi(port))
			c.ct.say(fSNATPort)
		}
	}
	if code != 'n' {
		c.ct.dnat = c.natAddr
		c.ct.say(fDNATAddr)
		if port != "" {
			c.ct.dnatPort = uint16(atoi(port))
			c.ct.say(fDNATPort)
		}
	}
	return nil
}

// hostPort splits an address from its port, as 192.0.2.1:80 or
// [2001:db8::1]:80.
func hostPort(v string) (host, port, why string) {
	at := -1
	if i := strings.IndexByte(v, '['); i >= 0 {
		end := strings.IndexByte(v[i+1:], ']')
		switch {
		case end == 0:
			return "", "", "No IPv6 address specified"
		case end < 0:
			return "", "", "No closing ']' around IPv6 address"
		}
		end += i + 1
		if j := strings.IndexByte(v[end:], ':'); j >= 0 {
			host, at = v[i+1:end], end+j
		}
	} else if j := strings.IndexByte(v, ':'); j >= 0 && !strings.Contains(v[j+1:], ":") {
		host, at = v[:j], j
	}
	if at < 0 {
		return v, "", ""
	}
	port = v[at+1:]
	if port == "" {
		return "", "", "No port specified after `:'"
	}
	for i := range len(port) {
		if digit(port[i]) > 9 {
			return "", "", "Invalid port `" + port + "'"
		}
	}
	if n, _ := cUint(port, 10); n > 65535 {
		return "", "", "Invalid port `" + port + "'"
	}
	return host, port, ""
}
