package engine

import "weir/conntrack"

// snapshotSlots is how many slots of the connection table are copied while
// packets that walk wait: for some 10 µs.
const snapshotSlots = 256

// AppendSnapshot writes the connections, their counters, labels, helpers and
// all else that belongs to them, and the expectations, as bytes that
// LoadSnapshot reads. It may be called while workers run, which wait for a small
// part of it at a time; of connections that begin or end meanwhile some are in
// it. now is ns since the Unix epoch. A machine without workers must not be used
// meanwhile.
func (m *Machine) AppendSnapshot(b []byte, now int64) []byte {
	s, b := m.env.CT.BeginSnapshot(b, now)
	return m.steps(s, b)
}

// AppendRound writes the next round of r, which is of this machine's table (see
// Conntrack), and returns how many connections are in it: all at first, then
// those that changed since. It may be called as AppendSnapshot, but for the last
// round, when nothing uses the machine any more.
func (m *Machine) AppendRound(b []byte, r *conntrack.Rounds, now int64, last bool) ([]byte, int) {
	s, b := r.Begin(b, now, last)
	b = m.steps(s, b)
	return b, s.Changed()
}

func (m *Machine) steps(s *conntrack.Snapshot, b []byte) []byte {
	for more := true; more; {
		m.Do(func() { more = s.Read(snapshotSlots) })
		b = s.Write(b)
	}
	return b
}

// LoadSnapshot takes over what AppendSnapshot wrote, before the first packet.
// Timeouts go on from when they were, or from where shift says (see
// conntrack.Table.LoadSnapshot): what ended meanwhile is gone at the first
// packet. Errors are conntrack.SnapshotError; the machine is as it was then.
func (m *Machine) LoadSnapshot(b []byte, shift func(written int64) int64) (err error) {
	m.Do(func() {
		var now int64
		if now, err = m.env.CT.LoadSnapshot(b, shift); err == nil {
			m.clock(now)
		}
	})
	return err
}

// LoadRound takes over a round, before the first packet; over says that it was
// the last one. After an error l is to be abandoned.
func (m *Machine) LoadRound(l *conntrack.Loading, b []byte) (over bool, err error) {
	m.Do(func() {
		var now int64
		if now, over, err = l.Round(b); over && err == nil {
			m.clock(now)
		}
	})
	return over, err
}

// clock tells a machine the time that has none yet.
func (m *Machine) clock(now int64) {
	if m.unclocked {
		m.unclocked = false
		m.shared.Sets.Shift(now)
		m.later(now)
	}
}
