package text

import (
	"math"
	"strings"

	"weir/ipset"
	"weir/packet"
)

// createOptions are the options of create, in the order in which a listing
// shows them.
func createOptions(t ipset.Type) []string {
	ext := []string{"timeout", "counters", "comment"}
	switch {
	case t == ipset.ListSet:
		return append(append([]string{"size"}, ext...), "skbinfo")
	case !t.Hash():
		list := []string{"range"}
		if t == ipset.BitmapIP {
			list = append(list, "netmask")
		}
		return append(append(list, ext...), "skbinfo")
	}
	var list []string
	if t != ipset.HashMAC {
		list = append(list, "family")
	}
	if t == ipset.HashIPMark {
		list = append(list, "markmask")
	}
	list = append(list, "hashsize", "maxelem")
	if t == ipset.HashIP {
		list = append(list, "netmask", "bitmask")
	}
	list = append(append(list, ext...), "forceadd", "skbinfo", "bucketsize", "initval")
	switch t {
	case ipset.HashIPPort:
		list = append(list, "netmask", "bitmask")
	case ipset.HashNetNet:
		list = append(list, "bitmask", "netmask")
	}
	return list
}

// old are options of former versions. Those that mean nothing any more are
// read and warned of.
func oldOptions(t ipset.Type) []string {
	switch {
	case t == ipset.BitmapPort:
		return []string{"from", "to"}
	case t == ipset.ListSet || t == ipset.HashMAC || t == ipset.HashIPMAC || t == ipset.HashNetIface ||
		t == ipset.HashNetNet || t == ipset.HashNetPort || t == ipset.HashNetPortNet:
		return nil
	case !t.Hash():
		return []string{"from", "to", "network"}
	case t == ipset.HashIP:
		return []string{"probes", "resize", "gc"}
	case t == ipset.HashNet:
		return []string{"probes", "resize"}
	}
	return []string{"probes", "resize", "from", "to", "network"}
}

func flagOption(name string) bool {
	switch name {
	case "counters", "comment", "forceadd", "skbinfo", "-4", "-6":
		return true
	}
	return false
}

// typeNamed finds a type by its name or its name of old.
func typeNamed(name string) (ipset.Type, bool) {
	for _, t := range ipset.Types() {
		if t.String() == name || alias(t) == name {
			return t, true
		}
	}
	return 0, false
}

func alias(t ipset.Type) string {
	switch t {
	case ipset.BitmapIP:
		return "ipmap"
	case ipset.BitmapIPMAC:
		return "macipmap"
	case ipset.BitmapPort:
		return "portmap"
	case ipset.ListSet:
		return "setlist"
	}
	return strings.Join(parts(t), "") + "hash"
}

// creator reads the options of create.
type creator struct {
	r       *runner
	c       ipset.Create
	seen    map[string]bool
	ignored []string
}

func (r *runner) create(name, typ string, words []string) *end {
	if !r.checkName(name) {
		return r.finish()
	}
	if len(typ) > maxName {
		r.syntax("typename '" + typ + "' is longer than 31 characters")
		return r.finish()
	}
	t, ok := typeNamed(typ)
	if !ok {
		r.syntax("typename '" + typ + "' is unknown")
		return r.finish()
	}
	p := &creator{r: r, c: ipset.Create{Type: t}, seen: map[string]bool{}}
	for _, first := range []bool{true, false} {
		if e := p.options(words, first); e != nil {
			return e
		}
	}
	switch {
	case t == ipset.BitmapIP || t == ipset.BitmapIPMAC:
		p.c.Family = packet.IPv4
		if !p.seen["range"] {
			return r.usage("Mandatory option `range' is missing")
		}
		if !p.c.HasTo && !p.c.HasCIDR {
			return r.usage("Mandatory option `to' is missing")
		}
	case t == ipset.BitmapPort:
		if !p.seen["range"] {
			return r.usage("Mandatory option `range' is missing")
		}
		if !p.c.HasPortTo {
			return r.usage("Mandatory option `to' is missing")
		}
	case t.Dual() && p.c.Family == 0:
		p.c.Family = packet.IPv4
	}
	if !r.commit() {
		return r.finish()
	}
	r.cmd, r.set = "create", ""
	if err := r.sets.Create(name, p.c, r.exist); err != ipset.OK {
		r.say(failure, message("create", err))
		return r.finish()
	}
	if r.level > fine {
		return r.finish()
	}
	return nil
}

// options reads the words; first looks for the family alone, on which others
// hang.
func (p *creator) options(words []string, first bool) *end {
	r, t := p.r, p.c.Type
	known := append(createOptions(t), oldOptions(t)...)
	if t.Dual() {
		known = append(known, "-4", "-6")
	}
	for i := 0; i < len(words); i++ {
		name := ""
		for _, k := range known {
			if isOption(words[i], k) {
				name = k
				break
			}
		}
		if name == "" {
			return r.usage("Unknown argument: `" + words[i] + "'")
		}
		val := words[i]
		if !flagOption(name) {
			if i++; i == len(words) {
				return r.usage("Missing mandatory argument of option `" + name + "'")
			}
			val = words[i]
		}
		family := name == "family" || name == "-4" || name == "-6"
		if family != first {
			continue
		}
		if !p.option(name, val) {
			return r.finish()
		}
	}
	return nil
}

func (p *creator) option(name, val string) bool {
	r, c := p.r, &p.c
	hashType := c.Type.Hash()
	key := name
	switch name {
	case "-4", "-6":
		key = "family"
	case "from", "network":
		key = "range"
	}
	if hashType && (name == "from" || name == "to" || name == "network" || name == "probes" || name == "resize" || name == "gc") {
		if !p.seen[name] {
			r.say(warning, "Option '--"+name+" "+val+"' is ignored. Please upgrade your syntax.")
		}
		p.seen[name] = true
		return true
	}
	if p.seen[key] && !flagOption(name) || p.seen[key] && key == "family" {
		return r.syntax(name + " already specified")
	}
	p.seen[key] = true
	var n uint64
	var ok bool
	switch name {
	case "family", "-4", "-6":
		switch strings.TrimPrefix(val, "--") {
		case "inet", "ipv4", "-4":
			c.Family = packet.IPv4
		case "inet6", "ipv6", "-6":
			c.Family = packet.IPv6
		case "any", "unspec":
			c.Family = 0
		default:
			return r.syntax("unknown inet family " + val)
		}
		return true
	case "hashsize":
		n, ok = r.number(val, math.MaxUint32, failure)
		c.HashSize, c.HasHashSize = uint32(n), true
	case "maxelem":
		n, ok = r.number(val, math.MaxUint32, failure)
		c.MaxElem, c.HasMaxElem = uint32(n), true
	case "size":
		n, ok = r.number(val, math.MaxUint32, failure)
		c.Size, c.HasSize = uint32(n), true
	case "initval":
		n, ok = r.number(val, math.MaxUint32, failure)
		c.Initval, c.HasInitval = uint32(n), true
	case "markmask":
		n, ok = r.number(val, math.MaxUint32, failure)
		c.Markmask, c.HasMarkmask = uint32(n), true
	case "bucketsize":
		n, ok = r.number(val, math.MaxUint8, failure)
		c.BucketSize, c.HasBucketSize = uint8(n), true
	case "timeout":
		n, ok = r.number(val, maxTimeout, failure)
		c.Timeout, c.HasTimeout = uint32(n), true
	case "counters":
		c.Counters, ok = true, true
	case "comment":
		c.Comment, ok = true, true
	case "skbinfo":
		c.Skbinfo, ok = true, true
	case "forceadd":
		c.Force, ok = true, true
	default:
		return p.address(name, val)
	}
	return ok
}

// address reads the options that are addresses or hang on the family.
func (p *creator) address(name, val string) bool {
	r, c := p.r, &p.c
	f := c.Family
	if f == 0 {
		f = packet.IPv4
	}
	max, fam := uint64(32), "inet"
	if f == packet.IPv6 {
		max, fam = 128, "inet6"
	}
	var ok bool
	switch name {
	case "netmask", "bitmask":
		if c.HasNetmask && name == "bitmask" || c.HasBitmask && name == "netmask" {
			return r.syntax("bitmask and netmask are mutually exclusive, provide only one")
		}
		if name == "netmask" {
			if c.Netmask, ok = r.cidr(val, 1, max); !ok {
				return r.syntax("netmask is out of the inclusive range of 1-" + itoa(max))
			}
			c.HasNetmask = true
			return true
		}
		if c.Bitmask, _, _, _, _, ok = r.span(val+"", f); !ok {
			return r.syntax("bitmask is not valid for family = " + fam)
		}
		c.HasBitmask = true
		return true
	}
	if c.Type == ipset.BitmapPort {
		e := &elemParser{r: r, family: f}
		switch name {
		case "range":
			if !e.protoPort(val, true) {
				return false
			}
			c.Port, c.PortTo, c.HasPortTo = e.q.Port, e.q.PortTo, e.q.HasPortTo
			return true
		case "from":
			c.Port, ok = e.port(val, "tcp")
		default:
			c.PortTo, ok = e.port(val, "tcp")
			c.HasPortTo = true
		}
		return ok
	}
	_, _, ranged := cutRange(val)
	_, _, prefixed := cut(val, '/')
	switch {
	case name == "range" && !ranged && !prefixed:
		return r.syntax("IP/cidr or IP-IP range must be specified: " + val)
	case name == "network" && (!prefixed || ranged):
		return r.syntax("IP/netblock must be supplied: " + val)
	case (name == "from" || name == "to") && (ranged || !plain(val, false)):
		return r.syntax("plain IP address must be supplied: " + val)
	}
	if val == "" {
		return r.unresolved(val, f)
	}
	ip, to, bits, hasTo, hasBits, ok := r.span(val, f)
	if name == "to" {
		c.IPTo, c.HasTo = ip, true
		return ok
	}
	c.IP, c.CIDR, c.HasCIDR = ip, bits, hasBits
	if hasTo {
		c.IPTo, c.HasTo = to, true
	}
	return ok
}
