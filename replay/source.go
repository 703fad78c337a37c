package replay

import (
	"fmt"
	"io"
	"strings"

	"weir/capture"
	"weir/hook"
	"weir/machine"
	"weir/packet"
	"weir/scenario/line"
)

// Item is one packet of the input.
type Item struct {
	// N counts the packets of the input from 1; skipped ones keep theirs.
	N int
	// Time is nanoseconds since the Unix epoch.
	Time int64
	// In is an interface of the machine, or machine.Local.
	In   string
	Link packet.Link
	// Owner is who sends a local packet, nil if unknown.
	Owner *hook.Owner
	// Data is valid until the next call.
	Data []byte
}

// Source hands out packets until io.EOF.
type Source interface {
	Next(*Item) error
}

// Skipped counts what a capture held and was not run.
type Skipped struct {
	Outgoing int // marked as outgoing
	NotIP    int // ARP and other protocols
	Cut      int // cut off in the link header
	VLAN     int // two VLAN tags
	// Truncated packets were run, though the capture holds only their
	// beginning: a machine drops those as malformed.
	Truncated int
}

// Notes says what was skipped, a line each.
func (s *Skipped) Notes() (notes []string) {
	add := func(n int, one, many string) {
		switch {
		case n == 1:
			notes = append(notes, "1 packet "+one)
		case n > 1:
			notes = append(notes, fmt.Sprintf("%d packets %s", n, many))
		}
	}
	add(s.Outgoing, "skipped: the capture marks it as outgoing (--include-outgoing runs it)", "skipped: the capture marks them as outgoing (--include-outgoing runs them)")
	add(s.NotIP, "skipped: not IP", "skipped: not IP")
	add(s.Cut, "skipped: cut off in the link header", "skipped: cut off in the link header")
	add(s.VLAN, "skipped: two VLAN tags are not supported", "skipped: two VLAN tags are not supported")
	add(s.Truncated, "was captured only in part, which is malformed to a machine", "were captured only in part, which is malformed to a machine")
	return notes
}

// Capture is a Source that reads a capture file.
type Capture struct {
	r    *capture.Reader
	file string
	// In is the interface for packets of which the file does not say it.
	In string
	// IncludeOutgoing runs packets that the capture marks as outgoing.
	IncludeOutgoing bool
	Skipped         Skipped

	m      *machine.Machine
	byName map[string]string // as in the file → as in the machine
	byIdx  map[int]string
	recent [2][2]string // the last names in the file, and what the machine calls them
	rec    capture.Record
	frame  capture.Frame
}

// NewCapture reads the header of a capture. name is what errors call it.
func NewCapture(r io.Reader, name string, m *machine.Machine) (*Capture, error) {
	cr, err := capture.NewReader(r, name)
	if err != nil {
		return nil, err
	}
	c := &Capture{r: cr, file: name, m: m, byName: map[string]string{machine.Local: machine.Local}, byIdx: map[int]string{}}
	for _, i := range m.Ifaces {
		c.byName[i.Name] = i.Name
		c.byIdx[i.Index] = i.Name
	}
	return c, nil
}

// Next implements Source.
func (c *Capture) Next(it *Item) error {
	for {
		if err := c.r.Next(&c.rec); err != nil {
			return err
		}
		f := &c.frame
		c.rec.Decode(f)
		switch {
		case f.Why == "" && !f.Outgoing:
		case f.Outgoing && !c.IncludeOutgoing:
			c.Skipped.Outgoing++
			continue
		case f.Unsupported && f.VLAN >= 0:
			c.Skipped.VLAN++
			continue
		case f.Unsupported:
			return &capture.Error{File: c.file, N: c.rec.N, Msg: f.Why}
		case f.Why == "not IP":
			c.Skipped.NotIP++
			continue
		case f.Why != "":
			c.Skipped.Cut++
			continue
		}
		in, err := c.iface()
		if err != nil {
			return err
		}
		if f.VLAN >= 0 {
			// The packet belongs to the VLAN's own interface; without
			// one, nobody takes it (Linux: vlan_do_receive).
			if sub := fmt.Sprintf("%s.%d", in, f.VLAN); c.m.Iface(sub) != nil {
				in = sub
			} else if f.VLAN != 0 {
				f.Link.Type = packet.ToOther
			}
		}
		if f.Link.HasMAC && f.Link.Type == packet.ToHost && c.rec.Reception == capture.ReceptionUnknown {
			if i := c.m.Iface(in); i != nil && i.MAC != [6]byte{} && i.MAC != f.Link.Dst {
				f.Link.Type = packet.ToOther
			}
		}
		if c.rec.OrigLen > len(c.rec.Data) {
			c.Skipped.Truncated++
		}
		*it = Item{N: c.rec.N, Time: c.rec.Time, In: in, Link: f.Link, Data: f.IP}
		return nil
	}
}

// iface finds the interface of the current packet: the file's name for it,
// its index, --in.
func (c *Capture) iface() (string, error) {
	for i := range c.recent {
		if r := &c.recent[i]; r[0] == c.rec.IfName && r[1] != "" {
			return r[1], nil
		}
	}
	if name, ok := c.byName[c.rec.IfName]; ok {
		c.recent[1], c.recent[0] = c.recent[0], [2]string{c.rec.IfName, name}
		return name, nil
	}
	if c.frame.IfIndex != 0 {
		if name, ok := c.byIdx[c.frame.IfIndex]; ok {
			return name, nil
		}
	}
	if c.In != "" {
		return c.In, nil
	}
	var names []string
	for _, i := range c.m.Ifaces {
		names = append(names, i.Name)
	}
	what := "nothing says by which interface it arrives"
	if n := c.rec.IfName; n != "" && c.rec.IfName != "any" {
		what = fmt.Sprintf("it arrives by interface %q, which the machine does not have", n)
	} else if i := c.frame.IfIndex; i != 0 {
		what = fmt.Sprintf("it arrives by interface %d, which the machine does not have", i)
	}
	return "", &capture.Error{File: c.file, N: c.rec.N, Msg: what + "; three things can: a pcapng file with if_name, a LINUX_SLL2 capture (tcpdump -i any) with the interface index of addr.json, --in NAME. The machine has " +
		strings.Join(names, ", ") + " (" + machine.Local + " is the machine itself)"}
}

// Offset is how many bytes of the capture were consumed.
func (c *Capture) Offset() int64 { return c.r.Offset() }

// Lines is a Source of packets that were written out.
type Lines struct {
	items []Item
	i     int
}

// Epoch is the time of the first packet that is written out rather than
// captured: 2026-01-01 00:00:00 UTC.
const Epoch = 1767225600_000000000

// Add appends the packets of a line.
func (l *Lines) Add(p *line.Packet) {
	t := int64(Epoch)
	if n := len(l.items); n > 0 {
		t = l.items[n-1].Time
	}
	t += int64(p.After)
	for _, d := range p.Data {
		l.items = append(l.items, Item{N: len(l.items) + 1, Time: t, In: p.In, Link: p.Link, Owner: p.Owner, Data: d})
	}
}

// Len is the number of packets.
func (l *Lines) Len() int { return len(l.items) }

// Next implements Source.
func (l *Lines) Next(it *Item) error {
	if l.i == len(l.items) {
		return io.EOF
	}
	*it = l.items[l.i]
	l.i++
	return nil
}
