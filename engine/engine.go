package engine

import (
	"fmt"

	"weir/conntrack"
	"weir/helper"
	"weir/hook"
	"weir/iface"
	"weir/ipset"
	"weir/packet"
	"weir/route"
	"weir/router"
	"weir/trace"
	"weir/xtables"
)

// Machine is one Linux machine (one network namespace). Make one with New.
type Machine struct {
	env     hook.Env
	pipe    *hook.Pipeline
	router  *router.Router
	sides   [2]side // IPv4, IPv6
	shared  xtables.Shared
	known   xtables.Known
	rand    *Rand
	sink    sink
	memory  memory
	lane    lane
	workers workers
	helpers *helper.Set
	routing route.Options

	t     hook.Traversal
	pkt   packet.Packet
	drops [hook.NumReasons]uint64
	rec   trace.Recorder
	// tracing: the next packets are recorded; watching: this one is.
	tracing, watching bool
	idle              func(*xtables.IdleTimer, int64)
	watcher           Watcher
	ready             bool
	// unclocked: timeouts that were loaded begin with the first packet.
	unclocked bool
	// later loads the state of rules then.
	later func(now int64)
	// jiffies is what the kernel's tick counter is ahead of the clock.
	jiffies int64
	// interpret: rules are walked one by one.
	interpret bool
}

// Verdict is the fate of a packet, in the words of replay's JSON.
type Verdict string

// The verdicts.
const (
	Forwarded Verdict = "forward"
	Delivered Verdict = "local"
	Sent      Verdict = "output"
	Dropped   Verdict = "drop"
	Held      Verdict = "held" // a fragment that waits
)

// Output is a packet that leaves the machine; with Config.Handover also one
// for its own stack, whose Dev is lo.
type Output struct {
	Dev *iface.Iface
	// Data is the packet from the IP header on. It may be the very bytes
	// that were received, rewritten in place; valid until the next call.
	Data []byte
	// Via is the next hop on the link of Dev, zero if that is the packet's
	// destination.
	Via packet.Addr
	// Offload is what is left to the device; zero unless the packet came with it.
	Offload packet.Offload
}

// Result is what became of one packet. Its slices are valid until the next
// call to the machine.
type Result struct {
	Verdict Verdict
	Reason  hook.Reason // of a drop, else NoReason
	// Out is every packet that left because of this one, in order.
	Out []Output
	// Logs is what rules and trackers wrote to the log.
	Logs []hook.LogRecord
	// Steps is the walk, if tracing is on.
	Steps []trace.Step
	// CT is the connection of the packet, as it was when the packet had run
	// through; its Conn is nil if there is none.
	CT conntrack.Ref
}

// sink collects what one packet caused.
type sink struct {
	out  []Output
	logs []hook.LogRecord
	log  hook.Logger // the user's, or nil
	// outAt and logAt are where the part of the packet begins that runs.
	outAt, logAt int
}

// Transmit implements router.Sink.
func (s *sink) Transmit(dev *iface.Iface, p *packet.Packet, t *hook.Traversal) {
	s.out = append(s.out, Output{Dev: dev, Data: p.Data, Via: t.Route.Gateway, Offload: p.Offload})
}

// Log implements hook.Logger.
func (s *sink) Log(t *hook.Traversal, l hook.LogRecord) {
	s.logs = append(s.logs, l)
	if s.log != nil {
		s.log.Log(t, l)
	}
}

// Receive takes a packet that arrived on an interface, from the IP header on,
// and finishes it. data may be rewritten. link says how the frame was
// addressed; its zero value is a frame for this machine without addresses.
// now is the packet clock in ns since the Unix epoch; it must not go back by
// more than rounding.
func (m *Machine) Receive(in *iface.Iface, link packet.Link, data []byte, now int64) (r Result) {
	m.begin(now)
	fresh := false
	if m.open() && direct(in, &link) {
		y, l := &m.memory.paths, &m.lane
		q := &l.probes[0][0]
		l.begin(y)
		q.Offload = packet.Offload{}
		if l.ct.Read(q, data) {
			l.ct.Guess(q)
			if w := l.short(y, q, in, now); w != nil {
				m.sink.out = w.send(m.sink.out, q)
				m.env.CT.Reap()
				r.forwarded(m.sink.sent(), q.Conn, w.info)
				return r
			}
			fresh = q.Conn == nil && m.env.CT.Absent(q)
		}
	}
	return m.walk(&Arrival{In: in, Link: link, Data: data}, fresh, now)
}

// walk carries a packet that cannot go the short way. fresh: it has no
// connection.
func (m *Machine) walk(a *Arrival, fresh bool, now int64) Result {
	in := a.In
	if m.watcher != nil {
		m.watching = m.watcher.Want(in, a.Data, now)
	}
	if !m.start(a.Data, a.Link, now) || in == nil || !m.pkt.SetOffload(a.Offload) {
		return m.refuse(hook.ReasonMalformed)
	}
	m.t.In = in
	if !fresh && m.recall() {
		return m.done()
	}
	f := m.router.Receive(&m.t)
	if f == router.Forwarded && m.t.Memo != nil {
		m.learn()
	}
	return m.finish(f)
}

// Send takes a packet that this machine itself sends; it enters at OUTPUT.
// owner is what -m owner sees, nil if unknown.
func (m *Machine) Send(data []byte, owner *hook.Owner, now int64) Result {
	return m.Depart(&Departure{Data: data, Owner: owner}, now)
}

// Departure is a packet that the machine itself sends.
type Departure struct {
	Data []byte
	// Out is the interface by which it has to leave, as of a socket bound to
	// it; nil for any.
	Out *iface.Iface
	// Owner is what -m owner sees, nil if unknown.
	Owner *hook.Owner
	// Offload is what the stack left to do.
	Offload packet.Offload
}

// Depart is Send for all that can be said of a packet.
func (m *Machine) Depart(d *Departure, now int64) Result {
	m.begin(now)
	if m.watcher != nil {
		m.watching = m.watcher.Want(nil, d.Data, now)
	}
	if !m.start(d.Data, packet.Link{}, now) || !m.pkt.SetOffload(d.Offload) {
		return m.refuse(hook.ReasonMalformed)
	}
	m.t.Local = true
	m.t.Out = d.Out
	m.t.SocketOwner = d.Owner
	return m.finish(m.router.Send(&m.t))
}

// begin forgets what the last call returned and lets time pass.
func (m *Machine) begin(now int64) {
	m.sink.out, m.sink.logs = m.sink.out[:0], m.sink.logs[:0]
	m.sink.from()
	m.tick(now)
}

// start resets what belongs to one packet and parses the next.
func (m *Machine) start(data []byte, link packet.Link, now int64) bool {
	m.t = hook.Traversal{}
	m.memory.judged = false
	if !m.ready {
		return false
	}
	if m.tracing || m.watching {
		m.rec.Reset()
		m.t.Trace = &m.rec
	}
	m.pkt.Link = link
	if packet.Parse(data, &m.pkt) != nil {
		return false
	}
	m.t.Pkt, m.t.Env, m.t.Now = &m.pkt, &m.env, now
	return true
}

// Tick lets time pass without a packet: timers of connections and of waiting
// fragments run. The result holds what left the machine because of that, such
// as ICMP errors about datagrams that did not become whole. Receive and Send
// let time pass by themselves.
func (m *Machine) Tick(now int64) Result {
	m.begin(now)
	return Result{Verdict: Sent, Out: m.sink.sent(), Logs: m.sink.said()}
}

func (m *Machine) tick(now int64) {
	if m.ready {
		if m.unclocked {
			m.unclocked = false
			m.shared.Sets.Shift(now)
			m.env.CT.Shift(now)
			m.later(now)
		}
		m.env.CT.Tick(now)
		m.router.Tick(now)
		if m.shared.IdleDue(now) {
			m.shared.PassIdle(now, m.idled)
		}
	}
}

// idled tells of a timer that ran out.
func (m *Machine) idled(t *xtables.IdleTimer, at int64) {
	m.sink.logs = append(m.sink.logs, hook.LogRecord{Source: "IDLETIMER", Level: 6, Text: t.Label + " is idle"})
	if m.idle != nil {
		m.idle(t, at)
	}
}

// IdleTimers are the timers of -j IDLETIMER by their labels. They may be read
// between packets.
func (m *Machine) IdleTimers() []*xtables.IdleTimer { return m.shared.IdleTimers() }

func (m *Machine) refuse(r hook.Reason) Result {
	m.drops[r]++
	res := Result{Verdict: Dropped, Reason: r, Steps: m.rec.Steps}
	m.saw(res)
	return res
}

// done reports a packet that took a remembered path.
func (m *Machine) done() Result {
	m.env.CT.Reap()
	return Result{Verdict: Forwarded, Out: m.sink.sent(), Logs: m.sink.said(), CT: m.t.CT}
}

// finish counts, frees what the packet held and reports.
func (m *Machine) finish(f router.Fate) Result {
	res := Result{Out: m.sink.sent(), Logs: m.sink.said(), CT: m.t.CT}
	if m.tracing || m.watching {
		res.Steps = m.rec.Steps
	}
	switch f {
	case router.Forwarded:
		res.Verdict = Forwarded
	case router.Delivered:
		res.Verdict = Delivered
	case router.Sent:
		res.Verdict = Sent
	case router.Held:
		res.Verdict = Held
	default:
		res.Verdict = Dropped
		res.Reason = m.t.Why
		m.drops[m.t.Why]++
	}
	m.saw(res)
	m.env.CT.Release(m.t.CT)
	m.env.CT.Reap()
	return res
}

// Conntrack is the machine's table, for listings, events and statistics.
func (m *Machine) Conntrack() *conntrack.Table { return m.env.CT }

// Ifaces is the machine's interfaces.
func (m *Machine) Ifaces() *iface.Set { return m.env.Ifaces }

// Routes is the machine's routing table.
func (m *Machine) Routes() *route.Table { return m.env.Routes }

// Sets are the machine's sets. They may be changed between packets.
func (m *Machine) Sets() *ipset.Sets { return m.shared.Sets }

// Known is what rules may name beside sets.
func (m *Machine) Known() xtables.Known { return m.known }

// Rules is the rule set in use for a family. Its counters are exact at the
// time of the call; call again for later ones.
func (m *Machine) Rules(f packet.Family) *xtables.Ruleset {
	m.settle()
	if f == packet.IPv6 {
		return m.sides[1].rules
	}
	return m.sides[0].rules
}

// Drops counts the packets dropped so far, by reason.
func (m *Machine) Drops() [hook.NumReasons]uint64 { return m.drops }

// Trace switches the recording of walks on or off.
func (m *Machine) Trace(on bool) {
	m.tracing = on
	m.show()
}

// Pipeline is the order in which everything runs.
func (m *Machine) Pipeline() *hook.Pipeline { return m.pipe }

// Register adds a function of the library's user at any point and priority.
// Of equal priorities it runs before those that are there.
func (m *Machine) Register(e hook.Entry) error {
	if e.Fn == nil || e.At >= hook.NumPoints {
		return fmt.Errorf("engine: hook function %q needs a function and one of the five points", e.Name)
	}
	if !e.Steady {
		m.memory.on = false // the function wants to see every packet
	}
	m.forget()
	m.pipe = m.pipe.With(e)
	m.router.SetPipeline(m.pipe)
	m.show()
	return nil
}
