package target

import (
	"math"

	"weir/hook"
	"weir/xtables"
	"weir/xtables/args"
)

// Connmark is -j CONNMARK: sets the connection's mark, or copies between it
// and the packet's.
func Connmark() xtables.TargetExt {
	opts := append(one("set-xmark", "set-mark", "and-mark", "or-mark", "xor-mark", "ctmask", "nfmask", "mask",
		"left-shift-mark", "right-shift-mark"), flags("save-mark", "restore-mark")...)
	return xtables.TargetExt{
		Name: "CONNMARK", Families: xtables.Both, NeedsConntrack: true,
		Options: opts, Parse: parseConnmark,
		Doc: "all options of revision 2",
	}
}

type connmarkTarget struct {
	op             byte // 's'et, s'a've or 'r'estore
	ctmark         uint32
	ctmask, nfmask uint32
	shift          uint8
	right          bool
}

func parseConnmark(_ *xtables.Context, given []xtables.Given) (xtables.Target, error) {
	ops := []string{"set-xmark", "set-mark", "and-mark", "or-mark", "xor-mark", "save-mark", "restore-mark"}
	if err := args.Need(given, ops...); err != nil {
		return nil, err
	}
	for _, apart := range [][]string{ops, {"ctmask", "mask"}, {"nfmask", "mask"}} {
		if err := args.Apart(given, apart...); err != nil {
			return nil, err
		}
	}
	m := &connmarkTarget{ctmask: math.MaxUint32, nfmask: math.MaxUint32}
	for i := range given {
		g := &given[i]
		var n uint64
		var err error
		switch g.Name {
		case "save-mark":
			m.op = 'a'
		case "restore-mark":
			m.op = 'r'
		case "ctmask":
			n, err = args.Uint(g, 0, math.MaxUint32)
			m.ctmask = uint32(n)
		case "nfmask":
			n, err = args.Uint(g, 0, math.MaxUint32)
			m.nfmask = uint32(n)
		case "mask":
			n, err = args.Uint(g, 0, math.MaxUint32)
			m.ctmask, m.nfmask = uint32(n), uint32(n)
		case "left-shift-mark", "right-shift-mark":
			n, err = args.Uint(g, 0, 31)
			m.shift, m.right = uint8(n), g.Name == "right-shift-mark"
		default:
			var x xmark
			x, _, err = readXMark(g)
			m.op, m.ctmark, m.ctmask = 's', x.value, x.mask
		}
		if err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *connmarkTarget) shifted(v uint32) uint32 {
	if m.right {
		return v >> m.shift
	}
	return v << m.shift
}

// Do follows Linux net/netfilter/xt_connmark.c; without a connection there is
// nothing to do.
func (m *connmarkTarget) Do(t *hook.Traversal) xtables.Code {
	c := t.CT.Conn
	if c == nil {
		return xtables.Continue
	}
	switch m.op {
	case 's':
		t.Env.CT.SetMark(c, m.shifted(c.Mark&^m.ctmask^m.ctmark))
	case 'a':
		t.Env.CT.SetMark(c, c.Mark&^m.ctmask^m.shifted(t.Mark&m.nfmask))
	default:
		t.Mark = t.Mark&^m.nfmask ^ m.shifted(c.Mark&m.ctmask)
	}
	return xtables.Continue
}

func (m *connmarkTarget) AppendArgs(b []byte) []byte {
	switch m.op {
	case 's':
		b = args.HexMask(args.Name(b, false, "set-xmark"), uint64(m.ctmark), uint64(m.ctmask), 1)
	case 'a':
		b = args.Name(b, false, "save-mark")
	default:
		b = args.Name(b, false, "restore-mark")
	}
	if m.op != 's' {
		b = args.Hex(args.Name(b, false, "nfmask"), uint64(m.nfmask), 1)
		b = args.Hex(args.Name(b, false, "ctmask"), uint64(m.ctmask), 1)
	}
	if m.shift != 0 {
		name := "left-shift-mark"
		if m.right {
			name = "right-shift-mark"
		}
		b = args.Dec(args.Name(b, false, name), uint64(m.shift))
	}
	return b
}
