package text

import (
	"strconv"

	"weir/ipset"
	"weir/packet"
	"weir/xtables/names"
)

// list does list and save.
func (r *runner) list(cmd, name string) *end {
	if cmd == "save" { // it does not ask the kernel for less
		r.names, r.terse = false, false
	}
	var sets []*ipset.Set
	if name != "" {
		s := r.sets.Lookup(name)
		if s == nil {
			r.say(failure, message(cmd, ipset.ErrNoSet))
			return r.finish()
		}
		sets = []*ipset.Set{s}
	} else {
		sets = r.sets.All()
	}
	mode := r.mode
	if mode == "" {
		mode = "plain"
		if cmd == "save" {
			mode = "save"
		}
	}
	var b []byte
	if mode == "xml" {
		b = append(b, "<ipsets>\n"...)
	}
	for i, s := range sets {
		if r.names {
			if mode == "xml" {
				b = append(b, "<ipset name=\""+s.Name()+"\"/>\n"...)
			} else {
				b = append(b, s.Name()+"\n"...)
			}
			continue
		}
		if i > 0 && mode == "plain" {
			b = append(b, '\n')
		}
		b = r.appendSet(b, s, mode)
	}
	if mode == "xml" {
		b = append(b, "</ipsets>\n"...)
	}
	if r.file != "" {
		if r.files == nil {
			return r.quit(exitOther, "Cannot open "+r.file+" for writing: Permission denied")
		}
		if err := r.files.Write(r.file, b); err != nil {
			return r.quit(exitOther, "Cannot open "+r.file+" for writing: "+err.Error())
		}
		return nil
	}
	r.out = append(r.out, b...)
	return nil
}

// Save is what ipset save prints for all sets.
func Save(sets *ipset.Sets, sorted bool, now int64) []byte {
	r := &runner{sets: sets, now: now, sorted: sorted}
	var b []byte
	for _, s := range sets.All() {
		b = r.appendSet(b, s, "save")
	}
	return b
}

func (r *runner) appendSet(b []byte, s *ipset.Set, mode string) []byte {
	h := s.Header(r.now)
	t := s.Type()
	switch mode {
	case "save":
		b = append(b, "create "+s.Name()+" "+t.String()...)
	case "xml":
		b = append(b, "<ipset name=\""+s.Name()+"\">\n<type>"+t.String()+"</type>\n<revision>"+itoa(uint64(t.Revision()))+"</revision>\n<header>"...)
	default:
		b = append(b, "Name: "+s.Name()+"\nType: "+t.String()+"\nRevision: "+itoa(uint64(t.Revision()))+"\nHeader:"...)
	}
	for _, o := range createOptions(t) {
		b = headerOption(b, s, &h, o, mode == "xml")
	}
	b = append(b, '\n')
	num := func(n int) string { return itoa(uint64(n)) }
	switch mode {
	case "plain":
		b = append(b, "Size in memory: "+num(h.MemSize)+"\nReferences: "+num(h.References)+"\nNumber of entries: "+num(h.Elems)+"\n"...)
		if r.terse {
			return b
		}
		b = append(b, "Members:\n"...)
	case "xml":
		b = append(b, "<memsize>"+num(h.MemSize)+"</memsize>\n<references>"+num(h.References)+"</references>\n<numentries>"+num(h.Elems)+"</numentries>\n</header>\n"...)
		if r.terse {
			return append(b, "</ipset>\n"...)
		}
		b = append(b, "<members>\n"...)
	default:
		if r.terse {
			return b
		}
	}
	b = r.appendMembers(b, s, mode)
	if mode == "xml" {
		b = append(b, "</members>\n</ipset>\n"...)
	}
	return b
}

// opt appends an option with its value as the output mode has it.
func opt(b []byte, xml bool, name, val string) []byte {
	switch {
	case xml && val == "":
		return append(b, "<"+name+"/>"...)
	case xml:
		return append(b, "<"+name+">"+val+"</"+name+">"...)
	case val == "":
		return append(b, " "+name...)
	}
	return append(b, " "+name+" "+val...)
}

func headerOption(b []byte, s *ipset.Set, h *ipset.Header, name string, xml bool) []byte {
	val, show := "", false
	num := func(n uint64, yes bool) { val, show = itoa(n), yes }
	t := s.Type()
	switch name {
	case "family":
		val, show = familyName(s.Family()), true
	case "hashsize":
		num(uint64(h.HashSize), true)
	case "maxelem":
		num(uint64(h.MaxElem), true)
	case "netmask":
		num(uint64(h.Netmask), h.Netmask != 0)
	case "bitmask":
		val, show = string(h.Bitmask.Append(nil, s.Family())), h.HasBitmask
	case "markmask":
		val, show = hexn(h.Markmask, 8), true
	case "timeout":
		num(uint64(h.Timeout), h.HasTimeout)
	case "counters":
		show = h.Counters
	case "comment":
		show = h.Comment
	case "skbinfo":
		show = h.Skbinfo
	case "bucketsize":
		num(uint64(h.BucketSize), true)
	case "initval":
		val, show = hexn(h.Initval, 8), true
	case "size":
		num(uint64(h.Size), true)
	case "range":
		show = true
		if t == ipset.BitmapPort {
			val = itoa(uint64(h.First)) + "-" + itoa(uint64(h.Last))
		} else {
			val = dotted(h.First) + "-" + dotted(h.Last)
		}
	}
	if !show {
		return b
	}
	return opt(b, xml, name, val)
}

func dotted(v uint32) string {
	a := packet.Addr{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}
	return string(a.Append(nil, packet.IPv4))
}

func hexn(v uint32, width int) string {
	s := strconv.FormatUint(uint64(v), 16)
	for len(s) < width {
		s = "0" + s
	}
	return "0x" + s
}

func (r *runner) appendMembers(b []byte, s *ipset.Set, mode string) []byte {
	t, xml := s.Type(), mode == "xml"
	list := addOptions(t, "add")
	var lines [][]byte
	prefix := 0
	if mode == "save" {
		prefix = len("add ") + len(s.Name()) + 1
	} else if xml {
		prefix = len("<member><elem>")
	}
	sorted := r.sorted && t.Hash()
	s.EachMember(r.now, func(e *ipset.Elem, x *ipset.Ext) bool {
		at := len(b)
		switch {
		case mode == "save":
			b = append(b, "add "+s.Name()+" "...)
		case xml:
			b = append(b, "<member><elem>"...)
		}
		b = appendElem(b, t, s.Family(), e)
		if xml {
			b = append(b, "</elem>"...)
		}
		for _, o := range list {
			b = memberOption(b, s, e, x, o, xml)
		}
		if xml {
			b = append(b, "</member>"...)
		}
		b = append(b, '\n')
		if sorted {
			lines = append(lines, append([]byte(nil), b[at:]...))
			b = b[:at]
		}
		return true
	})
	if sorted {
		sortLines(lines, prefix)
		for _, l := range lines {
			b = append(b, l...)
		}
	}
	return b
}

func memberOption(b []byte, s *ipset.Set, e *ipset.Elem, x *ipset.Ext, name string, xml bool) []byte {
	val, show := "", false
	switch name {
	case "timeout":
		val, show = itoa(uint64(x.Timeout)), s.HasTimeout()
	case "nomatch":
		show = e.Nomatch
	case "wildcard":
		show = e.Wildcard
	case "packets":
		val, show = itoa(x.Packets), s.HasCounters()
	case "bytes":
		val, show = itoa(x.Bytes), s.HasCounters()
	case "comment":
		val, show = `"`+x.Comment+`"`, x.Comment != ""
	case "skbmark":
		val, show = hexn(x.Skb.Mark, 1), x.Skb.Mark != 0 || x.Skb.Mask != 0
		if x.Skb.Mask != 0xffffffff {
			val += "/" + hexn(x.Skb.Mask, 1)
		}
	case "skbprio":
		val = strconv.FormatUint(uint64(x.Skb.Prio>>16), 16) + ":" + strconv.FormatUint(uint64(x.Skb.Prio&0xffff), 16)
		show = x.Skb.Prio != 0
	case "skbqueue":
		val, show = itoa(uint64(x.Skb.Queue)), x.Skb.Queue != 0
	}
	if !show {
		return b
	}
	return opt(b, xml, name, val)
}

func appendIP(b []byte, f packet.Family, a packet.Addr, bits uint8) []byte {
	b = a.Append(b, f)
	if int(bits) != 8*f.Len() {
		b = append(b, '/')
		b = strconv.AppendUint(b, uint64(bits), 10)
	}
	return b
}

func appendElem(b []byte, t ipset.Type, f packet.Family, e *ipset.Elem) []byte {
	for i, kind := range parts(t) {
		if i > 0 && !(kind == "mac" && !e.HasMAC) {
			b = append(b, ',')
		}
		switch kind {
		case "ip", "net":
			if f == 0 {
				f = packet.IPv4
			}
			if i == 0 {
				b = appendIP(b, f, e.IP, e.CIDR)
			} else {
				b = appendIP(b, f, e.IP2, e.CIDR2)
			}
		case "port":
			b = appendPort(b, t == ipset.BitmapPort, e)
		case "mac":
			if e.HasMAC {
				b = appendMAC(b, e.MAC)
			}
		case "mark":
			b = append(b, hexn(e.Mark, 8)...)
		case "iface":
			if e.Physdev {
				b = append(b, "physdev:"...)
			}
			b = append(b, e.IfaceName()...)
		case "set":
			b = append(b, e.Set...)
		}
	}
	return b
}

func appendMAC(b []byte, m [6]byte) []byte {
	const digit = "0123456789ABCDEF"
	for i, x := range m {
		if i > 0 {
			b = append(b, ':')
		}
		b = append(b, digit[x>>4], digit[x&15])
	}
	return b
}

func appendPort(b []byte, bare bool, e *ipset.Elem) []byte {
	if !bare {
		if n, ok := names.ProtocolName(e.Proto); ok {
			b = append(b, n...)
		} else {
			b = strconv.AppendUint(b, uint64(e.Proto), 10)
		}
		b = append(b, ':')
		if e.Proto == packet.ICMP || e.Proto == packet.ICMPv6 {
			for _, n := range icmpNames(e.Proto == packet.ICMPv6) {
				if n.code == e.Port {
					return append(b, n.name...)
				}
			}
			b = strconv.AppendUint(b, uint64(e.Port>>8), 10)
			b = append(b, '/')
			return strconv.AppendUint(b, uint64(e.Port&0xff), 10)
		}
	}
	return strconv.AppendUint(b, uint64(e.Port), 10)
}

// text is the element as a test says it: as it was given.
func (p *elemParser) text() string {
	q, f := &p.q, p.family
	if f == 0 {
		f = packet.IPv4
	}
	host := uint8(8 * f.Len())
	e := ipset.Elem{IP: q.IP, IP2: q.IP2, CIDR: host, CIDR2: host, Proto: q.Proto, Port: q.Port, Mark: q.Mark,
		MAC: q.MAC, HasMAC: q.HasMAC, Iface: q.Iface, Set: q.Set}
	if q.HasCIDR {
		e.CIDR = q.CIDR
	}
	if q.HasCIDR2 {
		e.CIDR2 = q.CIDR2
	}
	b := appendElem(nil, p.set.Type(), p.family, &e)
	if q.HasIPTo && p.set.Type() == ipset.HashIP {
		b = append(b, '-')
		b = q.IPTo.Append(b, f)
	}
	if q.HasRef {
		b = append(b, " after "+q.Ref...)
	}
	return string(b)
}
