package target

import (
	"encoding/binary"
	"errors"
	"math"
	"strings"

	"weir/conntrack"
	"weir/hook"
	"weir/internal/jhash"
	"weir/packet"
	"weir/xtables"
	"weir/xtables/args"
)

// HMark is -j HMARK: a mark by the hash of addresses and ports, the same for
// both directions.
func HMark() xtables.TargetExt {
	return xtables.TargetExt{
		Name: "HMARK", Families: xtables.Both,
		Options: one("hmark-tuple", "hmark-src-prefix", "hmark-dst-prefix", "hmark-sport-mask", "hmark-dport-mask",
			"hmark-spi-mask", "hmark-sport", "hmark-dport", "hmark-spi", "hmark-proto-mask",
			"hmark-rnd", "hmark-mod", "hmark-offset"),
		Parse: parseHMark,
		Doc:   "all options",
	}
}

type hmarkTarget struct {
	family           packet.Family
	given            hmarkPart
	src, dst         packet.Addr // masks
	srcN, dstN       int
	ports, set       uint32 // mask of the ports or the SPI, and what is set in them
	proto            uint16
	rnd, mod, offset uint32
}

type hmarkPart uint16

const (
	hmarkSrc hmarkPart = 1 << iota
	hmarkDst
	hmarkSportMask
	hmarkDportMask
	hmarkSPIMask
	hmarkSport
	hmarkDport
	hmarkSPI
	hmarkProto
	hmarkCT
)

func parseHMark(c *xtables.Context, given []xtables.Given) (xtables.Target, error) {
	m := &hmarkTarget{family: c.Family}
	for _, n := range []string{"hmark-mod", "hmark-rnd"} {
		if err := args.Need(given, n); err != nil {
			return nil, err
		}
	}
	for i := range given {
		if err := m.read(&given[i]); err != nil {
			return nil, err
		}
	}
	switch ports, spi := hmarkSportMask|hmarkDportMask, hmarkSport|hmarkDport; {
	case m.given == 0:
		return nil, errors.New("--hmark-tuple, or a mask, must be given")
	case m.given&hmarkSPIMask != 0 && m.given&ports != 0, m.given&hmarkSPI != 0 && m.given&spi != 0:
		return nil, errors.New("ports and the SPI exclude each other")
	}
	m.src, m.dst = args.MaskOf(c.Family, m.srcN), args.MaskOf(c.Family, m.dstN)
	return m, nil
}

// maskPart is the part that an option has a mask for.
func maskPart(name string) hmarkPart {
	switch name {
	case "hmark-src-prefix":
		return hmarkSrc
	case "hmark-dst-prefix":
		return hmarkDst
	case "hmark-sport-mask":
		return hmarkSportMask
	case "hmark-dport-mask":
		return hmarkDportMask
	}
	return hmarkSPIMask
}

func (m *hmarkTarget) read(g *xtables.Given) (err error) {
	num := func(lo, hi uint64) uint32 {
		var n uint64
		n, err = args.Uint(g, lo, hi)
		return uint32(n)
	}
	prefix := func() int {
		n, ok := args.PrefixLen(m.family, args.Text(g))
		if !ok {
			err = args.Bad(g, "a mask or a prefix length")
		}
		return n
	}
	switch g.Name {
	case "hmark-tuple":
		return m.tuple(g)
	case "hmark-src-prefix", "hmark-dst-prefix", "hmark-sport-mask", "hmark-dport-mask", "hmark-spi-mask":
		if bit := maskPart(g.Name); m.given&bit != 0 {
			return args.Errorf(g, "--%s: --hmark-tuple named this part before", g.Name)
		}
	}
	switch g.Name {
	case "hmark-src-prefix":
		m.srcN = prefix()
		m.given |= hmarkSrc
	case "hmark-dst-prefix":
		m.dstN = prefix()
		m.given |= hmarkDst
	case "hmark-sport-mask":
		m.ports = m.ports&math.MaxUint16 | num(0, math.MaxUint16)<<16
		m.given |= hmarkSportMask
	case "hmark-dport-mask":
		m.ports = m.ports&^math.MaxUint16 | num(0, math.MaxUint16)
		m.given |= hmarkDportMask
	case "hmark-spi-mask":
		m.ports = num(0, math.MaxUint32)
		m.given |= hmarkSPIMask
	case "hmark-sport":
		m.set = m.set&math.MaxUint16 | num(0, math.MaxUint16)<<16
		m.given |= hmarkSport
	case "hmark-dport":
		m.set = m.set&^math.MaxUint16 | num(0, math.MaxUint16)
		m.given |= hmarkDport
	case "hmark-spi":
		m.set = num(0, math.MaxUint32)
		m.given |= hmarkSPI
	case "hmark-proto-mask":
		m.proto = uint16(num(0, math.MaxUint16))
		m.given |= hmarkProto
	case "hmark-rnd":
		m.rnd = num(0, math.MaxUint32)
	case "hmark-mod":
		m.mod = num(1, math.MaxUint32)
	case "hmark-offset":
		m.offset = num(0, math.MaxUint32)
	}
	return err
}

func (m *hmarkTarget) tuple(g *xtables.Given) error {
	whole := m.family.Len() * 8
	for _, w := range strings.Split(args.Text(g), ",") {
		switch w {
		case "src":
			m.srcN = whole
			m.given |= hmarkSrc
		case "dst":
			m.dstN = whole
			m.given |= hmarkDst
		case "sport":
			m.ports |= math.MaxUint16 << 16
			m.given |= hmarkSportMask
		case "dport":
			m.ports |= math.MaxUint16
			m.given |= hmarkDportMask
		case "spi":
			m.ports = math.MaxUint32
			m.given |= hmarkSPIMask
		case "proto":
			m.proto = math.MaxUint16
			m.given |= hmarkProto
		case "ct":
			m.given |= hmarkCT
		default:
			return args.Errorf(g, "--hmark-tuple: %q is not src, dst, sport, dport, spi, proto or ct", w)
		}
	}
	return nil
}

// hmarkFlow is what is hashed.
type hmarkFlow struct {
	src, dst, ports uint32
	proto           uint8
}

// fold is an address under its mask in 32 bits.
func (m *hmarkTarget) fold(a, mask *packet.Addr) (v uint32) {
	for i := 0; i < m.family.Len(); i += 4 {
		v ^= binary.BigEndian.Uint32(a[i:]) & binary.BigEndian.Uint32(mask[i:])
	}
	return v
}

// setPorts puts the larger of the masked ports first.
func (m *hmarkTarget) setPorts(f *hmarkFlow, v uint32) {
	v = v&m.ports | m.set
	if src, dst := v>>16, v&math.MaxUint16; dst > src {
		v = dst<<16 | src
	}
	f.ports = v
}

// ofConn is the flow of the packet's connection.
func (m *hmarkTarget) ofConn(t *hook.Traversal) (f hmarkFlow, ok bool) {
	c := t.CT.Conn
	if c == nil {
		return f, false
	}
	o, r := &c.Tuple[conntrack.Original], &c.Tuple[conntrack.Reply]
	f.src, f.dst = m.fold(&o.Src, &m.src), m.fold(&r.Src, &m.dst)
	if f.proto = c.Proto(); f.proto != packet.ICMP {
		m.setPorts(&f, uint32(l4Src(o))<<16|uint32(l4Src(r)))
	}
	return f, true
}

// l4Src is the source word of a tuple; that of an ICMPv6 tuple is its id.
func l4Src(t *conntrack.Tuple) uint16 { return t.SrcL4 }

// ofPacket is the flow that the packet shows, or that an ICMP error is about.
func (m *hmarkTarget) ofPacket(p *packet.Packet) (f hmarkFlow, ok bool) {
	d := p.Data
	var off int
	var fragment bool
	if p.Family == packet.IPv4 {
		if d[9] == packet.ICMP && p.FragOff == 0 {
			if in, found := quoted(d, p.HeaderLen(), packet.IPv4); found {
				if len(in) < 20 {
					return f, false
				}
				d = in
			}
		}
		f.src, f.dst = m.addrs(d[12:16], d[16:20])
		f.proto, off = d[9], int(d[0]&15)*4
		fragment = binary.BigEndian.Uint16(d[6:])&0x3fff != 0
	} else {
		next, at, frag, ok := headerOf6(d)
		if !ok {
			return f, true // hashes nothing
		}
		if !frag && next == packet.ICMPv6 {
			if in, found := quoted(d, at, packet.IPv6); found {
				if len(in) < 40 {
					return f, false
				}
				d = in
				if next, at, frag, ok = headerOf6(d); !ok {
					return f, false
				}
			}
		}
		f.src, f.dst = m.addrs(d[8:24], d[24:40])
		f.proto, off, fragment = next, at, frag
	}
	if f.proto == packet.ICMP && p.Family == packet.IPv4 || f.proto == packet.ICMPv6 && p.Family == packet.IPv6 || fragment {
		return f, true
	}
	switch f.proto {
	case packet.TCP, packet.UDP, packet.UDPLite, packet.DCCP, packet.SCTP, packet.ESP:
	case packet.AH:
		off += 4
	default:
		return f, true
	}
	if off+4 <= len(d) {
		m.setPorts(&f, binary.BigEndian.Uint32(d[off:]))
	}
	return f, true
}

func (m *hmarkTarget) addrs(src, dst []byte) (s, d uint32) {
	var a, b packet.Addr
	copy(a[:], src)
	copy(b[:], dst)
	return m.fold(&a, &m.src), m.fold(&b, &m.dst)
}

// quoted is the packet inside an ICMP error at off.
func quoted(d []byte, off int, f packet.Family) ([]byte, bool) {
	if off+8 > len(d) {
		return nil, false
	}
	switch typ := d[off]; {
	case f == packet.IPv6 && typ < 128:
	case f == packet.IPv4 && (typ == 3 || typ == 4 || typ == 5 || typ == 11 || typ == 12):
	default:
		return nil, false
	}
	return d[off+8:], true
}

// headerOf6 finds the last header, where AH counts as one.
func headerOf6(d []byte) (next uint8, off int, frag, ok bool) {
	next, off = d[6], 40
	for {
		n := 0
		switch next {
		case packet.HopByHop, packet.Routing, packet.DestOpts:
			if off+2 > len(d) || next == packet.Routing && off+4 > len(d) {
				return 0, 0, false, false
			}
			n = (int(d[off+1]) + 1) * 8
		case packet.AH:
			return next, off, frag, off+2 <= len(d)
		case packet.Fragment:
			if off+4 > len(d) {
				return 0, 0, false, false
			}
			frag, n = true, 8
			if binary.BigEndian.Uint16(d[off+2:])&^7 != 0 {
				return d[off], off + 8, true, true
			}
		default:
			return next, off, frag, true
		}
		next, off = d[off], off+n
	}
}

// Do follows Linux net/netfilter/xt_HMARK.c. Without a connection, or with an
// error that quotes too little, the mark stays.
func (m *hmarkTarget) Do(t *hook.Traversal) xtables.Code {
	var f hmarkFlow
	var ok bool
	if m.given&hmarkCT != 0 {
		f, ok = m.ofConn(t)
	} else {
		f, ok = m.ofPacket(t.Pkt)
	}
	if !ok {
		return xtables.Continue
	}
	words := [...]uint32{min(f.src, f.dst), max(f.src, f.dst), f.ports}
	h := jhash.Words(words[:], m.rnd) ^ uint32(f.proto)&uint32(m.proto)
	t.Mark = uint32(uint64(h)*uint64(m.mod)>>32) + m.offset
	return xtables.Continue
}

func (m *hmarkTarget) AppendArgs(b []byte) []byte {
	has := func(p hmarkPart) bool { return m.given&p != 0 }
	if has(hmarkSrc) {
		b = args.Dec(args.Name(b, false, "hmark-src-prefix"), uint64(m.srcN))
	}
	if has(hmarkDst) {
		b = args.Dec(args.Name(b, false, "hmark-dst-prefix"), uint64(m.dstN))
	}
	for _, o := range [...]struct {
		part  hmarkPart
		name  string
		value uint32
		width int
	}{
		{hmarkSportMask, "hmark-sport-mask", m.ports >> 16, 4}, {hmarkDportMask, "hmark-dport-mask", m.ports & 0xffff, 4},
		{hmarkSPIMask, "hmark-spi-mask", m.ports, 8}, {hmarkSport, "hmark-sport", m.set >> 16, 4},
		{hmarkDport, "hmark-dport", m.set & 0xffff, 4}, {hmarkSPI, "hmark-spi", m.set, 8},
		{hmarkProto, "hmark-proto-mask", uint32(m.proto), 2},
	} {
		if has(o.part) {
			b = args.Hex(args.Name(b, false, o.name), uint64(o.value), o.width)
		}
	}
	b = args.Hex(args.Name(b, false, "hmark-rnd"), uint64(m.rnd), 8)
	b = args.Dec(args.Name(b, false, "hmark-mod"), uint64(m.mod))
	if m.offset != 0 {
		b = args.Dec(args.Name(b, false, "hmark-offset"), uint64(m.offset))
	}
	if has(hmarkCT) {
		b = args.Word(args.Name(b, false, "hmark-tuple"), "ct")
	}
	return b
}
