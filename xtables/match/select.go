package match

import (
	"weir/xtables"
	"weir/xtables/args"
)

// The matches that say beforehand which packets they can match at most
// (xtables.Selective), in one place.

// Select: the text decides nothing.
func (*commentMatch) Select(*xtables.Selection) xtables.Extent { return xtables.Whole }

// Select by ports. A test for an option may drop a packet whose options it
// cannot read.
func (m *tcpMatch) Select(s *xtables.Selection) xtables.Extent {
	s.SourcePorts(spans(m.src)...)
	s.DestPorts(spans(m.dst)...)
	switch {
	case m.option != 0:
		return xtables.Open
	case m.Steady():
		return xtables.Whole
	}
	return xtables.Part
}

// Select by ports.
func (m *udpMatch) Select(s *xtables.Selection) xtables.Extent {
	s.SourcePorts(spans(m.src)...)
	s.DestPorts(spans(m.dst)...)
	return xtables.Whole
}

// Select by ports, unless one of the two is enough.
func (m *multiportMatch) Select(s *xtables.Selection) xtables.Extent {
	var list []xtables.PortSpan
	for _, r := range m.ranges {
		list = append(list, xtables.PortSpan{Lo: r.Lo, Hi: r.Hi})
	}
	switch {
	case m.not:
		return xtables.Part
	case m.option == "sports":
		s.SourcePorts(list...)
	case m.option == "dports":
		s.DestPorts(list...)
	default:
		return xtables.Part
	}
	return xtables.Whole
}

// Select by the state, if translation is not asked for beside it.
func (m *conntrackMatch) Select(s *xtables.Selection) xtables.Extent {
	if m.given&ctState == 0 {
		return xtables.Part
	}
	switch states := m.states &^ (stateSNAT | stateDNAT); {
	case m.not&ctState != 0:
		s.States(^uint8(states))
	case states == m.states:
		s.States(uint8(states))
	}
	if m.given == ctState && m.states&(stateSNAT|stateDNAT) == 0 {
		return xtables.Whole
	}
	return xtables.Part
}

// Select by the state.
func (m *stateMatch) Select(s *xtables.Selection) xtables.Extent {
	states := uint8(m.states)
	if m.not {
		states = ^states
	}
	s.States(states)
	return xtables.Whole
}

// spans is the ports of a range; the ones around it if it is inverted.
func spans(r args.PortRange) (list []xtables.PortSpan) {
	switch {
	case !r.Not && r.Lo > r.Hi:
		return nil
	case !r.Not:
		return []xtables.PortSpan{{Lo: r.Lo, Hi: r.Hi}}
	case r.Lo > r.Hi:
		return []xtables.PortSpan{{Lo: 0, Hi: 65535}}
	}
	if r.Lo > 0 {
		list = append(list, xtables.PortSpan{Lo: 0, Hi: r.Lo - 1})
	}
	if r.Hi < 65535 {
		list = append(list, xtables.PortSpan{Lo: r.Hi + 1, Hi: 65535})
	}
	return list
}
