package target

import (
	"weir/hook"
	"weir/xtables"
	"weir/xtables/args"
)

// TTL is -j TTL: changes the time to live of an IPv4 packet.
func TTL() xtables.TargetExt { return ttlExt("TTL", "ttl", xtables.V4) }

// HL is -j HL: changes the hop limit of an IPv6 packet.
func HL() xtables.TargetExt { return ttlExt("HL", "hl", xtables.V6) }

func ttlExt(name, prefix string, fs xtables.Families) xtables.TargetExt {
	return xtables.TargetExt{
		Name: name, Families: fs, Tables: []string{"mangle"},
		Options: one(prefix+"-set", prefix+"-inc", prefix+"-dec"),
		Parse: func(_ *xtables.Context, given []xtables.Given) (xtables.Target, error) {
			return parseTTL(prefix, given)
		},
		Doc: "all options",
	}
}

type ttlTarget struct {
	option string
	set    bool
	add    int // the value to set, or what to add
}

func parseTTL(prefix string, given []xtables.Given) (xtables.Target, error) {
	names := []string{prefix + "-set", prefix + "-inc", prefix + "-dec"}
	if err := args.Need(given, names...); err != nil {
		return nil, err
	}
	if err := args.Apart(given, names...); err != nil {
		return nil, err
	}
	g := &given[0]
	m := &ttlTarget{option: g.Name, set: g.Name == names[0]}
	lo := uint64(1)
	if m.set {
		lo = 0
	}
	n, err := args.Uint(g, lo, 255)
	m.add = int(n)
	if g.Name == names[2] {
		m.add = -m.add
	}
	return m, err
}

func (m *ttlTarget) Do(t *hook.Traversal) xtables.Code {
	v := m.add
	if !m.set {
		v += int(t.Pkt.TTL())
	}
	if v = min(max(v, 0), 255); v != int(t.Pkt.TTL()) {
		t.Pkt.SetTTL(uint8(v))
	}
	return xtables.Continue
}

func (m *ttlTarget) AppendArgs(b []byte) []byte {
	return args.Dec(args.Name(b, false, m.option), uint64(max(m.add, -m.add)))
}
