package engine

import (
	"weir/conntrack"
	"weir/conntrack/show"
	"weir/conntrack/verbs"
	"weir/helper"
	"weir/hook"
	"weir/iface"
	"weir/ipset"
	ipsettext "weir/ipset/text"
	"weir/nfacct"
	"weir/osf"
	"weir/packet"
	"weir/route"
	"weir/router"
	"weir/socket"
	"weir/synproxy"
	"weir/xtables"
	"weir/xtables/save"
	"weir/xtables/std"
)

// Config describes a machine. The zero value is a machine with lo alone.
type Config struct {
	// Ifaces are the interfaces; lo is added if it is not among them.
	Ifaces []*iface.Iface
	// Routes beside those that follow from the interfaces' addresses, or
	// with Complete4 and Complete6 all of them.
	Routes               []route.Route
	Complete4, Complete6 bool
	// Policy is the policy rules; a family without any has those of a fresh
	// system.
	Policy []route.Rule
	// Rules4 and Rules6 are texts as iptables-save and ip6tables-save write
	// them; empty tables and ACCEPT without.
	Rules4, Rules6 Text
	// Sets is a text as "ipset save" writes it: the sets that rules may name.
	Sets Text
	// Connections is a saved state (conntrack/verbs.LoadState): connections that
	// are there from the beginning. Labels is a connlabel.conf, the names of
	// labels in it.
	Connections, Labels Text
	// Timeouts is a text as "nfct list timeout" writes it: the timeout policies
	// that rules may name.
	Timeouts Text
	// Accounts is a text as "nfacct list" writes it: the accounting objects
	// that rules may name.
	Accounts Text
	// Fingerprints is a text as pf.os, for rules with -m osf.
	Fingerprints Text
	// Proc is state of rules that have a name, as files of /proc/net show it,
	// and Jiffies what the tick counter stood at when they were read; 0 takes
	// the newest time in them.
	Proc    []ProcFile
	Jiffies int64
	// Users and Groups are the numbers of names for -m owner; nil is those
	// that are the same on every Debian.
	Users, Groups map[string]uint32
	// Sysctl holds settings by dotted names; see docs/support.md for those
	// that are known.
	Sysctl map[string]string
	// Start is when the sets and the saved state are loaded, in ns: timeouts run
	// from then on. 0 lets them begin with the first packet.
	Start int64
	// Listen are the sockets that take what is delivered to them.
	Listen socket.List
	// Sockets, if set, is asked instead of Listen.
	Sockets socket.Finder
	// Handover: the machine's own stack is somebody else's. What is delivered
	// leaves as an Output by lo, and nothing here answers it; what that stack
	// sends comes in by Depart.
	Handover bool
	// Seed of every random choice. The hash of the connection table is
	// keyed by it too: give a secret one where strangers send packets.
	Seed uint64
	// Rand, if set, replaces the seeded source.
	Rand hook.Rand
	// Cookies, if set, replaces those that the SYN proxy makes from the seed.
	Cookies hook.Cookies
	// Forgetful walks every packet through the tables, also where the
	// outcome of the connection's earlier packets would do: the reference
	// against which remembering is tested.
	Forgetful bool
	// Interpret walks chains rule by rule: the reference against which the
	// classification of long chains is tested.
	Interpret bool
	// Setup, if set, has the last word in New: what it says is wrong is an
	// error of the configuration.
	Setup func(*Machine) []error
	// Idle is told when a timer of -j IDLETIMER ran out, and when it did: with
	// the next packet or Tick. Nil for nobody.
	Idle func(t *xtables.IdleTimer, at int64)
	// Queues are those of -j NFQUEUE to which somebody listens; see SetQueue. A
	// packet for another goes on if its rule has --queue-bypass, else it is
	// dropped.
	Queues map[uint16]hook.QueueSpec
	// Log takes what rules log, beside Result.Logs; nil for nobody.
	Log hook.Logger
}

// Text is a rule text and the name by which errors call it.
type Text struct {
	Name string
	Text []byte
}

// New builds a machine, or says everything that is wrong with the
// configuration; errors with a place are *xtables.Error.
func New(c Config) (*Machine, []error) {
	m := &Machine{interpret: c.Interpret}
	var ifs []*iface.Iface
	if !hasLoopback(c.Ifaces) {
		ifs = append(ifs, route.Loopback())
	}
	ifs = append(ifs, c.Ifaces...)
	set := iface.NewSet(ifs...)
	ct, errs := conntrackConfig(c.Sysctl)
	rc, err := router.FromSysctl(c.Sysctl, set)
	if err != nil {
		errs = append(errs, err)
	}
	rc.Handover = c.Handover
	sockets := c.Sockets
	if sockets == nil {
		sockets = c.Listen
	}
	random := c.Rand
	if random == nil {
		random = NewRand(c.Seed)
	}
	key := NewRand(c.Seed ^ 0x7765697200000000)
	for i := range ct.HashKey {
		ct.HashKey[i] = uint64(key.Uint32())<<32 | uint64(key.Uint32())
	}
	m.routing = route.Options{Rules: c.Policy, Complete4: c.Complete4, Complete6: c.Complete6, Anycast6: rc.Forward6}
	m.sink.log, m.idle = c.Log, c.Idle
	m.env = hook.Env{
		CT:      conntrack.New(ct),
		Routes:  route.New(set, c.Routes, m.routing),
		Ifaces:  set,
		Sockets: sockets,
		Rand:    random,
		Log:     &m.sink,
		Cookies: c.Cookies,
	}
	if m.env.Cookies == nil {
		m.env.Cookies = synproxy.NewCookies(key.Uint32)
	}
	m.lane.ct = m.env.CT.Lane()
	m.shared.Sets = ipset.New(key.Uint32)
	m.shared.HashSeed = NewRand(c.Seed ^ 0x7175657565000000).Uint32()
	if line, col, msg := ipsettext.Load(m.shared.Sets, c.Sets.Text, c.Start); line > 0 {
		errs = append(errs, &xtables.Error{Pos: xtables.Pos{File: c.Sets.Name, Line: line, Col: col}, Msg: msg})
	}
	m.known = xtables.Known{Labels: show.ParseLabels(c.Labels.Text), Users: c.Users, Groups: c.Groups}
	var line, col int
	var msg string
	if m.known.Accounts, line, col, msg = nfacct.Load(c.Accounts.Text); line > 0 {
		errs = append(errs, &xtables.Error{Pos: xtables.Pos{File: c.Accounts.Name, Line: line, Col: col}, Msg: msg})
	}
	if m.known.Timeouts, line, col, msg = conntrack.ParsePolicies(c.Timeouts.Text); line > 0 {
		errs = append(errs, &xtables.Error{Pos: xtables.Pos{File: c.Timeouts.Name, Line: line, Col: col}, Msg: msg})
	}
	if m.known.Fingerprints, line, msg = osf.Parse(c.Fingerprints.Text); line > 0 {
		errs = append(errs, &xtables.Error{Pos: xtables.Pos{File: c.Fingerprints.Name, Line: line, Col: 1}, Msg: msg})
	}
	for _, p := range m.known.Timeouts {
		m.env.CT.AddTimeoutPolicy(p)
	}
	m.unclocked = c.Start == 0
	m.helpers = helper.New()
	m.env.CT.SetHelpers(m.helpers.List())
	for _, f := range []packet.Family{packet.IPv4, packet.IPv6} {
		text := c.Rules4
		if f == packet.IPv6 {
			text = c.Rules6
		}
		rules, es := m.ParseRules(f, text)
		errs = append(errs, es...)
		if len(es) == 0 {
			errs = append(errs, m.SetRules(rules)...)
		}
	}
	if len(errs) == 0 {
		errs = append(errs, m.loadProc(c.Proc, c.Start, c.Jiffies)...)
		if m.unclocked {
			m.later = func(now int64) { m.loadProc(c.Proc, now, c.Jiffies) }
		}
	}
	for _, e := range verbs.LoadState(m.Commands(), c.Connections.Text, m.known.Labels, c.Start) {
		errs = append(errs, &xtables.Error{Pos: xtables.Pos{File: c.Connections.Name, Line: e.Line, Col: e.Col}, Msg: e.Msg})
	}
	if len(errs) > 0 {
		return nil, errs
	}
	m.pipe = m.pipeline()
	m.router = router.New(rc, &m.env, m.pipe, &m.sink)
	m.router.OnLearned(m.forget)
	for num, s := range c.Queues {
		m.SetQueue(num, &s)
	}
	m.memory.on = !c.Forgetful
	if c.Setup != nil {
		if errs := c.Setup(m); len(errs) > 0 {
			return nil, errs
		}
	}
	m.ready = true
	return m, nil
}

// Commands is what the commands of conntrack(8) work on (conntrack/verbs). Who
// runs them has the machine for itself meanwhile: see Do.
func (m *Machine) Commands() verbs.Machine {
	return verbs.Machine{Table: m.env.CT, Rand: m.env.Rand, Helper: func(name string, t *conntrack.Tuple) (conntrack.HelperID, bool) {
		id := helper.Find(t.L3, t.Proto, name)
		return id, id != 0
	}}
}

// ParseRules reads a rule text with all the extensions that weir has. An
// absent text gives an empty rule set. Counters in the text are not taken
// over, as with iptables-restore without -c. Rules that name a set are refused;
// Machine.ParseRules knows the sets of a machine.
func ParseRules(f packet.Family, text Text) (*xtables.Ruleset, []error) {
	return parseRules(f, text, nil, xtables.Known{})
}

// ParseRules is the function of that name for rules that may name the
// machine's sets and what else it has.
func (m *Machine) ParseRules(f packet.Family, text Text) (*xtables.Ruleset, []error) {
	return parseRules(f, text, m.shared.Sets, m.known)
}

// ParseSets reads a text of ipset save into sets that may replace the machine's;
// their timeouts run from now on.
func (m *Machine) ParseSets(text Text, now int64) (*ipset.Sets, []error) {
	sets := ipset.New(m.shared.Sets.Rand)
	if line, col, msg := ipsettext.Load(sets, text.Text, now); line > 0 {
		return nil, []error{&xtables.Error{Pos: xtables.Pos{File: text.Name, Line: line, Col: col}, Msg: msg}}
	}
	return sets, nil
}

// SetSets replaces the sets for rules that are parsed and set from now on, and
// returns those before, which the rules that are there go on to use.
func (m *Machine) SetSets(sets *ipset.Sets) (before *ipset.Sets) {
	before, m.shared.Sets = m.shared.Sets, sets
	return before
}

func parseRules(f packet.Family, text Text, sets *ipset.Sets, known xtables.Known) (*xtables.Ruleset, []error) {
	if text.Text == nil {
		return &xtables.Ruleset{Family: f}, nil
	}
	list := std.List()
	list.Sets, list.Known = sets, known
	file, errs := save.Parse(text.Name, text.Text, f, list)
	if len(errs) > 0 {
		return nil, errs
	}
	for _, t := range file.Rules.Tables {
		t.SwapCounters(nil)
	}
	file.Rules.Compile(false)
	return file.Rules, nil
}

// SetRules swaps the rule set of its family whole, between packets. The
// machine owns it from then on; connections stay, and so does the state of
// rules that both sets have (limit, quota, connlimit, statistic) and of what has
// a name (hashlimit, recent). A rule set of ParseRules, which may come from
// another goroutine, is swapped in without looking at its rules one by one.
func (m *Machine) SetRules(rs *xtables.Ruleset) []error {
	if errs := rs.Bind(&m.shared); len(errs) > 0 {
		return errs
	}
	if m.interpret {
		rs.Interpret()
	}
	m.forget()
	s := &m.sides[0]
	if rs.Family == packet.IPv6 {
		s = &m.sides[1]
	}
	rs.Keep(s.rules)
	if s.rules != rs {
		s.rules.Unbind()
	}
	// Once switched on by a rule, tracking stays, since connections may live.
	tracked := s.tracked || rs.NeedsConntrack()
	*s = side{
		rules: rs, tracked: tracked, defrags: tracked || s.defrags || rs.NeedsDefrag(),
		raw: rs.Table("raw"), mangle: rs.Table("mangle"), nat: rs.Table("nat"),
		filter: rs.Table("filter"), security: rs.Table("security"),
	}
	return nil
}

func hasLoopback(list []*iface.Iface) bool {
	for _, i := range list {
		if i.Loopback {
			return true
		}
	}
	return false
}
