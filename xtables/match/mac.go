package match

import (
	"weir/hook"
	"weir/xtables"
	"weir/xtables/args"
)

// MAC is -m mac: the source address of the Ethernet frame.
func MAC() xtables.MatchExt {
	return xtables.MatchExt{
		Name: "mac", Families: xtables.Both,
		Points:  hook.MaskOf(hook.Prerouting, hook.Input, hook.Forward),
		Options: []xtables.Option{{Name: "mac-source", Args: xtables.OneArg}},
		Parse:   parseMAC,
		Doc:     "all options",
	}
}

type macMatch struct {
	addr [6]byte
	not  bool
}

func parseMAC(_ *xtables.Context, given []xtables.Given) (xtables.Match, error) {
	if err := args.Need(given, "mac-source"); err != nil {
		return nil, err
	}
	g := args.Find(given, "mac-source")
	addr, ok := args.MAC(args.Text(g))
	if !ok {
		return nil, args.Bad(g, "a MAC address (six bytes in hexadecimal with colons)")
	}
	return &macMatch{addr, g.Invert}, nil
}

// Match is false for a packet that came in no Ethernet frame.
func (m *macMatch) Match(t *hook.Traversal) bool {
	l := &t.Pkt.Link
	return t.In != nil && l.HasMAC && (l.Src == m.addr) != m.not
}

func (m *macMatch) Explain(t *hook.Traversal) string {
	if t.In == nil || !t.Pkt.Link.HasMAC {
		return "came in no Ethernet frame"
	}
	return "source is" + string(args.AppendMAC(nil, t.Pkt.Link.Src))
}

func (m *macMatch) AppendArgs(b []byte) []byte {
	return args.AppendMAC(args.Name(b, m.not, "mac-source"), m.addr)
}
