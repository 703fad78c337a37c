package match

import (
	"weir/hook"
	"weir/xtables"
	"weir/xtables/args"
)

// Connlabel is -m connlabel: a bit of the connection's labels.
func Connlabel() xtables.MatchExt {
	return xtables.MatchExt{
		Name: "connlabel", Families: xtables.Both, NeedsConntrack: true,
		Options: []xtables.Option{{Name: "label", Args: xtables.OneArg}, {Name: "set", NoInvert: true}},
		Parse:   parseConnlabel,
		Doc:     "all options; labels by number, and by name if the machine directory has a connlabel.conf",
	}
}

type connlabelMatch struct {
	bit      uint8
	name     string // empty without
	not, set bool
}

func parseConnlabel(c *xtables.Context, given []xtables.Given) (xtables.Match, error) {
	if err := args.Need(given, "label"); err != nil {
		return nil, err
	}
	g := args.Find(given, "label")
	m := &connlabelMatch{not: g.Invert, set: args.Find(given, "set") != nil}
	var ok bool
	if m.bit, ok = c.Known.Labels.Bit(args.Text(g)); !ok {
		n, ok := args.Number(args.Text(g), 0, 127)
		if !ok {
			return nil, args.Bad(g, "a label from 0 to 127, nor a name of connlabel.conf")
		}
		m.bit = uint8(n)
	}
	m.name = c.Known.Labels.Name(m.bit)
	return m, nil
}

// Match follows Linux net/netfilter/xt_connlabel.c.
func (m *connlabelMatch) Match(t *hook.Traversal) bool {
	c := t.CT.Conn
	if c == nil {
		return m.not
	}
	if m.set {
		t.Env.CT.SetLabel(c, m.bit)
		return !m.not
	}
	return t.Env.CT.HasLabel(c, m.bit) != m.not
}

func (m *connlabelMatch) Explain(t *hook.Traversal) string {
	if t.CT.Conn == nil {
		return "no connection"
	}
	if t.Env.CT.HasLabel(t.CT.Conn, m.bit) {
		return "the label is set"
	}
	return "the label is not set"
}

func (m *connlabelMatch) AppendArgs(b []byte) []byte {
	b = append(args.Name(b, m.not, "label"), ` "`...)
	if m.name != "" {
		b = append(b, m.name...)
	} else {
		b = append(b, dec(uint64(m.bit))...)
	}
	b = append(b, '"')
	if m.set {
		b = args.Name(b, false, "set")
	}
	return b
}
