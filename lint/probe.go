package lint

import (
	"weir/conntrack"
	"weir/hook"
	"weir/iface"
	"weir/packet"
	"weir/scenario/line"
	"weir/trace"
	"weir/xtables"
)

// probe runs packets through single tables. Targets decide as they would, but
// nothing is sent, translated or logged.
type probe struct {
	env    hook.Env
	shared xtables.Shared
	rec    trace.Recorder
	bad    bool // the rules could not be set up: no packet is run
}

// dry stands for the target of a rule.
type dry struct {
	t xtables.Target
	effect
	name string
}

// Do decides.
func (d *dry) Do(t *hook.Traversal) xtables.Code {
	switch d.name {
	case "MARK", "HMARK", "TOS", "DSCP", "TTL", "HL", "CLASSIFY", "CT", "NOTRACK", "CONNMARK":
		return d.t.Do(t)
	case "NFQUEUE":
		return xtables.Queue
	}
	switch {
	case d.ends && d.accepts:
		return xtables.Accept
	case d.ends:
		t.Why = hook.ReasonReject
		return xtables.Drop
	}
	return xtables.Continue
}

// AppendArgs is the target's.
func (d *dry) AppendArgs(b []byte) []byte { return d.t.AppendArgs(b) }

// rehearse copies a rule with a target that only decides.
func rehearse(r *xtables.Rule) *xtables.Rule {
	c := *r
	if c.Target.Kind == xtables.KindExt {
		c.Target = xtables.RuleTarget{Kind: xtables.KindExt, Name: r.Target.Name, Pos: r.Target.Pos,
			Target: &dry{r.Target.Target, effectOf(&r.Target), r.Target.Name}}
	}
	return &c
}

// table is a copy of a table to run packets through; nil if there is none.
func (p *probe) table(tb *xtables.Table) *xtables.Table {
	chains := make([]*xtables.Chain, len(tb.Chains))
	for i, c := range tb.Chains {
		n := &xtables.Chain{Name: c.Name, Pos: c.Pos, Builtin: c.Builtin, Point: c.Point, Policy: c.Policy}
		for _, r := range c.Rules {
			n.Rules = append(n.Rules, rehearse(r))
		}
		chains[i] = n
	}
	return p.ready(tb.Name, tb.Family, chains)
}

// alone is a table that accepts what the rule matches and drops the rest.
func (p *probe) alone(tb *xtables.Table, r *xtables.Rule) *xtables.Table {
	c := *r
	c.Target = xtables.RuleTarget{Kind: xtables.KindAccept, Name: "ACCEPT"}
	chains := xtables.Builtins(tb.Name)
	for _, ch := range chains {
		ch.Policy, ch.Rules = hook.Drop, []*xtables.Rule{&c}
	}
	return p.ready(tb.Name, tb.Family, chains)
}

func (p *probe) ready(name string, f packet.Family, chains []*xtables.Chain) *xtables.Table {
	t, errs := xtables.NewTable(name, f, chains)
	if len(errs) > 0 {
		return nil
	}
	rs := &xtables.Ruleset{Family: f, Tables: []*xtables.Table{t}}
	if len(rs.Bind(&p.shared)) > 0 {
		return nil
	}
	t.SwapCounters(nil)
	return t
}

// run shows a packet to a table at a point. The steps are valid until the next
// call.
func (p *probe) run(tb *xtables.Table, at hook.Point, s *Sample, traced bool) (v hook.Verdict, steps []trace.Step, ok bool) {
	l, err := line.Parse(s.Line())
	if err != nil || len(l.Data) != 1 {
		return 0, nil, false
	}
	var pkt packet.Packet
	pkt.Link = l.Link
	if packet.Parse(l.Data[0], &pkt) != nil {
		return 0, nil, false
	}
	t := hook.Traversal{Pkt: &pkt, Env: &p.env, Point: at, Now: 1767225600_000000000, Mark: s.Mark,
		In: p.iface(s.In), Out: p.iface(s.Out), Local: s.In == "", CT: connection(&pkt, s)}
	if p.rec.Reset(); traced {
		t.Trace = &p.rec
	}
	v = tb.Walk(&t)
	return v, p.rec.Steps, true
}

// iface is the machine's interface, or one that exists for this packet.
func (p *probe) iface(name string) *iface.Iface {
	if name == "" {
		return nil
	}
	if i := p.env.Ifaces.Name(name); i != nil {
		return i
	}
	return &iface.Iface{Index: 9999, Name: name, MTU: 1500}
}

// connection is what connection tracking would have found.
func connection(p *packet.Packet, s *Sample) conntrack.Ref {
	var info conntrack.Info
	var status conntrack.Status
	switch s.State {
	case conntrack.StateUntracked:
		return conntrack.Ref{Info: conntrack.InfoUntracked}
	case conntrack.StateNew:
		info = conntrack.InfoNew
	case conntrack.StateRelated:
		info, status = conntrack.InfoRelated, conntrack.Expected
	case conntrack.StateEstablished:
		info, status = conntrack.InfoEstablished, conntrack.Confirmed|conntrack.SeenReply|conntrack.Assured
	default:
		return conntrack.Ref{}
	}
	if s.NAT&1 != 0 {
		status |= conntrack.SrcNAT
	}
	if s.NAT&2 != 0 {
		status |= conntrack.DstNAT
	}
	c := &conntrack.Conn{Status: status}
	t := conntrack.Tuple{Src: p.Src(), Dst: p.Dst(), Proto: p.Proto, L3: p.Family}
	if h := p.Payload(); len(h) >= 4 && p.FragOff == 0 {
		t.SrcL4, t.DstL4 = uint16(h[0])<<8|uint16(h[1]), uint16(h[2])<<8|uint16(h[3])
	}
	c.Tuple[0] = t
	t.Src, t.Dst, t.SrcL4, t.DstL4 = t.Dst, t.Src, t.DstL4, t.SrcL4
	c.Tuple[1] = t
	return conntrack.Ref{Conn: c, Info: info}
}
