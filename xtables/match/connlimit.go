package match

import (
	"math"

	"weir/conntrack"
	"weir/hook"
	"weir/packet"
	"weir/xtables"
	"weir/xtables/args"
)

// Connlimit is -m connlimit: how many connections an address or network has.
func Connlimit() xtables.MatchExt {
	return xtables.MatchExt{
		Name: "connlimit", Families: xtables.Both, NeedsConntrack: true,
		Options: []xtables.Option{
			{Name: "connlimit-above", Args: xtables.OneArg}, {Name: "connlimit-upto", Args: xtables.OneArg},
			{Name: "connlimit-mask", Args: xtables.OneArg, NoInvert: true},
			{Name: "connlimit-saddr", NoInvert: true}, {Name: "connlimit-daddr", NoInvert: true},
		},
		Parse: parseConnlimit,
		Doc:   "all options",
	}
}

type connlimitMatch struct {
	family packet.Family
	limit  uint32
	upto   bool
	byDest bool
	bits   int
	mask   packet.Addr
	lists  map[connlimitKey]*connList
}

// connlimitKey is a masked address with the zone of the packet.
type connlimitKey struct {
	addr packet.Addr
	zone uint16
}

func parseConnlimit(c *xtables.Context, given []xtables.Given) (xtables.Match, error) {
	m := &connlimitMatch{family: c.Family, bits: c.Family.Len() * 8, lists: make(map[connlimitKey]*connList)}
	if err := args.Need(given, "connlimit-above", "connlimit-upto"); err != nil {
		return nil, err
	}
	if err := args.Apart(given, "connlimit-above", "connlimit-upto"); err != nil {
		return nil, err
	}
	if err := args.Apart(given, "connlimit-saddr", "connlimit-daddr"); err != nil {
		return nil, err
	}
	for i := range given {
		g := &given[i]
		switch g.Name {
		case "connlimit-above", "connlimit-upto":
			n, err := args.Uint(g, 0, math.MaxUint32)
			if err != nil {
				return nil, err
			}
			m.limit, m.upto = uint32(n), (g.Name == "connlimit-upto") != g.Invert
		case "connlimit-mask":
			n, ok := args.PrefixLen(c.Family, args.Text(g))
			if !ok {
				return nil, args.Bad(g, "a mask or a prefix length")
			}
			m.bits = n
		case "connlimit-daddr":
			m.byDest = true
		}
	}
	m.mask = args.MaskOf(c.Family, m.bits)
	return m, nil
}

// flow is the tuple that the packet counts as: that of its connection, else
// its own.
func (m *connlimitMatch) flow(t *hook.Traversal) (tuple conntrack.Tuple, ok bool) {
	if c := t.CT.Conn; c != nil {
		return c.Tuple[conntrack.Original], true
	}
	return conntrack.TupleOf(t.Pkt, 0)
}

func (m *connlimitMatch) key(t *hook.Traversal, zone uint16) connlimitKey {
	a := t.Pkt.Src()
	if m.byDest {
		a = t.Pkt.Dst()
	}
	for i := range a {
		a[i] &= m.mask[i]
	}
	return connlimitKey{a, zone}
}

// Match follows Linux net/netfilter/xt_connlimit.c and nf_conncount.c.
func (m *connlimitMatch) Match(t *hook.Traversal) bool {
	tuple, ok := m.flow(t)
	if !ok {
		t.Hotdrop = true
		return false
	}
	k := m.key(t, tuple.Zone)
	l := m.lists[k]
	if l == nil {
		l = &connList{}
		m.lists[k] = l
		l.flows = append(l.flows, tuple)
	} else {
		l.count(t, &tuple)
		if len(l.flows) == 0 {
			// All are gone and the packet's own was not added, since it is
			// in the connection table already: Linux counts none and drops.
			delete(m.lists, k)
			t.Hotdrop = true
			return false
		}
	}
	return (len(l.flows) > int(m.limit)) != m.upto
}

func (m *connlimitMatch) Explain(t *hook.Traversal) string {
	tuple, ok := m.flow(t)
	if !ok {
		return "the packet has no flow to count"
	}
	if l := m.lists[m.key(t, tuple.Zone)]; l != nil {
		return dec(uint64(len(l.flows))) + " connections"
	}
	return "no connections"
}

func (m *connlimitMatch) AppendArgs(b []byte) []byte {
	name, side := "connlimit-above", "connlimit-saddr"
	if m.upto {
		name = "connlimit-upto"
	}
	if m.byDest {
		side = "connlimit-daddr"
	}
	b = args.Dec(args.Name(b, false, name), uint64(m.limit))
	b = args.Dec(args.Name(b, false, "connlimit-mask"), uint64(m.bits))
	return args.Name(b, false, side)
}

// connList is the flows that were counted for one key, oldest first.
type connList struct {
	flows    []conntrack.Tuple
	swept    bool
	lastTick int64 // when it was swept last
	lastLen  int   // how many there were then
}

// connSweep is how many dead flows a sweep removes before it stops.
const connSweep = 8

// count adds the packet's flow if it is new, and looks which others live on.
func (l *connList) count(t *hook.Traversal, tuple *conntrack.Tuple) {
	tick := t.Now / nsPerTick
	confirmed := t.CT.Conn != nil && t.CT.Conn.Has(conntrack.Confirmed)
	if confirmed || !l.swept || l.lastTick != tick || len(l.flows)-l.lastLen >= connSweep {
		if l.sweep(t, tuple, tick) {
			return
		}
	}
	l.flows = append(l.flows, *tuple)
}

// sweep removes flows that are gone or closed. It stops and reports true when
// it meets the packet's own among the living.
func (l *connList) sweep(t *hook.Traversal, own *conntrack.Tuple, tick int64) (found bool) {
	kept, removed := 0, 0
	for i := range l.flows {
		f := l.flows[i]
		if !found && removed <= connSweep {
			c, _ := t.Env.CT.Lookup(&f, t.Now)
			gone := c == nil
			if !gone && own != nil && f == *own {
				found = true
			} else if !gone && f.Proto == packet.TCP {
				s := c.TCP().State
				gone = s == conntrack.TCPTimeWait || s == conntrack.TCPClose
			}
			if gone {
				removed++
				continue
			}
		}
		l.flows[kept] = f
		kept++
	}
	l.flows = l.flows[:kept]
	if !found {
		l.swept, l.lastTick, l.lastLen = true, tick, kept
	}
	return found
}

// Keep goes on with the connections that were counted.
func (m *connlimitMatch) Keep(before xtables.Match) {
	if o, ok := before.(*connlimitMatch); ok {
		m.lists = o.lists
	}
}
