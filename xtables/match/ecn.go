package match

import (
	"errors"

	"weir/hook"
	"weir/packet"
	"weir/xtables"
	"weir/xtables/args"
)

// ECN is -m ecn: the bits of explicit congestion notification (RFC 3168).
func ECN() xtables.MatchExt {
	return xtables.MatchExt{
		Name: "ecn", Families: xtables.Both,
		Options: []xtables.Option{
			{Name: "ecn-tcp-ece"}, {Name: "ecn-tcp-cwr"}, {Name: "ecn-ip-ect", Args: xtables.OneArg},
		},
		Parse: parseECN,
		Doc:   "all options",
	}
}

// ecnTest is a condition on some bits.
type ecnTest struct {
	on, not bool
}

type ecnMatch struct {
	ip, ece, cwr ecnTest
	ect          uint8
}

func parseECN(c *xtables.Context, given []xtables.Given) (xtables.Match, error) {
	if err := args.Need(given, "ecn-tcp-ece", "ecn-tcp-cwr", "ecn-ip-ect"); err != nil {
		return nil, err
	}
	m := &ecnMatch{}
	for i := range given {
		g := &given[i]
		x := ecnTest{true, g.Invert}
		switch g.Name {
		case "ecn-tcp-ece":
			m.ece = x
		case "ecn-tcp-cwr":
			m.cwr = x
		default:
			n, err := args.Uint(g, 0, 3)
			if err != nil {
				return nil, err
			}
			m.ip, m.ect = x, uint8(n)
		}
	}
	if (m.ece.on || m.cwr.on) && (c.Proto != packet.TCP || c.ProtoInvert) {
		return nil, errors.New("--ecn-tcp-ece and --ecn-tcp-cwr need -p tcp")
	}
	return m, nil
}

func (x ecnTest) ok(v bool) bool { return !x.on || v != x.not }

func (m *ecnMatch) Match(t *hook.Traversal) bool {
	p := t.Pkt
	if !m.ip.ok(p.TOS()&3 == m.ect) {
		return false
	}
	if !m.ece.on && !m.cwr.on {
		return true
	}
	h := p.Payload()
	return len(h) >= 20 && m.ece.ok(h[13]&packet.TCPEce != 0) && m.cwr.ok(h[13]&packet.TCPCwr != 0)
}

func (m *ecnMatch) Explain(t *hook.Traversal) string {
	s := "ect is " + dec(uint64(t.Pkt.TOS()&3))
	if h := t.Pkt.Payload(); t.Pkt.Proto == packet.TCP && len(h) >= 20 {
		s += ", ece is " + dec(uint64(h[13]>>6&1)) + ", cwr is " + dec(uint64(h[13]>>7))
	}
	return s
}

func (m *ecnMatch) AppendArgs(b []byte) []byte {
	if m.ece.on {
		b = args.Name(b, m.ece.not, "ecn-tcp-ece")
	}
	if m.cwr.on {
		b = args.Name(b, m.cwr.not, "ecn-tcp-cwr")
	}
	if m.ip.on {
		b = args.Dec(args.Name(b, m.ip.not, "ecn-ip-ect"), uint64(m.ect))
	}
	return b
}
