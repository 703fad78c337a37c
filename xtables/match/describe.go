package match

import (
	"math"
	"math/bits"

	"weir/conntrack"
	"weir/packet"
	"weir/xtables"
	"weir/xtables/args"
)

// The matches that describe the packets they are true for (xtables.Describer),
// in one place. What counts, draws, remembers or changes something when it is
// asked has to stay out of this list.

// fields is one box.
func fields(fs ...xtables.FieldSet) []xtables.Box { return []xtables.Box{{Fields: fs}} }

// anything is all packets.
func anything() []xtables.Box { return []xtables.Box{{}} }

func nums(f xtables.Field, spans ...xtables.Span) xtables.FieldSet {
	return xtables.FieldSet{Field: f, Spans: spans}
}

// within is lo to hi, or with not what is left of 0 to max.
func within(f xtables.Field, lo, hi, max uint64, not bool) xtables.FieldSet {
	s := nums(f)
	if !not {
		if lo <= hi {
			s.Spans = append(s.Spans, xtables.Num(lo, hi))
		}
		return s
	}
	if lo > hi {
		s.Spans = append(s.Spans, xtables.Num(0, max))
		return s
	}
	if lo > 0 {
		s.Spans = append(s.Spans, xtables.Num(0, lo-1))
	}
	if hi < max {
		s.Spans = append(s.Spans, xtables.Num(hi+1, max))
	}
	return s
}

// among is the values up to max for which has says yes.
func among(f xtables.Field, max uint64, has func(v uint64) bool) xtables.FieldSet {
	s := nums(f)
	for v := uint64(0); v <= max; v++ {
		if !has(v) {
			continue
		}
		if n := len(s.Spans); n > 0 && s.Spans[n-1].Hi.Lo == v-1 {
			s.Spans[n-1].Hi.Lo = v
		} else {
			s.Spans = append(s.Spans, xtables.Num(v, v))
		}
	}
	return s
}

func portField(f xtables.Field, r args.PortRange) xtables.FieldSet {
	return within(f, uint64(r.Lo), uint64(r.Hi), 65535, r.Not)
}

// Describe: true for all.
func (*commentMatch) Describe() ([]xtables.Box, xtables.Extent) { return anything(), xtables.Whole }

// Describe ports and flags; an option is beyond that.
func (m *tcpMatch) Describe() ([]xtables.Box, xtables.Extent) {
	e := xtables.Whole
	if m.option != 0 {
		e = xtables.Part
	}
	return fields(
		nums(xtables.FieldFragment, xtables.Num(0, 0)),
		portField(xtables.FieldSrcPort, m.src), portField(xtables.FieldDstPort, m.dst),
		among(xtables.FieldTCPFlags, 63, func(v uint64) bool { return (uint8(v)&m.mask == m.comp) != m.notFlags }),
	), e
}

// Describe ports.
func (m *udpMatch) Describe() ([]xtables.Box, xtables.Extent) {
	return fields(nums(xtables.FieldFragment, xtables.Num(0, 0)),
		portField(xtables.FieldSrcPort, m.src), portField(xtables.FieldDstPort, m.dst)), xtables.Whole
}

// Describe ports: --ports is true if one of the two is among them.
func (m *multiportMatch) Describe() ([]xtables.Box, xtables.Extent) {
	set := func(f xtables.Field) xtables.FieldSet {
		return among(f, 65535, func(v uint64) bool {
			for _, r := range m.ranges {
				if r.Has(uint16(v)) {
					return !m.not
				}
			}
			return m.not
		})
	}
	whole := nums(xtables.FieldFragment, xtables.Num(0, 0))
	all := xtables.Num(0, 65535)
	src, dst := nums(xtables.FieldSrcPort, all), nums(xtables.FieldDstPort, all)
	switch {
	case m.option == "sports":
		src = set(xtables.FieldSrcPort)
	case m.option == "dports":
		dst = set(xtables.FieldDstPort)
	case m.not:
		src, dst = set(xtables.FieldSrcPort), set(xtables.FieldDstPort)
	default:
		return []xtables.Box{
			{Fields: []xtables.FieldSet{whole, set(xtables.FieldSrcPort), dst}},
			{Fields: []xtables.FieldSet{whole, src, set(xtables.FieldDstPort)}},
		}, xtables.Whole
	}
	return fields(whole, src, dst), xtables.Whole
}

// Describe type and code.
func (m *icmpMatch) Describe() ([]xtables.Box, xtables.Extent) {
	lo, hi := uint64(m.typ)<<8|uint64(m.min), uint64(m.typ)<<8|uint64(m.max)
	if m.any {
		lo, hi = 0, 65535
	}
	return fields(nums(xtables.FieldFragment, xtables.Num(0, 0)), within(xtables.FieldICMP, lo, hi, 65535, m.not)), xtables.Whole
}

// Describe addresses.
func (m *iprangeMatch) Describe() ([]xtables.Box, xtables.Extent) {
	var fs []xtables.FieldSet
	for i, r := range [2]addrRange{m.src, m.dst} {
		if !r.on {
			continue
		}
		f := xtables.FieldSrc + xtables.Field(i)
		lo, hi := xtables.AddrValue(m.family, r.lo), xtables.AddrValue(m.family, r.hi)
		all := xtables.Domain(f, m.family)
		s := nums(f)
		switch {
		case lo.Cmp(hi) > 0: // holds nothing
			if r.not {
				s.Spans = append(s.Spans, all)
			}
		case !r.not:
			s.Spans = append(s.Spans, xtables.Span{Lo: lo, Hi: hi})
		default:
			if lo != all.Lo {
				s.Spans = append(s.Spans, xtables.Span{Lo: all.Lo, Hi: before(lo)})
			}
			if hi != all.Hi {
				s.Spans = append(s.Spans, xtables.Span{Lo: after(hi), Hi: all.Hi})
			}
		}
		fs = append(fs, s)
	}
	return fields(fs...), xtables.Whole
}

func before(v xtables.Value) xtables.Value {
	lo, borrow := bits.Sub64(v.Lo, 1, 0)
	return xtables.Value{Hi: v.Hi - borrow, Lo: lo}
}

func after(v xtables.Value) xtables.Value {
	lo, carry := bits.Add64(v.Lo, 1, 0)
	return xtables.Value{Hi: v.Hi + carry, Lo: lo}
}

// describe is a set of states with those of translation.
func (s stateSet) describe(not bool) []xtables.Box {
	states := among(xtables.FieldState, 4, func(v uint64) bool { return (s&(1<<v) != 0) != not })
	nat := uint64(s>>(conntrack.StateUntracked+1)) & 3
	translated := among(xtables.FieldNAT, 3, func(v uint64) bool { return (v&nat != 0) != not })
	switch {
	case nat == 0:
		return fields(states)
	case not:
		return fields(states, translated)
	}
	return []xtables.Box{{Fields: []xtables.FieldSet{states}}, {Fields: []xtables.FieldSet{translated}}}
}

// Describe the state; whatever else is asked is beyond that. Without --ctstate
// a packet without a connection fails.
func (m *conntrackMatch) Describe() ([]xtables.Box, xtables.Extent) {
	if m.given&ctState == 0 {
		return fields(nums(xtables.FieldState, xtables.Num(uint64(conntrack.StateNew), uint64(conntrack.StateRelated)))), xtables.Part
	}
	e := xtables.Whole
	if m.given != ctState {
		e = xtables.Part
	}
	return m.states.describe(m.not&ctState != 0), e
}

// Describe the state.
func (m *stateMatch) Describe() ([]xtables.Box, xtables.Extent) {
	return m.states.describe(m.not), xtables.Whole
}

// Describe the mark, as numbers where the mask has its upper bits set.
func (m *markMatch) Describe() ([]xtables.Box, xtables.Extent) {
	low := ^m.mask
	switch {
	case m.value&low != 0:
		return fields(within(xtables.FieldMark, 1, 0, math.MaxUint32, m.not)), xtables.Whole
	case low&(low+1) == 0:
		return fields(within(xtables.FieldMark, uint64(m.value), uint64(m.value|low), math.MaxUint32, m.not)), xtables.Whole
	}
	plain := maskedMark{value: m.value, mask: m.mask}
	return []xtables.Box{{Terms: []xtables.Term{{Text: "mark" + string(plain.AppendArgs(nil)), Not: m.not}}}}, xtables.Whole
}

// Describe the TTL.
func (m *ttlMatch) Describe() ([]xtables.Box, xtables.Extent) {
	v := uint64(m.value)
	s := within(xtables.FieldTTL, v, v, 255, m.op == '!')
	switch m.op {
	case '<':
		s = among(xtables.FieldTTL, 255, func(x uint64) bool { return x < v })
	case '>':
		s = among(xtables.FieldTTL, 255, func(x uint64) bool { return x > v })
	}
	return fields(s), xtables.Whole
}

// Describe the byte.
func (m *tosMatch) Describe() ([]xtables.Box, xtables.Extent) {
	return fields(among(xtables.FieldTOS, 255, func(v uint64) bool { return (uint8(v)&m.mask == m.value) != m.not })), xtables.Whole
}

// Describe the byte.
func (m *dscpMatch) Describe() ([]xtables.Box, xtables.Extent) {
	return fields(among(xtables.FieldTOS, 255, func(v uint64) bool { return (uint8(v)>>2 == m.value) != m.not })), xtables.Whole
}

// Describe the length.
func (m *lengthMatch) Describe() ([]xtables.Box, xtables.Extent) {
	return fields(within(xtables.FieldLength, uint64(m.min), uint64(m.max), 1<<17-1, m.not)), xtables.Whole
}

// Describe the type.
func (m *pkttypeMatch) Describe() ([]xtables.Box, xtables.Extent) {
	return fields(within(xtables.FieldLink, uint64(m.typ), uint64(m.typ), uint64(packet.Looped), m.not)), xtables.Whole
}

// opaque is a match that only its text describes.
func opaque() ([]xtables.Box, xtables.Extent) { return anything(), xtables.Part }

// Describe: the machine's routes.
func (*addrtypeMatch) Describe() ([]xtables.Box, xtables.Extent) { return opaque() }

// Describe: the connection's mark.
func (*connmarkMatch) Describe() ([]xtables.Box, xtables.Extent) { return opaque() }

// Describe: the frame.
func (*macMatch) Describe() ([]xtables.Box, xtables.Extent) { return opaque() }

// Describe: the socket.
func (*ownerMatch) Describe() ([]xtables.Box, xtables.Extent) { return opaque() }

// Describe: transformations of IPsec.
func (*policyMatch) Describe() ([]xtables.Box, xtables.Extent) { return opaque() }

// Describe: the connection's helper.
func (*helperMatch) Describe() ([]xtables.Box, xtables.Extent) { return opaque() }

// Describe: the connection's counters.
func (*connbytesMatch) Describe() ([]xtables.Box, xtables.Extent) { return opaque() }

// Describe: ports and chunks.
func (*sctpMatch) Describe() ([]xtables.Box, xtables.Extent) { return opaque() }

// Describe: ports, types and an option.
func (*dccpMatch) Describe() ([]xtables.Box, xtables.Extent) { return opaque() }

// Describe: the index.
func (*spiMatch) Describe() ([]xtables.Box, xtables.Extent) { return opaque() }

// Describe: bits of two headers.
func (*ecnMatch) Describe() ([]xtables.Box, xtables.Extent) { return opaque() }

// Describe: the option of a SYN.
func (*tcpmssMatch) Describe() ([]xtables.Box, xtables.Extent) { return opaque() }

// Describe: the headers.
func (*ipv6headerMatch) Describe() ([]xtables.Box, xtables.Extent) { return opaque() }

// Describe: the clock, which stands still while a packet is judged.
func (*timeMatch) Describe() ([]xtables.Box, xtables.Extent) { return opaque() }

// Describe: words of the packet.
func (*u32Match) Describe() ([]xtables.Box, xtables.Extent) { return opaque() }

// Describe: bytes of the packet.
func (*stringMatch) Describe() ([]xtables.Box, xtables.Extent) { return opaque() }

// Describe: the way back.
func (*rpfilterMatch) Describe() ([]xtables.Box, xtables.Extent) { return opaque() }
