package match

import (
	"math"

	"weir/hook"
	"weir/ipset"
	"weir/xtables"
	"weir/xtables/args"
)

// Set is -m set: the packet is in a set (ipset).
func Set() xtables.MatchExt {
	opt := func(n string, a xtables.Arity, noInvert bool) xtables.Option {
		return xtables.Option{Name: n, Args: a, NoInvert: noInvert}
	}
	return xtables.MatchExt{
		Name: "set", Families: xtables.Both,
		Options: []xtables.Option{
			opt("match-set", xtables.TwoArgs, false),
			{Name: "set", Args: xtables.TwoArgs, Alias: "match-set"},
			opt("return-nomatch", xtables.NoArg, true),
			opt("update-counters", xtables.NoArg, false), opt("update-subcounters", xtables.NoArg, false),
			opt("packets-eq", xtables.OneArg, false), opt("packets-lt", xtables.OneArg, true), opt("packets-gt", xtables.OneArg, true),
			opt("bytes-eq", xtables.OneArg, false), opt("bytes-lt", xtables.OneArg, true), opt("bytes-gt", xtables.OneArg, true),
		},
		Parse: parseSet,
		Doc:   "all options",
	}
}

type setMatch struct {
	use  args.SetUse
	not  bool
	opts ipset.Options
}

func parseSet(c *xtables.Context, given []xtables.Given) (xtables.Match, error) {
	if err := args.Need(given, "match-set"); err != nil {
		return nil, err
	}
	if err := args.Apart(given, "packets-eq", "packets-lt", "packets-gt"); err != nil {
		return nil, err
	}
	if err := args.Apart(given, "bytes-eq", "bytes-lt", "bytes-gt"); err != nil {
		return nil, err
	}
	m := &setMatch{}
	for i := range given {
		g := &given[i]
		var err error
		switch g.Name {
		case "match-set":
			m.not = g.Invert
			m.use, err = args.Set(c, g)
		case "return-nomatch":
			m.opts.ReturnNomatch = true
		case "update-counters":
			m.opts.NoCounters = g.Invert
		case "update-subcounters":
			m.opts.NoSubcounters = g.Invert
		case "packets-eq", "packets-lt", "packets-gt":
			m.opts.Packets, err = setCounter(g)
		default:
			m.opts.Bytes, err = setCounter(g)
		}
		if err != nil {
			return nil, err
		}
	}
	m.opts.Dim, m.opts.Src = m.use.Dim, m.use.Src
	return m, nil
}

func setCounter(g *xtables.Given) (c ipset.Counter, err error) {
	c.Value, err = args.Uint(g, 0, math.MaxUint64)
	switch g.Name[len(g.Name)-2:] {
	case "lt":
		c.Op = ipset.CompareLT
	case "gt":
		c.Op = ipset.CompareGT
	default:
		c.Op = ipset.CompareEQ
		if g.Invert {
			c.Op = ipset.CompareNE
		}
	}
	return c, err
}

// Bind finds the set among the machine's.
func (m *setMatch) Bind(s *xtables.Shared) error { return m.use.Bind(s) }

// Unbind lets it go.
func (m *setMatch) Unbind() { m.use.Unbind() }

// Match follows Linux net/netfilter/xt_set.c.
func (m *setMatch) Match(t *hook.Traversal) bool {
	p := args.Probe(t)
	return m.use.Sets.Match(m.use.ID, &p, &m.opts) != m.not
}

func (m *setMatch) Explain(*hook.Traversal) string {
	if m.not {
		return "it is in set " + m.use.Name
	}
	return "it is not in set " + m.use.Name
}

func (m *setMatch) AppendArgs(b []byte) []byte {
	b = m.use.Append(b, m.not, "match-set")
	if m.opts.ReturnNomatch {
		b = args.Name(b, false, "return-nomatch")
	}
	if m.opts.NoCounters {
		b = args.Name(b, true, "update-counters")
	}
	if m.opts.NoSubcounters {
		b = args.Name(b, true, "update-subcounters")
	}
	b = appendSetCounter(b, "packets", m.opts.Packets)
	return appendSetCounter(b, "bytes", m.opts.Bytes)
}

func appendSetCounter(b []byte, what string, c ipset.Counter) []byte {
	switch c.Op {
	case ipset.CompareNone:
		return b
	case ipset.CompareLT:
		what += "-lt"
	case ipset.CompareGT:
		what += "-gt"
	default:
		what += "-eq"
	}
	return args.Dec(args.Name(b, c.Op == ipset.CompareNE, what), c.Value)
}
