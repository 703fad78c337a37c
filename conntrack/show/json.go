package show

import (
	"encoding/json"
	"strconv"
	"time"

	"weir/conntrack"
	"weir/packet"
)

// object is a JSON object that is being written.
type object struct {
	b      []byte
	comma  bool
	icmpID string // what the id of ICMP is called
}

func newObject(b []byte, o Options) object {
	if o&Flat != 0 {
		return object{b: b, icmpID: "icmp_id"}
	}
	return object{b: b, icmpID: "id"}
}

func (o *object) key(name string) {
	if o.comma {
		o.b = append(o.b, ',')
	}
	o.comma = true
	o.b = append(append(append(o.b, '"'), name...), `":`...)
}

func (o *object) open(name string) {
	if name != "" {
		o.key(name)
	}
	o.b, o.comma = append(o.b, '{'), false
}

func (o *object) shut() { o.b, o.comma = append(o.b, '}'), true }

func (o *object) text(name, v string) {
	o.key(name)
	q, _ := json.Marshal(v) // a string never fails
	o.b = append(o.b, q...)
}

func (o *object) number(name string, v uint64) {
	o.key(name)
	o.b = strconv.AppendUint(o.b, v, 10)
}

func (o *object) truth(name string, v bool) {
	o.key(name)
	o.b = strconv.AppendBool(o.b, v)
}

func (o *object) list(name string, v []string) {
	o.key(name)
	if v == nil {
		v = []string{}
	}
	q, _ := json.Marshal(v)
	o.b = append(o.b, q...)
}

// tuple writes one direction, or what stands for one.
func (o *object) tuple(prefix string, t *conntrack.Tuple) {
	o.text(prefix+"src", string(appendAddr(nil, t.Src, t.L3)))
	o.text(prefix+"dst", string(appendAddr(nil, t.Dst, t.L3)))
	switch t.Proto {
	case packet.TCP, packet.UDP, packet.UDPLite, packet.SCTP:
		o.number(prefix+"sport", uint64(t.SrcL4))
		o.number(prefix+"dport", uint64(t.DstL4))
	case packet.ICMP, packet.ICMPv6:
		o.number(prefix+"type", uint64(t.ICMPType()))
		o.number(prefix+"code", uint64(t.ICMPCode()))
		o.number(prefix+o.icmpID, uint64(t.SrcL4))
	case packet.GRE:
		o.number(prefix+"srckey", uint64(t.SrcL4))
		o.number(prefix+"dstkey", uint64(t.DstL4))
	}
}

// appendJSON writes the connection as one object: with an object for each
// direction, or with Flat without, the names of the reply beginning with
// reply_, as jc names what stands twice in a line.
func (e *entry) appendJSON(b []byte, p *Printer) []byte {
	c := e.c
	t := &c.Tuple[conntrack.Original]
	zo, zr := t.Zone, c.Tuple[conntrack.Reply].Zone
	o := newObject(b, p.Options)
	o.open("")
	if e.kind != 0 {
		o.text("event", e.kind.String())
		o.text("time", time.Unix(0, e.now).UTC().Format(time.RFC3339Nano))
	}
	o.number("id", c.Seq)
	o.text("l3proto", t.L3.String())
	o.number("l3num", uint64(t.L3))
	o.text("proto", protoName(t.Proto))
	o.number("protonum", uint64(t.Proto))
	if e.hasLeft {
		o.number("timeout", uint64(e.left/second))
	}
	if s := stateOf(c); e.state && s != "" {
		o.text("state", s)
	}
	o.list("status", statusNames(c.Status))
	for d := conntrack.Original; d <= conntrack.Reply; d++ {
		name, prefix := [...]string{"original", "reply"}[d], ""
		if p.Options&Flat == 0 {
			o.open(name)
		} else if d == conntrack.Reply {
			prefix = "reply_"
		}
		o.tuple(prefix, &c.Tuple[d])
		if z := c.Tuple[d].Zone; zo != zr && z != 0 {
			if p.Options&Flat == 0 {
				o.number("zone", uint64(z))
			} else {
				o.number([...]string{"zone_orig", "zone_reply"}[d], uint64(z))
			}
		}
		if e.counters != nil {
			o.number(prefix+"packets", e.counters[d].Packets)
			o.number(prefix+"bytes", e.counters[d].Bytes)
		}
		if p.Options&Flat == 0 {
			o.shut()
		}
	}
	o.truth("unreplied", !c.Has(conntrack.SeenReply))
	o.truth("assured", c.Has(conntrack.Assured))
	if e.mark || c.Mark != 0 {
		o.number("mark", uint64(c.Mark))
	}
	if zo == zr && zo != 0 {
		o.number("zone", uint64(zo))
	}
	e.jsonRest(&o, p)
	o.shut()
	return o.b
}

func (e *entry) jsonRest(o *object, p *Printer) {
	if e.labels != [2]uint64{} {
		o.list("labels", p.allLabels(e.labels))
	}
	if e.start != 0 {
		o.number("start", uint64(e.start))
		end := e.now
		if e.stop != 0 {
			o.number("stop", uint64(e.stop))
			end = e.stop
		}
		o.number("delta_time", uint64(max(0, end/second-e.start/second)))
	}
	if e.helper != "" {
		o.text("helper", e.helper)
	}
	if e.use > 0 {
		o.number("use", uint64(e.use))
	}
}

// allLabels is the labels that are set, those without a name by number.
func (p *Printer) allLabels(set [2]uint64) (names []string) {
	for i := range conntrack.NumLabels {
		if set[i/64]>>(i%64)&1 != 0 {
			n := p.Names.Name(uint8(i))
			if n == "" {
				n = strconv.Itoa(i)
			}
			names = append(names, n)
		}
	}
	return names
}

// statusNames is the status bits by the names of their constants in Linux,
// without IPS_.
func statusNames(s conntrack.Status) (names []string) {
	for i, n := range [...]string{
		"EXPECTED", "SEEN_REPLY", "ASSURED", "CONFIRMED", "SRC_NAT", "DST_NAT", "SEQ_ADJUST", "SRC_NAT_DONE",
		"DST_NAT_DONE", "DYING", "FIXED_TIMEOUT", "TEMPLATE", "NAT_CLASH", "HELPER",
	} {
		if s>>i&1 != 0 {
			names = append(names, n)
		}
	}
	return names
}

// appendJSON writes the expectation as one object.
func (x *ahead) appendJSON(b []byte, opt Options) []byte {
	o := newObject(b, opt)
	o.open("")
	if x.kind != 0 {
		o.text("event", x.kind.String())
		o.text("time", time.Unix(0, x.now).UTC().Format(time.RFC3339Nano))
	}
	o.number("timeout", uint64(x.left/second))
	o.text("l3proto", x.Tuple.L3.String())
	o.text("proto", protoName(x.Tuple.Proto))
	o.number("protonum", uint64(x.Tuple.Proto))
	mask := x.mask()
	for _, d := range [...]struct {
		name, prefix string
		t            *conntrack.Tuple
	}{{"expected", "", &x.Tuple}, {"mask", "mask_", &mask}, {"master", "master_", x.master}} {
		if d.t == nil {
			continue
		}
		if opt&Flat != 0 {
			o.tuple(d.prefix, d.t)
			continue
		}
		o.open(d.name)
		o.tuple("", d.t)
		o.shut()
	}
	var flags []string
	for i, name := range [...]string{"PERMANENT", "INACTIVE", "USERSPACE"} {
		if x.Flags>>i&1 != 0 {
			flags = append(flags, name)
		}
	}
	o.list("flags", flags)
	o.number("class", uint64(x.Class))
	o.text("helper", x.helper)
	o.shut()
	return o.b
}
