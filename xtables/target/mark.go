package target

import (
	"math"

	"weir/hook"
	"weir/xtables"
	"weir/xtables/args"
)

// Mark is -j MARK: sets the packet's mark.
func Mark() xtables.TargetExt {
	return xtables.TargetExt{
		Name: "MARK", Families: xtables.Both,
		Options: one("set-xmark", "set-mark", "and-mark", "or-mark", "xor-mark"),
		Parse: func(_ *xtables.Context, given []xtables.Given) (xtables.Target, error) {
			x, err := parseXMark(given)
			return &markTarget{x}, err
		},
		Doc: "all options",
	}
}

// xmark is what all forms of setting a mark come down to: clear the bits of
// mask, then flip those of value.
type xmark struct{ value, mask uint32 }

func (x xmark) apply(v uint32) uint32 { return v&^x.mask ^ x.value }

// readXMark reads one of the options that set a mark; ok is false for others.
func readXMark(g *xtables.Given) (x xmark, ok bool, err error) {
	switch g.Name {
	case "set-xmark":
		x.value, x.mask, err = args.MarkMask(g)
	case "set-mark":
		x.value, x.mask, err = args.MarkMask(g)
		x.mask |= x.value
	case "and-mark", "or-mark", "xor-mark":
		var n uint64
		n, err = args.Uint(g, 0, math.MaxUint32)
		switch v := uint32(n); g.Name {
		case "and-mark":
			x = xmark{0, ^v}
		case "or-mark":
			x = xmark{v, v}
		default:
			x = xmark{v, 0}
		}
	default:
		return x, false, nil
	}
	return x, true, err
}

func parseXMark(given []xtables.Given) (xmark, error) {
	names := []string{"set-xmark", "set-mark", "and-mark", "or-mark", "xor-mark"}
	if err := args.Need(given, names...); err != nil {
		return xmark{}, err
	}
	if err := args.Apart(given, names...); err != nil {
		return xmark{}, err
	}
	x, _, err := readXMark(&given[0])
	return x, err
}

type markTarget struct{ xmark }

func (m *markTarget) Do(t *hook.Traversal) xtables.Code {
	t.Mark = m.apply(t.Mark)
	return xtables.Continue
}

func (m *markTarget) AppendArgs(b []byte) []byte {
	return args.HexMask(args.Name(b, false, "set-xmark"), uint64(m.value), uint64(m.mask), 1)
}
