package target

import (
	"weir/hook"
	"weir/nat"
	"weir/packet"
	"weir/xtables"
	"weir/xtables/args"
)

// SNAT is -j SNAT: new connections leave with another source.
func SNAT() xtables.TargetExt {
	return xtables.TargetExt{
		Name: "SNAT", Families: xtables.Both, Tables: []string{"nat"}, NeedsConntrack: true,
		Points:  hook.MaskOf(hook.Postrouting, hook.Input),
		Options: append(append(one("to-source"), flags("random", "random-fully", "persistent")...), beyond("mapping", "filtering")...),
		Parse: func(c *xtables.Context, given []xtables.Given) (xtables.Target, error) {
			rest, mapping, err := cutMapping(given)
			if err != nil {
				return nil, err
			}
			m, err := parseNAT(c, rest, "to-source", nat.Source)
			// The kernel's structure for SNAT has no room for the base port.
			m.r.BasePort = 0
			if err == nil {
				err = readMapping(c, mapping, rest, &m.r)
			}
			return m, err
		},
		Check: checkMapping,
		Doc:   "all options; of its own, off unless asked: `--mapping`, `--filtering`",
	}
}

// DNAT is -j DNAT: new connections go to another destination.
func DNAT() xtables.TargetExt {
	return xtables.TargetExt{
		Name: "DNAT", Families: xtables.Both, Tables: []string{"nat"}, NeedsConntrack: true,
		Points:  hook.MaskOf(hook.Prerouting, hook.Output),
		Options: append(one("to-destination"), flags("random", "persistent")...),
		Parse: func(c *xtables.Context, given []xtables.Given) (xtables.Target, error) {
			return parseNAT(c, given, "to-destination", nat.Destination)
		},
		Doc: "all options of revision 2",
	}
}

type natTarget struct {
	family packet.Family
	option string
	manip  nat.Manip
	r      nat.Range
}

func parseNAT(c *xtables.Context, given []xtables.Given, option string, manip nat.Manip) (*natTarget, error) {
	m := &natTarget{family: c.Family, option: option, manip: manip}
	if err := args.Need(given, option); err != nil {
		return m, err
	}
	for i := range given {
		g := &given[i]
		if g.Name == option {
			if err := readTo(c, g, &m.r); err != nil {
				return m, err
			}
		} else {
			m.r.Flags |= randomFlag(g.Name)
		}
	}
	return m, nil
}

func (m *natTarget) Do(t *hook.Traversal) xtables.Code {
	if t.CT.Conn == nil {
		return xtables.Accept // nothing to translate: it is not tracked
	}
	return verdict(t, nat.Setup(t, t.CT.Conn, &m.r, m.manip))
}

// verdict ends the walk of the nat table: accepted when a mapping was made.
func verdict(t *hook.Traversal, ok bool) xtables.Code {
	if ok {
		return xtables.Accept
	}
	if t.Why == hook.NoReason {
		t.Why = hook.ReasonNATFailed
	}
	return xtables.Drop
}

func (m *natTarget) AppendArgs(b []byte) []byte {
	b = append(args.Name(b, false, m.option), ' ')
	return appendMapping(appendFlags(appendTo(b, m.family, &m.r), &m.r), &m.r)
}
