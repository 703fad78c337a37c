package text

import (
	"encoding/binary"
	"math"
	"net/netip"
	"strconv"
	"strings"

	"weir/ipset"
	"weir/packet"
	"weir/xtables/names"
)

// cut splits at the first sep, unless the text begins or ends with it.
func cut(s string, sep byte) (a, b string, ok bool) {
	i := strings.IndexByte(s, sep)
	if i <= 0 || s[len(s)-1] == sep {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// element does add, del and test.
func (r *runner) element(cmd, name, elem string, words []string) *end {
	if !r.checkName(name) {
		return r.finish()
	}
	s := r.sets.Lookup(name)
	if s == nil {
		r.say(failure, message(cmd, ipset.ErrNoSet))
		return r.finish()
	}
	p := &elemParser{r: r, set: s, cmd: cmd, family: s.Family()}
	if !p.elem(elem) {
		return r.finish()
	}
	if e := p.options(words); e != nil {
		return e
	}
	if r.level == failure {
		if len(addOptions(s.Type(), cmd)) == 0 {
			return r.quit(exitOther, "There are missing mandatory flags but can't check them. It's a bug, please report the problem.")
		}
		r.say(failure, "Invalid "+cmd+" command: missing setname")
		return r.finish()
	}
	if e := p.allowed(); e != nil {
		return e
	}
	op := map[string]ipset.Op{"add": ipset.Add, "del": ipset.Del, "test": ipset.Test}[cmd]
	if r.line0 != 0 && op != ipset.Test {
		if r.cmd != cmd || r.set != name || len(r.todo) == 0 {
			if !r.commit() {
				return r.finish()
			}
			r.force = r.exist
		}
		r.cmd, r.set = cmd, name
		r.todo = append(r.todo, todo{op, name, p.q, r.line0})
		return nil
	}
	if !r.commit() {
		return r.finish()
	}
	r.cmd, r.set = cmd, ""
	err := r.sets.Do(op, name, &p.q, r.exist, r.now)
	switch {
	case op != ipset.Test && err == ipset.OK:
		return nil
	case err == ipset.OK:
		r.say(warning, p.text()+" is in set "+name+".")
	case op == ipset.Test && err == ipset.ErrExist:
		r.say(notice, p.text()+" is NOT in set "+name+".")
	default:
		r.say(failure, message(cmd, err))
	}
	return r.finish()
}

// elemParser reads one element with its options.
type elemParser struct {
	r          *runner
	set        *ipset.Set
	cmd        string
	family     packet.Family
	q          ipset.Request
	hasPort    bool
	hasRefName bool
}

// parts are the kinds of an element's parts.
func parts(t ipset.Type) []string {
	_, p, _ := strings.Cut(t.String(), ":")
	return strings.Split(p, ",")
}

func (p *elemParser) elem(text string) bool {
	t := p.set.Type()
	kinds := parts(t)
	a, rest, more := cut(text, ',')
	list := []string{a}
	switch {
	case len(kinds) > 1:
		if more {
			list = append(list, rest)
		} else if t != ipset.BitmapIPMAC {
			return p.r.syntax("Second element is missing from " + text + ".")
		}
	case more && t == ipset.ListSet:
		return p.nameCompat(text)
	case more:
		return p.r.syntax("Elem separator in " + text + ", but settype " + t.String() + " supports none.")
	}
	if len(list) == 2 {
		b, third, more := cut(rest, ',')
		switch {
		case len(kinds) > 2 && more:
			list = append(list[:1], b, third)
		case len(kinds) > 2:
			return p.r.syntax("Third element is missing from " + text + ".")
		case more:
			return p.r.syntax("Two elem separators in " + text + ", but settype " + t.String() + " supports one.")
		}
		if more {
			if _, _, again := cut(third, ','); again {
				return p.r.syntax("Three elem separators in " + text + ", but settype " + t.String() + " supports two.")
			}
		}
	}
	for i, w := range list {
		if !p.part(t, i, kinds[i], w) {
			return false
		}
	}
	return true
}

func (p *elemParser) part(t ipset.Type, i int, kind, w string) bool {
	v6 := p.family == packet.IPv6
	switch kind {
	case "ip":
		if v6 || i == 2 || t == ipset.BitmapIPMAC {
			if _, _, ok := cutRange(w); ok || !plain(w, v6) {
				return p.r.syntax("plain IP address must be supplied: " + w)
			}
		}
		return p.addr(w, i > 0)
	case "net":
		if _, _, ok := cutRange(w); ok && v6 {
			return p.r.syntax("IP address or IP/cidr must be specified: " + w)
		}
		return p.addr(w, i > 0)
	case "port":
		p.hasPort = true
		return p.protoPort(w, t == ipset.BitmapPort)
	case "mac":
		return p.mac(w)
	case "mark":
		n, ok := p.r.number(w, math.MaxUint32, failure)
		p.q.Mark = uint32(n)
		return ok
	case "iface":
		if name, ok := strings.CutPrefix(w, "physdev:"); ok {
			p.q.Physdev, w = true, name
		}
		if len(w) > 15 {
			return p.r.syntax("interface name '" + w + "' is longer than 15 characters")
		}
		copy(p.q.Iface[:], w)
		return true
	}
	p.q.Set = w
	return p.r.checkName(w)
}

// plain: no prefix length, or the one of a host.
func plain(w string, v6 bool) bool {
	_, bits, ok := cut(w, '/')
	return !ok || bits == "32" && !v6 || bits == "128" && v6
}

// cutRange finds the dash of a range, behind brackets if there are any.
func cutRange(w string) (from, to string, ok bool) {
	if !strings.HasPrefix(w, "[") {
		return cut(w, '-')
	}
	i := strings.IndexByte(w, ']')
	if i < 0 || i+1 == len(w) || w[i+1] != '-' {
		return w, "", false
	}
	return w[:i+1], w[i+2:], true
}

// bare takes the brackets off.
func (r *runner) bare(w string) (string, bool) {
	if !strings.HasPrefix(w, "[") {
		return w, true
	}
	if !strings.HasSuffix(w, "]") || len(w) < 2 {
		return "", r.syntax("cannot find closing escape character ']' in " + w)
	}
	return w[1 : len(w)-1], true
}

// span reads ADDRESS, ADDRESS/BITS or FROM-TO.
func (r *runner) span(w string, f packet.Family) (ip, to packet.Addr, bits uint8, hasTo, hasBits, ok bool) {
	max := uint64(32)
	if f == packet.IPv6 {
		max = 128
	}
	if a, b, has := cut(w, '/'); has {
		if bits, ok = r.cidr(b, 0, max); !ok {
			return
		}
		hasBits, w = true, a
	} else if a, b, has := cutRange(w); has {
		hasTo, w = true, a
		defer func() {
			if ok {
				to, ok = r.address(b, f)
			}
		}()
	} else if i := strings.IndexByte(w, ']'); w[0] == '[' && i >= 0 && i+1 < len(w) {
		return ip, to, 0, false, false, r.syntax("range separator expected after '" + w[:i+1] + "'")
	}
	ip, ok = r.address(w, f)
	return
}

func (p *elemParser) addr(w string, second bool) bool {
	if w == "" {
		return p.r.unresolved(w, p.family)
	}
	ip, to, bits, hasTo, hasBits, ok := p.r.span(w, p.family)
	q := &p.q
	if second {
		q.IP2, q.IP2To, q.CIDR2, q.HasIP2To, q.HasCIDR2 = ip, to, bits, hasTo, hasBits
	} else {
		q.IP, q.IPTo, q.CIDR, q.HasIPTo, q.HasCIDR = ip, to, bits, hasTo, hasBits
	}
	return ok
}

func (r *runner) unresolved(w string, f packet.Family) bool {
	fam := "IPv4"
	if f == packet.IPv6 {
		fam = "IPv6"
	}
	return r.syntax("cannot parse " + w + ": resolving to " + fam + " address failed")
}

// address reads an address as the C library reads a numeric host name.
func (r *runner) address(w string, f packet.Family) (packet.Addr, bool) {
	w, ok := r.bare(w)
	if !ok {
		return packet.Addr{}, false
	}
	if f == packet.IPv6 {
		a, err := netip.ParseAddr(w)
		if err != nil || !strings.Contains(w, ":") || a.Zone() != "" {
			return packet.Addr{}, r.unresolved(w, f)
		}
		return packet.Addr(a.As16()), true
	}
	n := strings.Split(w, ".")
	var v uint64
	for i, s := range n {
		limit := uint64(255)
		if i == len(n)-1 {
			limit = 1<<(8*(5-min(len(n), 4))) - 1
		}
		base := 10
		if len(s) > 1 && s[0] == '0' {
			base = 8
		}
		x, err := strconv.ParseUint(s, base, 64)
		if err != nil || len(n) > 4 || x > limit || strings.Trim(s, "0123456789") != "" {
			return packet.Addr{}, r.unresolved(w, f)
		}
		if i == len(n)-1 {
			v = v<<(8*(5-len(n))) | x
		} else {
			v = v<<8 | x
		}
	}
	var a packet.Addr
	binary.BigEndian.PutUint32(a[:], uint32(v))
	return a, true
}

func (p *elemParser) mac(w string) bool {
	n := strings.Split(w, ":")
	ok := len(n) == 6 && len(w) <= 17
	for i := 0; ok && i < 6; i++ {
		h := strings.TrimPrefix(strings.TrimPrefix(n[i], "0x"), "0X")
		v, err := strconv.ParseUint(h, 16, 8)
		if ok = err == nil; ok {
			p.q.MAC[i] = uint8(v)
		}
	}
	if !ok {
		return p.r.syntax("cannot parse '" + w + "' as ethernet address")
	}
	p.q.HasMAC = true
	return true
}

// protocol reads a protocol by number or name.
func (r *runner) protocol(w string) (uint8, bool) {
	if n, _, ok := strtoull(w); ok && n <= 255 {
		return uint8(n), true
	}
	name := w
	if strings.EqualFold(w, "icmpv6") {
		name = "ipv6-icmp"
	}
	n, ok := names.Protocol(name)
	switch {
	case !ok || name == "all" || name == "mh" || name == "ipv6-mh":
		return 0, r.syntax("cannot parse '" + w + "' as a protocol")
	case n == 0:
		return 0, r.syntax("Unsupported protocol '" + w + "'")
	}
	return n, true
}

func (p *elemParser) protoPort(w string, bare bool) bool {
	q, proto := &p.q, "tcp"
	q.Proto, q.HasProto = packet.TCP, true
	if a, b, ok := cut(w, ':'); ok {
		if q.Proto, ok = p.r.protocol(a); !ok {
			return false
		}
		switch q.Proto {
		case packet.TCP, packet.SCTP, packet.UDP, packet.UDPLite:
			proto, w = a, b
		case packet.ICMP, packet.ICMPv6:
			if bare {
				return p.r.syntax("Only protocols TCP and UDP are valid")
			}
			return p.icmp(b, q.Proto == packet.ICMPv6)
		default:
			if b != "0" {
				return p.r.syntax("Protocol " + a + " can be used with pseudo port value 0 only.")
			}
			if bare {
				return p.r.syntax("Only protocols TCP and UDP are valid")
			}
			return true
		}
	}
	from, to, has := cutRange(w)
	var ok bool
	if has {
		if q.PortTo, ok = p.port(to, proto); !ok {
			return false
		}
		q.HasPortTo = true
	}
	if q.Port, ok = p.port(from, proto); !ok {
		return false
	}
	if bare && q.Proto != packet.TCP && q.Proto != packet.UDP {
		return p.r.syntax("Only protocols TCP and UDP are valid")
	}
	return true
}

// port reads a port by number or name. What was wrong with the number is told
// only if the name is wrong too.
func (p *elemParser) port(w, proto string) (uint16, bool) {
	r := p.r
	before, lvl := r.report, r.level
	n, ok := r.number(w, math.MaxUint16, warning)
	if ok {
		return uint16(n), true
	}
	name, ok := r.bare(w)
	if ok {
		known := proto
		if n, ok := r.number(proto, math.MaxUint8, warning); ok {
			known, _ = names.ProtocolName(uint8(n))
		}
		if port, ok := names.Service(name, known); ok {
			r.report, r.level = before, lvl
			return port, true
		}
	}
	r.say(warning, "cannot parse '"+w+"' as a "+proto+" port")
	r.level = failure
	return 0, false
}

func (p *elemParser) icmp(w string, v6 bool) bool {
	r := p.r
	fam := "ICMP"
	if v6 {
		fam = "ICMPv6"
	}
	if v6 != (p.family == packet.IPv6) {
		want := "inet"
		if v6 {
			want = "inet6"
		}
		r.syntax("Protocol " + fam + " can be used with family " + want + " only")
		p.family = packet.IPv4
		return true // ipset goes on here, and has lost what it had read
	}
	for _, n := range icmpNames(v6) {
		if len(w) <= len(n.name) && strings.EqualFold(n.name[:len(w)], w) {
			p.q.Port = n.code
			return true
		}
	}
	a, b, ok := cut(w, '/')
	if !ok {
		return r.say(failure, "Cannot parse "+w+" as an "+fam+" type/code.")
	}
	t, ok := r.number(a, 255, failure)
	if !ok {
		return false
	}
	c, ok := r.number(b, 255, failure)
	p.q.Port = uint16(t<<8 | c)
	return ok
}

// nameCompat reads "set,before,set" of a list.
func (p *elemParser) nameCompat(w string) bool {
	a, rest, _ := cut(w, ',')
	where, ref, ok := cut(rest, ',')
	if !ok || where != "before" && where != "after" {
		return p.r.say(failure, "you must specify elements as setname,[before|after],setname")
	}
	p.q.Set, p.q.Ref, p.q.HasRef, p.q.Before = a, ref, true, where == "before"
	return p.r.checkName(a) && p.r.checkName(ref)
}
