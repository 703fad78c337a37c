package match

import (
	"encoding/binary"
	"math"
	"strings"

	"weir/hook"
	"weir/xtables"
	"weir/xtables/args"
)

// U32 is -m u32: words at computed offsets from the IP header.
func U32() xtables.MatchExt {
	return xtables.MatchExt{
		Name: "u32", Families: xtables.Both,
		Options: []xtables.Option{{Name: "u32", Args: xtables.OneArg}},
		Parse:   parseU32,
		Doc:     "all of the language",
	}
}

// u32Step is a number with the operator before it; the first has none.
type u32Step struct {
	op byte // '&', '<', '>', '@'
	n  uint32
}

type u32Test struct {
	steps  []u32Step
	values [][2]uint32
}

type u32Match struct {
	tests []u32Test
	not   bool
}

// u32Max is how many tests, steps and values iptables takes; the kernel's
// structure has room for one more.
const u32Max = 10

func parseU32(_ *xtables.Context, given []xtables.Given) (xtables.Match, error) {
	if err := args.Need(given, "u32"); err != nil {
		return nil, err
	}
	g := args.Find(given, "u32")
	m := &u32Match{not: g.Invert}
	r := u32Reader{s: args.Text(g)}
	for {
		t, ok := r.test()
		if !ok {
			return nil, args.Errorf(g, "--u32: at character %d: %s", len(args.Text(g))-len(r.s)+1, r.bad)
		}
		if m.tests = append(m.tests, t); r.s == "" {
			break
		}
	}
	if len(m.tests) > u32Max {
		return nil, args.Errorf(g, "--u32: more than %d tests", u32Max)
	}
	return m, nil
}

// u32Reader reads the expression from left to right.
type u32Reader struct{ s, bad string }

func (r *u32Reader) take(word string) bool {
	r.s = strings.TrimLeft(r.s, " \t\n")
	rest, ok := strings.CutPrefix(r.s, word)
	if ok {
		r.s = rest
	}
	return ok
}

func (r *u32Reader) number() (uint32, bool) {
	n, rest, ok := args.NumberPrefix(r.s, 0, math.MaxUint32)
	if !ok {
		r.bad = "not a number of 32 bits"
		return 0, false
	}
	r.s = strings.TrimLeft(rest, " \t\n")
	return uint32(n), true
}

func (r *u32Reader) test() (t u32Test, ok bool) {
	op := byte(0)
	for {
		n, ok := r.number()
		if !ok {
			return t, false
		}
		if t.steps = append(t.steps, u32Step{op, n}); len(t.steps) > u32Max {
			r.bad = "too many operators"
			return t, false
		}
		if (op == '<' || op == '>') && n > 31 {
			r.bad = "a shift by more than 31 bits"
			return t, false
		}
		switch {
		case r.take("="):
			return r.values(t)
		case strings.HasPrefix(r.s, "&&"):
			r.bad = "= expected"
			return t, false
		case r.take("&"):
			op = '&'
		case r.take("<<"):
			op = '<'
		case r.take(">>"):
			op = '>'
		case r.take("@"):
			op = '@'
		default:
			r.bad = "operator or = expected"
			return t, false
		}
	}
}

func (r *u32Reader) values(t u32Test) (u32Test, bool) {
	for {
		lo, ok := r.number()
		if !ok {
			return t, false
		}
		hi := lo
		if r.take(":") {
			if hi, ok = r.number(); !ok {
				return t, false
			}
		}
		if t.values = append(t.values, [2]uint32{lo, hi}); len(t.values) > u32Max {
			r.bad = "too many values"
			return t, false
		}
		switch {
		case r.s == "":
			return t, true
		case r.take("&&"):
			return t, r.more()
		case r.take(","):
		default:
			r.bad = "comma or && expected"
			return t, false
		}
	}
}

// more reports that another test follows "&&".
func (r *u32Reader) more() bool {
	if strings.TrimLeft(r.s, " \t\n") == "" {
		r.bad = "a test is missing"
		return false
	}
	return true
}

func (m *u32Match) Match(t *hook.Traversal) bool {
	hit := true
	for i := range m.tests {
		if !m.tests[i].ok(t.Pkt.Data) {
			hit = false
			break
		}
	}
	return hit != m.not
}

// value follows Linux net/netfilter/xt_u32.c; ok is false beyond the packet.
func (x *u32Test) value(d []byte) (v uint32, ok bool) {
	at := uint64(0)
	load := func(pos uint64) bool {
		if pos+4 > uint64(len(d)) {
			return false
		}
		v = binary.BigEndian.Uint32(d[pos:])
		return true
	}
	if !load(uint64(x.steps[0].n)) {
		return 0, false
	}
	for _, s := range x.steps[1:] {
		switch s.op {
		case '&':
			v &= s.n
		case '<':
			v <<= s.n & 31 // as the processor shifts
		case '>':
			v >>= s.n & 31
		default:
			if at += uint64(v); at > math.MaxUint32 || !load(at+uint64(s.n)) {
				return 0, false
			}
		}
	}
	return v, true
}

func (x *u32Test) ok(d []byte) bool {
	v, ok := x.value(d)
	if !ok {
		return false
	}
	for _, r := range x.values {
		if v >= r[0] && v <= r[1] {
			return true
		}
	}
	return false
}

func (m *u32Match) Explain(t *hook.Traversal) string {
	for i := range m.tests {
		v, ok := m.tests[i].value(t.Pkt.Data)
		if !ok {
			return "test " + dec(uint64(i+1)) + " reaches behind the packet"
		}
		if !m.tests[i].ok(t.Pkt.Data) {
			return "test " + dec(uint64(i+1)) + " gives " + hex(uint64(v))
		}
	}
	return "every test holds"
}

func (m *u32Match) AppendArgs(b []byte) []byte {
	b = append(args.Name(b, m.not, "u32"), ` "`...)
	for i := range m.tests {
		if i > 0 {
			b = append(b, "&&"...)
		}
		for _, s := range m.tests[i].steps {
			switch s.op {
			case '<', '>':
				b = append(b, s.op, s.op)
			case '&', '@':
				b = append(b, s.op)
			}
			b = append(b, hex(uint64(s.n))...)
		}
		for j, r := range m.tests[i].values {
			b = append(b, "=,"[min(j, 1)])
			b = append(b, hex(uint64(r[0]))...)
			if r[0] != r[1] {
				b = append(append(b, ':'), hex(uint64(r[1]))...)
			}
		}
	}
	return append(b, '"')
}
