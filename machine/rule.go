package machine

import (
	"encoding/json"
	"net/netip"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"weir/packet"
	"weir/route"
)

// ipRule is an element of ip -j rule.
type ipRule struct {
	Priority int    `json:"priority"`
	Src      string `json:"src"`
	SrcLen   *int   `json:"srclen"`
	Dst      string `json:"dst"`
	DstLen   *int   `json:"dstlen"`
	In       string `json:"iif"`
	Out      string `json:"oif"`
	Mark     string `json:"fwmark"`
	Mask     string `json:"fwmask"`
	TOS      string `json:"tos"`
	Table    string `json:"table"`
	Action   string `json:"action"`
}

// ruleKeys is what of a rule is understood. protocol says who made the rule.
var ruleKeys = map[string]bool{"priority": true, "not": true, "src": true, "srclen": true, "dst": true, "dstlen": true, "iif": true,
	"oif": true, "fwmark": true, "fwmask": true, "tos": true, "table": true, "action": true, "protocol": true, "iif_detached": true, "oif_detached": true}

// ipRules reads the output of ip -j rule or ip -j -6 rule.
func (l *loader) ipRules(f File, family packet.Family) {
	if f.Text == nil {
		return
	}
	l.elements(f, func(raw []byte, line, col int) {
		var keys map[string]json.RawMessage
		var in ipRule
		if err := json.Unmarshal(raw, &keys); err == nil {
			err = json.Unmarshal(raw, &in)
		} else {
			l.fail(f.Name, line, col, "JSON: "+err.Error())
			return
		}
		for k := range keys {
			if !ruleKeys[k] {
				l.fail(f.Name, line, col, "rule "+strconv.Itoa(in.Priority)+": "+quote(k)+" is not supported")
				return
			}
		}
		r := route.Rule{Family: family, Priority: in.Priority, Not: keys["not"] != nil, In: in.In, Out: in.Out, Type: route.Unicast, Table: l.table(in.Table)}
		bad := ""
		r.From = network(in.Src, in.SrcLen, &bad)
		r.To = network(in.Dst, in.DstLen, &bad)
		r.Mark = uint32(numeral(in.Mark, 32, 0, &bad))
		if in.Mark != "" {
			r.Mask = uint32(numeral(in.Mask, 32, 1<<32-1, &bad))
		}
		r.TOS = uint8(numeral(in.TOS, 8, 0, &bad))
		if in.Action != "" && in.Action != "to_tbl" {
			t, ok := routeTypes[in.Action]
			if !ok || t != route.Blackhole && t != route.Unreachable && t != route.Prohibit {
				bad = in.Action
			}
			r.Type, r.Table = t, 0
		}
		if bad != "" {
			l.fail(f.Name, line, col, "rule "+strconv.Itoa(in.Priority)+": "+quote(bad)+" is not supported")
			return
		}
		l.m.Policy = append(l.m.Policy, r)
	})
}

// network reads an address and the length of its prefix, which ip leaves out if
// it is whole; "all" is any.
func network(s string, bits *int, bad *string) netip.Prefix {
	if s == "" || s == "all" {
		return netip.Prefix{}
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		*bad = s
		return netip.Prefix{}
	}
	n := a.BitLen()
	if bits != nil {
		n = *bits
	}
	return netip.PrefixFrom(a, n).Masked()
}

func numeral(s string, bits int, without uint64, bad *string) uint64 {
	if s == "" {
		return without
	}
	n, err := strconv.ParseUint(s, 0, bits)
	if err != nil {
		*bad = s
	}
	return n
}

// table is the number of a routing table; those that have a name only get
// numbers that no table has.
func (l *loader) table(name string) int {
	switch name {
	case "", "main":
		return route.TableMain
	case "local":
		return route.TableLocal
	case "default":
		return route.TableDefault
	}
	if n, err := strconv.ParseUint(name, 10, 32); err == nil {
		return int(n)
	}
	n, ok := l.tables[name]
	if !ok {
		if l.tables == nil {
			l.tables = map[string]int{}
		}
		n = -1 - len(l.tables)
		l.tables[name] = n
	}
	return n
}

// policy reads a rule of machine.yaml, in the words of ip rule add.
func (y *yamlReader) policy(n *yaml.Node) {
	r := route.Rule{Priority: -1, Type: route.Unicast, Table: -1 << 31}
	before := len(y.l.errs)
	families := []packet.Family{packet.IPv4, packet.IPv6}
	prefix := func(v *yaml.Node, what string) netip.Prefix {
		s, ok := y.scalar(v, what)
		if s == "all" {
			return netip.Prefix{}
		}
		p, err := netip.ParsePrefix(s)
		if a, aerr := netip.ParseAddr(s); aerr == nil && a.Zone() == "" {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if ok && err != nil {
			y.fail(v, what+": "+quote(s)+" is not a network")
			return p
		}
		f := packet.FamilyOf(p.Addr())
		if len(families) == 1 && families[0] != f {
			y.fail(v, what+": "+quote(s)+" is of the other family")
		}
		families = []packet.Family{f}
		return p.Masked()
	}
	y.mapping(n, "policy", func(k, v *yaml.Node) bool {
		s, ok := y.scalar(v, k.Value)
		bad := ""
		switch k.Value {
		case "priority":
			r.Priority = y.number(v, "priority", 0, 1<<31-1)
		case "not":
			r.Not = s == "true"
			if !r.Not && s != "false" {
				bad = s
			}
		case "from":
			r.From = prefix(v, "from")
		case "to":
			r.To = prefix(v, "to")
		case "iif", "oif":
			if y.l.m.Iface(s) == nil {
				y.fail(v, k.Value+": the machine has no interface "+quote(s))
			}
			if k.Value == "iif" {
				r.In = s
			} else {
				r.Out = s
			}
		case "fwmark":
			mark, mask, _ := strings.Cut(s, "/")
			r.Mark, r.Mask = uint32(numeral(mark, 32, 0, &bad)), uint32(numeral(mask, 32, 1<<32-1, &bad))
		case "tos":
			r.TOS = uint8(numeral(s, 8, 0, &bad))
		case "table":
			r.Table = y.l.table(s)
		case "type":
			t, known := routeTypes[s]
			if !known || t != route.Blackhole && t != route.Unreachable && t != route.Prohibit {
				bad = s
			}
			r.Type = t
		default:
			return false
		}
		if ok && bad != "" {
			y.fail(v, k.Value+": "+quote(bad)+" is not what stands in a rule of ip(8)")
		}
		return true
	}, "priority", "not", "from", "to", "iif", "oif", "fwmark", "tos", "table", "type")
	switch {
	case len(y.l.errs) > before:
		return
	case r.Type == route.Unicast && r.Table == -1<<31:
		y.fail(n, "a policy rule without table, or a type: blackhole, unreachable, prohibit")
		return
	case r.Priority < 0:
		y.fail(n, "a policy rule without priority")
		return
	case r.Type != route.Unicast:
		r.Table = 0
	}
	for _, f := range families {
		r.Family = f
		y.l.m.Policy = append(y.l.m.Policy, r)
	}
}

// completePolicy adds the rules of a fresh system to those of machine.yaml.
func (y *yamlReader) completePolicy() {
	for _, f := range []packet.Family{packet.IPv4, packet.IPv6} {
		for _, r := range y.l.m.Policy {
			if r.Family == f {
				y.l.m.Policy = append(y.l.m.Policy, route.FreshRules(f)...)
				break
			}
		}
	}
}
