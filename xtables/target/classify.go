package target

import (
	"strconv"
	"strings"

	"weir/hook"
	"weir/xtables"
	"weir/xtables/args"
)

// Classify is -j CLASSIFY: sets the packet's traffic class.
func Classify() xtables.TargetExt {
	return xtables.TargetExt{
		Name: "CLASSIFY", Families: xtables.Both,
		Points:  hook.MaskOf(hook.Forward, hook.Output, hook.Postrouting),
		Options: one("set-class"), Parse: parseClassify,
		Doc: "yes; weir carries the class and shapes nothing by it",
	}
}

type classifyTarget struct{ class uint32 }

func parseClassify(_ *xtables.Context, given []xtables.Given) (xtables.Target, error) {
	if err := args.Need(given, "set-class"); err != nil {
		return nil, err
	}
	g := args.Find(given, "set-class")
	major, minor, has := strings.Cut(args.Text(g), ":")
	a, rest, ok1 := hexPrefix(major)
	b, _, ok2 := hexPrefix(minor)
	if !has || !ok1 || !ok2 || rest != "" {
		return nil, args.Bad(g, "major:minor in hexadecimal")
	}
	return &classifyTarget{a<<16 | b&0xffff}, nil
}

// hexPrefix reads a hexadecimal number at the start of s as sscanf(3) does.
func hexPrefix(s string) (v uint32, rest string, ok bool) {
	s = strings.TrimLeft(s, " \t\n")
	if len(s) > 2 && s[0] == '0' && s[1]|0x20 == 'x' {
		s = s[2:]
	}
	n := 0
	for n < len(s) && strings.IndexByte("0123456789abcdefABCDEF", s[n]) >= 0 {
		n++
	}
	w, err := strconv.ParseUint(s[:n], 16, 64)
	return uint32(w), s[n:], err == nil
}

func (m *classifyTarget) Do(t *hook.Traversal) xtables.Code {
	t.Priority = m.class
	return xtables.Continue
}

func (m *classifyTarget) AppendArgs(b []byte) []byte {
	b = args.Name(b, false, "set-class")
	b = args.Hex16(append(b, ' '), uint16(m.class>>16))
	return args.Hex16(append(b, ':'), uint16(m.class))
}
