package match

// The matches that answer alike for all packets of a connection in one
// direction (xtables.Steady), in one place: what a match may look at beyond
// tuple, interfaces, marks, status and state has to stay out of this list.

// ReadsStatus: --ctstatus does. The states SNAT and DNAT ask for bits that do
// not change.
func (m *conntrackMatch) ReadsStatus() bool { return m.given&ctStatus != 0 }

// Steady: the text decides nothing.
func (*commentMatch) Steady() bool { return true }

// Steady unless it asks for the time left.
func (m *conntrackMatch) Steady() bool { return m.given&ctExpire == 0 }

// Steady: the state is a part of what is held fixed.
func (*stateMatch) Steady() bool { return true }

// Steady if it asks for ports only.
func (m *tcpMatch) Steady() bool {
	return m.mask == 0 && m.option == 0 && !m.notFlags && !m.notOpts
}

// Steady: ports.
func (*udpMatch) Steady() bool { return true }

// Steady: ports.
func (*multiportMatch) Steady() bool { return true }

// Steady: a received packet has no mark unless a target gave it one, and
// targets are never remembered.
func (*markMatch) Steady() bool { return true }

// Steady: the connection's mark is a part of what is held fixed.
func (*connmarkMatch) Steady() bool { return true }

// Steady: addresses.
func (*iprangeMatch) Steady() bool { return true }

// Steady: addresses and routes.
func (*addrtypeMatch) Steady() bool { return true }

// Steady: only packets for this machine's link address are remembered.
func (*pkttypeMatch) Steady() bool { return true }

// Steady: no packet comes by a bridge.
func (*physdevMatch) Steady() bool { return true }
