package engine

import (
	"weir/hook"
	"weir/packet"
)

// SetQueue says who listens to a queue of -j NFQUEUE, between packets; nil is
// nobody, and drops what waits there. A listener decides about a packet at once,
// or the machine holds it until Verdict. The packets of a connection's beginning
// may wait side by side: they meet when they are confirmed, as in Linux.
func (m *Machine) SetQueue(num uint16, s *hook.QueueSpec) {
	m.forget()
	m.router.SetQueue(num, s, m.lost)
	if m.ready {
		m.env.CT.Reap()
	}
}

// lost counts a packet that waited in a queue and is dropped there.
func (m *Machine) lost(t *hook.Traversal) { m.drops[t.Why]++ }

// Waiting is how many packets wait in a queue.
func (m *Machine) Waiting(num uint16) int { return m.router.Waiting(num) }

// Verdict goes on with a packet that waits in a queue, as its listener decided,
// and finishes it as Receive does. now is the packet clock. ok is false, and
// nothing happens, if no packet of that name waits (any more), or if the answer
// is to wait. A packet that is queued once more has another name then.
func (m *Machine) Verdict(id uint64, a hook.Answer, now int64) (r Result, ok bool) {
	m.begin(now)
	if !m.ready {
		return Result{Verdict: Dropped, Reason: hook.ReasonMalformed}, false
	}
	in, data, waits := m.router.Held(id)
	if !waits || a.Verdict == hook.Stolen {
		return Result{Verdict: Dropped, Reason: hook.ReasonListener}, false
	}
	if m.watcher != nil {
		m.watching = m.watcher.Want(in, data, now)
	}
	m.memory.judged = false
	m.t, m.pkt = hook.Traversal{Pkt: &m.pkt, Now: now}, packet.Packet{}
	if m.tracing || m.watching {
		m.rec.Reset()
		m.t.Trace = &m.rec
	}
	return m.finish(m.router.Reinject(id, &a, &m.t)), true
}
