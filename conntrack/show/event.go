package show

import (
	"strconv"

	"weir/conntrack"
)

// AppendEvent adds an event as conntrack -E prints it. Like Linux's message it
// shows the tracker's state only when that changed or the connection ended,
// counters only at the end, and the mark only if it is set or was changed.
func AppendEvent(b []byte, e *conntrack.Event, o Options) []byte {
	return (&Printer{Options: o}).Event(b, e)
}

// happened is a connection as an event shows it.
func happened(e *conntrack.Event) entry {
	end := e.Kind == conntrack.EventDestroy
	l := entry{
		c: &e.Conn, left: e.Conn.Expires(e.Time), kind: e.Kind,
		state: end || e.Mask&conntrack.EventBitProtoInfo != 0,
		mark:  e.Mask&conntrack.EventBitMark != 0,
		now:   e.Time,
	}
	if !end {
		l.helper = e.Helper
	}
	if e.Mask&conntrack.EventBitLabel != 0 {
		l.labels = e.Labels
	}
	l.hasLeft = !end || l.left/second > 0
	if end {
		l.start, l.stop = e.Start, e.Stop
		if e.HasCounters {
			l.counters = &e.Counters
		}
	}
	return l
}

// appendEventHead writes the time and the kind of an event.
func appendEventHead(b []byte, at int64, kind conntrack.EventKind, o Options) []byte {
	if o&Timestamp != 0 {
		b = appendTime(b, at)
	}
	name := kind.String()
	for i := len(name) + 2; i < 9; i++ {
		b = append(b, ' ')
	}
	b = append(b, '[')
	b = append(b, name...)
	b = append(b, "] "...)
	return b
}

// appendTime writes a time as -o timestamp does.
func appendTime(b []byte, at int64) []byte {
	b = append(b, '[')
	b = strconv.AppendInt(b, at/second, 10)
	b = append(b, '.')
	us := strconv.AppendInt(nil, 1e6+at%second/1000, 10)
	b = append(b, us[1:]...)
	return append(b, "]\t"...)
}

// appendExpectTime is appendTime as the tool writes it for expectations: with
// the microseconds as a number, filled up with spaces.
func appendExpectTime(b []byte, at int64) []byte {
	b = append(b, '[')
	b = append(strconv.AppendInt(b, at/second, 10), '.')
	n := len(b)
	b = strconv.AppendInt(b, at%second/1000, 10)
	for len(b) < n+6 {
		b = append(b, ' ')
	}
	return append(b, "]\t"...)
}
