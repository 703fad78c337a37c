package show

import (
	"bufio"
	"bytes"
	"strconv"
	"strings"

	"weir/conntrack"
)

// Options are the output options of conntrack -o.
type Options uint16

// The options.
const (
	Extended   Options = 1 << iota // layer 3 in front
	ID                             // id=N at the end
	Timestamp                      // events and expectations: time of printing
	KTimestamp                     // [start=…] and [stop=…]
	Labels                         // labels=…, by name
	XML                            // a <flow> element
	Save                           // a command line that makes the connection
	// Of weir only:
	JSON // an object, with an object for each direction
	Flat // an object without objects inside
	Proc // a line of /proc/net/nf_conntrack
)

// Printer writes connections and events with the options of conntrack -o. The
// zero value writes what conntrack writes without options.
type Printer struct {
	Options Options
	// Names are the names of labels; labels without a name are not shown.
	Names *LabelNames
}

// Entry adds a connection as conntrack -L lists it at time now, ns since the
// Unix epoch.
func (p *Printer) Entry(b []byte, tb *conntrack.Table, c *conntrack.Conn, now int64) []byte {
	if p.Options&Proc != 0 {
		return AppendProc(b, tb, c, now)
	}
	e := listed(tb, c, now)
	return e.print(b, p, conntrack.EventNew)
}

// print writes the entry in the printer's format; kind is that of the command
// line of Save.
func (e *entry) print(b []byte, p *Printer, kind conntrack.EventKind) []byte {
	switch {
	case p.Options&Save != 0:
		return e.appendSave(b, kind)
	case p.Options&XML != 0:
		return e.appendXML(b, p)
	case p.Options&(JSON|Flat) != 0:
		return e.appendJSON(b, p)
	}
	return e.append(b, p)
}

// Gone adds a connection as conntrack -D prints what it removed: without
// labels and times.
func (p *Printer) Gone(b []byte, tb *conntrack.Table, c *conntrack.Conn, now int64) []byte {
	e := listed(tb, c, now)
	return e.print(b, &Printer{Options: p.Options &^ (Timestamp | KTimestamp | Labels)}, conntrack.EventDestroy)
}

// Got adds a connection as conntrack -G prints it, and -U what it changed:
// asking for it is one use more.
func (p *Printer) Got(b []byte, tb *conntrack.Table, c *conntrack.Conn, now int64) []byte {
	e := listed(tb, c, now)
	e.use++
	return e.print(b, p, conntrack.EventNew)
}

// Event adds an event as conntrack -E prints it.
func (p *Printer) Event(b []byte, ev *conntrack.Event) []byte {
	e := happened(ev)
	if p.Options&(Save|XML|JSON|Flat) == 0 {
		b = appendEventHead(b, ev.Time, ev.Kind, p.Options)
	}
	return e.print(b, p, ev.Kind)
}

// Expect adds an expectation as conntrack -L expect lists it at time now.
func (p *Printer) Expect(b []byte, tb *conntrack.Table, e *conntrack.Expect, now int64) []byte {
	x := ahead{Expect: e, left: e.Left(now), helper: tb.HelperName(e.Helper), now: now}
	if m := tb.ByID(e.Master); m != nil {
		x.master = &m.Tuple[conntrack.Original]
	}
	switch {
	case p.Options&XML != 0:
		return x.appendXML(b, p.Options)
	case p.Options&(JSON|Flat) != 0:
		return x.appendJSON(b, p.Options)
	}
	if p.Options&Timestamp != 0 {
		b = appendExpectTime(b, now)
	}
	return x.append(b)
}

// ExpectEvent adds an event of an expectation as conntrack -E expect prints it.
func (p *Printer) ExpectEvent(b []byte, ev *conntrack.ExpectEvent) []byte {
	x := ahead{Expect: &ev.Expect, master: &ev.Master, left: ev.Left, helper: ev.Helper, now: ev.Time, kind: ev.Kind}
	switch {
	case p.Options&XML != 0:
		return x.appendXML(b, p.Options)
	case p.Options&(JSON|Flat) != 0:
		return x.appendJSON(b, p.Options)
	}
	if p.Options&Timestamp != 0 {
		b = appendExpectTime(b, ev.Time)
	}
	return x.append(appendEventHead(b, ev.Time, ev.Kind, 0))
}

// Head and Tail are what stands before the first line and behind the last when
// at least one was written. word is conntrack or expect.
func (p *Printer) Head(word string) string {
	if p.Options&XML == 0 {
		return ""
	}
	return "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<" + word + ">\n"
}

// Tail: see Head.
func (p *Printer) Tail(word string) string {
	if p.Options&XML == 0 {
		return ""
	}
	return "</" + word + ">\n"
}

// labels is the names of the labels that are set.
func (p *Printer) labels(set [2]uint64) (names []string) {
	if p.Names == nil || set == [2]uint64{} {
		return nil
	}
	for i, n := range p.Names.name {
		if n != "" && set[i/64]>>(i%64)&1 != 0 {
			names = append(names, n)
		}
	}
	return names
}

// LabelNames is what connlabel.conf says.
type LabelNames struct{ name [conntrack.NumLabels]string }

// ParseLabels reads a connlabel.conf: a number and a name a line, # begins a
// comment. Lines that are not so are skipped, as libnetfilter_conntrack does.
func ParseLabels(text []byte) *LabelNames {
	l := &LabelNames{}
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
		w := strings.Fields(s.Text())
		if len(w) < 2 || w[0][0] == '#' {
			continue
		}
		if n, err := strconv.ParseUint(w[0], 0, 8); err == nil && n < conntrack.NumLabels && l.name[n] == "" {
			l.name[n] = w[1]
		}
	}
	return l
}

// Bit is the number of a label of the name; false if there is none.
func (l *LabelNames) Bit(name string) (uint8, bool) {
	if l == nil || name == "" {
		return 0, false
	}
	for i, n := range l.name {
		if n == name {
			return uint8(i), true
		}
	}
	return 0, false
}

// Name is the name of a label, empty if it has none.
func (l *LabelNames) Name(bit uint8) string {
	if l == nil || bit >= conntrack.NumLabels {
		return ""
	}
	return l.name[bit]
}
