package text

import (
	"math"
	"strconv"
	"strings"

	"weir/ipset"
	"weir/packet"
)

// addOptions are the options behind an element, in the order in which they
// are printed.
func addOptions(t ipset.Type, cmd string) []string {
	var list []string
	switch {
	case t == ipset.ListSet && cmd == "add":
		list = []string{"timeout", "before", "after", "packets", "bytes", "comment", "skbmark", "skbprio", "skbqueue"}
	case t == ipset.ListSet:
		list = []string{"before", "after"}
	case cmd == "add":
		list = []string{"timeout"}
		if t.Nets() {
			list = append(list, "nomatch")
		}
		if t == ipset.HashNetIface {
			list = append(list, "wildcard")
		}
		list = append(list, "packets", "bytes", "comment", "skbmark", "skbprio", "skbqueue")
	case cmd == "test" && t.Nets():
		list = []string{"nomatch"}
	}
	return list
}

// isOption compares a word with the name of an option, as ipset does: two
// dashes before it do not count.
func isOption(word, name string) bool { return strings.TrimPrefix(word, "--") == name }

// options reads the words behind an element.
func (p *elemParser) options(words []string) *end {
	r := p.r
	known := addOptions(p.set.Type(), p.cmd)
	seen := map[string]bool{}
	if p.q.HasRef {
		seen["before"], seen["after"] = true, true
	}
	for i := 0; i < len(words); i++ {
		name := ""
		for _, k := range known {
			if isOption(words[i], k) {
				name = k
			}
		}
		if name == "" {
			return r.usage("Unknown argument: `" + words[i] + "'")
		}
		val := ""
		if name != "nomatch" && name != "wildcard" {
			if i++; i == len(words) {
				return r.usage("Missing mandatory argument of option `" + name + "'")
			}
			val = words[i]
		}
		key := name
		if name == "after" {
			key = "before"
		}
		flag := name == "nomatch" || name == "wildcard"
		if seen[key] && !flag {
			r.syntax(name + " already specified")
			return r.finish()
		}
		seen[key] = true
		if !p.option(name, val) {
			return r.finish()
		}
	}
	return nil
}

func (p *elemParser) option(name, val string) bool {
	q, r := &p.q, p.r
	var n uint64
	var ok bool
	switch name {
	case "timeout":
		n, ok = r.number(val, maxTimeout, failure)
		q.Timeout, q.HasTimeout = uint32(n), true
	case "nomatch":
		q.Nomatch, ok = true, true
	case "wildcard":
		q.Wildcard, ok = true, true
	case "packets":
		q.Packets, ok = r.number(val, math.MaxUint64-1, failure)
		q.HasPackets = true
	case "bytes":
		q.Bytes, ok = r.number(val, math.MaxUint64-1, failure)
		q.HasBytes = true
	case "comment":
		switch {
		case strings.Contains(val, `"`):
			return r.syntax(`" character is not permitted in comments`)
		case len(val) > 255:
			return r.syntax("Comment is longer than the maximum allowed 255 characters")
		}
		q.Comment, q.HasComment, ok = val, true, true
	case "skbmark":
		mark, mask, has := strings.Cut(val, "/")
		v, end, good := hex(mark)
		m, end2, good2 := hex(mask)
		if !good {
			return r.syntax("Invalid skbmark format, it should be:  MARK/MASK or MARK (see manpage)")
		}
		if !has || end || !good2 {
			m = math.MaxUint32
		}
		_ = end2
		q.Skb.Mark, q.Skb.Mask, q.HasMark, ok = uint32(v), uint32(m), true, true
	case "skbprio":
		a, b, has := strings.Cut(val, ":")
		hi, _, ok1 := digits(a)
		lo, _, ok2 := digits(b)
		if !has || !ok1 || !ok2 {
			return r.syntax("Invalid skbprio format, it should be:MAJOR:MINOR (see manpage)")
		}
		q.Skb.Prio, q.HasPrio, ok = uint32(hi)<<16|uint32(lo)&0xffff, true, true
	case "skbqueue":
		n, ok = r.number(val, math.MaxUint16, failure)
		q.Skb.Queue, q.HasQueue = uint16(n), true
	case "before", "after":
		q.Ref, q.HasRef, q.Before = val, true, name == "before"
		ok = r.checkName(val)
	}
	return ok
}

// hex reads 0x and digits, as scanf's "0x%lx": more says that other text
// follows.
func hex(s string) (v uint64, more, ok bool) {
	s, ok = strings.CutPrefix(s, "0x")
	if !ok {
		return 0, false, false
	}
	return digits(s)
}

func digits(s string) (v uint64, more, ok bool) {
	s = strings.TrimPrefix(s, "0x")
	n := 0
	for n < len(s) && strings.IndexByte("0123456789abcdefABCDEF", s[n]) >= 0 {
		n++
	}
	v, err := strconv.ParseUint(s[:n], 16, 64)
	return v, n < len(s), err == nil
}

// maxTimeout is the longest timeout in seconds.
const maxTimeout = math.MaxInt32 / 1000

// allowed refuses what cannot be done with an element of the type.
func (p *elemParser) allowed() *end {
	t, q := p.set.Type(), &p.q
	first := parts(t)[0]
	spread := p.cmd != "test"
	where := " is not allowed in command " + p.cmd + " with set type " + t.String() + " and family " + familyName(p.family)
	ranges := spread && t != ipset.BitmapIPMAC && t != ipset.HashIPMAC
	if t == ipset.HashIP || t == ipset.HashIPMark {
		ranges = true
	}
	switch {
	case q.HasCIDR && first == "ip" && !ranges:
		return p.r.quit(exitOther, "IP/CIDR range"+where)
	case q.HasIPTo && !ranges:
		return p.r.quit(exitOther, "FROM-TO IP range"+where)
	case q.HasPortTo && !spread:
		return p.r.quit(exitOther, "FROM-TO port range"+where)
	case q.HasIP2To && !spread:
		return p.r.quit(exitOther, "There are not allowed options (17) but can't resolve them. It's a bug, please report the problem.")
	}
	return nil
}

func familyName(f packet.Family) string {
	switch f {
	case packet.IPv4:
		return "inet"
	case packet.IPv6:
		return "inet6"
	}
	return "unspec"
}
