package match

import (
	"math"
	"strings"

	"weir/hook"
	"weir/xtables"
	"weir/xtables/args"
)

// Devgroup is -m devgroup: the groups of the interfaces.
func Devgroup() xtables.MatchExt {
	return xtables.MatchExt{
		Name: "devgroup", Families: xtables.Both,
		Options: []xtables.Option{{Name: "src-group", Args: xtables.OneArg}, {Name: "dst-group", Args: xtables.OneArg}},
		Parse:   parseDevgroup, Check: checkDevgroup,
		Doc: "all options; every interface is in group 0, default",
	}
}

// Realm is -m realm: the realm of the route.
func Realm() xtables.MatchExt {
	return xtables.MatchExt{
		Name: "realm", Families: xtables.V4,
		Points:  hook.MaskOf(hook.Postrouting, hook.Forward, hook.Output, hook.Input),
		Options: []xtables.Option{{Name: "realm", Args: xtables.OneArg}},
		Parse: func(_ *xtables.Context, given []xtables.Given) (xtables.Match, error) {
			if err := args.Need(given, "realm"); err != nil {
				return nil, err
			}
			g, err := readGroup(&given[0], "cosmos")
			return &realmMatch{g}, err
		},
		Doc: "all options; every route has realm 0, cosmos",
	}
}

// group is a number under a mask that one option asks for.
type group struct {
	given, not  bool
	value, mask uint32
	zero        string // the name of 0
}

// readGroup reads value[/mask] or the one name that every system knows.
func readGroup(g *xtables.Given, zero string) (group, error) {
	gr := group{given: true, not: g.Invert, mask: math.MaxUint32, zero: zero}
	if args.Text(g) == zero {
		return gr, nil
	}
	v, m, has := strings.Cut(args.Text(g), "/")
	n, ok := args.Number(v, 0, math.MaxUint32)
	k := uint64(math.MaxUint32)
	if ok && has {
		k, ok = args.Number(m, 0, math.MaxUint32)
	}
	if !ok {
		return gr, args.Bad(g, "a 32-bit number with an optional /mask, or "+zero)
	}
	gr.value, gr.mask = uint32(n), uint32(k)
	return gr, nil
}

// differs reports that a bit of the mask is another.
func (g *group) differs(v uint32) bool { return (v^g.value)&g.mask != 0 }

func (g *group) append(b []byte, name string) []byte {
	if !g.given {
		return b
	}
	b = args.Name(b, g.not, name)
	switch {
	case g.mask != math.MaxUint32:
		return args.HexMask(b, uint64(g.value), uint64(g.mask), 1)
	case g.value == 0:
		return args.Word(b, g.zero)
	}
	return args.Hex(b, uint64(g.value), 1)
}

type devgroupMatch struct{ src, dst group }

func parseDevgroup(_ *xtables.Context, given []xtables.Given) (xtables.Match, error) {
	m := &devgroupMatch{}
	if err := args.Need(given, "src-group", "dst-group"); err != nil {
		return nil, err
	}
	for i := range given {
		gr, err := readGroup(&given[i], "default")
		if err != nil {
			return nil, err
		}
		if given[i].Name == "src-group" {
			m.src = gr
		} else {
			m.dst = gr
		}
	}
	return m, nil
}

func checkDevgroup(c *xtables.Context, x xtables.Match) error {
	m, _ := x.(*devgroupMatch)
	if m.src.given && c.Points&^hook.MaskOf(hook.Prerouting, hook.Input, hook.Forward) != 0 {
		return &xtables.Error{Msg: "--src-group: only in PREROUTING, INPUT and FORWARD"}
	}
	if m.dst.given && c.Points&^hook.MaskOf(hook.Forward, hook.Output, hook.Postrouting) != 0 {
		return &xtables.Error{Msg: "--dst-group: only in FORWARD, OUTPUT and POSTROUTING"}
	}
	return nil
}

func (m *devgroupMatch) Match(*hook.Traversal) bool {
	return (!m.src.given || m.src.differs(0) == m.src.not) && (!m.dst.given || m.dst.differs(0) == m.dst.not)
}

// Steady: every interface is in the same group.
func (*devgroupMatch) Steady() bool { return true }

func (m *devgroupMatch) Explain(*hook.Traversal) string { return "both interfaces are in group 0" }

func (m *devgroupMatch) AppendArgs(b []byte) []byte {
	return m.dst.append(m.src.append(b, "src-group"), "dst-group")
}

type realmMatch struct{ group }

// Match: unlike devgroup, a value with bits outside of its mask never fits.
func (m *realmMatch) Match(*hook.Traversal) bool { return (m.value == 0) != m.not }

// Steady: every route has the same realm.
func (*realmMatch) Steady() bool { return true }

func (m *realmMatch) Explain(*hook.Traversal) string { return "the route's realm is 0" }

func (m *realmMatch) AppendArgs(b []byte) []byte { return m.append(b, "realm") }
