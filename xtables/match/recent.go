package match

import (
	"errors"
	"math"
	"strconv"
	"strings"

	"weir/hook"
	"weir/packet"
	"weir/xtables"
	"weir/xtables/args"
)

// Recent is -m recent: addresses that were seen lately, in named lists.
func Recent() xtables.MatchExt {
	opt := func(n string, a xtables.Arity, noInvert bool) xtables.Option {
		return xtables.Option{Name: n, Args: a, NoInvert: noInvert}
	}
	return xtables.MatchExt{
		Name: "recent", Families: xtables.Both,
		Options: []xtables.Option{
			opt("set", xtables.NoArg, false), opt("rcheck", xtables.NoArg, false),
			opt("update", xtables.NoArg, false), opt("remove", xtables.NoArg, false),
			opt("seconds", xtables.OneArg, true), opt("reap", xtables.NoArg, true),
			opt("hitcount", xtables.OneArg, true), opt("rttl", xtables.NoArg, true),
			opt("name", xtables.OneArg, true), opt("rsource", xtables.NoArg, true),
			opt("rdest", xtables.NoArg, true), opt("mask", xtables.OneArg, true),
		},
		Parse: parseRecent,
		Doc:   "all options; lists of 100 addresses, as the kernel's default",
	}
}

type recentMatch struct {
	xtables.Use
	family            packet.Family
	op, name          string
	not               bool
	seconds, hits     uint32
	reap, ttl, byDest bool
	mask              packet.Addr
	list              *recentList
}

func recentOps() []string { return []string{"set", "rcheck", "update", "remove"} }

func parseRecent(c *xtables.Context, given []xtables.Given) (xtables.Match, error) {
	m := &recentMatch{family: c.Family, name: "DEFAULT", mask: args.MaskOf(packet.IPv6, 128)}
	if err := args.Need(given, recentOps()...); err != nil {
		return nil, err
	}
	if err := args.Apart(given, recentOps()...); err != nil {
		return nil, err
	}
	for i := range given {
		g := &given[i]
		var n uint64
		var err error
		switch g.Name {
		case "set", "rcheck", "update", "remove":
			m.op, m.not = g.Name, g.Invert
		case "seconds":
			n, err = args.Uint(g, 1, math.MaxUint32)
			m.seconds = uint32(n)
		case "hitcount":
			n, err = args.Uint(g, 0, math.MaxUint32)
			if m.hits = uint32(n); err == nil && m.hits > 65535 {
				err = args.Bad(g, "a number up to 65535")
			}
		case "reap":
			m.reap = true
		case "rttl":
			m.ttl = true
		case "name":
			if m.name = args.Text(g); m.name == "" || strings.Contains(m.name, "/") || m.name == "." || m.name == ".." || len(m.name) > 199 {
				err = args.Bad(g, "the name of a list")
			}
		case "rsource":
			m.byDest = false
		case "rdest":
			m.byDest = true
		case "mask":
			var ok bool
			if m.mask, ok = args.Address(c.Family, args.Text(g)); !ok {
				err = args.Bad(g, "a mask written as an address")
			}
		}
		if err != nil {
			return nil, err
		}
	}
	if m.reap && m.seconds == 0 {
		return nil, errors.New("--reap needs --seconds")
	}
	if (m.op == "set" || m.op == "remove") && (m.seconds != 0 || m.hits != 0 || m.ttl || m.reap) {
		return nil, errors.New("--seconds, --hitcount, --reap and --rttl go with --rcheck and --update")
	}
	m.list = newRecentList(m.mask)
	m.list.name = m.name
	m.list.room(m.hits)
	return m, nil
}

// Bind finds the list of that name, of either family, or makes it. The mask is
// that of the rule that made it. More hits than it has room for empties it, as
// in Linux.
func (m *recentMatch) Bind(s *xtables.Shared) error {
	l := m.Hold(s, "recent/"+m.name, m.list).(*recentList)
	if l != m.list {
		m.list = l
		m.list.room(m.hits)
	}
	return nil
}

// addr is what the list keeps the packet under.
func (m *recentMatch) addr(p *packet.Packet) recentKey {
	k := recentKey{p.Src(), m.family}
	if m.byDest {
		k.addr = p.Dst()
	}
	for i := range k.addr {
		k.addr[i] &= m.list.mask[i]
	}
	return k
}

// Match follows Linux net/netfilter/xt_recent.c.
func (m *recentMatch) Match(t *hook.Traversal) bool {
	a := m.addr(t.Pkt)
	ttl := t.Pkt.TTL()
	if t.Out != nil && !t.Local {
		ttl++ // as it was before this machine forwarded it
	}
	want := uint8(0)
	if m.ttl {
		want = ttl
	}
	tick := t.Now / nsPerTick
	e := m.list.find(a, want)
	if e == nil {
		if m.op != "set" {
			return m.not
		}
		m.list.add(a, ttl, tick)
		return !m.not
	}
	hit := m.not
	switch m.op {
	case "set":
		hit = !hit
	case "remove":
		m.list.remove(e)
		return !m.not
	default:
		since := tick - int64(m.seconds)*hz
		if m.count(e, since) {
			hit = !hit
		}
		if m.reap {
			m.list.reapOldest(since, e, m.op == "update" && hit)
		}
	}
	if m.op == "set" || m.op == "update" && hit {
		m.list.touch(e, tick)
		e.ttl = ttl
	}
	return hit
}

// count reports whether enough stamps are new enough.
func (m *recentMatch) count(e *recentEntry, since int64) bool {
	n := uint32(0)
	for _, s := range e.stamps {
		if m.seconds != 0 && since > s {
			continue
		}
		if n++; m.hits == 0 || n >= m.hits {
			return true
		}
	}
	return false
}

func (m *recentMatch) Explain(t *hook.Traversal) string {
	a := m.addr(t.Pkt)
	e := m.list.find(a, 0)
	if e == nil {
		return a.addr.IP(m.family).String() + " is not in the list"
	}
	return a.addr.IP(m.family).String() + " was seen " + dec(uint64(len(e.stamps))) + " times"
}

func (m *recentMatch) AppendArgs(b []byte) []byte {
	b = args.Name(b, m.not, m.op)
	if m.seconds != 0 {
		b = append(args.Name(b, false, "seconds"), ' ')
		b = strconv.AppendInt(b, int64(int32(m.seconds)), 10) // as iptables-save prints it
	}
	if m.reap {
		b = args.Name(b, false, "reap")
	}
	if m.hits != 0 {
		b = args.Dec(args.Name(b, false, "hitcount"), uint64(m.hits))
	}
	if m.ttl {
		b = args.Name(b, false, "rttl")
	}
	b = args.Word(args.Name(b, false, "name"), m.name)
	b = args.Addr(append(args.Name(b, false, "mask"), ' '), m.family, m.mask)
	if m.byDest {
		return args.Name(b, false, "rdest")
	}
	return args.Name(b, false, "rsource")
}
