package engine

// snapshotSlots is how many slots of the connection table are written while
// packets that walk wait: for some 100 µs.
const snapshotSlots = 512

// AppendSnapshot writes the connections, their counters, labels, helpers and
// all else that belongs to them, and the expectations, as bytes that
// LoadSnapshot reads. It may be called while workers run, which wait for a small
// part of it at a time; of connections that begin or end meanwhile some are in
// it. now is ns since the Unix epoch. A machine without workers must not be used
// meanwhile.
func (m *Machine) AppendSnapshot(b []byte, now int64) []byte {
	tb := m.env.CT
	s, b := tb.BeginSnapshot(b, now)
	for more := true; more; {
		// The room is made beforehand: nobody waits for it.
		if free := cap(b) - len(b); free < 1<<18 {
			b = append(make([]byte, 0, 2*cap(b)+1<<19), b...)
		}
		m.Do(func() { b, more = s.Step(b, snapshotSlots) })
	}
	return b
}

// LoadSnapshot takes over what AppendSnapshot wrote, before the first packet.
// Timeouts go on from when they were: what ended meanwhile is gone at the first
// packet. Errors are conntrack.SnapshotError; the machine is as it was then.
func (m *Machine) LoadSnapshot(b []byte) (err error) {
	m.Do(func() {
		var now int64
		if now, err = m.env.CT.LoadSnapshot(b); err == nil && m.unclocked {
			m.unclocked = false
			m.shared.Sets.Shift(now)
			m.later(now)
		}
	})
	return err
}
