package match

import (
	"weir/hook"
	"weir/packet"
	"weir/route"
	"weir/xtables"
	"weir/xtables/args"
)

// Pkttype is -m pkttype: how the packet was addressed on the link.
func Pkttype() xtables.MatchExt {
	return xtables.MatchExt{
		Name: "pkttype", Families: xtables.Both,
		Options: []xtables.Option{{Name: "pkt-type", Args: xtables.OneArg}},
		Parse:   parsePkttype,
		Doc:     "all options",
	}
}

type pkttypeMatch struct {
	typ packet.LinkType
	not bool
}

// pkttypeNames are printed; the aliases that iptables also takes are host,
// bcast and mcast. "otherhost" is what a machine sees that listens to all.
func pkttypeNames() []string { return []string{"unicast", "broadcast", "multicast", "otherhost"} }

func parsePkttype(_ *xtables.Context, given []xtables.Given) (xtables.Match, error) {
	if err := args.Need(given, "pkt-type"); err != nil {
		return nil, err
	}
	g := args.Find(given, "pkt-type")
	n := args.Enum(args.Text(g), pkttypeNames(), args.NoCase)
	if n < 0 {
		n = args.Enum(args.Text(g), []string{"host", "bcast", "mcast"}, args.NoCase)
	}
	if n < 0 {
		return nil, args.Bad(g, "unicast, broadcast or multicast")
	}
	return &pkttypeMatch{packet.LinkType(n), g.Invert}, nil
}

// linkType is how the packet was addressed. One that this machine sent to
// itself is judged by where it goes.
func linkType(t *hook.Traversal) packet.LinkType {
	p := t.Pkt
	if p.Link.Type != packet.Looped {
		return p.Link.Type
	}
	dst := p.Dst()
	switch {
	case p.Family == packet.IPv4 && dst[0]&0xf0 == 0xe0, p.Family == packet.IPv6 && dst[0] == 0xff:
		return packet.ToMulticast
	case t.Route.Type == route.Broadcast:
		return packet.ToBroadcast
	}
	return packet.ToHost
}

func (m *pkttypeMatch) Match(t *hook.Traversal) bool { return (linkType(t) == m.typ) != m.not }

func (m *pkttypeMatch) Explain(t *hook.Traversal) string {
	return "is " + pkttypeNames()[linkType(t)]
}

func (m *pkttypeMatch) AppendArgs(b []byte) []byte {
	return args.Word(args.Name(b, m.not, "pkt-type"), pkttypeNames()[m.typ])
}
