package match

import (
	"weir/hook"
	"weir/nfacct"
	"weir/xtables"
	"weir/xtables/args"
)

// Nfacct is -m nfacct: counts in a named object, and with a quota matches once
// that is exceeded.
func Nfacct() xtables.MatchExt {
	return xtables.MatchExt{
		Name: "nfacct", Families: xtables.Both,
		Options: []xtables.Option{{Name: "nfacct-name", Args: xtables.OneArg, NoInvert: true}},
		Parse:   parseNfacct,
		Doc:     "all options; the objects are those of nfacct.list in the machine directory",
	}
}

type nfacctMatch struct{ object *nfacct.Object }

func parseNfacct(c *xtables.Context, given []xtables.Given) (xtables.Match, error) {
	if err := args.Need(given, "nfacct-name"); err != nil {
		return nil, err
	}
	g := &given[0]
	name := args.Cut(args.Text(g), nfacct.MaxName)
	if name == "" {
		return nil, args.Bad(g, "the name of an accounting object")
	}
	o := c.Known.Accounts.Lookup(name)
	if o == nil {
		return nil, args.Errorf(g, "--nfacct-name: there is no accounting object %s (nfacct add %s, or a line of nfacct.list)", name, name)
	}
	return &nfacctMatch{o}, nil
}

// Match counts, whether or not it matches.
func (m *nfacctMatch) Match(t *hook.Traversal) bool { return m.object.Count(t.Pkt.Len()) }

func (m *nfacctMatch) Explain(*hook.Traversal) string {
	n := m.object.Bytes
	if m.object.Mode == nfacct.Packet {
		n = m.object.Packets
	}
	return "it is " + dec(n) + " of " + dec(m.object.Quota) + " " + string(m.object.Mode) + "s"
}

func (m *nfacctMatch) AppendArgs(b []byte) []byte {
	b = append(args.Name(b, false, "nfacct-name"), "  "...)
	return xtables.AppendWord(b, m.object.Name)
}
