package engine

import (
	"slices"

	"weir/conntrack"
	"weir/hook"
	"weir/iface"
	"weir/nat"
	"weir/packet"
)

// tally is what packets a remembered path had that the rules' counters do not
// know yet.
type tally struct{ packets, bytes uint64 }

// lane is what one goroutine needs to carry packets the short way: remembered
// paths, and of connection tracking the part that changes nothing but a
// timeout and windows. All else is walked.
type lane struct {
	ct     conntrack.Lane
	probes [groups][stride]conntrack.Probe
	tally  []tally // by path
}

// begin takes up what changed since the last packets.
func (l *lane) begin(y *paths) {
	l.ct.Begin()
	for len(l.tally) < len(y.list) {
		l.tally = append(l.tally, tally{})
	}
}

// open reports that packets may go the short way at all. It does not look at
// what a rule set decides: a path holds for one only.
func (m *Machine) open() bool { return m.memory.on && !m.tracing && m.watcher == nil && m.ready }

// short carries a packet that was read and whose connection was guessed, and
// returns its path, or does nothing at all.
func (l *lane) short(y *paths, q *conntrack.Probe, in *iface.Iface, now int64) *path {
	if !l.ct.Own(q) {
		return nil
	}
	w := y.of(q.Conn, q.Dir)
	if w == nil || w.in != in || w.status != q.Conn.Status&w.cares || w.mark != q.Conn.Mark || q.Offload.Wire(q.Data, q.L4, q.Proto) > w.mtu ||
		w.tos != tosOf(q) || !l.ct.Judge(q, now) {
		l.ct.Done(q)
		return nil
	}
	n := &l.tally[q.Conn.Path[q.Dir]-y.base-1]
	n.packets++
	n.bytes += uint64(len(q.Data))
	nat.Rewrite(q, w.translated)
	l.ct.Done(q)
	return w
}

// send appends how a packet leaves by the path. It writes field by field, as
// forwarded does: a literal would be put together elsewhere and copied, and the
// copy would wait for it.
func (w *path) send(out []Output, q *conntrack.Probe) []Output {
	n := len(out)
	if n == cap(out) {
		out = slices.Grow(out, 1)
	}
	out = out[:n+1]
	o := &out[n]
	o.Dev, o.Data, o.Via, o.Offload = w.out, q.Data, w.via, q.Offload
	return out
}

// forwarded is the result of a packet that went the short way.
func (r *Result) forwarded(out []Output, c *conntrack.Conn, info conntrack.Info) {
	r.Verdict, r.Reason, r.Out, r.Logs, r.Steps = Forwarded, hook.NoReason, out, nil, nil
	r.CT.Conn, r.CT.Info = c, info
}

// of is the path of a connection's direction, nil if it has none.
func (y *paths) of(c *conntrack.Conn, d conntrack.Dir) *path {
	if i := c.Path[d] - y.base - 1; i < uint32(len(y.list)) {
		return &y.list[i]
	}
	return nil
}

// tosOf is the TOS byte or traffic class.
func tosOf(q *conntrack.Probe) uint8 {
	if q.Family == packet.IPv4 {
		return q.Data[1]
	}
	return q.Data[0]<<4 | q.Data[1]>>4
}

// direct reports an arrival that paths are remembered for.
func direct(in *iface.Iface, link *packet.Link) bool {
	return in != nil && !in.Loopback && link.Type == packet.ToHost
}
