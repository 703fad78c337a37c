package match

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"weir/hook"
	"weir/xtables"
	"weir/xtables/args"
	"weir/xtables/rateest"
)

// Rateest is -m rateest: compares what an estimator of -j RATEEST knows with
// numbers or with another estimator.
func Rateest() xtables.MatchExt {
	one := func(name, alias string) xtables.Option {
		return xtables.Option{Name: name, Args: xtables.OneArg, NoInvert: true, Alias: alias}
	}
	rate := func(name, alias string) xtables.Option {
		return xtables.Option{Name: name, Args: xtables.OptArg, NoInvert: true, Alias: alias}
	}
	return xtables.MatchExt{
		Name: "rateest", Families: xtables.Both,
		Options: []xtables.Option{
			one("rateest1", ""), one("rateest", "rateest1"), one("rateest2", ""),
			rate("rateest-bps1", ""), rate("rateest-pps1", ""), rate("rateest-bps2", ""), rate("rateest-pps2", ""),
			rate("rateest-bps", "rateest-bps2"), rate("rateest-pps", "rateest-pps2"),
			{Name: "rateest-delta", NoInvert: true},
			{Name: "rateest-lt"}, {Name: "rateest-gt"}, {Name: "rateest-eq"},
		},
		Parse: parseRateest,
		Doc:   "all options; an estimator begins with its first packet, in Linux when its rule is loaded",
	}
}

// rateestSide is one side of the comparison: an estimator, and the numbers
// that stand beside it.
type rateestSide struct {
	xtables.Use
	name     string
	bps, pps uint32
	est      *rateest.Estimator
}

type rateestMatch struct {
	side       [2]rateestSide
	relative   bool // compares with a second estimator
	delta      bool // what is missing to the numbers is compared
	bps, pps   bool
	mode       string
	not        bool
	was1, was2 uint64 // what was compared last, for traces
}

func parseRateest(_ *xtables.Context, given []xtables.Given) (xtables.Match, error) {
	m := &rateestMatch{}
	for i := range given {
		g := &given[i]
		var err error
		name := strings.TrimPrefix(g.Name, "rateest-")
		switch name {
		case "rateest1":
			m.side[0].name = args.Cut(args.Text(g), 15)
		case "rateest2":
			m.side[1].name = args.Cut(args.Text(g), 15)
			m.relative = true
		case "bps1", "bps2":
			m.bps = true
			if len(g.Args) > 0 {
				m.side[name[3]-'1'].bps, err = bitRate(g)
			}
		case "pps1", "pps2":
			m.pps = true
			if len(g.Args) > 0 {
				var n uint64
				n, err = args.Uint(g, 0, math.MaxUint32)
				m.side[name[3]-'1'].pps = uint32(n)
			}
		case "delta":
			m.delta = true
		default:
			m.mode = name
			m.not = m.not || g.Invert // a "!" of a mode that another replaces stays
		}
		if err != nil {
			return nil, err
		}
	}
	switch {
	case !m.bps && !m.pps:
		return nil, errors.New("--rateest-bps or --rateest-pps must be given")
	case m.mode == "":
		return nil, errors.New("one of --rateest-lt, --rateest-gt and --rateest-eq must be given")
	}
	// An estimator that is never bound knows nothing.
	m.side[0].est, m.side[1].est = &rateest.Estimator{Weight: 1}, &rateest.Estimator{Weight: 1}
	return m, nil
}

// bitRate reads a rate: bits or bytes a second with a unit; a bare number is
// bits. It is kept in bytes and in 32 bits.
func bitRate(g *xtables.Given) (uint32, error) {
	v, unit, ok := args.Float(args.Text(g))
	if !ok {
		return 0, args.Bad(g, "a rate such as 100kbit or 2mbps")
	}
	if unit == "" {
		return args.Low32(v / 8), nil
	}
	unit = strings.ToLower(unit)
	scale := 1.0
	switch {
	case strings.HasSuffix(unit, "bit"):
		unit = strings.TrimSuffix(unit, "bit")
	case strings.HasSuffix(unit, "bps"):
		unit, scale = strings.TrimSuffix(unit, "bps"), 8
	default:
		return 0, args.Bad(g, "a rate such as 100kbit or 2mbps")
	}
	base, prefix := 1000.0, strings.TrimSuffix(unit, "i")
	if prefix != unit {
		base = 1024
	}
	n := args.Enum(prefix, []string{"", "k", "m", "g", "t"}, args.Exact)
	if n < 0 || unit == "i" {
		return 0, args.Bad(g, "a rate such as 100kbit or 2mbps")
	}
	return args.Low32(v * (math.Pow(base, float64(n)) * scale) / 8), nil
}

// Bind finds the estimators. As in Linux, the rules that make them must come
// first.
func (m *rateestMatch) Bind(s *xtables.Shared) error {
	for i := range m.side {
		d := &m.side[i]
		if i == 1 && !m.relative {
			break
		}
		key := rateest.Key(d.name)
		est, ok := s.Named(key).(*rateest.Estimator)
		if !ok {
			return fmt.Errorf("--rateest%d: no rule before has -j RATEEST --rateest-name %s", i+1, d.name)
		}
		d.est = d.Hold(s, key, est).(*rateest.Estimator)
	}
	return nil
}

// Unbind lets the estimators go.
func (m *rateestMatch) Unbind() {
	m.side[0].Unbind()
	m.side[1].Unbind()
}

// rates is what a side brings into the comparison.
func (m *rateestMatch) rates(d *rateestSide, now int64) (bps, pps uint64) {
	bps, pps = d.est.Rates(now)
	if m.delta {
		bps = uint64(d.bps) - min(bps, uint64(d.bps))
		pps = uint64(d.pps) - min(pps, uint64(d.pps))
	}
	return bps, pps
}

// Match follows Linux net/netfilter/xt_rateest.c.
func (m *rateestMatch) Match(t *hook.Traversal) bool {
	bps1, pps1 := m.rates(&m.side[0], t.Now)
	bps2, pps2 := uint64(m.side[1].bps), uint64(m.side[1].pps)
	if m.relative {
		bps2, pps2 = m.rates(&m.side[1], t.Now)
	}
	m.was1, m.was2 = bps1, pps1
	return ((!m.bps || m.holds(bps1, bps2)) && (!m.pps || m.holds(pps1, pps2))) != m.not
}

func (m *rateestMatch) holds(a, b uint64) bool {
	switch m.mode {
	case "lt":
		return a < b
	case "gt":
		return a > b
	}
	return a == b
}

func (m *rateestMatch) Explain(*hook.Traversal) string {
	return "it is " + dec(m.was1) + " bytes and " + dec(m.was2) + " packets a second"
}

func (m *rateestMatch) AppendArgs(b []byte) []byte {
	if m.delta {
		b = args.Name(b, false, "rateest-delta")
	}
	name := "rateest"
	if m.relative {
		name = "rateest1"
	}
	b = args.Word(args.Name(b, false, name), m.side[0].name)
	if m.bps {
		b = m.appendUnit(b, "bps", func(b []byte, i int) []byte { return appendBits(b, m.side[i].bps) })
	}
	if m.pps {
		b = m.appendUnit(b, "pps", func(b []byte, i int) []byte { return args.Dec(b, uint64(m.side[i].pps)) })
	}
	if m.relative {
		b = args.Word(args.Name(b, false, "rateest2"), m.side[1].name)
	}
	return b
}

// appendUnit writes the mode and the numbers of bytes or packets: none where
// two estimators are compared as they are.
func (m *rateestMatch) appendUnit(b []byte, unit string, number func(b []byte, side int) []byte) []byte {
	if m.delta {
		b = number(args.Name(b, false, "rateest-"+unit+"1"), 0)
	}
	b = args.Name(b, m.not, "rateest-"+m.mode)
	switch {
	case m.delta:
		b = number(args.Name(b, false, "rateest-"+unit+"2"), 1)
	case m.relative:
		b = args.Name(b, false, "rateest-"+unit)
	default:
		b = number(args.Name(b, false, "rateest-"+unit), 1)
	}
	return b
}

// appendBits writes bytes a second as iptables does: as bits, rounded to the
// unit that is shorter.
func appendBits(b []byte, bytes uint32) []byte {
	v, unit := float64(bytes)*8, "bit"
	switch {
	case v >= 1e9:
		v, unit = v/1e6, "Mbit"
	case v >= 1e6:
		v, unit = v/1e3, "Kbit"
	}
	return append(strconv.AppendFloat(append(b, ' '), v, 'f', 0, 64), unit...)
}
