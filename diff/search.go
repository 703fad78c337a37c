package diff

import (
	"net/netip"
	"slices"

	"weir/conntrack"
	"weir/engine"
	"weir/hook"
	"weir/iface"
	"weir/lint"
	"weir/packet"
	"weir/route"
	"weir/xtables"
)

// Subject is one of the two machines.
type Subject struct {
	Name   string
	Config engine.Config
	// Imagined: the machine was made up for the rules. Its routes and
	// addresses are then made to suit the packets.
	Imagined bool
}

// Difference is a packet that the two treat differently.
type Difference struct {
	// Packets are lines for weir trace --packet; all but the last fare alike.
	Packets []string `json:"packets"`
	A       Outcome  `json:"a"`
	B       Outcome  `json:"b"`
	// Setup is what a machine that was made up got for these packets: a way
	// to the destination, or that it is its own.
	Setup string `json:"setup,omitempty"`
}

// Found is what a search came to.
type Found struct {
	Differences []Difference
	// Same: the rules and the machines are the same, so there is nothing to
	// search.
	Same bool
	// Packets is how many were tried on both machines.
	Packets int
	// More: the search ended at its limit of differences.
	More bool
}

// Bounds of a search.
const (
	perRegion  = 40    // packets for a rule that is in one of the two only
	perMeeting = 16    // packets for two regions that meet
	meetings   = 3000  // pairs of regions
	marked     = 400   // pairs of a rule that marks and one that asks
	maxPackets = 30000 // packets in all
	maxWorlds  = 24    // sets of routes for a machine that is made up
)

// candidate is a packet to try.
type candidate struct {
	s    lint.Sample
	at   hook.Point
	goal int // packets with one goal: one difference among them is enough
}

// search is a search under way.
type search struct {
	a, b  Subject
	found *Found
	seen  map[string]bool
	met   map[int]bool
	limit int
	goals int
	queue []candidate
}

// Search looks for packets that the two treat differently, at most limit.
func Search(a, b Subject, limit int) (*Found, []error) {
	p, errs := newPair(a.Config, b.Config)
	if len(errs) > 0 {
		return nil, errs
	}
	s := &search{a: a, b: b, found: &Found{}, seen: map[string]bool{}, met: map[int]bool{}, limit: limit}
	same := a.Imagined && b.Imagined || sameMachine(&a.Config, &b.Config)
	for _, f := range []packet.Family{packet.IPv4, packet.IPv6} {
		ta, tb := a.Config.Rules4, b.Config.Rules4
		if f == packet.IPv6 {
			ta, tb = a.Config.Rules6, b.Config.Rules6
		}
		ra, _ := engine.ParseRules(f, ta)
		rb, _ := engine.ParseRules(f, tb)
		changed := changes(ra, rb)
		if changed.none() && same {
			continue
		}
		ma := lint.Regions(ra, nil)
		mb := lint.Regions(rb, ma)
		s.collect(p, f, ma, mb, changed)
		same = false
	}
	if same {
		s.found.Same = true
		return s.found, nil
	}
	s.run()
	return s.found, nil
}

// sameMachine reports the same interfaces, routes and settings.
func sameMachine(a, b *engine.Config) bool {
	if len(a.Ifaces) != len(b.Ifaces) || len(a.Routes) != len(b.Routes) || len(a.Sysctl) != len(b.Sysctl) || len(a.Listen) != len(b.Listen) {
		return false
	}
	for i := range a.Ifaces {
		x, y := a.Ifaces[i], b.Ifaces[i]
		if x.Name != y.Name || x.MTU != y.MTU || !slices.Equal(x.Addrs, y.Addrs) {
			return false
		}
	}
	for i := range a.Routes {
		x, y := a.Routes[i], b.Routes[i]
		if (x.Dev == nil) != (y.Dev == nil) || x.Dev != nil && x.Dev.Name != y.Dev.Name {
			return false
		}
		if x.Dev, y.Dev = nil, nil; x != y {
			return false
		}
	}
	for k, v := range a.Sysctl {
		if b.Sysctl[k] != v {
			return false
		}
	}
	return slices.Equal(a.Listen, b.Listen) && slices.Equal(a.Policy, b.Policy)
}

// novel is what is in one of two rule sets only.
type novel struct {
	rules    map[*xtables.Rule]bool
	policies map[string]bool // by table and chain
}

func (n *novel) none() bool { return len(n.rules)+len(n.policies) == 0 }

func (n *novel) has(g *lint.Region) bool {
	if g.Rule == nil {
		return n.policies[g.Table+" "+g.Chain]
	}
	return n.rules[g.Rule]
}

// changes finds the rules that are not in both, by text, and the policies that
// are others. The rules that are left of a chain stand in the same order in
// both.
func changes(a, b *xtables.Ruleset) *novel {
	out := &novel{map[*xtables.Rule]bool{}, map[string]bool{}}
	chain := func(rs *xtables.Ruleset, table, name string) *xtables.Chain {
		if t := rs.Table(table); t != nil {
			return t.Chain(name)
		}
		return nil
	}
	look := func(x, y *xtables.Ruleset) {
		for _, t := range x.Tables {
			for _, c := range t.Chains {
				o := chain(y, t.Name, c.Name)
				rules := []*xtables.Rule(nil)
				policy := hook.Accept
				if o != nil {
					rules, policy = o.Rules, o.Policy
				}
				if c.Builtin && c.Policy != policy {
					out.policies[t.Name+" "+c.Name] = true
				}
				mine, theirs := texts(c.Rules), texts(rules)
				i, n, m := 0, len(mine), len(theirs)
				for i < n && i < m && mine[i] == theirs[i] {
					i++
				}
				for n > i && m > i && mine[n-1] == theirs[m-1] {
					n, m = n-1, m-1
				}
				for ; i < n; i++ {
					out.rules[c.Rules[i]] = true
				}
			}
		}
	}
	look(a, b)
	look(b, a)
	return out
}

func texts(rules []*xtables.Rule) (list []string) {
	for _, r := range rules {
		list = append(list, string(r.Append(nil)))
	}
	return list
}

// collect draws packets from where the two rule sets may differ.
func (s *search) collect(p *pair, f packet.Family, ma, mb *lint.Map, changed *novel) {
	pal := lint.NewPalette(p.a, f)
	isNew := changed.has
	for _, m := range []*lint.Map{ma, mb} {
		for i := range m.Regions {
			if g := &m.Regions[i]; isNew(g) {
				s.draw(p, m, pal, g, nil, perRegion)
			}
		}
	}
	n := 0
	for _, m := range []*lint.Map{ma, mb} {
		for i := range m.Regions {
			g := &m.Regions[i]
			if !g.AsksMark() {
				continue
			}
			for k := range m.Regions {
				if o := &m.Regions[k]; o.Marks() && n < marked {
					n++
					s.draw(p, m, pal, g.Unmarked(), o.Elsewhere(g), perMeeting)
				}
			}
		}
	}
	n = 0
	for _, first := range []bool{true, false} {
		for i := range ma.Regions {
			g := &ma.Regions[i]
			if g.Decision == "" || n > meetings {
				continue
			}
			for k := range mb.Regions {
				o := &mb.Regions[k]
				if o.Table != g.Table || o.Decision == "" || o.Decision == g.Decision || (isNew(g) || isNew(o)) != first || n > meetings {
					continue
				}
				if !first && g.Chain == o.Chain && g.Sure && o.Sure {
					continue // in both, the one that stands first takes the packet
				}
				if !g.Meets(o) {
					continue
				}
				n++
				s.draw(p, ma, pal, g, o, perMeeting)
			}
		}
	}
	if changed.none() { // the machines differ
		for i := range ma.Regions {
			s.draw(p, ma, pal, &ma.Regions[i], nil, 4)
		}
	}
}

// draw makes packets of a region or of two.
func (s *search) draw(p *pair, m *lint.Map, pal *lint.Palette, g, o *lint.Region, count int) {
	s.goals++
	got := map[string]bool{}
	for _, at := range g.Points() {
		ins, outs := s.ways(p, at)
		for k := range 4 * count {
			// Half of the packets go through all ways first, half through
			// all values.
			n := k / 2
			in, out := ins[n%len(ins)], outs[n/len(ins)%len(outs)]
			v := n / (len(ins) * len(outs))
			if k%2 == 1 {
				v = n + n/len(ins)
			}
			x, ok := m.Draw(pal, g, o, at, in, out, s.dests(p, m.Family, at, out), v)
			if !ok && out != "" {
				// its own destination has another way
				x, ok = m.Draw(pal, g, o, at, in, "", nil, v)
			}
			if l := x.Line(); ok && !got[l] {
				got[l] = true
				s.queue = append(s.queue, candidate{x, at, s.goals})
			}
			if len(got) >= count {
				return
			}
		}
	}
}

// ways are the interfaces by which packets come to a point and leave it; empty
// where there is none, or any.
func (s *search) ways(p *pair, at hook.Point) (ins, outs []string) {
	for _, i := range p.a.Ifaces().All() {
		if !i.Loopback && p.b.Ifaces().Name(i.Name) != nil && len(ins) < 6 {
			ins = append(ins, i.Name)
		}
	}
	outs = append(append([]string(nil), ins...), "")
	slices.Reverse(outs)
	ins = append(ins, "")
	switch at {
	case hook.Output:
		return []string{""}, append(outs, "lo")
	case hook.Input, hook.Prerouting:
		return ins, []string{""}
	}
	return ins, outs
}

// dests are destinations for packets at a point that leave by an interface.
func (s *search) dests(p *pair, f packet.Family, at hook.Point, out string) (list []packet.Addr) {
	switch {
	case at == hook.Input || out == "lo":
		for _, i := range p.a.Ifaces().All() {
			for _, a := range i.Addrs {
				if ip := a.Prefix.Addr(); packet.FamilyOf(ip) == f && !ip.IsLoopback() {
					list = append(list, packet.AddrOf(ip))
				}
			}
		}
	case out != "":
		i := p.a.Ifaces().Name(out)
		for _, a := range i.Addrs {
			if ip := a.Prefix.Addr(); packet.FamilyOf(ip) == f {
				list = append(list, packet.AddrOf(ip.Next().Next()))
			}
		}
		for _, r := range s.a.Config.Routes {
			if r.Dev != nil && r.Dev.Name == out && r.To.Addr().Is4() == (f == packet.IPv4) {
				ip := r.To.Addr().Next()
				if r.To.Bits() == 0 {
					ip = netip.MustParseAddr(map[bool]string{true: "203.0.113.9", false: "2001:db8:9::9"}[f == packet.IPv4])
				}
				list = append(list, packet.AddrOf(ip))
			}
		}
	}
	return list
}

// world is routes and addresses that packets ask for.
type world struct {
	way  map[string]string // destination → interface by which it is reached; "" is here
	list []candidate
}

// run tries the packets, in worlds that suit them if the machines are made up.
func (s *search) run() {
	worlds := []*world{{way: map[string]string{}}}
	for _, c := range s.queue {
		if !s.a.Imagined {
			worlds[0].list = append(worlds[0].list, c)
			continue
		}
		dst, way := c.s.Dest(), c.s.Out
		if way == "lo" {
			way = ""
		}
		if c.at == hook.Prerouting {
			way = "-" // as it comes
		}
		for i := 0; i < maxWorlds; i++ {
			if i == len(worlds) {
				worlds = append(worlds, &world{way: map[string]string{}})
			}
			have, ok := worlds[i].way[dst]
			if ok && have != way && have != "-" && way != "-" {
				continue
			}
			if !ok || have == "-" {
				worlds[i].way[dst] = way
			}
			worlds[i].list = append(worlds[i].list, c)
			break
		}
	}
	for _, w := range worlds {
		a, b := s.a.Config, s.b.Config
		if s.a.Imagined {
			a, b = w.suit(a), w.suit(b)
		}
		p, errs := newPair(a, b)
		if len(errs) > 0 {
			continue
		}
		for _, c := range w.list {
			if s.met[c.goal] || s.found.Packets > maxPackets {
				continue
			}
			if len(s.found.Differences) >= s.limit {
				s.found.More = true
				return
			}
			s.try(p, w, c)
		}
	}
}

// suit adds the routes and addresses of a world to a machine.
func (w *world) suit(c engine.Config) engine.Config {
	c.Ifaces = slices.Clone(c.Ifaces)
	c.Routes = slices.Clone(c.Routes)
	var own []iface.Addr
	keys := make([]string, 0, len(w.way))
	for dst := range w.way {
		keys = append(keys, dst)
	}
	slices.Sort(keys)
	for _, dst := range keys {
		a, err := netip.ParseAddr(dst)
		if err != nil || a.IsLoopback() || a.IsMulticast() || a.IsUnspecified() {
			continue
		}
		to := netip.PrefixFrom(a, a.BitLen())
		if way := w.way[dst]; way == "" {
			own = append(own, iface.Addr{Prefix: to})
		} else if way != "-" {
			for _, i := range c.Ifaces {
				if i.Name == way {
					c.Routes = append(c.Routes, route.Route{To: to, Dev: i, Type: route.Unicast})
				}
			}
		}
	}
	if len(own) > 0 {
		last := *c.Ifaces[len(c.Ifaces)-1]
		last.Addrs = append(slices.Clone(last.Addrs), own...)
		for i := range c.Routes {
			if c.Routes[i].Dev == c.Ifaces[len(c.Ifaces)-1] {
				c.Routes[i].Dev = &last
			}
		}
		c.Ifaces[len(c.Ifaces)-1] = &last
	}
	return c
}

// try shows a packet to both, and makes sure of a difference with fresh
// machines that get nothing but the packets of its dialogue.
func (s *search) try(p *pair, w *world, c candidate) {
	for _, d := range dialogues(&c.s) {
		before := p.n
		lines, x, y, differ := p.play(d)
		s.found.Packets += p.n - before
		p.rest()
		if !differ {
			continue
		}
		one := &world{way: map[string]string{}}
		a, b := s.a.Config, s.b.Config
		if dst := c.s.Dest(); s.a.Imagined && w.way[dst] != "-" {
			one.way[dst] = w.way[dst]
			a, b = one.suit(a), one.suit(b)
		}
		if x, y, differ = again(a, b, lines); !differ {
			continue
		}
		if c.s.State != conntrack.StateEstablished || len(lines) == len(d) {
			s.met[c.goal] = true
		}
		key := x.Verdict + x.by() + "|" + y.Verdict + y.by()
		if s.seen[key] {
			return
		}
		s.seen[key] = true
		f := Difference{Packets: lines, A: x, B: y}
		for dst, way := range one.way {
			if f.Setup = dst + " is reached by " + way; way == "" {
				f.Setup = dst + " is this machine"
			}
		}
		s.found.Differences = append(s.found.Differences, f)
		return
	}
}
