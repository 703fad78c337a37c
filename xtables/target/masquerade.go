package target

import (
	"weir/hook"
	"weir/nat"
	"weir/xtables"
	"weir/xtables/args"
)

// Masquerade is -j MASQUERADE: new connections leave with an address of the
// interface by which they go.
func Masquerade() xtables.TargetExt {
	return xtables.TargetExt{
		Name: "MASQUERADE", Families: xtables.Both, Tables: []string{"nat"}, NeedsConntrack: true,
		Points:  hook.MaskOf(hook.Postrouting),
		Options: append(append(one("to-ports"), flags("random", "random-fully")...), beyond("mapping", "filtering")...),
		Parse: func(c *xtables.Context, given []xtables.Given) (xtables.Target, error) {
			rest, mapping, err := cutMapping(given)
			if err != nil {
				return nil, err
			}
			r, err := parsePortsOnly(c, rest)
			r.BasePort = 0 // the kernel's structure has no room for it
			if err == nil {
				err = readMapping(c, mapping, rest, &r)
			}
			return &masqueradeTarget{r}, err
		},
		Doc: "all options; of its own, off unless asked: `--mapping`, `--filtering`",
	}
}

// Redirect is -j REDIRECT: new connections go to this machine.
func Redirect() xtables.TargetExt {
	return xtables.TargetExt{
		Name: "REDIRECT", Families: xtables.Both, Tables: []string{"nat"}, NeedsConntrack: true,
		Points:  hook.MaskOf(hook.Prerouting, hook.Output),
		Options: append(one("to-ports"), flags("random")...),
		Parse: func(c *xtables.Context, given []xtables.Given) (xtables.Target, error) {
			r, err := parsePortsOnly(c, given)
			if err == nil && r.Flags&nat.ProtoOffset != 0 {
				err = args.Errorf(args.Find(given, "to-ports"), "--to-ports: REDIRECT takes no base port")
			}
			return &redirectTarget{r}, err
		},
		Doc: "all options",
	}
}

func parsePortsOnly(c *xtables.Context, given []xtables.Given) (r nat.Range, err error) {
	for i := range given {
		g := &given[i]
		if g.Name != "to-ports" {
			r.Flags |= randomFlag(g.Name)
			continue
		}
		if err = portsAllowed(c); err != nil {
			return r, args.Errorf(g, "--to-ports: %v", err)
		}
		if err = readPorts(g, args.Text(g), &r); err != nil {
			return r, err
		}
	}
	return r, nil
}

func appendPortsOnly(b []byte, r *nat.Range) []byte {
	if r.Flags&nat.ProtoSpecified != 0 {
		b = appendPorts(append(args.Name(b, false, "to-ports"), ' '), r)
	}
	return appendFlags(b, r)
}

type masqueradeTarget struct{ r nat.Range }

func (m *masqueradeTarget) Do(t *hook.Traversal) xtables.Code {
	return verdict(t, nat.Masquerade(t, &m.r))
}

func (m *masqueradeTarget) AppendArgs(b []byte) []byte {
	return appendMapping(appendPortsOnly(b, &m.r), &m.r)
}

type redirectTarget struct{ r nat.Range }

func (m *redirectTarget) Do(t *hook.Traversal) xtables.Code { return verdict(t, nat.Redirect(t, &m.r)) }

func (m *redirectTarget) AppendArgs(b []byte) []byte { return appendPortsOnly(b, &m.r) }
