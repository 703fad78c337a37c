package match

import (
	"math"

	"weir/conntrack"
	"weir/hook"
	"weir/xtables"
	"weir/xtables/args"
)

// Connbytes is -m connbytes: how much a connection has carried so far.
func Connbytes() xtables.MatchExt {
	one := func(n string, noInvert bool) xtables.Option {
		return xtables.Option{Name: n, Args: xtables.OneArg, NoInvert: noInvert}
	}
	return xtables.MatchExt{
		Name: "connbytes", Families: xtables.Both, NeedsConntrack: true,
		Options: []xtables.Option{one("connbytes", false), one("connbytes-dir", true), one("connbytes-mode", true)},
		Parse:   parseConnbytes,
		Doc:     "all options; needs nf_conntrack_acct, as in Linux",
	}
}

type connbytesMatch struct {
	from, to  uint64
	not       bool
	dir, mode int
}

func connbytesDirs() []string  { return []string{"original", "reply", "both"} }
func connbytesModes() []string { return []string{"packets", "bytes", "avgpkt"} }

func parseConnbytes(_ *xtables.Context, given []xtables.Given) (xtables.Match, error) {
	for _, n := range []string{"connbytes", "connbytes-dir", "connbytes-mode"} {
		if err := args.Need(given, n); err != nil {
			return nil, err
		}
	}
	g := args.Find(given, "connbytes")
	vals, err := args.Series(g, math.MaxUint64, 2)
	if err != nil {
		return nil, err
	}
	m := &connbytesMatch{from: vals[0], to: math.MaxUint64}
	if len(vals) == 2 {
		m.to = vals[1]
	}
	if m.to < m.from {
		return nil, args.Errorf(g, "--connbytes: the range runs backwards")
	}
	// The kernel knows "!" by a range that runs backwards; a range of one
	// number therefore cannot be inverted, and iptables says nothing.
	m.not = g.Invert && m.from != m.to
	g = args.Find(given, "connbytes-dir")
	if m.dir = args.Enum(args.Text(g), connbytesDirs(), args.Exact); m.dir < 0 {
		return nil, args.Bad(g, "original, reply or both")
	}
	g = args.Find(given, "connbytes-mode")
	if m.mode = args.Enum(args.Text(g), connbytesModes(), args.Exact); m.mode < 0 {
		return nil, args.Bad(g, "packets, bytes or avgpkt")
	}
	return m, nil
}

func (m *connbytesMatch) value(t *hook.Traversal) (v uint64, ok bool) {
	if t.CT.Conn == nil {
		return 0, false
	}
	c := t.Env.CT.Counters(t.CT.Conn)
	if c == nil {
		return 0, false
	}
	var sum conntrack.Counter
	for d := range c {
		if m.dir == 2 || m.dir == d {
			sum.Packets += c[d].Packets
			sum.Bytes += c[d].Bytes
		}
	}
	switch {
	case m.mode == 0:
		return sum.Packets, true
	case m.mode == 1:
		return sum.Bytes, true
	case sum.Packets == 0:
		return 0, true
	}
	return sum.Bytes / sum.Packets, true
}

func (m *connbytesMatch) Match(t *hook.Traversal) bool {
	v, ok := m.value(t)
	return ok && (v >= m.from && v <= m.to) != m.not
}

func (m *connbytesMatch) Explain(t *hook.Traversal) string {
	v, ok := m.value(t)
	if !ok {
		return "nothing is counted"
	}
	return connbytesModes()[m.mode] + " is " + dec(v)
}

func (m *connbytesMatch) AppendArgs(b []byte) []byte {
	b = args.Dec(args.Name(b, m.not, "connbytes"), m.from)
	if m.to != 0 && m.to != math.MaxUint64 {
		b = append(append(b, ':'), dec(m.to)...)
	}
	b = args.Word(args.Name(b, false, "connbytes-mode"), connbytesModes()[m.mode])
	return args.Word(args.Name(b, false, "connbytes-dir"), connbytesDirs()[m.dir])
}
