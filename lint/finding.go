package lint

import (
	"cmp"
	"slices"
	"strings"

	"weir/conntrack"
	"weir/engine"
	"weir/hook"
	"weir/packet"
	"weir/trace"
	"weir/xtables"
)

// ID is the kind of a finding. It stays the same from version to version.
type ID string

// The kinds of findings; docs/lint.md has an example of each.
const (
	Shadowed      ID = "shadowed"            // earlier rules take all of its packets
	Duplicate     ID = "duplicate"           // the same rule stands before
	Impossible    ID = "impossible"          // no packet is what the rule asks for
	Unreached     ID = "unreached"           // no packet of this kind comes to the chain
	NotNew        ID = "nat-not-new"         // the table nat sees new connections only
	Unused        ID = "chain-unused"        // nothing leads to the chain
	Returns       ID = "jump-returns"        // the chain behind the jump does nothing
	NegatedNever  ID = "negation-never"      // the "!" leaves nothing
	NegatedAlways ID = "negation-always"     // the "!" leaves out nothing
	NegatedPair   ID = "negation-pair"       // two rules with "!" take everything
	NoEstablished ID = "established-missing" // connections are let in and then cut off
	Cut           ID = "established-late"    // likewise, since a rule stands before the one that lets them pass
	Far           ID = "established-far"     // every packet passes many rules first
)

// Finding is something that is wrong with a rule set.
type Finding struct {
	ID     ID     `json:"id"`
	Place         // where it is
	Family string `json:"family"` // ipv4 or ipv6
	Table  string `json:"table"`
	// Dead: it is proved that no packet matches the rule.
	Dead bool `json:"dead,omitempty"`
	// Reason is the finding in plain words.
	Reason string `json:"reason"`
	// By are other rules that have to do with it.
	By []Place `json:"by,omitempty"`
	// Packets show it; all of them were run.
	Packets []Witness `json:"packets,omitempty"`
}

// Place is a rule, or with Rule 0 a chain.
type Place struct {
	File  string `json:"file"`
	Line  int    `json:"line"`
	Col   int    `json:"column,omitempty"`
	Chain string `json:"chain"`
	Rule  int    `json:"rule,omitempty"` // from 1
	Text  string `json:"text,omitempty"` // as iptables-save prints it
}

// Witness is a packet that was run through the table of a finding.
type Witness struct {
	// Packet is a line for weir trace --packet.
	Packet string `json:"packet"`
	In     string `json:"in,omitempty"`
	Out    string `json:"out,omitempty"`
	Hook   string `json:"hook"`
	State  string `json:"ctstate"`
	Mark   uint32 `json:"mark,omitempty"`
	// Verdict is what the table decided, By the rule that did; without one
	// it was the policy.
	Verdict string `json:"verdict"`
	By      *Place `json:"by,omitempty"`
}

// linter looks at one table.
type linter struct {
	*table
	probe probe
	likes likes
	copy  *xtables.Table // to run packets through; nil if that is not possible
	place map[*xtables.Rule]Place
	found []Finding
}

// Check looks at every table of a rule set. The machine tells of interfaces,
// addresses and routes; its own rules and connections stay as they are.
func Check(rs *xtables.Ruleset, m *engine.Machine) []Finding {
	var all []Finding
	if rs == nil {
		return nil
	}
	for _, tb := range rs.Tables {
		l := &linter{table: analyze(tb, map[string]int{}), likes: likesOf(m, rs.Family), place: map[*xtables.Rule]Place{}}
		l.probe = probe{env: hook.Env{CT: conntrack.New(conntrack.Config{}), Routes: m.Routes(), Ifaces: m.Ifaces(), Rand: engine.NewRand(1)},
			shared: xtables.Shared{}}
		l.copy = l.probe.table(tb)
		for _, c := range tb.Chains {
			for i, r := range c.Rules {
				l.place[r] = Place{File: r.Pos.File, Line: r.Pos.Line, Col: r.Pos.Col, Chain: c.Name, Rule: i + 1,
					Text: strings.TrimPrefix(string(r.Append(nil)), " ")}
			}
		}
		l.unused()
		for _, c := range l.chains {
			if len(c.reach) == 0 {
				continue // the jumps that lead here are spoken of
			}
			l.rulesOf(c)
			l.pairs(c)
			l.duplicates(c)
		}
		l.returns()
		if tb.Name == "filter" {
			l.established()
		}
		for i := range l.found {
			l.found[i].Family, l.found[i].Table = rs.Family.String(), tb.Name
		}
		all = append(all, l.found...)
	}
	slices.SortStableFunc(all, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.ID, b.ID))
	})
	return all
}

// likesOf are values that a reader knows from the machine or the books.
func likesOf(m *engine.Machine, f packet.Family) (l likes) {
	addr := func(texts ...string) (vs []xtables.Value) {
		for _, t := range texts {
			vs = append(vs, addrValue(f, t))
		}
		return vs
	}
	remote, other := addr("198.51.100.9"), addr("203.0.113.9", "224.0.0.1", "255.255.255.255", "127.0.0.1")
	if f == packet.IPv6 {
		remote, other = addr("2001:db8:9::9"), addr("2001:db8:8::8", "ff02::1", "::1")
	}
	var local []xtables.Value
	for _, i := range m.Ifaces().All() {
		if i.Loopback {
			continue
		}
		l[xtables.FieldIn] = append(l[xtables.FieldIn], xtables.NameSpan(i.Name).Lo)
		l[xtables.FieldOut] = append([]xtables.Value{xtables.NameSpan(i.Name).Lo}, l[xtables.FieldOut]...)
		for _, a := range i.Addrs {
			if ip := a.Prefix.Addr(); packet.FamilyOf(ip) == f {
				local = append(local, xtables.AddrValue(f, packet.AddrOf(ip)))
			}
		}
	}
	lo := xtables.NameSpan("lo").Lo
	l[xtables.FieldIn], l[xtables.FieldOut] = append(l[xtables.FieldIn], lo), append(l[xtables.FieldOut], lo)
	l[xtables.FieldSrc] = append(append(remote, local...), other...)
	l[xtables.FieldDst] = append(append(slices.Clone(other[:1]), local...), other[1:]...)
	l[xtables.FieldSrcPort] = small(40000, 53, 700)
	l[xtables.FieldDstPort] = small(443, 22, 53)
	l[xtables.FieldTTL] = small(64)
	l[xtables.FieldICMP] = small(8 << 8)
	if f == packet.IPv6 {
		l[xtables.FieldICMP] = small(128 << 8)
	}
	l[xtables.FieldState] = small(uint64(conntrack.StateNew), uint64(conntrack.StateEstablished))
	l[xtables.FieldMark] = small(0)
	l[xtables.FieldNAT] = small(0)
	l[xtables.FieldLink] = small(0)
	l[xtables.FieldLength] = small(100, 1000)
	return l
}

// witness runs a packet and says what became of it.
func (l *linter) witness(at hook.Point, s *Sample) (w Witness, steps []trace.Step, ok bool) {
	if l.copy == nil {
		return w, nil, false
	}
	v, steps, ok := l.probe.run(l.copy, at, s, true)
	if !ok {
		return w, nil, false
	}
	w = Witness{Packet: s.Line(), In: s.In, Out: s.Out, Hook: at.String(), State: s.State.String(), Mark: s.Mark, Verdict: verdict(v)}
	if n := len(steps); n > 0 && steps[n-1].Kind == trace.KindRule {
		p := placeOf(&steps[n-1])
		w.By = &p
	}
	return w, steps, true
}

func verdict(v hook.Verdict) string {
	switch v {
	case hook.Accept:
		return "ACCEPT"
	case hook.Drop:
		return "DROP"
	}
	return "QUEUE"
}

func placeOf(s *trace.Step) Place {
	return Place{File: s.File, Line: s.Line, Chain: s.Chain, Rule: s.Rule, Text: s.Text}
}

// points lists a set.
func points(m hook.Mask) (ps []hook.Point) {
	for p := hook.Point(0); p < hook.NumPoints; p++ {
		if m.Has(p) {
			ps = append(ps, p)
		}
	}
	return ps
}

// IDs are all kinds of findings.
func IDs() []ID {
	return []ID{Shadowed, Duplicate, Impossible, Unreached, NotNew, Unused, Returns,
		NegatedNever, NegatedAlways, NegatedPair, NoEstablished, Cut, Far}
}
