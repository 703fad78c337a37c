package show

import (
	"strconv"
	"time"

	"weir/conntrack"
	"weir/packet"
)

const second = int64(time.Second)

// AppendEntry adds a connection as conntrack -L lists it at time now, ns since
// the Unix epoch.
func AppendEntry(b []byte, tb *conntrack.Table, c *conntrack.Conn, now int64, o Options) []byte {
	return (&Printer{Options: o}).Entry(b, tb, c, now)
}

// entry is what one line shows.
type entry struct {
	c           *conntrack.Conn
	counters    *[2]conntrack.Counter // nil: none shown
	labels      [2]uint64
	left        int64               // ns
	start, stop int64               // ns since the epoch, 0: not shown
	now         int64               // in place of stop while the connection lives
	kind        conntrack.EventKind // 0: no event
	hasLeft     bool
	state       bool   // the tracker's state is shown
	mark        bool   // the mark is shown though it is 0
	use         int    // 0: not shown
	helper      string // empty: not shown
}

// listed is a connection as a table shows it.
func listed(tb *conntrack.Table, c *conntrack.Conn, now int64) entry {
	return entry{c: c, left: c.Expires(now), hasLeft: true, state: true, mark: true, use: 1 + tb.Children(c),
		helper: tb.HelperName(tb.Helper(c)), labels: tb.Labels(c),
		counters: tb.Counters(c), start: tb.Started(c), now: now}
}

func (e *entry) append(b []byte, p *Printer) []byte {
	o := p.Options
	c := e.c
	t := &c.Tuple[conntrack.Original]
	if o&Extended != 0 {
		b = appendL3(b, t.L3)
	}
	b = appendL4(b, protoName(t.Proto), t.Proto)
	if e.hasLeft {
		b = appendNum(b, "", uint64(e.left/second))
	}
	if s := stateOf(c); e.state && s != "" {
		b = append(append(b, s...), ' ')
	}
	zo, zr := t.Zone, c.Tuple[conntrack.Reply].Zone
	b = appendTuple(b, t)
	if zo != zr && zo != 0 {
		b = appendNum(b, "zone-orig=", uint64(zo))
	}
	b = e.appendCounter(b, conntrack.Original)
	if !c.Has(conntrack.SeenReply) {
		b = append(b, "[UNREPLIED] "...)
	}
	b = appendTuple(b, &c.Tuple[conntrack.Reply])
	if zo != zr && zr != 0 {
		b = appendNum(b, "zone-reply=", uint64(zr))
	}
	b = e.appendCounter(b, conntrack.Reply)
	if c.Has(conntrack.Assured) {
		b = append(b, "[ASSURED] "...)
	}
	if e.mark || c.Mark != 0 {
		b = appendNum(b, "mark=", uint64(c.Mark))
	}
	if zo == zr && zo != 0 {
		b = appendNum(b, "zone=", uint64(zo))
	}
	b = e.appendTimes(b, o)
	if e.helper != "" {
		b = append(append(append(b, "helper="...), e.helper...), ' ')
	}
	if e.use > 0 {
		b = appendNum(b, "use=", uint64(e.use))
	}
	if o&ID != 0 {
		b = appendNum(b, "id=", c.Seq)
	}
	if names := p.labels(e.labels); len(names) > 0 && o&Labels != 0 {
		b = append(b, "labels="...)
		for _, n := range names {
			b = append(append(b, n...), ',')
		}
	}
	return b[:len(b)-1]
}

// appendTimes adds how long the connection lasts, in whole seconds of the
// clock as the tool counts them.
func (e *entry) appendTimes(b []byte, o Options) []byte {
	if e.start == 0 {
		return b
	}
	end := e.stop
	if end == 0 {
		end = e.now
	}
	b = append(b, "delta-time="...)
	b = append(strconv.AppendInt(b, end/second-e.start/second, 10), ' ')
	if o&KTimestamp != 0 {
		b = appendStamp(b, "[start=", e.start)
		if e.stop != 0 {
			b = appendStamp(b, "[stop=", e.stop)
		}
	}
	return b
}

// appendStamp adds a time as ctime(3) writes it, in UTC.
func appendStamp(b []byte, name string, at int64) []byte {
	b = append(b, name...)
	b = time.Unix(0, at).UTC().AppendFormat(b, time.ANSIC)
	return append(b, "] "...)
}

func (e *entry) appendCounter(b []byte, d conntrack.Dir) []byte {
	if e.counters == nil {
		return b
	}
	b = appendNum(b, "packets=", e.counters[d].Packets)
	return appendNum(b, "bytes=", e.counters[d].Bytes)
}

func appendNum(b []byte, name string, n uint64) []byte {
	b = append(b, name...)
	return append(strconv.AppendUint(b, n, 10), ' ')
}

func appendHex(b []byte, name string, n uint16) []byte {
	b = append(b, name...)
	return append(strconv.AppendUint(b, uint64(n), 16), ' ')
}

// appendL4 adds a protocol's name in eight columns and its number.
func appendL4(b []byte, name string, n uint8) []byte {
	b = append(b, name...)
	for i := len(name); i < 8; i++ {
		b = append(b, ' ')
	}
	b = append(b, ' ')
	return appendNum(b, "", uint64(n))
}

func appendL3(b []byte, f packet.Family) []byte { return appendL4(b, f.String(), uint8(f)) }

// protoName is the name that the tool has for a protocol.
func protoName(proto uint8) string {
	if proto == packet.DCCP {
		return "dccp"
	}
	return kernelProtoName(proto)
}

// stateOf is the state that a tracker shows; empty for protocols without one.
func stateOf(c *conntrack.Conn) string {
	if t := c.TCP(); t != nil {
		return t.State.String()
	}
	if s := c.SCTP(); s != nil {
		return s.State.String()
	}
	return ""
}

// appendTuple adds one direction.
func appendTuple(b []byte, t *conntrack.Tuple) []byte {
	b = append(b, "src="...)
	b = appendAddr(b, t.Src, t.L3)
	b = append(b, " dst="...)
	b = appendAddr(b, t.Dst, t.L3)
	b = append(b, ' ')
	if t.Proto == packet.DCCP {
		return append(b, "sport=0 dport=0 "...)
	}
	return appendL4Tuple(b, t)
}

// appendAddr adds an address as inet_ntop(3) writes it, which shows the last
// 32 bits of an IPv4-compatible IPv6 address in dots.
func appendAddr(b []byte, a packet.Addr, f packet.Family) []byte {
	compatible := f == packet.IPv6 && (a[12] != 0 || a[13] != 0)
	for _, x := range a[:12] {
		compatible = compatible && x == 0
	}
	if compatible {
		b = append(b, "::"...)
		return packet.Addr(append(a[12:16:16], make([]byte, 12)...)).IP(packet.IPv4).AppendTo(b)
	}
	return a.IP(f).AppendTo(b)
}

func appendL4Tuple(b []byte, t *conntrack.Tuple) []byte {
	switch t.Proto {
	case packet.TCP, packet.UDP, packet.UDPLite, packet.SCTP:
		b = appendNum(b, "sport=", uint64(t.SrcL4))
		return appendNum(b, "dport=", uint64(t.DstL4))
	case packet.ICMP, packet.ICMPv6:
		b = appendNum(b, "type=", uint64(t.ICMPType()))
		b = appendNum(b, "code=", uint64(t.ICMPCode()))
		return appendNum(b, "id=", uint64(t.SrcL4))
	case packet.GRE:
		b = appendHex(b, "srckey=0x", t.SrcL4)
		return appendHex(b, "dstkey=0x", t.DstL4)
	}
	return b
}
