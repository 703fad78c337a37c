package match

import (
	"fmt"
	"math"

	"weir/hook"
	"weir/packet"
	"weir/xtables"
	"weir/xtables/args"
)

// Policy is -m policy: the IPsec policy that a packet came or leaves under.
// weir has none, so that only --pol none matches.
func Policy() xtables.MatchExt {
	opt := func(n string, inv bool) xtables.Option {
		return xtables.Option{Name: n, Args: xtables.OneArg, NoInvert: !inv, Multi: inv}
	}
	return xtables.MatchExt{
		Name: "policy", Families: xtables.Both,
		Options: []xtables.Option{
			opt("dir", false), opt("pol", false), {Name: "strict", NoInvert: true},
			opt("reqid", true), opt("spi", true), opt("tunnel-src", true), opt("tunnel-dst", true),
			opt("proto", true), opt("mode", true), {Name: "next", NoInvert: true, Multi: true},
		},
		Parse: parsePolicy, Check: checkPolicy,
		Doc: "all options; there is no IPsec, so that no packet has a policy",
	}
}

type policyMatch struct {
	out, none, strict bool
	elems             []policyElem
}

// policyElem is what is asked of one transformation of a packet.
type policyElem struct {
	given, not policyPart
	reqid, spi uint32
	src, dst   args.Subnet
	proto      uint8
	tunnel     bool
}

type policyPart uint8

const (
	policyReqid policyPart = 1 << iota
	policySPI
	policyProto
	policyMode
	policySrc
	policyDst
)

// policyDepth is the most elements that a rule may have.
const policyDepth = 4

func policyProtos() []string { return []string{"ah", "esp", "ipcomp"} }

func policyProtoNumber(name string) (uint8, bool) {
	switch name {
	case "ah", "51":
		return packet.AH, true
	case "esp", "50":
		return packet.ESP, true
	case "ipcomp", "108":
		return 108, true
	}
	return 0, false
}

func parsePolicy(c *xtables.Context, given []xtables.Given) (xtables.Match, error) {
	m := &policyMatch{elems: make([]policyElem, 1)}
	if err := args.Need(given, "dir"); err != nil {
		return nil, err
	}
	for i := range given {
		g := &given[i]
		e := &m.elems[len(m.elems)-1]
		var err error
		switch s := args.Text(g); g.Name {
		case "dir":
			if m.out = s == "out"; !m.out && s != "in" {
				err = args.Bad(g, "in or out")
			}
		case "pol":
			if m.none = s == "none"; !m.none && s != "ipsec" {
				err = args.Bad(g, "none or ipsec")
			}
		case "strict":
			m.strict = true
		case "next":
			if len(m.elems) == policyDepth {
				err = &xtables.Error{Pos: g.Pos, Msg: "--next: at most 4 elements"}
			}
			m.elems = append(m.elems, policyElem{})
		default:
			err = e.read(c.Family, g)
		}
		if err != nil {
			return nil, err
		}
	}
	if n := args.Find(given, "next"); n != nil && !m.strict {
		return nil, &xtables.Error{Pos: n.Pos, Msg: "--next needs --strict"}
	}
	return m, m.check()
}

func (e *policyElem) read(f packet.Family, g *xtables.Given) (err error) {
	var part policyPart
	var n uint64
	var ok bool
	switch s := args.Text(g); g.Name {
	case "reqid":
		part = policyReqid
		n, err = args.Uint(g, 0, math.MaxUint32)
		e.reqid = uint32(n)
	case "spi":
		part = policySPI
		n, err = args.Uint(g, 0, math.MaxUint32)
		e.spi = uint32(n)
	case "tunnel-src":
		part = policySrc
		e.src, err = args.SubnetOf(f, g)
	case "tunnel-dst":
		part = policyDst
		e.dst, err = args.SubnetOf(f, g)
	case "proto":
		part = policyProto
		if e.proto, ok = policyProtoNumber(s); !ok {
			err = args.Bad(g, "ah, esp or ipcomp")
		}
	case "mode":
		part = policyMode
		if e.tunnel = s == "tunnel"; !e.tunnel && s != "transport" {
			err = args.Bad(g, "tunnel or transport")
		}
	}
	if err == nil && e.given&part != 0 {
		err = &xtables.Error{Pos: g.Pos, Msg: "--" + g.Name + " can only be used once in an element"}
	}
	e.given |= part
	if g.Invert {
		e.not |= part
	}
	return err
}

func (m *policyMatch) check() error {
	if m.none {
		if m.strict {
			return &xtables.Error{Msg: "--pol none and --strict exclude each other"}
		}
		m.elems = nil // iptables forgets what was asked
	}
	for i := range m.elems {
		e := &m.elems[i]
		if m.strict && e.given == 0 {
			return fmt.Errorf("element %d is empty, which --strict forbids", i)
		}
		if e.given&(policySrc|policyDst) != 0 && (e.given&policyMode == 0 || !e.tunnel || e.not&policyMode != 0) {
			return &xtables.Error{Msg: "--tunnel-src and --tunnel-dst need --mode tunnel"}
		}
	}
	return nil
}

func checkPolicy(c *xtables.Context, x xtables.Match) error {
	m, _ := x.(*policyMatch)
	if m.out && c.Points&hook.MaskOf(hook.Prerouting, hook.Input) != 0 {
		return &xtables.Error{Msg: "--dir out: not in PREROUTING and INPUT"}
	}
	if !m.out && c.Points&hook.MaskOf(hook.Postrouting, hook.Output) != 0 {
		return &xtables.Error{Msg: "--dir in: not in POSTROUTING and OUTPUT"}
	}
	return nil
}

// Match: without IPsec no packet has a policy.
func (m *policyMatch) Match(*hook.Traversal) bool { return m.none }

// Steady: no packet has a policy.
func (*policyMatch) Steady() bool { return true }

func (m *policyMatch) Explain(*hook.Traversal) string { return "the packet has no IPsec policy" }

func (m *policyMatch) AppendArgs(b []byte) []byte {
	b = args.Word(args.Name(b, false, "dir"), map[bool]string{false: "in", true: "out"}[m.out])
	b = args.Word(args.Name(b, false, "pol"), map[bool]string{false: "ipsec", true: "none"}[m.none])
	if m.strict {
		b = args.Name(b, false, "strict")
	}
	for i := range m.elems {
		e := &m.elems[i]
		if i > 0 {
			b = args.Name(b, false, "next")
		}
		not := func(p policyPart) bool { return e.not&p != 0 }
		if e.given&policyReqid != 0 {
			b = args.Dec(args.Name(b, not(policyReqid), "reqid"), uint64(e.reqid))
		}
		if e.given&policySPI != 0 {
			b = args.Hex(args.Name(b, not(policySPI), "spi"), uint64(e.spi), 1)
		}
		if e.given&policyProto != 0 {
			name := policyProtos()[map[uint8]int{packet.AH: 0, packet.ESP: 1, 108: 2}[e.proto]]
			b = args.Word(args.Name(b, not(policyProto), "proto"), name)
		}
		if e.given&policyMode != 0 {
			b = args.Word(args.Name(b, not(policyMode), "mode"), map[bool]string{false: "transport", true: "tunnel"}[e.tunnel])
		}
		if e.given&policyDst != 0 {
			b = e.dst.Append(args.Name(b, not(policyDst), "tunnel-dst"))
		}
		if e.given&policySrc != 0 {
			b = e.src.Append(args.Name(b, not(policySrc), "tunnel-src"))
		}
	}
	return b
}
