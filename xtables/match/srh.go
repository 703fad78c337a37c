package match

import (
	"encoding/binary"
	"math"

	"weir/hook"
	"weir/packet"
	"weir/xtables"
	"weir/xtables/args"
)

// SRH is -m srh: the segment routing header of IPv6 (RFC 8754).
func SRH() xtables.MatchExt {
	e := xtables.MatchExt{
		Name: "srh", Families: xtables.V6,
		Parse: parseSRH,
		Doc:   "all options",
	}
	for i := range srhTests() {
		e.Options = append(e.Options, xtables.Option{Name: srhTests()[i], Args: xtables.OneArg})
	}
	return e
}

// srhTests are the options; a test's number is its bit.
func srhTests() []string {
	return []string{
		"srh-next-hdr", "srh-hdr-len-eq", "srh-hdr-len-gt", "srh-hdr-len-lt",
		"srh-segs-left-eq", "srh-segs-left-gt", "srh-segs-left-lt",
		"srh-last-entry-eq", "srh-last-entry-gt", "srh-last-entry-lt",
		"srh-tag", "srh-psid", "srh-nsid", "srh-lsid",
	}
}

const (
	srhNext, srhLen, srhLeft, srhLast       = 0, 1, 4, 7 // of the last three, the first
	srhTag, srhPrev, srhNextSeg, srhLastSeg = 10, 11, 12, 13
)

type srhMatch struct {
	given, not uint16
	next       uint8
	// nums holds header length, segments left and last entry: iptables has
	// one number for eq, gt and lt, of which the last given counts.
	nums [3]uint8
	tag  uint16
	segs [3]args.Subnet // previous, next, last
}

func parseSRH(c *xtables.Context, given []xtables.Given) (xtables.Match, error) {
	m := &srhMatch{}
	for i := range given {
		g := &given[i]
		n := args.Enum(g.Name, srhTests(), args.Exact)
		var v uint64
		var err error
		switch {
		case n >= srhPrev:
			m.segs[n-srhPrev], err = args.SubnetOf(c.Family, g)
		case n == srhTag:
			v, err = args.Uint(g, 0, math.MaxUint16)
			m.tag = uint16(v)
		default:
			v, err = args.Uint(g, 0, math.MaxUint8)
			if n == srhNext {
				m.next = uint8(v)
			} else {
				m.nums[(n-srhLen)/3] = uint8(v)
			}
		}
		if err != nil {
			return nil, err
		}
		m.given |= 1 << n
		if g.Invert {
			m.not |= 1 << n
		}
	}
	return m, nil
}

// header finds the segment routing header; nil if there is none.
func (m *srhMatch) header(p *packet.Packet) []byte {
	d := p.Data
	proto, off := d[6], 40
	for {
		switch proto {
		case packet.HopByHop, packet.DestOpts, packet.Routing, packet.AH, packet.Fragment:
		default:
			return nil
		}
		if off+8 > len(d) {
			return nil
		}
		n := (int(d[off+1]) + 1) * 8
		switch proto {
		case packet.Routing:
			if d[off+2] != 4 || d[off+3] > d[off+4] {
				return nil
			}
			if off+n > len(d) {
				return nil
			}
			return d[off:] // what lies behind its length is read too
		case packet.AH:
			n = (int(d[off+1]) + 2) * 4
		case packet.Fragment:
			if binary.BigEndian.Uint16(d[off+2:])&^7 != 0 {
				return nil
			}
			n = 8
		}
		proto, off = d[off], off+n
	}
}

// test is one condition; false also where the header has not what it asks for.
func (m *srhMatch) test(n int, h []byte) (ok, known bool) {
	switch {
	case n == srhNext:
		return h[0] == m.next, true
	case n == srhTag:
		// Linux compares without regard to the order of the bytes.
		return binary.LittleEndian.Uint16(h[6:]) == m.tag, true
	case n < srhTag:
		v := h[[...]int{1, 3, 4}[(n-srhLen)/3]]
		want := m.nums[(n-srhLen)/3]
		switch (n - srhLen) % 3 {
		case 0:
			return v == want, true
		case 1:
			return v > want, true
		}
		return v < want, true
	}
	seg := 0 // the last segment stands first
	switch n {
	case srhPrev:
		if h[3] == h[4] {
			return false, false
		}
		seg = int(h[3]) + 1
	case srhNextSeg:
		if h[3] == 0 {
			return false, false
		}
		seg = int(h[3]) - 1
	}
	if 8+16*seg+16 > len(h) {
		return false, false
	}
	a := packet.Addr(h[8+16*seg:])
	return m.segs[n-srhPrev].Has(&a), true
}

// Match follows Linux net/ipv6/netfilter/ip6t_srh.c.
func (m *srhMatch) Match(t *hook.Traversal) bool {
	h := m.header(t.Pkt)
	if h == nil {
		return false
	}
	for n := srhNext; n <= srhLastSeg; n++ {
		if m.given&(1<<n) == 0 {
			continue
		}
		if ok, known := m.test(n, h); !known || ok == (m.not&(1<<n) != 0) {
			return false
		}
	}
	return true
}

func (m *srhMatch) Explain(t *hook.Traversal) string {
	h := m.header(t.Pkt)
	if h == nil {
		return "no segment routing header"
	}
	return "next header is " + dec(uint64(h[0])) + ", segments left " + dec(uint64(h[3])) + " of " +
		dec(uint64(h[4])+1) + ", tag " + dec(uint64(binary.BigEndian.Uint16(h[6:])))
}

func (m *srhMatch) AppendArgs(b []byte) []byte {
	for n, name := range srhTests() {
		if m.given&(1<<n) == 0 {
			continue
		}
		b = args.Name(b, m.not&(1<<n) != 0, name)
		switch {
		case n == srhNext:
			b = args.Dec(b, uint64(m.next))
		case n == srhTag:
			b = args.Dec(b, uint64(m.tag))
		case n < srhTag:
			b = args.Dec(b, uint64(m.nums[(n-srhLen)/3]))
		default:
			s := &m.segs[n-srhPrev]
			b = args.Addr(append(b, ' '), s.Family, s.Addr)
			b = append(append(b, '/'), dec(uint64(s.Bits))...)
		}
	}
	return b
}
