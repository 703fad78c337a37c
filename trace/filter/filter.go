package filter

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"weir/packet"
	"weir/trace/render"
)

// Answer is what a filter says of a packet.
type Answer uint8

// The answers, in an order in which "and" is the smaller and "or" the larger.
const (
	No Answer = iota
	Maybe
	Yes
)

// Filter is an expression.
type Filter struct{ t test }

// Match reports whether the expression takes a packet whose fate is known.
func (f *Filter) Match(p *render.Packet) bool { return f.t(newSubject(p)) == Yes }

// Early is what can be said of a packet that has arrived on the interface in:
// Maybe when its fate decides.
func (f *Filter) Early(in string, data []byte) Answer {
	s := newSubject(&render.Packet{In: in, Data: data})
	s.early = true
	return f.t(s)
}

// test decides whether a packet is taken.
type test func(*subject) Answer

// now is a test of what is known as soon as a packet is there.
func now(f func(*subject) bool) test {
	return func(s *subject) Answer {
		if f(s) {
			return Yes
		}
		return No
	}
}

// later is a test of what became of a packet.
func later(f func(*subject) bool) test {
	known := now(f)
	return func(s *subject) Answer {
		if s.early {
			return Maybe
		}
		return known(s)
	}
}

// subject is what an expression looks at.
type subject struct {
	*render.Packet
	pkt   packet.Packet
	ok    bool // pkt could be read
	early bool // nothing is known yet of the packet's fate
}

func newSubject(p *render.Packet) *subject {
	s := &subject{Packet: p}
	d := append([]byte(nil), p.Data...)
	s.ok = packet.Parse(d, &s.pkt) == nil
	return s
}

// Parse compiles an expression. Errors say the column.
func Parse(expr string) (*Filter, error) {
	p := &parser{src: expr}
	p.lex()
	if p.err == nil && len(p.toks) == 0 {
		return nil, fmt.Errorf("the expression is empty")
	}
	var t test
	if p.err == nil {
		t = p.or()
	}
	if p.err == nil && p.i < len(p.toks) {
		p.fail("%q is too much here", p.toks[p.i].text)
	}
	if p.err != nil {
		return nil, p.err
	}
	return &Filter{t}, nil
}

type tok struct {
	text string
	col  int
}

type parser struct {
	src  string
	toks []tok
	i    int
	err  error
	// The qualifiers of the last primitive, for "port 80 or 443".
	dir, kind, proto string
}

func (p *parser) fail(format string, args ...any) {
	if p.err == nil {
		col := len(p.src) + 1
		if p.i < len(p.toks) {
			col = p.toks[p.i].col
		}
		p.err = fmt.Errorf("column %d: %s", col, fmt.Sprintf(format, args...))
	}
}

func (p *parser) lex() {
	s := p.src
	for i := 0; i < len(s); {
		switch c := s[i]; {
		case c == ' ' || c == '\t' || c == '\n':
			i++
		case c == '(' || c == ')':
			p.toks = append(p.toks, tok{s[i : i+1], i + 1})
			i++
		case strings.HasPrefix(s[i:], "&&"), strings.HasPrefix(s[i:], "||"), strings.HasPrefix(s[i:], "=="),
			strings.HasPrefix(s[i:], "!="), strings.HasPrefix(s[i:], "<="), strings.HasPrefix(s[i:], ">="):
			p.toks = append(p.toks, tok{s[i : i+2], i + 1})
			i += 2
		case c == '!' || c == '<' || c == '>' || c == '=':
			p.toks = append(p.toks, tok{s[i : i+1], i + 1})
			i++
		default:
			j := i
			for j < len(s) && !strings.ContainsRune(" \t\n()!<>=&|", rune(s[j])) {
				j++
			}
			if j == i {
				p.i = len(p.toks)
				p.toks = append(p.toks, tok{s[i : i+1], i + 1})
				p.fail("%q is not understood", s[i:i+1])
				return
			}
			p.toks = append(p.toks, tok{s[i:j], i + 1})
			i = j
		}
	}
}

func (p *parser) peek() string {
	if p.err != nil || p.i >= len(p.toks) {
		return ""
	}
	return p.toks[p.i].text
}

func (p *parser) next() string {
	t := p.peek()
	if t != "" {
		p.i++
	}
	return t
}

func (p *parser) or() test {
	l := p.and()
	for p.peek() == "||" || p.peek() == "or" {
		p.next()
		a, b := l, p.and()
		l = func(s *subject) Answer { return max(a(s), b(s)) }
	}
	return l
}

func (p *parser) and() test {
	l := p.unary()
	for p.peek() == "&&" || p.peek() == "and" {
		p.next()
		a, b := l, p.unary()
		l = func(s *subject) Answer { return min(a(s), b(s)) }
	}
	return l
}

func (p *parser) unary() test {
	switch p.peek() {
	case "!", "not":
		p.next()
		t := p.unary()
		return func(s *subject) Answer { return Yes - t(s) }
	case "(":
		p.next()
		t := p.or()
		if p.peek() != ")" {
			p.fail("a ) is missing")
			return nil
		}
		p.next()
		return t
	case "":
		p.fail("something is missing here")
		return nil
	}
	if p.i+1 < len(p.toks) {
		switch op := p.toks[p.i+1].text; op {
		case "==", "=", "!=", "<", "<=", ">", ">=":
			return p.compare()
		}
	}
	return p.primitive()
}

// compare reads FIELD OP VALUE.
func (p *parser) compare() test {
	at := p.i
	field, op := p.next(), p.next()
	value := p.next()
	if value == "" {
		p.fail("a value is missing")
		return nil
	}
	numeric := func(when func(func(*subject) bool) test, f func(*subject) int) test {
		n, err := strconv.Atoi(value)
		if err != nil {
			p.i--
			p.fail("%q is not a number", value)
			return nil
		}
		switch op {
		case "==", "=":
			return when(func(s *subject) bool { return f(s) == n })
		case "!=":
			return when(func(s *subject) bool { return f(s) != n })
		case "<":
			return when(func(s *subject) bool { return f(s) < n })
		case "<=":
			return when(func(s *subject) bool { return f(s) <= n })
		case ">":
			return when(func(s *subject) bool { return f(s) > n })
		}
		return when(func(s *subject) bool { return f(s) >= n })
	}
	text := func(when func(func(*subject) bool) test, f func(*subject, string) bool) test {
		switch op {
		case "==", "=":
			return when(func(s *subject) bool { return f(s, value) })
		case "!=":
			return when(func(s *subject) bool { return !f(s, value) })
		}
		p.i = at + 1
		p.fail("%s is compared with == or !=", field)
		return nil
	}
	switch field {
	case "n":
		return numeric(later, func(s *subject) int { return s.N })
	case "len":
		return numeric(now, func(s *subject) int { return len(s.Data) })
	case "verdict":
		switch strings.ToLower(value) {
		case "forward", "local", "output", "drop", "held":
		default:
			p.i--
			p.fail("%q is no verdict: forward, local, output, drop, held", value)
			return nil
		}
		return text(later, func(s *subject, v string) bool { return strings.EqualFold(s.Verdict, v) })
	case "reason":
		return text(later, func(s *subject, v string) bool { return s.Reason == v })
	case "in":
		return text(now, func(s *subject, v string) bool { return s.In == v })
	case "out":
		return text(later, func(s *subject, v string) bool {
			for i := range s.Out {
				if s.Out[i].Dev == v {
					return true
				}
			}
			return false
		})
	case "ct":
		return text(later, func(s *subject, v string) bool {
			for _, w := range strings.Fields(s.Conn) {
				if strings.EqualFold(w, v) {
					return true
				}
			}
			return false
		})
	case "table", "chain":
		return text(later, func(s *subject, v string) bool {
			for i := range s.Steps {
				st := &s.Steps[i]
				if st.Match && (field == "table" && st.Table == v || field == "chain" && st.Chain == v) {
					return true
				}
			}
			return false
		})
	}
	p.i = at
	p.fail("%q is not a field: n, len, verdict, reason, in, out, ct, table, chain", field)
	return nil
}

// protoWords are the protocols that tcpdump knows by a word.
var protoWords = map[string]uint8{
	"tcp": packet.TCP, "udp": packet.UDP, "icmp": packet.ICMP, "icmp6": packet.ICMPv6, "sctp": packet.SCTP,
	"igmp": packet.IGMP, "esp": packet.ESP, "ah": packet.AH, "gre": packet.GRE,
}

// primitive reads one of tcpdump's primitives: [proto] [dir] [kind] value.
func (p *parser) primitive() test {
	start := p.i
	proto, dir, kind := "", "", ""
	if w := p.peek(); w == "ip" || w == "ip6" {
		proto = p.next()
	} else if _, ok := protoWords[w]; ok {
		proto = p.next()
	}
	switch p.peek() {
	case "src", "dst":
		dir = p.next()
		if (p.peek() == "or" || p.peek() == "and") && p.i+1 < len(p.toks) && (p.toks[p.i+1].text == "dst" || p.toks[p.i+1].text == "src") {
			dir += " " + p.next() + " " + p.next()
		}
	}
	switch p.peek() {
	case "host", "net", "port", "portrange", "proto":
		kind = p.next()
	case "less", "greater":
		word := p.next()
		v := p.next()
		n, err := strconv.Atoi(v)
		if err != nil {
			p.fail("%s wants a length", word)
			return nil
		}
		if word == "less" {
			return now(func(s *subject) bool { return len(s.Data) <= n })
		}
		return now(func(s *subject) bool { return len(s.Data) >= n })
	}
	if dir == "" && kind == "" {
		if proto != "" {
			return protoTest(proto)
		}
		if p.kind == "" && p.dir == "" {
			p.i = start
			p.fail("%q is not understood; fields are compared with ==, addresses follow host, net, port …", p.peek())
			return nil
		}
		dir, kind, proto = p.dir, p.kind, p.proto // "port 80 or 443"
	}
	if kind == "" {
		kind = "host"
	}
	v := p.next()
	if v == "" {
		p.fail("%s wants a value", kind)
		return nil
	}
	p.dir, p.kind, p.proto = dir, kind, proto
	t := p.value(kind, dir, v)
	if t == nil || proto == "" {
		return t
	}
	pt := protoTest(proto)
	return func(s *subject) Answer { return min(pt(s), t(s)) }
}

func protoTest(word string) test {
	switch word {
	case "ip":
		return now(func(s *subject) bool { return s.ok && s.pkt.Family == packet.IPv4 })
	case "ip6":
		return now(func(s *subject) bool { return s.ok && s.pkt.Family == packet.IPv6 })
	}
	n := protoWords[word]
	return now(func(s *subject) bool { return s.ok && s.pkt.Proto == n })
}

// ends combines a test of source and destination by tcpdump's direction.
func ends(dir string, src, dst test) test {
	switch dir {
	case "src":
		return src
	case "dst":
		return dst
	case "src and dst", "dst and src":
		return func(s *subject) Answer { return min(src(s), dst(s)) }
	}
	return func(s *subject) Answer { return max(src(s), dst(s)) }
}

func (p *parser) value(kind, dir, v string) test {
	bad := func(what string) test {
		p.i--
		p.fail("%q is not %s", v, what)
		return nil
	}
	switch kind {
	case "host":
		a, err := netip.ParseAddr(v)
		if err != nil {
			return bad("an address")
		}
		return ends(dir,
			now(func(s *subject) bool { return s.ok && s.pkt.Src().IP(s.pkt.Family) == a }),
			now(func(s *subject) bool { return s.ok && s.pkt.Dst().IP(s.pkt.Family) == a }))
	case "net":
		n, err := netip.ParsePrefix(v)
		if a, aerr := netip.ParseAddr(v); aerr == nil {
			n, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err != nil {
			return bad("a network")
		}
		n = n.Masked()
		return ends(dir,
			now(func(s *subject) bool { return s.ok && n.Contains(s.pkt.Src().IP(s.pkt.Family)) }),
			now(func(s *subject) bool { return s.ok && n.Contains(s.pkt.Dst().IP(s.pkt.Family)) }))
	case "port", "portrange":
		from, to, ranged := strings.Cut(v, "-")
		lo, err := strconv.ParseUint(from, 10, 16)
		hi := lo
		if err == nil && ranged && kind == "portrange" {
			hi, err = strconv.ParseUint(to, 10, 16)
		} else if ranged != (kind == "portrange") {
			err = strconv.ErrSyntax
		}
		if err != nil {
			return bad("a " + kind)
		}
		return ends(dir, portTest(0, uint16(lo), uint16(hi)), portTest(2, uint16(lo), uint16(hi)))
	case "proto":
		if dir != "" {
			return bad("a protocol with a direction")
		}
		n, ok := protoWords[v]
		if !ok {
			x, err := strconv.ParseUint(v, 10, 8)
			if err != nil {
				return bad("a protocol")
			}
			n = uint8(x)
		}
		return now(func(s *subject) bool { return s.ok && s.pkt.Proto == n })
	}
	return bad("understood")
}

func portTest(off int, lo, hi uint16) test {
	return now(func(s *subject) bool {
		if !s.ok {
			return false
		}
		switch s.pkt.Proto {
		case packet.TCP, packet.UDP, packet.UDPLite, packet.SCTP, packet.DCCP:
		default:
			return false
		}
		l4 := s.pkt.Payload()
		if len(l4) < 4 {
			return false
		}
		port := uint16(l4[off])<<8 | uint16(l4[off+1])
		return lo <= port && port <= hi
	})
}
