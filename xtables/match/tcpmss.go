package match

import (
	"weir/hook"
	"weir/packet"
	"weir/xtables"
	"weir/xtables/args"
)

// TCPMSS is -m tcpmss: the value of TCP's maximum-segment-size option.
func TCPMSS() xtables.MatchExt {
	return xtables.MatchExt{
		Name: "tcpmss", Families: xtables.Both, Protos: []uint8{packet.TCP},
		Options: []xtables.Option{{Name: "mss", Args: xtables.OneArg}},
		Parse:   parseTCPMSS,
		Doc:     "all options",
	}
}

type tcpmssMatch struct {
	min, max uint16
	not      bool
}

func parseTCPMSS(_ *xtables.Context, given []xtables.Given) (xtables.Match, error) {
	if err := args.Need(given, "mss"); err != nil {
		return nil, err
	}
	g := args.Find(given, "mss")
	lo, hi, err := args.Span(g, 65535)
	if err == nil && lo > hi {
		err = args.Errorf(g, "--mss: the range %q runs backwards", args.Text(g))
	}
	return &tcpmssMatch{uint16(lo), uint16(hi), g.Invert}, err
}

// Match is true of a segment without the option only when inverted.
func (m *tcpmssMatch) Match(t *hook.Traversal) bool {
	o, ok := tcpOptions(t)
	if !ok {
		return false
	}
	mss, found := findMSS(o)
	if !found {
		return m.not
	}
	return (mss >= m.min && mss <= m.max) != m.not
}

// tcpOptions are the option bytes of a segment; a packet whose header is cut
// off or states less than 20 bytes is dropped. Linux does not ask whether this
// is a fragment and reads a later one's payload as if it were the header; over
// IPv6, where the offset stays 0 then, it reads the IP header.
func tcpOptions(t *hook.Traversal) ([]byte, bool) {
	p := t.Pkt
	off := p.L4
	if off < 0 && p.FragOff != 0 {
		if off = 0; p.Family == packet.IPv4 {
			off = p.HeaderLen()
		}
	}
	if off < 0 || len(p.Data)-off < 20 {
		t.Hotdrop = true
		return nil, false
	}
	n := int(p.Data[off+12]>>4) * 4
	if n < 20 || n > len(p.Data)-off {
		t.Hotdrop = true
		return nil, false
	}
	return p.Data[off+20 : off+n], true
}

func findMSS(o []byte) (uint16, bool) {
	for i := 0; i < len(o); {
		if o[i] == 2 && len(o)-i >= 4 && o[i+1] == 4 {
			return uint16(o[i+2])<<8 | uint16(o[i+3]), true
		}
		if o[i] < 2 || i+1 >= len(o) || o[i+1] == 0 {
			i++
		} else {
			i += int(o[i+1])
		}
	}
	return 0, false
}

func (m *tcpmssMatch) Explain(t *hook.Traversal) string {
	if t.Hotdrop {
		return "the TCP header is cut off or malformed"
	}
	o, ok := tcpOptions(t)
	if !ok {
		return "the TCP header is cut off or malformed"
	}
	if mss, found := findMSS(o); found {
		return "mss is " + dec(uint64(mss))
	}
	return "has no mss option"
}

func (m *tcpmssMatch) AppendArgs(b []byte) []byte {
	return args.Range(args.Name(b, m.not, "mss"), uint64(m.min), uint64(m.max))
}
