package dnsset

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"weir/packet"
	"weir/xtables"
)

// Config says whose answers are believed and which names fill which sets.
type Config struct {
	// Resolvers are the addresses whose answers are believed.
	Resolvers []netip.Addr
	Lists     []List
	// Least is the shortest time in seconds that an address stays, whatever
	// its TTL; at least 1.
	Least uint32
}

// List is the names of one set.
type List struct {
	Set   string
	Names []string // lower case, without a dot at the end; "*.example.org" is every name below
	Pos   xtables.Pos
}

// Parse reads a names.conf, a line each:
//
//	resolver 198.51.100.53 2001:db8:80::53
//	least 60
//	allow api.example.com *.example.org
//
// The first word of any other line is a set. "#" begins a comment. Errors are
// *xtables.Error with their place.
func Parse(file string, text []byte) (Config, []error) {
	c := Config{Least: 1}
	var errs []error
	for n, l := range strings.Split(string(text), "\n") {
		l, _, _ = strings.Cut(l, "#")
		w := strings.Fields(l)
		if len(w) == 0 {
			continue
		}
		at := func(word string) xtables.Pos {
			return xtables.Pos{File: file, Line: n + 1, Col: strings.Index(l, word) + 1}
		}
		bad := func(word, format string, a ...any) {
			errs = append(errs, &xtables.Error{Pos: at(word), Msg: fmt.Sprintf(format, a...)})
		}
		if len(w) == 1 {
			bad(w[0], "%s: something has to follow", w[0])
			continue
		}
		switch w[0] {
		case "resolver":
			for _, s := range w[1:] {
				a, err := netip.ParseAddr(s)
				if err != nil || a.Zone() != "" {
					bad(s, "%s is not an address", s)
					continue
				}
				c.Resolvers = append(c.Resolvers, a.Unmap())
			}
		case "least":
			v, err := strconv.ParseUint(w[1], 10, 32)
			if err != nil || v < 1 || v > maxTimeout || len(w) > 2 {
				bad(w[1], "%s is not a time in seconds from 1 to %d", w[1], maxTimeout)
				continue
			}
			c.Least = uint32(v)
		default:
			list := List{Set: w[0], Pos: at(w[0])}
			for _, s := range w[1:] {
				name := strings.ToLower(strings.TrimSuffix(s, "."))
				if !goodName(strings.TrimPrefix(name, "*.")) {
					bad(s, "%s is not a name of DNS; the one wildcard is *. in front", s)
					continue
				}
				list.Names = append(list.Names, name)
			}
			c.Lists = append(c.Lists, list)
		}
	}
	if len(c.Resolvers) == 0 && len(c.Lists) > 0 && len(errs) == 0 {
		errs = append(errs, &xtables.Error{Pos: c.Lists[0].Pos, Msg: "no resolver is trusted: a line \"resolver ADDRESS\" is missing"})
	}
	return c, errs
}

// goodName reports a name as hosts have them (RFC 1123 section 2.1), with
// underscores.
func goodName(s string) bool {
	if len(s) > 253 {
		return false
	}
	for _, l := range strings.Split(s, ".") {
		if l == "" || len(l) > 63 {
			return false
		}
		for _, c := range []byte(l) {
			if c != '-' && c != '_' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
				return false
			}
		}
	}
	return true
}

// wants reports that the name, in lower case, is one of the list's.
func (l *List) wants(name string) bool {
	for _, n := range l.Names {
		if n == name {
			return true
		}
		if n[0] == '*' && len(name) > len(n)-1 && strings.HasSuffix(name, n[1:]) {
			return true
		}
	}
	return false
}

// trusts reports a resolver.
func (c *Config) trusts(f packet.Family, a packet.Addr) bool {
	ip := a.IP(f)
	for _, r := range c.Resolvers {
		if r == ip {
			return true
		}
	}
	return false
}
