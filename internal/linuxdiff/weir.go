package linuxdiff

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"weir/conntrack"
	"weir/engine"
	"weir/helper"
	"weir/hook"
	"weir/iface"
	"weir/internal/gen"
	"weir/internal/kernel"
	"weir/packet"
	"weir/route"
	"weir/socket"
)

// subject is weir as a machine of a case.
type subject struct {
	m      *engine.Machine
	steer  *steer
	jar    jar
	events []kernel.Event
	now    int64
	start  int64 // when it was made
	// ahead is how much further its time is than the kernel's, in ns; slack is
	// how many seconds timeouts may differ.
	ahead, slack int64
}

// newSubject builds weir's machine; also may change what the case says.
func newSubject(c *gen.Case, mode Mode, also ...func(*engine.Config)) (*subject, error) {
	s := &subject{steer: &steer{spare: engine.NewRand(c.Seed)}, slack: 1}
	cfg := engine.Config{
		Rules4: engine.Text{Name: "rules.v4", Text: []byte(c.Rules4)},
		Rules6: engine.Text{Name: "rules.v6", Text: []byte(c.Rules6)},
		Sets:   engine.Text{Name: "ipset.save", Text: []byte(c.Sets)}, Start: time.Now().UnixNano(),
		Accounts: engine.Text{Name: "nfacct.list", Text: []byte(c.Accounts)},
		Sysctl:   maps.Clone(c.Machine.Sysctl),
		Seed:     c.Seed, Rand: s.steer,
	}
	s.start = cfg.Start
	for _, f := range also {
		f(&cfg)
	}
	mode.set(&cfg)
	// The socket by which the kernel machine sends takes packets, too.
	const raw = 255
	cfg.Listen = append(cfg.Listen, socket.Socket{Proto: raw, V4: true, V6: true})
	// What the kernel machine is set to beside what the case says.
	for k, v := range map[string]string{
		"net.ipv4.ip_forward": "1", "net.ipv6.conf.all.forwarding": "1",
		"net.netfilter.nf_conntrack_acct": "1",
		// Settings of the whole Linux, not of a namespace; in ticks.
		"net.ipv4.route.error_cost": "250", "net.ipv4.route.error_burst": "1250",
	} {
		if _, ok := cfg.Sysctl[k]; !ok {
			cfg.Sysctl[k] = v
		}
	}
	byName := map[string]*iface.Iface{}
	for n, i := range c.Machine.Ifaces {
		f := &iface.Iface{Index: n + 2, Name: i.Name, MTU: i.MTU}
		for _, a := range i.Addrs {
			f.Addrs = append(f.Addrs, iface.Addr{Prefix: a, Broadcast: broadcast(a), Secondary: secondary(f.Addrs, a)})
		}
		byName[i.Name] = f
		cfg.Ifaces = append(cfg.Ifaces, f)
	}
	types := map[string]route.Type{
		"": route.Unicast, "blackhole": route.Blackhole, "unreachable": route.Unreachable, "prohibit": route.Prohibit,
	}
	for _, r := range c.Machine.Routes {
		cfg.Routes = append(cfg.Routes, route.Route{To: r.To, Via: r.Via, Dev: byName[r.Dev], Type: types[r.Type]})
	}
	return s, s.open(cfg)
}

// open makes the machine and listens to its events.
func (s *subject) open(cfg engine.Config) error {
	s.jar.made = map[hook.Ends][]baked{}
	if cfg.Cookies == nil {
		cfg.Cookies = &s.jar
	}
	m, errs := engine.New(cfg)
	if len(errs) > 0 {
		return fmt.Errorf("weir refuses the machine: %w", errors.Join(errs...))
	}
	s.m = m
	s.steer.taken = func(w *wanted) bool {
		answer := tupleFor(w.answer)
		c, _ := m.Conntrack().Lookup(&answer, s.now)
		return c != nil && c.Tuple[conntrack.Original] != tupleFor(w.orig)
	}
	m.Conntrack().OnEvent(func(e conntrack.Event) {
		entry := entryOf(&e.Conn, e.Time)
		if e.HasCounters {
			entry.Counters = countersOf(&e.Counters)
		}
		entry.Helper = e.Helper
		if e.Master.L3 != 0 {
			entry.Master = tupleOf(&e.Master)
			entry.Master.Zone = 0
		}
		s.events = append(s.events, kernel.Event{Type: kernel.EventType(e.Kind), Entry: entry})
	})
	m.Conntrack().OnExpect(func(e conntrack.ExpectEvent) {
		typ := kernel.ExpectNew
		if e.Kind == conntrack.EventDestroy {
			typ = kernel.ExpectDestroy
		}
		s.events = append(s.events, kernel.Event{Type: typ, Expect: expectOf(&e.Expect, &e.Master, e.Helper, e.Left)})
	})
	return nil
}

// expects is weir's expectations.
func (s *subject) expects() (list []kernel.Expect) {
	tb := s.m.Conntrack()
	tb.EachExpect(func(e *conntrack.Expect) bool {
		master := tb.ByID(e.Master)
		list = append(list, expectOf(e, &master.Tuple[conntrack.Original], tb.HelperName(e.Helper), e.Left(s.now)))
		return true
	})
	return list
}

// expectOf is an expectation in the words of the kernel's messages.
func expectOf(e *conntrack.Expect, master *conntrack.Tuple, name string, left int64) kernel.Expect {
	t := e.Tuple
	t.Zone = 0
	mask := conntrack.Tuple{Src: e.SrcMask, SrcL4: e.SrcL4Mask, DstL4: 0xffff, Proto: t.Proto, L3: t.L3}
	for i := range t.L3.Len() {
		mask.Dst[i] = 0xff
	}
	m := *master
	m.Zone = 0
	x := kernel.Expect{
		Tuple: tupleOf(&t), Mask: tupleOf(&mask), Master: tupleOf(&m), Timeout: uint32(left / 1e9),
		Flags: uint32(e.Flags), Class: uint32(e.Class), Helper: name, Fn: helper.FnName(e.Fn), // Linux does not tell the zone
	}
	if e.SavedL4 != 0 || e.SavedAddr != (packet.Addr{}) {
		x.NATDir = uint32(e.Dir)
		x.NAT = tupleOf(&conntrack.Tuple{Src: e.SavedAddr, SrcL4: e.SavedL4, Proto: master.Proto, L3: master.L3})
	}
	return x
}

// broadcast is the broadcast address that the kernel gets with an address.
func broadcast(p netip.Prefix) netip.Addr {
	if !p.Addr().Is4() || p.Bits() > 30 {
		return netip.Addr{}
	}
	b := p.Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom4(b)
}

// secondary says that an IPv4 subnet has an address already.
func secondary(have []iface.Addr, p netip.Prefix) bool {
	for _, a := range have {
		if p.Addr().Is4() && a.Prefix.Masked() == p.Masked() {
			return true
		}
	}
	return false
}

// run gives weir one packet.
func (s *subject) run(p gen.Packet, now int64) engine.Result {
	s.now = max(s.now, now)
	s.events = s.events[:0]
	data := append([]byte(nil), p.Data...)
	if p.In == gen.Local {
		return s.m.Send(data, nil, s.now)
	}
	return s.m.Receive(s.m.Ifaces().Name(p.In), packet.Link{}, data, s.now)
}

// dump is weir's connection table.
func (s *subject) dump() (list []kernel.Entry) {
	tb := s.m.Conntrack()
	tb.Each(s.now, func(c *conntrack.Conn) bool {
		e := entryOf(c, s.now)
		if n := tb.Counters(c); n != nil {
			e.Counters = countersOf(n)
		}
		e.Helper = tb.HelperName(tb.Helper(c))
		if m := tb.ByID(tb.Master(c)); m != nil {
			e.Master = tupleOf(&m.Tuple[conntrack.Original])
			e.Master.Zone = 0
		}
		list = append(list, e)
		return true
	})
	return list
}

// entryOf is a connection in the words of the kernel's messages.
func entryOf(c *conntrack.Conn, now int64) kernel.Entry {
	e := kernel.Entry{
		Orig: tupleOf(&c.Tuple[conntrack.Original]), Reply: tupleOf(&c.Tuple[conntrack.Reply]),
		Status: uint32(c.Status), Mark: c.Mark, Timeout: uint32(c.Expires(now) / 1e9),
	}
	if e.Orig.Zone == e.Reply.Zone {
		e.Zone, e.Orig.Zone, e.Reply.Zone = e.Orig.Zone, 0, 0
	}
	if t := c.TCP(); t != nil {
		e.State = uint8(t.State)
		for d := range t.Side {
			e.WScale[d], e.Flags[d] = t.Side[d].Scale, uint8(t.Side[d].Flags)
		}
	}
	if t := c.SCTP(); t != nil {
		e.State = uint8(t.State)
	}
	return e
}

func tupleOf(t *conntrack.Tuple) kernel.Tuple {
	return kernel.Tuple{
		Src: t.Src.IP(t.L3), Dst: t.Dst.IP(t.L3), Proto: t.Proto,
		SrcPort: t.SrcL4, DstPort: t.DstL4, Zone: t.Zone,
	}
}

// tupleFor is tupleOf the other way.
func tupleFor(t kernel.Tuple) conntrack.Tuple {
	l3 := packet.IPv4
	if t.Src.Is6() {
		l3 = packet.IPv6
	}
	return conntrack.Tuple{
		Src: packet.AddrOf(t.Src), Dst: packet.AddrOf(t.Dst), Proto: t.Proto, L3: l3,
		SrcL4: t.SrcPort, DstL4: t.DstPort, Zone: t.Zone,
	}
}

func countersOf(c *[2]conntrack.Counter) [2]kernel.Counter {
	return [2]kernel.Counter{kernel.Counter(c[0]), kernel.Counter(c[1])}
}

// steer is weir's source of random choices: what the kernel chose, where that
// is known and possible, else a seeded one.
type steer struct {
	// wanted are the ports and ids that the kernel chose for this packet's new
	// connections, in order: of the destination, of the source.
	wanted [2][]wanted
	// ended are the answers' tuples of connections that the packet ended: a
	// search may have evicted them.
	ended []kernel.Tuple
	// taken reports an answer's tuple that another connection of weir's has.
	taken func(w *wanted) bool
	// more asks for new connections of which no event told; nil when it was
	// asked already.
	more  func() []kernel.Entry
	spare *engine.Rand
	// asked at all: the kernel then may have tried others first. guessed: weir
	// may have, too.
	asked, guessed bool
	// blind: weir guessed for the packet at hand.
	blind bool
	draws []draw
}

// draw is a number that was taken at random.
type draw struct{ value, lo, hi uint32 }

// wanted is a port or id that the kernel chose, and the answer's tuple that it
// stands in when it is searched.
type wanted struct {
	port         uint16
	orig, answer kernel.Tuple
}

// follow takes the kernel's choices from the events of a packet.
func (s *steer) follow(events []kernel.Event) {
	s.wanted[0], s.wanted[1], s.blind = s.wanted[0][:0], s.wanted[1][:0], false
	s.ended = s.ended[:0]
	for _, e := range events {
		if e.Type == kernel.EventDestroy {
			s.ended = append(s.ended, e.Entry.Reply)
		}
		if e.Type == kernel.ExpectNew {
			s.wanted[0] = append(s.wanted[0], wanted{port: e.Expect.Tuple.DstPort})
			continue
		}
		if e.Type != kernel.EventNew {
			continue
		}
		s.want(&e.Entry)
	}
}

func (s *steer) want(e *kernel.Entry) {
	to, from := e.Reply.SrcPort, e.Reply.DstPort
	if p := e.Orig.Proto; p == packet.ICMP || p == packet.ICMPv6 {
		from = e.Reply.SrcPort // the id, of both sides
	}
	orig, reply := e.Orig, e.Reply
	if e.Zone != 0 {
		orig.Zone, reply.Zone = e.Zone, e.Zone
	}
	// The destination is searched while the source is what it was.
	first := reply
	first.Dst, first.DstPort = orig.Src, orig.SrcPort
	if to == from && reply.Dst == orig.Src && e.Status&uint32(conntrack.SrcNAT) != 0 {
		// Both sides searched an id, and the first one's is not to be seen.
		to = ^from
	}
	s.wanted[0] = append(s.wanted[0], wanted{to, orig, first})
	s.wanted[1] = append(s.wanted[1], wanted{from, orig, reply})
}

// Uint32 implements hook.Rand.
func (s *steer) Uint32() uint32 { return s.spare.Uint32() }

// PortOffset implements hook.Rand. A wanted port outside the range is not
// taken: the difference shows that weir searches elsewhere than Linux.
func (s *steer) PortOffset(lo, size uint32, source bool) uint32 {
	off := s.portOffset(lo, size, source)
	s.draws = append(s.draws, draw{lo + off, lo, lo + size - 1})
	return off
}

func (s *steer) portOffset(lo, size uint32, source bool) uint32 {
	s.asked = true
	side := &s.wanted[0]
	if source {
		side = &s.wanted[1]
	}
	if len(*side) == 0 && s.more != nil {
		for _, e := range s.more() {
			s.want(&e)
		}
		s.more = nil
	}
	for i, w := range *side {
		at := uint32(w.port) - lo
		if uint32(w.port) < lo || at >= size {
			continue
		}
		*side = append((*side)[:i:i], (*side)[i+1:]...)
		if size < 16 && s.taken != nil && s.taken(&w) && !slices.Contains(s.ended, w.answer) {
			// None was free: this is where the search gave up.
			return (at + 1) % size
		}
		return at
	}
	s.guessed, s.blind = true, true
	return s.spare.PortOffset(lo, size, source)
}
