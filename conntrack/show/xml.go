package show

import (
	"strconv"
	"time"

	"weir/conntrack"
	"weir/packet"
)

// appendXML writes a <flow> element as conntrack -o xml does.
func (e *entry) appendXML(b []byte, p *Printer) []byte {
	c := e.c
	o, r := &c.Tuple[conntrack.Original], &c.Tuple[conntrack.Reply]
	b = appendXMLHead(b, e.kind)
	b = e.appendXMLDir(b, "original", conntrack.Original)
	b = e.appendXMLDir(b, "reply", conntrack.Reply)
	b = append(b, `<meta direction="independent">`...)
	s := stateOf(c)
	if t := c.SCTP(); t != nil {
		// The tool looks the number up among the states of TCP.
		s = conntrack.TCPStateName(t.State).String()
	}
	if e.state && s != "" {
		b = appendElement(b, "state", s)
	}
	if e.hasLeft {
		b = appendNumber(b, "timeout", uint64(e.left/second))
	}
	if e.mark || c.Mark != 0 {
		b = appendNumber(b, "mark", uint64(c.Mark))
	}
	if names := p.labels(e.labels); len(names) > 0 && p.Options&Labels != 0 {
		b = append(b, "<labels>"...)
		for _, n := range names {
			b = appendElement(b, "label", n)
		}
		b = append(b, "</labels>"...)
	}
	if o.Zone == r.Zone && o.Zone != 0 {
		b = appendNumber(b, "zone", uint64(o.Zone))
	}
	if e.use > 0 {
		b = appendNumber(b, "use", uint64(e.use))
	}
	b = appendNumber(b, "id", c.Seq)
	if c.Has(conntrack.Assured) {
		b = append(b, "<assured/>"...)
	}
	if !c.Has(conntrack.SeenReply) {
		b = append(b, "<unreplied/>"...)
	}
	b = e.appendXMLTimes(b, p.Options)
	b = append(b, "</meta>"...)
	if e.kind != 0 && p.Options&Timestamp != 0 {
		b = appendWhen(b, e.now)
	}
	if e.helper != "" {
		b = appendElement(b, "helper", e.helper)
	}
	return append(b, "</flow>"...)
}

func appendXMLHead(b []byte, kind conntrack.EventKind) []byte {
	switch kind {
	case conntrack.EventNew:
		return append(b, `<flow type="new">`...)
	case conntrack.EventUpdate:
		return append(b, `<flow type="update">`...)
	case conntrack.EventDestroy:
		return append(b, `<flow type="destroy">`...)
	}
	return append(b, "<flow>"...)
}

// appendXMLDir writes one direction.
func (e *entry) appendXMLDir(b []byte, name string, d conntrack.Dir) []byte {
	t, other := &e.c.Tuple[d], &e.c.Tuple[1-d]
	b = append(append(append(b, `<meta direction="`...), name...), `">`...)
	b = appendXMLProto(b, "layer3", t.L3.String(), uint8(t.L3))
	b = appendXMLAddrs(b, t.Src, t.Dst, t.L3)
	b = append(b, "</layer3>"...)
	b = appendXMLProto(b, "layer4", protoName(t.Proto), t.Proto)
	b = appendXMLL4(b, t)
	b = append(b, "</layer4>"...)
	if t.Zone != other.Zone && t.Zone != 0 {
		b = appendNumber(b, "zone", uint64(t.Zone))
	}
	if e.counters != nil {
		b = append(b, "<counters>"...)
		b = appendNumber(b, "packets", e.counters[d].Packets)
		b = appendNumber(b, "bytes", e.counters[d].Bytes)
		b = append(b, "</counters>"...)
	}
	return append(b, "</meta>"...)
}

// appendXMLTimes writes start and stop in ns and how long the connection lasts.
func (e *entry) appendXMLTimes(b []byte, o Options) []byte {
	if e.start == 0 {
		return b
	}
	end := e.stop
	if end == 0 {
		end = e.now
	}
	if o&KTimestamp != 0 {
		b = append(b, "<timestamp>"...)
		b = appendNumber(b, "start", uint64(e.start))
		if e.stop != 0 {
			b = appendNumber(b, "stop", uint64(e.stop))
		}
		b = append(b, "</timestamp>"...)
	}
	return appendNumber(b, "deltatime", uint64(max(0, end/second-e.start/second)))
}

func appendXMLProto(b []byte, element, name string, n uint8) []byte {
	b = append(append(append(b, '<'), element...), ` protonum="`...)
	b = strconv.AppendUint(b, uint64(n), 10)
	b = append(append(append(b, `" protoname="`...), name...), `">`...)
	return b
}

func appendXMLAddrs(b []byte, src, dst packet.Addr, f packet.Family) []byte {
	b = append(appendAddr(append(b, "<src>"...), src, f), "</src>"...)
	return append(appendAddr(append(b, "<dst>"...), dst, f), "</dst>"...)
}

func appendXMLL4(b []byte, t *conntrack.Tuple) []byte {
	switch t.Proto {
	case packet.TCP, packet.UDP, packet.UDPLite, packet.SCTP:
		b = appendNumber(b, "sport", uint64(t.SrcL4))
		b = appendNumber(b, "dport", uint64(t.DstL4))
	case packet.DCCP:
		b = append(b, "<sport>0</sport><dport>0</dport>"...)
	case packet.GRE:
		b = appendElement(b, "srckey", "0x"+strconv.FormatUint(uint64(t.SrcL4), 16))
		b = appendElement(b, "dstkey", "0x"+strconv.FormatUint(uint64(t.DstL4), 16))
	}
	return b
}

func appendElement(b []byte, name, text string) []byte {
	b = append(append(append(b, '<'), name...), '>')
	b = append(append(b, text...), "</"...)
	return append(append(b, name...), '>')
}

func appendNumber(b []byte, name string, n uint64) []byte {
	b = append(append(append(b, '<'), name...), '>')
	b = append(strconv.AppendUint(b, n, 10), "</"...)
	return append(append(b, name...), '>')
}

// appendWhen writes a time, in UTC; the week begins with Sunday, 1.
func appendWhen(b []byte, at int64) []byte {
	t := time.Unix(0, at).UTC()
	b = append(b, "<when>"...)
	b = appendNumber(b, "hour", uint64(t.Hour()))
	b = appendNumber(b, "min", uint64(t.Minute()))
	b = appendNumber(b, "sec", uint64(t.Second()))
	b = appendNumber(b, "wday", uint64(t.Weekday())+1)
	b = appendNumber(b, "day", uint64(t.Day()))
	b = appendNumber(b, "month", uint64(t.Month()))
	b = appendNumber(b, "year", uint64(t.Year()))
	return append(b, "</when>"...)
}

// appendXML writes an expectation as conntrack -L expect -o xml does.
func (x *ahead) appendXML(b []byte, o Options) []byte {
	t := &x.Tuple
	mask := x.mask()
	b = appendXMLHead(b, x.kind)
	b = appendXMLProto(b, "layer3", t.L3.String(), uint8(t.L3))
	three := [...]struct {
		name string
		t    *conntrack.Tuple
	}{{"expected", t}, {"mask", &mask}, {"master", x.master}}
	for _, d := range three {
		if d.t != nil {
			b = append(append(append(b, '<'), d.name...), '>')
			b = appendXMLAddrs(b, d.t.Src, d.t.Dst, d.t.L3)
			b = append(append(append(b, "</"...), d.name...), '>')
		}
	}
	b = append(b, "</layer3>"...)
	b = appendXMLProto(b, "layer4", protoName(t.Proto), t.Proto)
	for _, d := range three {
		if d.t != nil {
			b = append(append(append(b, '<'), d.name...), '>')
			b = appendXMLL4(b, d.t)
			b = append(append(append(b, "</"...), d.name...), '>')
		}
	}
	b = append(b, "</layer4><meta>"...)
	if x.helper != "" {
		b = appendElement(b, "helper-name", x.helper)
	}
	b = appendNumber(b, "timeout", uint64(x.left/second))
	b = appendNumber(b, "class", uint64(x.Class))
	for i, name := range [...]string{"permanent", "inactive", "userspace"} {
		if x.Flags&(1<<i) != 0 {
			b = append(append(append(b, '<'), name...), "/>"...)
		}
	}
	if o&Timestamp != 0 {
		b = appendWhen(b, x.now)
	}
	return append(b, "</meta></flow>"...)
}
