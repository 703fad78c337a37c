package target

import (
	"weir/hook"
	"weir/iface"
	"weir/packet"
	"weir/xtables"
	"weir/xtables/args"
)

// Tee is -j TEE: sends a copy of the packet to another host of the link.
func Tee() xtables.TargetExt {
	return xtables.TargetExt{
		Name: "TEE", Families: xtables.Both,
		Options: one("gateway", "oif"), Parse: parseTee,
		Doc: "all options",
	}
}

type teeTarget struct {
	xtables.Use
	family  packet.Family
	gateway packet.Addr
	oif     string // empty: any
	// copying guards against copies of copies; one for all rules of a
	// machine, as Linux has one for a processor.
	copying *bool
}

func parseTee(c *xtables.Context, given []xtables.Given) (xtables.Target, error) {
	if err := args.Need(given, "gateway"); err != nil {
		return nil, err
	}
	oif := ""
	if g := args.Find(given, "oif"); g != nil {
		oif = args.Cut(args.Text(g), 15)
	}
	g := args.Find(given, "gateway")
	a, ok := args.Address(c.Family, args.Text(g))
	if !ok || a.IsZero() {
		return nil, args.Bad(g, "an address of a gateway")
	}
	return &teeTarget{family: c.Family, gateway: a, oif: oif, copying: new(bool)}, nil
}

// Bind shares the guard among all rules of the machine.
func (m *teeTarget) Bind(s *xtables.Shared) error {
	m.copying = m.Hold(s, "tee/busy", m.copying).(*bool)
	return nil
}

// Do follows Linux net/ipv4/netfilter/nf_dup_ipv4.c and its IPv6 twin: the copy
// must not be fragmented, and has made a hop if it came in.
func (m *teeTarget) Do(t *hook.Traversal) xtables.Code {
	if *m.copying {
		return xtables.Continue
	}
	c := *t.Pkt
	c.Data = append([]byte(nil), t.Pkt.Data...)
	if m.family == packet.IPv4 {
		c.SetFrag4(uint16(c.Data[6])<<8 | uint16(c.Data[7]) | 0x4000)
	}
	if t.Point == hook.Prerouting || t.Point == hook.Input {
		c.SetTTL(c.TTL() - 1)
	}
	var out *iface.Iface // also of a name that no interface has
	if m.oif != "" {
		out = t.Env.Ifaces.Name(m.oif)
	}
	*m.copying = true
	t.Env.Emit.Inject(t, &c, m.gateway, out)
	*m.copying = false
	return xtables.Continue
}

func (m *teeTarget) AppendArgs(b []byte) []byte {
	b = args.Addr(append(args.Name(b, false, "gateway"), ' '), m.family, m.gateway)
	if m.oif != "" {
		b = args.Word(args.Name(b, false, "oif"), m.oif)
	}
	return b
}
