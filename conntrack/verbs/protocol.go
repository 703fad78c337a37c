package verbs

import (
	"math/bits"
	"strconv"
	"strings"

	"weir/conntrack"
	"weir/packet"
	"weir/xtables/names"
)

// protocol is a layer-4 protocol with options of its own.
type protocol struct {
	name   string
	number uint8
	// flags are the options in the order of conntrack's tables: as messages
	// call them, with all names that they have on the command line.
	flags []flag
	// pairs are the flags that belong together, original and reply, with the
	// words of the message.
	pairs [2]string
	// legal is which flags a command may have, as in legal.
	legal func(Verb, Table) string
}

// flag is an option of a protocol.
type flag struct {
	name  string
	also  []string
	parse func(c *Command, v string) string // what is wrong, or empty
}

// findProtocol is the protocol of a name or number; nil is none.
func findProtocol(s string) (p *protocol, number uint8, ok bool) {
	for _, p := range protocols() {
		if strings.EqualFold(p.name, s) {
			return p, p.number, true
		}
	}
	n, named := names.Protocol(s)
	if !named {
		v, bad := number8(s)
		if bad {
			return nil, 0, false
		}
		n = v
		for _, p := range protocols() {
			if p.number == n {
				return p, n, true
			}
		}
	}
	return &protocol{name: "unknown", number: n, legal: func(Verb, Table) string { return "" }}, n, true
}

func number8(s string) (uint8, bool) {
	v, end := cUint(s, 0)
	if end == 0 || end != len(s) || v > 255 {
		return 0, true
	}
	return uint8(v), false
}

// protocols lists those with options.
func protocols() []*protocol {
	ports := func(state bool) func(Verb, Table) string {
		mid := ""
		if state {
			mid = "2"
		}
		return func(v Verb, t Table) string {
			need := mid
			switch {
			case t == Expectations && v == Create:
				if state {
					need = "0"
				}
				return "110011" + need + "11"
			case t == Expectations && (v == Delete || v == Get):
				return "1111"
			case t == Expectations:
				return ""
			case v == Create || v == Add:
				if state {
					need = "1"
				}
				return "333300" + need
			case v == Get:
				return "333300" + need
			case v == List || v == Update || v == Delete || v == Events:
				return "222200" + need
			}
			return ""
		}
	}
	portPairs := [2]string{"`--sport' and `--dport'", "`--reply-src-port' and `--reply-dst-port'"}
	tcpState := flag{name: "state", parse: (*Command).tcpState}
	sctp := &protocol{name: "sctp", number: packet.SCTP, flags: append(portFlags(), flag{name: "state", parse: (*Command).sctpState},
		portFlag("tuple-port-src", exptuple, 0), portFlag("tuple-port-dst", exptuple, 1),
		flag{name: "orig-vtag", parse: func(c *Command, v string) string { return c.vtag(0, v) }},
		flag{name: "reply-vtag", parse: func(c *Command, v string) string { return c.vtag(1, v) }}), pairs: portPairs}
	base := ports(true)
	sctp.legal = func(v Verb, t Table) string {
		l := base(v, t)
		if t != Expectations && (v == Create || v == Add) {
			return l + "0011"
		}
		return l
	}
	plain := ports(false)
	tuplePorts := []flag{portFlag("tuple-port-src", exptuple, 0), portFlag("tuple-port-dst", exptuple, 1)}
	dccpPairs := [2]string{portPairs[0], "`--reply-port-src' and `--report-port-dst'"}
	dccp := &protocol{name: "dccp", number: packet.DCCP, flags: append(append(append(portFlags(), flag{name: "state", parse: (*Command).dccpState}), tuplePorts...),
		flag{name: "role", parse: (*Command).dccpRole}), pairs: dccpPairs}
	dccp.legal = func(v Verb, t Table) string {
		l := base(v, t)
		if t != Expectations && (v == Create || v == Add) {
			return l + "001"
		}
		return l
	}
	icmp := func(name string, number uint8) *protocol {
		return &protocol{name: name, number: number, flags: icmpFlags(name), legal: func(v Verb, t Table) string {
			switch {
			case t == Expectations:
				return ""
			case v == Create || v == Add || v == Get:
				return "111"
			case v == List || v == Update || v == Delete || v == Events:
				return "222"
			}
			return ""
		}}
	}
	return []*protocol{
		{name: "tcp", number: packet.TCP, flags: append(append(portFlags(), tcpState), tuplePorts...), pairs: portPairs, legal: ports(true)},
		{name: "udp", number: packet.UDP, flags: append(portFlags(), tuplePorts...), pairs: portPairs, legal: plain},
		{name: "udplite", number: packet.UDPLite, flags: append(portFlags(), tuplePorts...), pairs: portPairs, legal: plain},
		sctp, dccp,
		icmp("icmp", packet.ICMP), icmp("icmpv6", packet.ICMPv6),
		{name: "gre", number: packet.GRE, flags: greFlags(), pairs: [2]string{"`--srckey' and `--dstkey'", "`--reply-key-src' and `--reply-key-dst'"}, legal: plain},
	}
}

// which is the attribute set that a port belongs to.
type which uint8

const (
	origTuple which = iota
	replyTuple
	maskTuple
	exptuple
)

// setPort says one port.
func (c *Command) setPort(w which, dst int, v string) string {
	n := uint16(atoi(v))
	a := [...]*attrs{&c.ct, &c.ct, &c.mask, &c.exp}[w]
	t, f := &a.tuple, fOrigSport
	if w == replyTuple {
		t, f = &a.reply, fReplySport
	}
	if dst == 0 {
		t.SrcL4 = n
	} else {
		t.DstL4 = n
	}
	a.say(f + field(dst))
	return ""
}

func portFlag(name string, w which, dst int, also ...string) flag {
	return flag{name: name, also: also, parse: func(c *Command, v string) string { return c.setPort(w, dst, v) }}
}

func portFlags() []flag {
	return []flag{
		portFlag("sport", origTuple, 0, "orig-port-src"), portFlag("dport", origTuple, 1, "orig-port-dst"),
		portFlag("reply-port-src", replyTuple, 0), portFlag("reply-port-dst", replyTuple, 1),
		portFlag("mask-port-src", maskTuple, 0), portFlag("mask-port-dst", maskTuple, 1),
	}
}

func greFlags() []flag {
	return []flag{
		portFlag("srckey", origTuple, 0, "orig-key-src"), portFlag("dstkey", origTuple, 1, "orig-key-dst"),
		portFlag("reply-key-src", replyTuple, 0), portFlag("reply-key-dst", replyTuple, 1),
		portFlag("mask-key-src", maskTuple, 0), portFlag("mask-key-dst", maskTuple, 1),
		portFlag("tuple-key-src", exptuple, 0), portFlag("tuple-key-dst", exptuple, 1),
	}
}

func icmpFlags(name string) []flag {
	return []flag{
		{name: name + "-type", parse: func(c *Command, v string) string { c.ct.icmpType = uint8(atoi(v)); c.ct.say(fICMPType); return "" }},
		{name: name + "-code", parse: func(c *Command, v string) string { c.ct.icmpCode = uint8(atoi(v)); c.ct.say(fICMPCode); return "" }},
		{name: name + "-id", parse: func(c *Command, v string) string { c.ct.icmpID = uint16(atoi(v)); c.ct.say(fICMPID); return "" }},
	}
}

func (c *Command) setState(n uint8) string {
	c.ct.state = n
	c.ct.say(fState)
	return ""
}

func (c *Command) tcpState(v string) string {
	for n := conntrack.TCPNone; n <= conntrack.TCPSynSent2; n++ {
		if n.String() == v {
			return c.setState(uint8(n))
		}
	}
	if v == "LISTEN" { // what SYN_SENT2 was called once
		return c.setState(uint8(conntrack.TCPSynSent2))
	}
	return "unknown TCP state `" + v + "'"
}

func (c *Command) sctpState(v string) string {
	for n := conntrack.SCTPNone; n <= conntrack.SCTPHeartbeatSent; n++ {
		if n.String() == v && (n < conntrack.SCTPHeartbeatSent || c.restore) {
			return c.setState(uint8(n))
		}
	}
	return "Unknown SCTP state `" + v + "'"
}

func (c *Command) dccpState(v string) string {
	for n, name := range [...]string{"NONE", "REQUEST", "RESPOND", "PARTOPEN", "OPEN", "CLOSEREQ", "CLOSING", "TIMEWAIT", "IGNORE", "INVALID"} {
		if name == v {
			return c.setState(uint8(n))
		}
	}
	return "Unknown DCCP state `" + v + "'"
}

func (c *Command) dccpRole(v string) string {
	if v != "client" && v != "server" {
		return "Unknown DCCP role `" + v + "'"
	}
	return ""
}

// vtag takes a verification tag; its bytes stand the other way round.
func (c *Command) vtag(d int, v string) string {
	c.ct.vtag[d] = bits.ReverseBytes32(uint32(atoi(v)))
	c.ct.say(fVTagOrig + field(d))
	return ""
}

// cUint reads a number as strtoul(3) does and says how much of s it was; base
// 0 is that of the number's own beginning. Overflow saturates.
func cUint(s string, base int) (v uint64, end int) {
	i := 0
	for i < len(s) && (s[i] == ' ' || s[i] >= '\t' && s[i] <= '\r') {
		i++
	}
	neg := false
	if i < len(s) && (s[i] == '+' || s[i] == '-') {
		neg = s[i] == '-'
		i++
	}
	if base == 0 {
		base = 10
		switch {
		case i+2 < len(s) && s[i] == '0' && s[i+1]|32 == 'x' && isHex(s[i+2]):
			base, i = 16, i+2
		case i < len(s) && s[i] == '0':
			base = 8
		}
	}
	j := i
	for j < len(s) && digit(s[j]) < base {
		j++
	}
	if j == i {
		return 0, 0
	}
	v, err := strconv.ParseUint(s[i:j], base, 64)
	if err != nil {
		v = 1<<64 - 1
	} else if neg {
		v = -v
	}
	return v, j
}

func isHex(c byte) bool { return digit(c) < 16 }

func digit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c|32 >= 'a' && c|32 <= 'z':
		return int(c|32-'a') + 10
	}
	return 99
}

// atoi is a decimal number as atol(3) reads it: what is none is 0.
func atoi(s string) int64 {
	v, _ := cUint(s, 10)
	return int64(v)
}
