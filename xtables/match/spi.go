package match

import (
	"encoding/binary"
	"math"

	"weir/hook"
	"weir/packet"
	"weir/xtables"
	"weir/xtables/args"
)

// ESP is -m esp: the security parameter index of an ESP packet.
func ESP() xtables.MatchExt { return spiExt("esp", "espspi", packet.ESP, xtables.Both, 8, 0) }

// AH is -m ah of iptables: the security parameter index of an AH packet.
func AH() xtables.MatchExt { return spiExt("ah", "ahspi", packet.AH, xtables.V4, 12, 4) }

func spiExt(name, option string, proto uint8, fs xtables.Families, size, at int) xtables.MatchExt {
	return xtables.MatchExt{
		Name: name, Families: fs, Protos: []uint8{proto},
		Options: []xtables.Option{{Name: option, Args: xtables.OneArg}},
		Parse: func(_ *xtables.Context, given []xtables.Given) (xtables.Match, error) {
			m := &spiMatch{span32: anySpan(), option: option, size: size, at: at}
			var err error
			if len(given) > 0 {
				m.span32, err = readSpan(&given[0])
			}
			return m, err
		},
		Doc: "all options",
	}
}

// span32 is a range of 32-bit numbers with its "!". One that runs backwards
// holds nothing.
type span32 struct {
	lo, hi uint32
	not    bool
}

func anySpan() span32 { return span32{hi: math.MaxUint32} }

func readSpan(g *xtables.Given) (span32, error) {
	lo, hi, err := args.Span(g, math.MaxUint32)
	return span32{uint32(lo), uint32(hi), g.Invert}, err
}

func (s *span32) has(v uint32) bool { return (v >= s.lo && v <= s.hi) != s.not }

// append writes the option unless it names every number.
func (s *span32) append(b []byte, name string) []byte {
	if s.lo == 0 && s.hi == math.MaxUint32 {
		return b
	}
	return args.Range(args.Name(b, s.not, name), uint64(s.lo), uint64(s.hi))
}

type spiMatch struct {
	span32
	option   string
	size, at int
}

func (m *spiMatch) Match(t *hook.Traversal) bool {
	h := l4(t, m.size)
	return h != nil && m.has(binary.BigEndian.Uint32(h[m.at:]))
}

func (m *spiMatch) Explain(t *hook.Traversal) string {
	h := t.Pkt.Payload()
	if len(h) < m.size {
		return noHeader(t.Pkt)
	}
	return "spi is " + dec(uint64(binary.BigEndian.Uint32(h[m.at:])))
}

func (m *spiMatch) AppendArgs(b []byte) []byte { return m.append(b, m.option) }
