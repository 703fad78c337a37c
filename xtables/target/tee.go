package target

import (
	"weir/hook"
	"weir/packet"
	"weir/xtables"
	"weir/xtables/args"
)

// Tee is -j TEE: sends a copy of the packet to another host of the link.
func Tee() xtables.TargetExt {
	return xtables.TargetExt{
		Name: "TEE", Families: xtables.Both,
		Options: one("gateway", "oif"), Parse: parseTee,
		Doc: "partly: --gateway; --oif is refused",
	}
}

type teeTarget struct {
	xtables.Use
	family  packet.Family
	gateway packet.Addr
	// copying guards against copies of copies; one for all rules of a
	// machine, as Linux has one for a processor.
	copying *bool
}

func parseTee(c *xtables.Context, given []xtables.Given) (xtables.Target, error) {
	if err := args.Need(given, "gateway"); err != nil {
		return nil, err
	}
	if g := args.Find(given, "oif"); g != nil {
		return nil, args.Errorf(g, "--oif: weir sends a copy by its route only")
	}
	g := args.Find(given, "gateway")
	a, ok := args.Address(c.Family, args.Text(g))
	if !ok || a.IsZero() {
		return nil, args.Bad(g, "an address of a gateway")
	}
	return &teeTarget{family: c.Family, gateway: a, copying: new(bool)}, nil
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
	*m.copying = true
	t.Env.Emit.Inject(t, &c, m.gateway)
	*m.copying = false
	return xtables.Continue
}

func (m *teeTarget) AppendArgs(b []byte) []byte {
	return args.Addr(append(args.Name(b, false, "gateway"), ' '), m.family, m.gateway)
}
