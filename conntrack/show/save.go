package show

import (
	"math/bits"
	"strconv"

	"weir/conntrack"
	"weir/packet"
)

// appendSave writes the command line that makes, changes or removes the
// connection, as conntrack -o save does. It says nothing of marks, labels,
// helpers and counters.
func (e *entry) appendSave(b []byte, kind conntrack.EventKind) []byte {
	return e.appendLine(b, kind, false)
}

// State adds the command line that makes the connection again, with the mark,
// labels, helper and ports that NAT chose, of which -o save says nothing.
func (p *Printer) State(b []byte, tb *conntrack.Table, c *conntrack.Conn, now int64) []byte {
	e := listed(tb, c, now)
	b = e.appendLine(b, conntrack.EventNew, true)
	if c.Mark != 0 {
		b = strconv.AppendUint(append(b, " -m "...), uint64(c.Mark), 10)
	}
	for i, n := range p.allLabels(e.labels) {
		sep := ","
		if i == 0 {
			sep = " --label-add "
		}
		b = append(append(b, sep...), n...)
	}
	if e.helper != "" {
		b = append(append(b, " --helper "...), e.helper...)
	}
	return b
}

// appendLine writes a command line; whole says more of NAT than the tool does.
func (e *entry) appendLine(b []byte, kind conntrack.EventKind, whole bool) []byte {
	switch kind {
	case conntrack.EventUpdate:
		b = append(b, "-U "...)
	case conntrack.EventDestroy:
		b = append(b, "-D "...)
	default:
		b = append(b, "-A "...)
	}
	c := e.c
	o, r := &c.Tuple[conntrack.Original], &c.Tuple[conntrack.Reply]
	if e.hasLeft {
		b = appendNum(b, "-t ", uint64(e.left/second))
	}
	b = append(appendStatus(append(b, "-u "...), c.Status), ' ')
	switch {
	case o.Zone == r.Zone && o.Zone != 0:
		b = appendNum(b, "-w ", uint64(o.Zone))
	case o.Zone != r.Zone:
		if o.Zone != 0 {
			b = appendNum(b, "--orig-zone ", uint64(o.Zone))
		}
		if r.Zone != 0 {
			b = appendNum(b, "--reply-zone ", uint64(r.Zone))
		}
	}
	b = append(appendAddr(append(b, "-s "...), o.Src, o.L3), ' ')
	b = append(appendAddr(append(b, "-d "...), o.Dst, o.L3), ' ')
	side := func(plain, nat string, translated bool, a packet.Addr, port uint16) {
		switch {
		case !translated:
			b = appendAddr(append(b, plain...), a, o.L3)
		case whole && ported(c) && o.L3 == packet.IPv6:
			b = append(appendAddr(append(append(b, nat...), '['), a, o.L3), "]:"...)
			b = strconv.AppendUint(b, uint64(port), 10)
		case whole && ported(c):
			b = append(appendAddr(append(b, nat...), a, o.L3), ':')
			b = strconv.AppendUint(b, uint64(port), 10)
		default:
			b = appendAddr(append(b, nat...), a, o.L3)
		}
		b = append(b, ' ')
	}
	side("-r ", "-g ", DNATed(c) || whole && c.Has(conntrack.DstNAT), r.Src, r.SrcL4)
	side("-q ", "-n ", SNATed(c) || whole && c.Has(conntrack.SrcNAT), r.Dst, r.DstL4)
	if name := protoName(o.Proto); name != "unknown" {
		b = append(append(append(b, "-p "...), name...), ' ')
	} else {
		b = appendNum(b, "-p ", uint64(o.Proto))
	}
	b = appendSaveL4(b, o, r)
	if s := stateOf(c); e.state && s != "" {
		b = append(append(append(b, "--state "...), s...), ' ')
		// The end of a connection tells no tags.
		if t := c.SCTP(); t != nil && e.kind != conntrack.EventDestroy {
			// The tool takes their bytes in the other order, in and out.
			b = appendNum(b, "--orig-vtag ", uint64(bits.ReverseBytes32(t.Tag[conntrack.Original])))
			b = appendNum(b, "--reply-vtag ", uint64(bits.ReverseBytes32(t.Tag[conntrack.Reply])))
		}
	}
	return b[:len(b)-1]
}

// appendStatus writes the bits that -u takes, UNSET for none.
func appendStatus(b []byte, s conntrack.Status) []byte {
	n := len(b)
	for _, x := range [...]struct {
		bit  conntrack.Status
		name string
	}{
		{conntrack.Expected, "EXPECTED,"}, {conntrack.SeenReply, "SEEN_REPLY,"},
		{conntrack.Assured, "ASSURED,"}, {conntrack.FixedTimeout, "FIXED_TIMEOUT,"},
	} {
		if s&x.bit != 0 {
			b = append(b, x.name...)
		}
	}
	if len(b) == n {
		return append(b, "UNSET"...)
	}
	return b[:len(b)-1]
}

func appendSaveL4(b []byte, o, r *conntrack.Tuple) []byte {
	switch o.Proto {
	case packet.TCP, packet.UDP, packet.UDPLite, packet.SCTP:
		b = appendNum(b, "--sport ", uint64(o.SrcL4))
		b = appendNum(b, "--dport ", uint64(o.DstL4))
		b = appendNum(b, "--reply-port-src ", uint64(r.SrcL4))
		b = appendNum(b, "--reply-port-dst ", uint64(r.DstL4))
	case packet.ICMP, packet.ICMPv6:
		word := "--icmp-"
		if o.Proto == packet.ICMPv6 {
			word = "--icmpv6-"
		}
		b = appendNum(append(b, word...), "type ", uint64(o.ICMPType()))
		b = appendNum(append(b, word...), "code ", uint64(o.ICMPCode()))
		b = appendNum(append(b, word...), "id ", uint64(o.SrcL4))
	case packet.GRE:
		b = appendNum(b, "--srckey ", uint64(o.SrcL4))
		b = appendNum(b, "--dstkey ", uint64(o.DstL4))
		b = appendNum(b, "--reply-key-src ", uint64(r.SrcL4))
		b = appendNum(b, "--reply-key-dst ", uint64(r.DstL4))
	}
	return b
}

// SNATed, DNATed, SPATed and DPATed report a connection of which the source or
// destination address or port is rewritten, as libnetfilter_conntrack judges.
func SNATed(c *conntrack.Conn) bool {
	return c.Has(conntrack.SrcNAT) && c.Tuple[conntrack.Reply].Dst != c.Tuple[conntrack.Original].Src
}

// DNATed: see SNATed.
func DNATed(c *conntrack.Conn) bool {
	return c.Has(conntrack.DstNAT) && c.Tuple[conntrack.Reply].Src != c.Tuple[conntrack.Original].Dst
}

// SPATed: see SNATed.
func SPATed(c *conntrack.Conn) bool {
	return c.Has(conntrack.SrcNAT) && ported(c) && c.Tuple[conntrack.Reply].DstL4 != c.Tuple[conntrack.Original].SrcL4
}

// DPATed: see SNATed.
func DPATed(c *conntrack.Conn) bool {
	return c.Has(conntrack.DstNAT) && ported(c) && c.Tuple[conntrack.Reply].SrcL4 != c.Tuple[conntrack.Original].DstL4
}

// ported reports a protocol with ports.
func ported(c *conntrack.Conn) bool {
	switch c.Proto() {
	case packet.TCP, packet.UDP, packet.UDPLite, packet.SCTP:
		return true
	}
	return false
}
