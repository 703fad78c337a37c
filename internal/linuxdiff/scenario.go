package linuxdiff

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"weir/engine"
	"weir/iface"
	"weir/internal/kernel"
	"weir/machine"
	"weir/packet"
	"weir/replay"
	"weir/route"
	"weir/scenario"
)

// asleep is the longest step of a scenario's clock that the kernel is waited
// for. Longer ones move the timeouts of its connections only.
const asleep = 4 * time.Second

// scene plays a scenario file through the kernel and through weir, packet by
// packet, and writes down what the kernel did.
type scene struct {
	f *scenario.File
	k *kernel.Kernel
	w *subject
	// rules of each family as the kernel has them: chain → targets.
	rules [2]map[string]*chain
	// tables that the file names, by family.
	named [2]map[string]bool

	out   scenario.Writer
	conns scenario.Numbers
	// late is how far the wall clock got ahead of the file's.
	late  time.Duration
	frags [2][]uint32 // identifications that the machine chose, in order, by family
}

// chain is what a walk through it can name.
type chain struct {
	policy  string // "-" for a user's
	targets []string
	skip    int // rules in front that the file has not
}

// record runs a scenario through Linux. It returns what became of the packets
// as the section want has it, and the first difference to weir.
func record(f *scenario.File) (want string, diff *Difference, s *scene, err error) {
	s = &scene{f: f}
	rules := [2]string{string(f.Machine.Rules4.Text), string(f.Machine.Rules6.Text)}
	for i := range rules {
		s.named[i] = map[string]bool{}
		for l := range strings.Lines(rules[i]) {
			if name, ok := strings.CutPrefix(l, "*"); ok {
				s.named[i][strings.TrimSpace(name)] = true
			}
		}
	}
	tracked, err := s.tracked()
	if err != nil {
		return "", nil, nil, err
	}
	for i := range rules {
		if s.used(i) {
			rules[i] = traced(rules[i], s.named[i], tracked[i])
		}
	}
	cfg, err := kernelConfig(f)
	if err != nil {
		return "", nil, nil, err
	}
	cfg.Sets, cfg.Rules4, cfg.Rules6 = string(f.Machine.IPSets.Text), rules[0], rules[1]
	if s.k, err = kernel.New(cfg); err != nil {
		return "", nil, nil, err
	}
	defer s.k.Close()
	for i := range rules {
		if !s.used(i) {
			continue
		}
		text, err := s.k.Save(i == 1)
		if err != nil {
			return "", nil, nil, err
		}
		s.rules[i] = chains(text, tracked[i])
	}
	ec := replay.Config(f.Machine, 1)
	for i, t := range []*[]byte{&ec.Rules4.Text, &ec.Rules6.Text} {
		if rules[i] != "" {
			*t = []byte(rules[i])
		}
	}
	s.w = &subject{steer: &steer{spare: newSpare()}, slack: 1}
	ec.Rand = s.w.steer
	if err := s.w.open(ec); err != nil {
		return "", nil, nil, err
	}
	s.w.m.Trace(true)
	want, diff, err = s.play()
	return want, diff, s, err
}

// used says whether a family has rules or packets.
func (s *scene) used(family int) bool {
	if len(s.named[family]) > 0 {
		return true
	}
	src := s.f.Packets
	for it := (replay.Item{}); src.Next(&it) == nil; {
		if len(it.Data) > 0 && (it.Data[0]>>4 == 6) == (family == 1) {
			return true
		}
	}
	return false
}

// tracked says for which families the rules switch connection tracking on.
func (s *scene) tracked() (on [2]bool, err error) {
	m, errs := engine.New(replay.Config(s.f.Machine, 1))
	if len(errs) > 0 {
		return on, errors.Join(errs...)
	}
	for i, f := range []packet.Family{packet.IPv4, packet.IPv6} {
		on[i] = m.Rules(f) != nil && m.Rules(f).NeedsConntrack()
	}
	return on, nil
}

// states in the order of the rules that ask for them.
var states = []string{"INVALID", "NEW", "ESTABLISHED", "RELATED", "UNTRACKED"}

// traced adds what lets the kernel tell its walk: TRACE in raw, and in front
// of mangle, where connection tracking is on, a rule for each state, which does
// nothing but match.
func traced(text string, named map[string]bool, tracked bool) string {
	raw := "-A PREROUTING -j TRACE\n-A OUTPUT -j TRACE\n"
	mangle := ""
	if tracked {
		for _, chain := range []string{"PREROUTING", "OUTPUT"} {
			for _, s := range states {
				mangle += "-A " + chain + " -m conntrack --ctstate " + s + "\n"
			}
		}
	}
	if !named["mangle"] {
		text = "*mangle\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\nCOMMIT\n" + text
	}
	if !named["raw"] {
		text = "*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n" + text
	}
	return inFront(inFront(text, "*raw", raw), "*mangle", mangle)
}

// inFront puts rules before those of a table.
func inFront(text, table, rules string) string {
	var b strings.Builder
	in := false
	for l := range strings.Lines(text) {
		if in && !strings.HasPrefix(l, ":") && strings.TrimSpace(l) != "" {
			b.WriteString(rules)
			in = false
		}
		in = in || strings.TrimSpace(l) == table
		b.WriteString(l)
	}
	return b.String()
}

// chains reads what iptables-save prints. The rules that traced put in front
// are there.
func chains(text string, tracked bool) map[string]*chain {
	m := map[string]*chain{}
	table := ""
	for l := range strings.Lines(text) {
		w := strings.Fields(l)
		switch {
		case len(w) == 0:
		case w[0][0] == '*':
			table = w[0][1:]
		case w[0][0] == ':' && len(w) > 1:
			m[table+":"+w[0][1:]] = &chain{policy: w[1]}
		case w[0][0] == '[' && len(w) > 2:
			c := m[table+":"+w[2]]
			target := "CONTINUE"
			for i := 3; i+1 < len(w); i++ {
				if w[i] == "-j" || w[i] == "-g" {
					target = w[i+1]
				}
			}
			c.targets = append(c.targets, target)
		}
	}
	for name, n := range hidden(tracked) {
		m[name].skip = n
	}
	return m
}

// hidden is how many rules traced put in front of the chains.
func hidden(tracked bool) map[string]int {
	m := map[string]int{"raw:PREROUTING": 1, "raw:OUTPUT": 1}
	if tracked {
		m["mangle:PREROUTING"], m["mangle:OUTPUT"] = len(states), len(states)
	}
	return m
}

// readOnly are one value of the whole system, which a namespace cannot set.
var readOnly = []string{"net.netfilter.nf_conntrack_max", "net.nf_conntrack_max", "net.netfilter.nf_conntrack_buckets", "net.netfilter.nf_conntrack_expect_max"}

// kernelConfig is the machine of a scenario for the kernel.
func kernelConfig(f *scenario.File) (kernel.Config, error) {
	m := f.Machine
	c := kernel.Config{Sysctl: maps.Clone(m.Sysctl), Named: true, Trace: true, Fingerprints: string(m.Fingerprints.Text)}
	for _, k := range readOnly {
		if _, ok := c.Sysctl[k]; ok {
			return c, fmt.Errorf("%s is one value of the whole system", k)
		}
	}
	if _, ok := c.Sysctl["net.netfilter.nf_conntrack_acct"]; !ok {
		c.Sysctl["net.netfilter.nf_conntrack_acct"] = "0"
	}
	ether := map[string]bool{}
	src := f.Packets
	for it := (replay.Item{}); src.Next(&it) == nil; {
		if it.Link.HasMAC || it.Link.Type != packet.ToHost {
			ether[it.In] = true
		}
	}
	for _, i := range m.Ifaces {
		if i.Loopback {
			continue
		}
		k := kernel.Iface{Name: i.Name, MTU: i.MTU, MAC: i.MAC}
		if ether[i.Name] && k.MAC == [6]byte{} {
			return c, fmt.Errorf("interface %s needs a mac: its packets come in frames", i.Name)
		}
		for _, a := range i.Addrs {
			k.Addrs = append(k.Addrs, a.Prefix)
		}
		c.Ifaces = append(c.Ifaces, k)
	}
	types := map[route.Type]string{
		route.Unicast: "", route.Blackhole: "blackhole", route.Unreachable: "unreachable", route.Prohibit: "prohibit",
		route.Throw: "throw", route.Local: "local", route.Broadcast: "broadcast", route.Multicast: "multicast",
	}
	for _, r := range m.Routes {
		t, ok := types[r.Type]
		if !ok {
			return c, fmt.Errorf("route to %s: type %v is not known here", r.To, r.Type)
		}
		k := kernel.Route{To: r.To, Via: r.Via, Type: t, Src: r.Src, Metric: int(r.Metric), MTU: int(r.MTU)}
		if r.Table != route.TableMain && r.Table != route.TableLocal {
			k.Table = r.Table
		}
		if r.Dev != nil {
			k.Dev = r.Dev.Name
		}
		c.Routes = append(c.Routes, k)
	}
	for _, l := range m.Listen {
		a := l.Addr
		if !a.IsValid() {
			a = netip.IPv6Unspecified()
		}
		c.Listen = append(c.Listen, kernel.Socket{TCP: l.Proto == packet.TCP, Addr: netip.AddrPortFrom(a, l.Port),
			Peer: l.Peer, Transparent: l.Transparent, Mark: l.Mark, Dev: l.Dev})
	}
	for _, r := range m.Policy {
		if line := policyLine(&r); line != nil {
			c.Policy = append(c.Policy, line)
		}
	}
	return c, nil
}

// policyLine is a policy rule as ip rule add takes it; nil if it is there anyway.
func policyLine(r *route.Rule) []string {
	for _, own := range route.FreshRules(r.Family) {
		if *r == own {
			return nil
		}
	}
	w := []string{"-4"}
	if r.Family == packet.IPv6 {
		w[0] = "-6"
	}
	if r.Not {
		w = append(w, "not")
	}
	add := func(on bool, name, value string) {
		if on {
			w = append(w, name, value)
		}
	}
	add(true, "priority", strconv.Itoa(r.Priority))
	add(r.From.IsValid(), "from", r.From.String())
	add(r.To.IsValid(), "to", r.To.String())
	add(r.In != "", "iif", r.In)
	add(r.Out != "", "oif", r.Out)
	add(r.Mask != 0, "fwmark", fmt.Sprintf("%#x/%#x", r.Mark, r.Mask))
	add(r.TOS != 0, "tos", fmt.Sprintf("%#x", r.TOS))
	add(r.Type == route.Unicast, "table", strconv.Itoa(r.Table))
	for name, t := range map[string]route.Type{"blackhole": route.Blackhole, "unreachable": route.Unreachable, "prohibit": route.Prohibit} {
		if r.Type == t {
			w = append(w, name)
		}
	}
	return w
}

// play runs the packets and compares the tables at the end.
func (s *scene) play() (string, *Difference, error) {
	before, err := s.k.Stats()
	if err != nil {
		return "", nil, err
	}
	var first *Difference
	differ := func(n int, d *Difference) {
		if d != nil && first == nil {
			d.Packet = n
			first = d
		}
	}
	src := s.f.Packets
	last, wall := int64(0), time.Now()
	var it replay.Item
	n := 0
	for ; src.Next(&it) == nil; n++ {
		if last == 0 {
			last = it.Time
		}
		if step := time.Duration(it.Time - last); step > asleep {
			if err := s.k.Advance(step, nil); err != nil {
				return "", nil, err
			}
		} else {
			wall = wall.Add(step)
			time.Sleep(time.Until(wall))
		}
		s.slip(wall)
		last = it.Time
		d, err := s.packet(&it)
		if err != nil {
			return "", nil, fmt.Errorf("packet %d: %w", it.N, err)
		}
		differ(n, d)
	}
	s.w.now = max(s.w.now, last)
	s.slip(wall)
	entries, err := s.k.Dump()
	if err != nil {
		return "", nil, err
	}
	differ(n, sameTable(entries, s.w.dump(), s.w.slack))
	after, err := s.k.Stats()
	if err != nil {
		return "", nil, err
	}
	differ(n, sameStats(before, after, s.w.m.Conntrack().Stats(), s.w.steer))
	if err := s.tables(func(d *Difference) { differ(n, d) }); err != nil {
		return "", nil, err
	}
	return s.out.String(), first, nil
}

// slip notes how far the wall clock is behind its time: timeouts are less by it.
func (s *scene) slip(wall time.Time) {
	s.late = max(s.late, time.Since(wall))
	s.w.slack = 1 + int64(s.late/time.Second)
}

// tables writes the connections and the counters.
func (s *scene) tables(differ func(*Difference)) error {
	var list []string
	for i, family := range []string{"ipv4", "ipv6"} {
		if !s.used(i) {
			continue
		}
		text, err := s.k.Conntrack("-L", "-f", family)
		if err != nil {
			return err
		}
		for l := range strings.Lines(text) {
			list = append(list, strings.TrimRight(use.ReplaceAllString(l, "use=1"), " \n"))
		}
	}
	s.out.Connections(list)
	for i, f := range []packet.Family{packet.IPv4, packet.IPv6} {
		if !s.used(i) {
			continue
		}
		text, err := s.k.Save(i == 1)
		if err != nil {
			return err
		}
		differ(sameCounters([]string{"counters4", "counters6"}[i], text, s.w.counters(f)))
		s.out.Rules(f, s.shown(i, text))
	}
	return nil
}

// packet gives one to both and writes what the kernel did.
func (s *scene) packet(it *replay.Item) (*Difference, error) {
	was, err := s.k.SNMP()
	if err != nil {
		return nil, err
	}
	// Timers that ran out are no event of this packet, whoever notices.
	over := s.w.dump()
	late := s.w.tick(it.Time)
	for _, e := range s.w.dump() {
		over = slices.DeleteFunc(over, func(o kernel.Entry) bool { return o.Orig == e.Orig && o.Zone == e.Zone })
	}
	expired := func(e kernel.Event) bool {
		return e.Type == kernel.EventDestroy && slices.ContainsFunc(over, func(o kernel.Entry) bool {
			return o.Orig == e.Entry.Orig && o.Reply == e.Entry.Reply
		})
	}
	if it.In == machine.Local {
		numbered(it)
	}
	pending, err := s.k.Pending()
	if err != nil {
		return nil, err
	}
	var res kernel.Result
	dev := s.f.Machine.Iface(it.In)
	switch {
	case it.In == machine.Local:
		res, err = s.k.SendLocal(it.Data, 0)
	case dev.MAC != [6]byte{}:
		res, err = s.k.InjectFrame(it.In, frameTo(dev, it.Link.Type), it.Link.Src, it.Data)
	default:
		res, err = s.k.Inject(it.In, it.Data)
	}
	if err != nil {
		return nil, err
	}
	is, err := s.k.SNMP()
	if err != nil {
		return nil, err
	}
	// What timers sent counts for the packet after them, and is no part of its walk.
	res.Out = append(pending.Out, res.Out...)
	res.Events = slices.DeleteFunc(append(pending.Events, res.Events...), expired)
	data := slices.Clone(it.Data)
	s.w.follow(data, &res)
	s.w.steer.more = nil
	s.w.events = s.w.events[:0]
	got := s.w.receive(it, slices.Clone(it.Data))
	s.w.events = slices.DeleteFunc(s.w.events, expired)
	var d *Difference
	if !(res.Refused != nil && !errors.Is(res.Refused, syscall.EPERM) && len(res.Trace) == 0) {
		got.Out = append(late, got.Out...)
		d = packetDifference(data, &res, &got, s.w, true)
	}
	s.write(it, data, &res, &got, func(name string) int { return int(is[name] - was[name]) })
	return d, nil
}

// numbered gives a local IPv4 packet an identification, if it has none: else
// the kernel chooses one.
func numbered(it *replay.Item) {
	d := slices.Clone(it.Data)
	if len(d) < 20 || d[0]>>4 != 4 || d[4]|d[5] != 0 {
		return
	}
	n := min(int(d[0]&15)*4, len(d))
	d[4], d[5], d[10], d[11] = 0x77, byte(it.N), 0, 0
	binary.BigEndian.PutUint16(d[10:], packet.IPv4HeaderChecksum(d[:n]))
	it.Data = d
}

// frameTo is where a frame goes that a device sees in one of four ways.
func frameTo(i *iface.Iface, t packet.LinkType) [6]byte {
	switch t {
	case packet.ToBroadcast:
		return [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	case packet.ToMulticast:
		return [6]byte{0x01, 0x00, 0x5e, 0, 0, 1}
	case packet.ToOther:
		return [6]byte{2, 0, 0, 0, 0, 0x99}
	}
	return i.MAC
}
