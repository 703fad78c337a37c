package match

import (
	"strings"

	"weir/hook"
	"weir/xtables"
	"weir/xtables/args"
)

// String is -m string: a run of bytes anywhere in the packet.
func String() xtables.MatchExt {
	return xtables.MatchExt{
		Name: "string", Families: xtables.Both,
		Options: []xtables.Option{
			{Name: "algo", Args: xtables.OneArg, NoInvert: true},
			{Name: "string", Args: xtables.OneArg}, {Name: "hex-string", Args: xtables.OneArg},
			{Name: "from", Args: xtables.OneArg, NoInvert: true}, {Name: "to", Args: xtables.OneArg, NoInvert: true},
			{Name: "icase", NoInvert: true},
		},
		Parse: parseString,
		Doc:   "all options; bm and kmp find the same",
	}
}

type stringMatch struct {
	algo     string
	pattern  []byte // upper case with icase
	text     []byte // as written
	from, to int
	icase    bool
	not      bool
	fail     []int // for each length of the pattern, where to go on (Knuth, Morris, Pratt)
}

func parseString(_ *xtables.Context, given []xtables.Given) (xtables.Match, error) {
	if err := args.Need(given, "algo"); err != nil {
		return nil, err
	}
	if err := args.Need(given, "string", "hex-string"); err != nil {
		return nil, err
	}
	if err := args.Apart(given, "string", "hex-string"); err != nil {
		return nil, err
	}
	m := &stringMatch{to: 65535}
	for i := range given {
		g := &given[i]
		var n uint64
		var err error
		switch g.Name {
		case "algo":
			if m.algo = args.Text(g); m.algo != "bm" && m.algo != "kmp" {
				err = args.Bad(g, "bm or kmp")
			}
		case "from":
			n, err = args.Uint(g, 0, 65535)
			m.from = int(n)
		case "to":
			n, err = args.Uint(g, 0, 65535)
			m.to = int(n)
		case "icase":
			m.icase = true
		case "string":
			m.text, m.not = []byte(args.Text(g)), g.Invert
		default:
			m.text, err = hexString(g)
			m.not = g.Invert
		}
		if err == nil && (g.Name == "string" || g.Name == "hex-string") && (len(m.text) == 0 || len(m.text) > 128) {
			err = args.Errorf(g, "--%s: 1 to 128 bytes are allowed", g.Name)
		}
		if err != nil {
			return nil, err
		}
	}
	if m.from > m.to {
		return nil, args.Errorf(args.Find(given, "from"), "--from lies behind --to")
	}
	m.pattern = append([]byte(nil), m.text...)
	for i := range m.pattern {
		m.pattern[i] = m.fold(m.pattern[i])
	}
	m.fail = make([]int, len(m.pattern))
	for i, k := 1, 0; i < len(m.pattern); i++ {
		for k > 0 && m.pattern[i] != m.pattern[k] {
			k = m.fail[k-1]
		}
		if m.pattern[i] == m.pattern[k] {
			k++
		}
		m.fail[i] = k
	}
	return m, nil
}

// hexString reads text with bytes in hexadecimal between bars; a backslash
// takes the next character as it is.
func hexString(g *xtables.Given) (out []byte, err error) {
	s := args.Text(g)
	inHex := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '|':
			inHex = !inHex
		case inHex && s[i] == ' ':
		case inHex:
			if i+1 >= len(s) || unhex(s[i]) < 0 || unhex(s[i+1]) < 0 {
				return nil, args.Errorf(g, "--hex-string: bad byte between the bars of %q", s)
			}
			out = append(out, byte(unhex(s[i])<<4|unhex(s[i+1])))
			i++
		case s[i] == '\\' && i+1 < len(s):
			i++
			out = append(out, s[i])
		default:
			out = append(out, s[i])
		}
	}
	if inHex {
		return nil, args.Errorf(g, "--hex-string: a bar is missing in %q", s)
	}
	return out, nil
}

func unhex(c byte) int {
	if c >= 'A' && c <= 'F' {
		c += 'a' - 'A'
	}
	return strings.IndexByte("0123456789abcdef", c)
}

// fold is the kernel's toupper, which knows Latin 1.
func (m *stringMatch) fold(c byte) byte {
	if m.icase && (c >= 'a' && c <= 'z' || c >= 0xdf && c != 0xf7) {
		return c - 0x20
	}
	return c
}

// Match wants the whole pattern between the offsets from and to of the packet.
func (m *stringMatch) Match(t *hook.Traversal) bool { return m.find(t.Pkt.Data) != m.not }

func (m *stringMatch) find(d []byte) bool {
	d = d[:min(m.to, len(d))]
	k := 0
	for i := m.from; i < len(d); i++ {
		c := m.fold(d[i])
		for k > 0 && c != m.pattern[k] {
			k = m.fail[k-1]
		}
		if c == m.pattern[k] {
			k++
		}
		if k == len(m.pattern) {
			return true
		}
	}
	return false
}

func (m *stringMatch) Explain(*hook.Traversal) string {
	if m.not {
		return "the bytes are there"
	}
	return "the bytes are not there"
}

func (m *stringMatch) AppendArgs(b []byte) []byte {
	plain := m.text[len(m.text)-1] != '\\'
	for _, c := range m.text {
		plain = plain && c >= ' ' && c < 0x7f
	}
	if plain {
		b = append(args.Name(b, m.not, "string"), ` "`...)
		for _, c := range m.text {
			if c == '"' || c == '\\' {
				b = append(b, '\\')
			}
			b = append(b, c)
		}
		b = append(b, '"')
	} else {
		b = append(args.Name(b, m.not, "hex-string"), ` "|`...)
		for _, c := range m.text {
			b = append(b, "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
		}
		b = append(b, `|"`...)
	}
	b = args.Word(args.Name(b, false, "algo"), m.algo)
	if m.from != 0 {
		b = args.Dec(args.Name(b, false, "from"), uint64(m.from))
	}
	if m.to != 65535 {
		b = args.Dec(args.Name(b, false, "to"), uint64(m.to))
	}
	if m.icase {
		b = args.Name(b, false, "icase")
	}
	return b
}
