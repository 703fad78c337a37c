package target

import (
	"weir/hook"
	"weir/xtables"
	"weir/xtables/args"
)

// TOS is -j TOS: changes the IPv4 TOS byte or the IPv6 traffic class.
func TOS() xtables.TargetExt {
	return xtables.TargetExt{
		Name: "TOS", Families: xtables.Both, Tables: []string{"mangle"},
		Options: one("set-tos", "and-tos", "or-tos", "xor-tos"), Parse: parseTOS,
		Doc: "all options",
	}
}

type tosTarget struct{ value, mask uint8 }

func parseTOS(_ *xtables.Context, given []xtables.Given) (xtables.Target, error) {
	names := []string{"set-tos", "and-tos", "or-tos", "xor-tos"}
	if err := args.Need(given, names...); err != nil {
		return nil, err
	}
	if err := args.Apart(given, names...); err != nil {
		return nil, err
	}
	g := &given[0]
	if g.Name == "set-tos" {
		v, k, err := args.TOSMask(g)
		return &tosTarget{v, k}, err
	}
	n, err := args.Uint(g, 0, 255)
	switch v := uint8(n); g.Name {
	case "and-tos":
		return &tosTarget{0, ^v}, err
	case "or-tos":
		return &tosTarget{v, v}, err
	default:
		return &tosTarget{v, 0}, err
	}
}

func (m *tosTarget) Do(t *hook.Traversal) xtables.Code {
	old := t.Pkt.TOS()
	if v := old&^m.mask ^ m.value; v != old {
		t.Pkt.SetTOS(v)
	}
	return xtables.Continue
}

func (m *tosTarget) AppendArgs(b []byte) []byte {
	return args.HexMask(args.Name(b, false, "set-tos"), uint64(m.value), uint64(m.mask), 2)
}
