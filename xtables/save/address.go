package save

import (
	"strings"

	"weir/packet"
	"weir/xtables"
	"weir/xtables/args"
)

// network is an address with a mask, already masked.
type network struct{ addr, mask packet.Addr }

// networks reads the list behind -s or -d.
func (p *parser) networks(w xtables.Word) (list []network, ok bool) {
	ok = true
	for rest, more := w.Text, true; more; {
		var one string
		one, rest, more = strings.Cut(rest, ",")
		n, good := p.network(one, w.Pos)
		ok = ok && good
		list = append(list, n)
	}
	return list, ok
}

func (p *parser) network(s string, pos xtables.Pos) (n network, ok bool) {
	addr, mask, has := strings.Cut(s, "/")
	n.mask = args.MaskOf(p.family, p.family.Len()*8)
	if has {
		if n.mask, ok = readMask(p.family, mask); !ok {
			p.errorf(pos, "%q is neither a prefix length nor a mask", mask)
			p.said(2, "invalid mask `%s' specified", mask)
			return n, false
		}
		if n.mask.IsZero() {
			return n, true // the address does not matter: "any/0"
		}
	}
	if n.addr, ok = args.Dotted(p.family, addr); !ok {
		// iptables asks the resolver, which reads what inet_aton(3) reads.
		n.addr, ok = args.Address(p.family, addr)
	}
	if !ok {
		p.errorf(pos, "%s", p.noAddress(addr))
		p.said(2, "host/network `%s' not found", addr)
		return n, false
	}
	for i := range n.addr {
		n.addr[i] &= n.mask[i]
	}
	return n, true
}

// noAddress says what is wrong with a word that is not an address.
func (p *parser) noAddress(s string) string {
	family, other, hint := "IPv4", packet.IPv6, "this is ip6tables'"
	if p.family == packet.IPv6 {
		family, other, hint = "IPv6", packet.IPv4, "this is iptables'"
	}
	msg := quote(s) + " is not an " + family + " address"
	if _, ok := args.Strict(other, s); ok {
		return msg + ": " + hint
	}
	if s == "" {
		return "an address is missing"
	}
	if strings.HasPrefix(s, "-") {
		return msg + ": iptables wants a space between the option and its value"
	}
	if c := s[0] | 0x20; c >= 'a' && c <= 'z' && !strings.Contains(s, ":") {
		return msg + "; names of hosts and networks are not looked up, write the address"
	}
	return msg
}

func readMask(f packet.Family, s string) (packet.Addr, bool) {
	if n, ok := args.Number(s, 0, uint64(f.Len()*8)); ok {
		return args.MaskOf(f, int(n)), true
	}
	if f == packet.IPv4 && strings.Count(s, ".") != 3 {
		return packet.Addr{}, false
	}
	return args.Dotted(f, s)
}
