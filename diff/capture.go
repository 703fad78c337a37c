package diff

import (
	"fmt"
	"io"
	"sort"

	"weir/engine"
	"weir/packet"
	"weir/replay"
)

// Flow is packets of a capture that belong to one connection of the first
// machine, or have the same two ends, and of which some fared differently.
type Flow struct {
	Flow string `json:"flow"`
	// First is the number of the first packet that did, Packets how many did,
	// of All.
	First   int     `json:"first"`
	Packets int     `json:"packets"`
	All     int     `json:"all"`
	In      string  `json:"in"`
	Packet  string  `json:"packet"` // the first one
	A       Outcome `json:"a"`      // and what became of it
	B       Outcome `json:"b"`
	data    []byte
}

// Flows is what a capture showed.
type Flows struct {
	Flows   []*Flow // those that differ, by First
	Packets int     // that were run
	All     int     // flows
}

// Capture sends the packets of a source to both machines. open is called
// twice: when something differs, the walks of those packets are recorded in a
// second run.
func Capture(a, b engine.Config, open func() (replay.Source, error)) (*Flows, error) {
	flows := map[string]*Flow{}
	out := &Flows{}
	first := map[int]*Flow{} // by number of packet
	err := twice(a, b, open, nil, func(it *replay.Item, x, y *Outcome) {
		out.Packets++
		k := x.flow
		if k == "" {
			k = flowOf(it.Data)
		}
		f := flows[k]
		if f == nil {
			f = &Flow{Flow: k}
			flows[k] = f
		}
		f.All++
		if x.key == y.key {
			return
		}
		if f.Packets++; f.Packets == 1 {
			f.First, f.In, f.data = it.N, it.In, append([]byte(nil), it.Data...)
			first[it.N] = f
			out.Flows = append(out.Flows, f)
		}
	})
	out.All = len(flows)
	if err != nil || len(first) == 0 {
		return out, err
	}
	err = twice(a, b, open, first, func(it *replay.Item, x, y *Outcome) {
		if f := first[it.N]; f != nil {
			f.A, f.B = *x, *y
		}
	})
	for _, f := range out.Flows {
		f.Packet = summary(f.data)
	}
	sort.SliceStable(out.Flows, func(i, k int) bool { return out.Flows[i].First < out.Flows[k].First })
	return out, err
}

// twice runs a source through both machines. The walks of the packets in traced
// are recorded.
func twice(a, b engine.Config, open func() (replay.Source, error), traced map[int]*Flow, each func(it *replay.Item, x, y *Outcome)) error {
	p, errs := newPair(a, b)
	if len(errs) > 0 {
		return errs[0]
	}
	src, err := open()
	if err != nil {
		return err
	}
	var it replay.Item
	now := int64(0)
	for {
		if err := src.Next(&it); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		now = max(now, it.Time)
		on := traced[it.N] != nil
		p.a.Trace(on)
		p.b.Trace(on)
		ra, ok := feed(p.a, it.In, it.Link, append([]byte(nil), it.Data...), now)
		if !ok {
			return fmt.Errorf("packet %d: the first machine has no interface %q", it.N, it.In)
		}
		x := outcome(&ra, it.Data)
		rb, ok := feed(p.b, it.In, it.Link, append([]byte(nil), it.Data...), now)
		if !ok {
			return fmt.Errorf("packet %d: the second machine has no interface %q", it.N, it.In)
		}
		y := outcome(&rb, it.Data)
		each(&it, &x, &y)
	}
}

// flowOf names the two ends of a packet, alike in both directions.
func flowOf(d []byte) string {
	var p packet.Packet
	if packet.Parse(append([]byte(nil), d...), &p) != nil {
		return "not IP"
	}
	var s, t uint16
	switch p.Proto {
	case packet.TCP, packet.UDP, packet.UDPLite, packet.SCTP, packet.DCCP:
		if h := p.Payload(); p.FragOff == 0 && len(h) >= 4 {
			s, t = uint16(h[0])<<8|uint16(h[1]), uint16(h[2])<<8|uint16(h[3])
		}
	}
	return flowName(p.Family, p.Proto, p.Src(), p.Dst(), s, t)
}

// flowName has the ends in an order that does not hang on the direction.
func flowName(f packet.Family, proto uint8, src, dst packet.Addr, s, t uint16) string {
	x, y := end(f, src, s, proto), end(f, dst, t, proto)
	if string(src[:]) > string(dst[:]) || src == dst && s > t {
		x, y = y, x
	}
	return fmt.Sprintf("%s %s - %s", protoName(proto), x, y)
}
