package conntrack

// EventMask is a set of things that happened to a connection, with Linux's
// bits (IPCT_*).
type EventMask uint16

// The events.
const (
	EventBitNew       EventMask = 1 << iota // confirmed
	EventBitRelated                         // confirmed, and expected by another
	EventBitDestroy                         // removed
	EventBitReply                           // first packet in reply direction
	EventBitAssured                         // became assured
	EventBitProtoInfo                       // the tracker's state changed
	EventBitHelper                          // a helper was attached
	EventBitMark                            // the mark changed
	EventBitSeqAdj                          // sequence adjustment changed
	EventBitSecMark                         // the security mark changed
	EventBitLabel                           // the labels changed
	EventBitSynproxy                        // SYN proxy data changed
)

// EventKind is the kind of a message.
type EventKind uint8

// The kinds, named as conntrack -E prints them.
const (
	EventNew EventKind = iota + 1
	EventUpdate
	EventDestroy
)

// String is the name that conntrack -E prints.
func (k EventKind) String() string {
	switch k {
	case EventNew:
		return "NEW"
	case EventUpdate:
		return "UPDATE"
	case EventDestroy:
		return "DESTROY"
	default:
		return "?"
	}
}

// Counter is packets and bytes of one direction. Bytes count from the IP
// header on.
type Counter struct{ Packets, Bytes uint64 }

// Event is a message to the listener: what happened, and the connection as it
// was then.
type Event struct {
	Kind EventKind
	Mask EventMask
	Time int64 // ns since the Unix epoch
	Conn Conn
	// Counters are valid if HasCounters.
	Counters    [2]Counter
	HasCounters bool
	// Start is when the connection was confirmed and Stop when it ended (or
	// expired), ns since the Unix epoch; 0 without nf_conntrack_timestamp,
	// Stop 0 while it lives.
	Start, Stop int64
	// Helper is the name of the connection's helper, Master the original tuple
	// of the connection that expected it, if Conn.Master is not 0.
	Helper string
	Master Tuple
	// Labels is what Table.Labels says.
	Labels [NumLabels / 64]uint64
}

// OnEvent sets the listener; nil for none. Connections that were created while
// nobody listened send nothing, unless the Events sysctl is 1. The listener
// must not call into the table.
func (tb *Table) OnEvent(f func(Event)) { tb.listener = f }

// initEvents decides which events of a new connection are kept.
// Linux: nf_ct_ecache_ext_add.
func (tb *Table) initEvents(c *Conn, tmpl *Template) {
	switch {
	case tb.cfg.Events == 2 && !tb.heard():
	case masked(tmpl):
		c.eventMask = tmpl.EventMask
	case tb.cfg.Events != 0:
		c.eventMask = ^EventMask(0)
	}
}

// expectMask decides which events of a connection's expectations are sent.
func (tb *Table) expectMask(tmpl *Template) ExpectEventMask {
	switch {
	case tb.cfg.Events == 2 && !tb.heard():
		return 0
	case masked(tmpl):
		return tmpl.ExpectEventMask
	case tb.cfg.Events != 0:
		return ^ExpectEventMask(0)
	}
	return 0
}

// heard reports that somebody listens to events of any kind.
func (tb *Table) heard() bool { return tb.listener != nil || tb.expects.listener != nil }

// masked reports a template that restricts events: with one of the masks the
// other is empty if it is not given.
func masked(tmpl *Template) bool {
	return tmpl != nil && tmpl.EventMask|EventMask(tmpl.ExpectEventMask) != 0
}

// deliver sends what is pending as one message.
// Linux: nf_ct_deliver_cached_events.
func (tb *Table) deliver(c *Conn, now int64) {
	m := c.pending
	c.pending = 0
	// One event that is wanted takes all others with it.
	if m&c.eventMask == 0 || tb.listener == nil || c.Status&(Confirmed|Dying) != Confirmed {
		return
	}
	kind := EventUpdate
	if m&(EventBitNew|EventBitRelated) != 0 {
		kind = EventNew
	}
	tb.send(c, kind, m, now, 0)
}

// send hands one message to the listener.
func (tb *Table) send(c *Conn, kind EventKind, m EventMask, now, stop int64) {
	if tb.listener == nil {
		return
	}
	e := Event{Kind: kind, Mask: m, Time: now, Stop: stop}
	c.copyTo(&e.Conn)
	if ct := tb.Counters(c); ct != nil {
		e.Counters, e.HasCounters = *ct, true
	}
	e.Start, e.Labels = tb.Started(c), tb.Labels(c)
	if c.ext != 0 {
		e.Helper = tb.HelperName(tb.Helper(c))
	}
	if m := tb.ByID(tb.Master(c)); m != nil {
		e.Master = m.Tuple[Original]
	}
	if e.Start == 0 {
		e.Stop = 0
	}
	tb.listener(e)
}
