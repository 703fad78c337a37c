package match

import (
	"math"
	"strconv"

	"weir/hook"
	"weir/xtables"
	"weir/xtables/args"
)

// Statistic is -m statistic: a share of packets, by chance or every nth.
func Statistic() xtables.MatchExt {
	return xtables.MatchExt{
		Name: "statistic", Families: xtables.Both,
		Options: []xtables.Option{
			{Name: "mode", Args: xtables.OneArg, NoInvert: true},
			{Name: "probability", Args: xtables.OneArg},
			{Name: "every", Args: xtables.OneArg},
			{Name: "packet", Args: xtables.OneArg, NoInvert: true},
		},
		Parse: parseStatistic,
		Doc:   "both modes; chance comes from the machine's seed",
	}
}

type statisticMatch struct {
	nth       bool
	not       bool
	chance    uint32 // of 2^31
	last      uint32 // every minus one
	packet    uint32
	count     uint32 // packets since the last hit
	drawn     uint32 // what chance gave, for Explain
	countThen uint32 // count before the last evaluation, for Explain
}

func parseStatistic(_ *xtables.Context, given []xtables.Given) (xtables.Match, error) {
	m := &statisticMatch{}
	var err error
	var prob, every, packet bool
	for i := range given {
		g := &given[i]
		var n uint64
		switch g.Name {
		case "mode":
			switch args.Text(g) {
			case "random":
				m.nth = false
			case "nth":
				m.nth = true
			default:
				err = args.Bad(g, "random or nth")
			}
		case "probability":
			var f float64
			f, err = strconv.ParseFloat(args.Text(g), 64)
			if err != nil || !(f >= 0 && f <= 1) {
				err = args.Bad(g, "a number from 0 to 1")
			}
			m.chance = uint32(math.Round(f * 0x80000000))
			m.not, prob = g.Invert, true
		case "every":
			n, err = args.Uint(g, 1, math.MaxUint32)
			m.last, m.not, every = uint32(n-1), g.Invert, true
		case "packet":
			n, err = args.Uint(g, 0, math.MaxUint32)
			m.packet, packet = uint32(n), true
		}
		if err != nil {
			return nil, err
		}
	}
	if err := args.Apart(given, "probability", "every"); err != nil {
		return nil, err
	}
	if err := args.Apart(given, "probability", "packet"); err != nil {
		return nil, err
	}
	switch {
	case !m.nth && !prob:
		return nil, args.Need(given, "probability")
	case m.nth && !(every && packet):
		if !every {
			return nil, args.Need(given, "every")
		}
		return nil, args.Need(given, "packet")
	case m.packet > m.last && m.nth:
		return nil, args.Errorf(args.Find(given, "packet"), "--packet must be less than --every")
	}
	m.count = m.last - m.packet
	return m, nil
}

func (m *statisticMatch) Match(t *hook.Traversal) bool {
	if !m.nth {
		m.drawn = t.Env.Rand.Uint32() & 0x7fffffff
		return (m.drawn < m.chance) != m.not
	}
	m.countThen = m.count
	if m.count == m.last {
		m.count = 0
		return !m.not
	}
	m.count++
	return m.not
}

func (m *statisticMatch) Explain(*hook.Traversal) string {
	if m.nth {
		return "counter is " + dec(uint64(m.countThen)) + " of " + dec(uint64(m.last))
	}
	return "chance gave " + strconv.FormatFloat(float64(m.drawn)/0x80000000, 'f', 6, 64)
}

func (m *statisticMatch) AppendArgs(b []byte) []byte {
	if !m.nth {
		b = args.Name(append(b, " --mode random"...), m.not, "probability")
		b = append(b, ' ')
		return strconv.AppendFloat(b, float64(m.chance)/0x80000000, 'f', 11, 64)
	}
	b = args.Name(append(b, " --mode nth"...), m.not, "every")
	b = args.Dec(b, uint64(m.last)+1)
	return args.Dec(args.Name(b, false, "packet"), uint64(m.packet))
}

// Keep goes on counting.
func (m *statisticMatch) Keep(before xtables.Match) {
	if o, ok := before.(*statisticMatch); ok {
		m.count, m.countThen, m.drawn = o.count, o.countThen, o.drawn
	}
}
