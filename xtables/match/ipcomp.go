package match

import (
	"encoding/binary"

	"weir/hook"
	"weir/xtables"
	"weir/xtables/args"
)

// IPComp is -m ipcomp: the compression parameter index of an IPComp packet
// (RFC 3173).
func IPComp() xtables.MatchExt {
	return xtables.MatchExt{
		Name: "ipcomp", Families: xtables.Both, Protos: []uint8{ipcompProto},
		Options: []xtables.Option{
			{Name: "ipcompspi", Args: xtables.OneArg}, {Name: "compres", NoInvert: true},
		},
		Parse: parseIPComp,
		Doc:   "all options; --compres is kept and not compared, as in the kernel",
	}
}

const ipcompProto = 108

type ipcompMatch struct {
	spi span32
	res bool
}

func parseIPComp(_ *xtables.Context, given []xtables.Given) (xtables.Match, error) {
	m := &ipcompMatch{} // without the option, index 0, unlike esp and ah
	for i := range given {
		if given[i].Name == "compres" {
			m.res = true
			continue
		}
		var err error
		if m.spi, err = readSpan(&given[i]); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *ipcompMatch) Match(t *hook.Traversal) bool {
	h := l4(t, 4)
	return h != nil && m.spi.has(uint32(binary.BigEndian.Uint16(h[2:])))
}

func (m *ipcompMatch) Explain(t *hook.Traversal) string {
	h := t.Pkt.Payload()
	if len(h) < 4 {
		return noHeader(t.Pkt)
	}
	return "cpi is " + dec(uint64(binary.BigEndian.Uint16(h[2:])))
}

func (m *ipcompMatch) AppendArgs(b []byte) []byte {
	b = m.spi.append(b, "ipcompspi")
	if m.res {
		b = args.Name(b, false, "compres")
	}
	return b
}
