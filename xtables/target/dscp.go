package target

import (
	"weir/hook"
	"weir/xtables"
	"weir/xtables/args"
)

// DSCP is -j DSCP: sets the bits of differentiated services and keeps those of
// congestion notification.
func DSCP() xtables.TargetExt {
	return xtables.TargetExt{
		Name: "DSCP", Families: xtables.Both, Tables: []string{"mangle"},
		Options: one("set-dscp", "set-dscp-class"), Parse: parseDSCP,
		Doc: "numbers and class names",
	}
}

type dscpTarget struct{ value uint8 }

func parseDSCP(_ *xtables.Context, given []xtables.Given) (xtables.Target, error) {
	if err := args.Need(given, "set-dscp", "set-dscp-class"); err != nil {
		return nil, err
	}
	if err := args.Apart(given, "set-dscp", "set-dscp-class"); err != nil {
		return nil, err
	}
	g := &given[0]
	if g.Name == "set-dscp-class" {
		v, err := args.DSCPClass(g)
		return &dscpTarget{v}, err
	}
	n, err := args.Uint(g, 0, 63)
	return &dscpTarget{uint8(n)}, err
}

func (m *dscpTarget) Do(t *hook.Traversal) xtables.Code {
	if old := t.Pkt.TOS(); old>>2 != m.value {
		t.Pkt.SetTOS(m.value<<2 | old&3)
	}
	return xtables.Continue
}

func (m *dscpTarget) AppendArgs(b []byte) []byte {
	return args.Hex(args.Name(b, false, "set-dscp"), uint64(m.value), 2)
}
