package target

import (
	"slices"
	"strings"

	"weir/conntrack"
	"weir/helper"
	"weir/hook"
	"weir/xtables"
	"weir/xtables/args"
)

// CT is -j CT: says how connection tracking is to treat the packet.
func CT() xtables.TargetExt {
	return xtables.TargetExt{
		Name: "CT", Families: xtables.Both, Tables: []string{"raw"},
		Options: append(one("helper", "timeout", "ctevents", "expevents", "zone", "zone-orig", "zone-reply"),
			flags("notrack")...),
		Parse: parseCT,
		Doc:   "all options; --timeout takes policies of timeout.conf; helpers: ftp, tftp, irc, amanda, netbios-ns, sane, pptp, sip, snmp, snmp_trap, not those of H.323 (Q.931, RAS)",
	}
}

// Notrack is -j NOTRACK, the old form of -j CT --notrack.
func Notrack() xtables.TargetExt {
	return xtables.TargetExt{
		Name: "NOTRACK", Families: xtables.Both, Tables: []string{"raw"},
		Parse: func(*xtables.Context, []xtables.Given) (xtables.Target, error) {
			return &ctTarget{notrack: true, bare: true}, nil
		},
		Doc: "yes",
	}
}

type ctTarget struct {
	notrack bool
	bare    bool // NOTRACK: nothing to print
	tmpl    conntrack.Template
}

// eventNames are the events of connections by the bit that Linux gives them
// (enum ip_conntrack_events).
func eventNames() []string {
	return []string{"new", "related", "destroy", "reply", "assured", "protoinfo", "helper", "mark",
		"natseqinfo", "secmark"}
}

func expectEventNames() []string { return []string{"new"} }

func parseCT(c *xtables.Context, given []xtables.Given) (xtables.Target, error) {
	m := &ctTarget{}
	tm := &m.tmpl
	var err error
	for i := range given {
		g := &given[i]
		switch g.Name {
		case "notrack":
			m.notrack = true
		case "zone":
			err = m.zone(g, 0)
		case "zone-orig":
			err = m.zone(g, conntrack.ZoneOriginal)
		case "zone-reply":
			err = m.zone(g, conntrack.ZoneReply)
		case "ctevents":
			var mask uint16
			mask, err = events(g, eventNames())
			tm.EventMask = conntrack.EventMask(mask)
		case "expevents":
			var mask uint16
			mask, err = events(g, expectEventNames())
			tm.ExpectEventMask = conntrack.ExpectEventMask(mask)
		case "helper":
			tm.Helper = args.Text(g)
		case "timeout":
			tm.TimeoutPolicy = args.Text(g)
		}
		if err != nil {
			return nil, err
		}
	}
	if tm.ZoneDir == 0 {
		tm.ZoneDir = conntrack.ZoneBoth
	}
	if m.notrack {
		return m, nil // the kernel looks up neither name
	}
	if g := args.Find(given, "helper"); g != nil {
		tm.HelperID = helper.Find(c.Family, c.Proto, tm.Helper)
		if c.ProtoInvert || tm.HelperID == 0 {
			return nil, args.Errorf(g, "--helper: no helper %q for the protocol of this rule (-p)", tm.Helper)
		}
	}
	if g := args.Find(given, "timeout"); g != nil {
		i := slices.IndexFunc(c.Known.Timeouts, func(p conntrack.TimeoutPolicy) bool { return p.Name == tm.TimeoutPolicy })
		switch {
		case c.Proto == 0 || c.ProtoInvert:
			return nil, args.Errorf(g, "--timeout: the rule has to name a protocol (-p), without !")
		case i < 0:
			return nil, args.Errorf(g, "--timeout: no timeout policy %q (timeout.conf has them, as nfct list timeout prints them)", tm.TimeoutPolicy)
		case !c.Known.Timeouts[i].Fits(c.Family, c.Proto):
			return nil, args.Errorf(g, "--timeout: %q is for another family or protocol", tm.TimeoutPolicy)
		}
	}
	tm.Prepare()
	return m, nil
}

// zone reads a zone's number or "mark". Directions add up; "--zone" names
// none, which counts for both.
func (m *ctTarget) zone(g *xtables.Given, dir conntrack.ZoneDir) error {
	m.tmpl.ZoneDir |= dir
	if strings.EqualFold(args.Text(g), "mark") {
		m.tmpl.ZoneFromMark = true
		return nil
	}
	n, ok := args.Number(args.Text(g), 0, 65535)
	if !ok {
		return args.Bad(g, "a zone from 0 to 65535 or mark")
	}
	m.tmpl.ZoneID = uint16(n)
	return nil
}

func events(g *xtables.Given, known []string) (mask uint16, err error) {
	for _, w := range strings.Split(args.Text(g), ",") {
		n := args.Enum(w, known, args.Exact)
		if n < 0 {
			return 0, args.Errorf(g, "--%s: no event %q", g.Name, w)
		}
		mask |= 1 << n
	}
	return mask, nil
}

// NeedsConntrack: all of CT but --notrack.
func (m *ctTarget) NeedsConntrack() bool { return !m.notrack }

// Do leaves a packet alone that something is attached to already.
func (m *ctTarget) Do(t *hook.Traversal) xtables.Code {
	switch {
	case t.CT != (conntrack.Ref{}):
	case m.notrack:
		t.CT = conntrack.Ref{Info: conntrack.InfoUntracked}
	default:
		t.Template, t.CT = &m.tmpl, m.tmpl.Attach()
	}
	return xtables.Continue
}

func (m *ctTarget) AppendArgs(b []byte) []byte {
	if m.bare {
		return b
	}
	tm := &m.tmpl
	if m.notrack {
		b = args.Name(b, false, "notrack")
	}
	if tm.Helper != "" {
		b = args.Word(args.Name(b, false, "helper"), tm.Helper)
	}
	if tm.TimeoutPolicy != "" {
		b = args.Word(args.Name(b, false, "timeout"), tm.TimeoutPolicy)
	}
	b = appendEvents(b, "ctevents", uint16(tm.EventMask), eventNames())
	b = appendEvents(b, "expevents", uint16(tm.ExpectEventMask), expectEventNames())
	if !tm.ZoneFromMark && tm.ZoneID == 0 {
		return b
	}
	switch tm.ZoneDir {
	case conntrack.ZoneOriginal:
		b = args.Name(b, false, "zone-orig")
	case conntrack.ZoneReply:
		b = args.Name(b, false, "zone-reply")
	default:
		b = args.Name(b, false, "zone")
	}
	if tm.ZoneFromMark {
		return args.Word(b, "mark")
	}
	return args.Dec(b, uint64(tm.ZoneID))
}

func appendEvents(b []byte, name string, mask uint16, known []string) []byte {
	if mask == 0 {
		return b
	}
	b = args.Name(b, false, name)
	sep := byte(' ')
	for i, n := range known {
		if mask&(1<<i) != 0 {
			b, sep = append(append(b, sep), n...), ','
		}
	}
	return b
}
