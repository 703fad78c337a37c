package xtables

import (
	"math/bits"

	"weir/conntrack"
)

// Selective is a Match that can say beforehand which packets it has no answer
// but "no" for, so that the rule is not even looked at for them.
type Selective interface {
	// Select narrows s. The Match is asked for a packet outside of s only
	// when that is cheaper than to avoid it, and must then say no. Of the
	// packets in s it is asked as ever.
	Select(s *Selection) Extent
}

// Extent says what a Selection leaves out.
type Extent uint8

// The extents. The zero value is the careful one.
const (
	// Open: the Match asks more, and asking may be noticed: it counts,
	// draws, or drops what it cannot read. Nothing behind it is selected by.
	Open Extent = iota
	// Part: the Match asks more, and its answer is all that comes of it.
	Part
	// Whole: every packet of the selection matches.
	Whole
)

// PortSpan is the ports from Lo to Hi.
type PortSpan struct{ Lo, Hi uint16 }

// Selection is a set of packets, by their ports and the state of connection
// tracking. The zero value is all packets.
type Selection struct {
	src, dst []PortSpan // nil is any
	states   uint8      // bit for each conntrack.State; 0 is any
	over     bool       // something was left out that cannot be expressed
}

// SourcePorts keeps the packets with a source port in one of the spans. No
// later fragment is among them. A packet too short for its ports is outside of
// every selection's business: it is walked rule by rule.
func (s *Selection) SourcePorts(spans ...PortSpan) { s.ports(&s.src, spans) }

// DestPorts is SourcePorts for the destination.
func (s *Selection) DestPorts(spans ...PortSpan) { s.ports(&s.dst, spans) }

func (s *Selection) ports(to *[]PortSpan, spans []PortSpan) {
	if *to != nil || len(spans) == 0 {
		s.over = true // twice in one rule: the first will do; none: let the rule say so
		return
	}
	*to = append([]PortSpan{}, spans...)
}

// States keeps the packets whose state is in the set, a bit for each
// conntrack.State.
func (s *Selection) States(set uint8) {
	const all = 1<<(conntrack.StateUntracked+1) - 1
	switch set &= all; {
	case set == all:
	case s.states != 0 || set == 0:
		s.over = true
	default:
		s.states = set
	}
}

// portPrefix is ports that have the upper bits in common.
type portPrefix struct {
	val, mask uint16
}

// prefixes cuts spans into blocks; false if there are more than max.
func prefixes(spans []PortSpan, max int) (list []portPrefix, ok bool) {
	for _, s := range spans {
		for lo := uint32(s.Lo); lo <= uint32(s.Hi); {
			n := uint32(16)
			if lo != 0 {
				n = uint32(bits.TrailingZeros32(lo))
			}
			for lo+1<<n-1 > uint32(s.Hi) {
				n--
			}
			if len(list) == max {
				return nil, false
			}
			list = append(list, portPrefix{uint16(lo), uint16(0xffff << n)})
			lo += 1 << n
		}
	}
	return list, true
}

// cover is blocks around spans, at most two for each: somewhat more than the
// spans, of which exact says that it is not so.
func cover(spans []PortSpan, max int) (list []portPrefix, exact bool) {
	if list, exact = prefixes(spans, max); exact {
		return list, true
	}
	list = nil
	for _, s := range spans {
		n := bits.Len16(s.Hi - s.Lo)
		size := uint32(1) << n
		for lo := uint32(s.Lo) &^ (size - 1); lo <= uint32(s.Hi); lo += size {
			if len(list) == 2*max {
				return nil, false
			}
			list = append(list, portPrefix{uint16(lo), uint16(0xffff << n)})
		}
	}
	return list, false
}
