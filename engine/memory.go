package engine

import (
	"slices"

	"weir/conntrack"
	"weir/hook"
	"weir/iface"
	"weir/nat"
	"weir/packet"
	"weir/route"
	"weir/xtables"
)

// What the tables, the routes and NAT decide for the packets of an established
// connection mostly hangs on nothing that differs from packet to packet. The
// machine walks once, remembers the outcome for the connection's direction,
// and spares later packets the walk: connection tracking still judges each of
// them, NAT still rewrites each, and every rule's counter stays exact.
//
// An outcome is remembered when each test that was made is of the steady kind
// (xtables.Steady), no target other than a verdict or a jump ran, and the
// packet was forwarded whole. It holds as long as the rules, the routes, the
// connection's status and mark, the packet's interface and its TOS byte are
// the same.

// path is a remembered outcome. Connections with the same one share it.
type path struct {
	pathKey
	translated bool
	walked     []hook.MemoStep
}

// paths is the paths that hold now, by number.
type paths struct {
	list []path
	base uint32 // number of the path before the first; no number is used twice
}

// pathKey is what a path holds for, and where it leads.
type pathKey struct {
	in, out *iface.Iface
	mtu     int
	steps   uint64 // hash of the walk
	status  conntrack.Status
	cares   conntrack.Status // bits of status that count
	mark    uint32
	tos     uint8
	via     packet.Addr // next hop, zero if it is the destination
	info    conntrack.Info
	nat     bool // there is a nat table
}

// maxPaths bounds the paths; beyond it all are forgotten and learned anew.
const maxPaths = 1 << 16

// memory is the paths of a machine.
type memory struct {
	on    bool
	paths paths
	index map[pathKey]uint32
	memo  hook.Memo
	// judged: connection tracking has looked at the packet already, and this
	// is what it said.
	judged  bool
	verdict conntrack.Outcome
}

// steadyProto is the protocols of which every packet has a tuple of its own and
// a header that NAT can always rewrite once its tracker has accepted it.
func steadyProto(proto uint8) bool {
	switch proto {
	case packet.TCP, packet.UDP, packet.UDPLite, packet.SCTP:
		return true
	}
	return false
}

// recall tries to carry the packet by its connection's remembered path. It
// returns false when the packet has to be walked, perhaps to learn the path.
func (m *Machine) recall() bool {
	t, p := &m.t, &m.pkt
	y := &m.memory
	hdr := 40
	if p.Family == packet.IPv4 {
		hdr = 20
	}
	if !y.on || t.Trace != nil || p.L4 != hdr || p.More || p.TTL() <= 1 || p.Link.Type != packet.ToHost ||
		!steadyProto(p.Proto) || !m.of(t).tracked || t.In.Loopback {
		return false
	}
	c, d := m.env.CT.Find(p, t.Now)
	if c == nil {
		return false
	}
	i := c.Path[d] - y.paths.base - 1
	if i >= uint32(len(y.paths.list)) {
		t.Memo = y.memo.Reset()
		return false
	}
	w := &y.paths.list[i]
	if w.in != t.In || w.status != c.Status&w.cares || w.mark != c.Mark || w.tos != p.TOS() || p.Wire() > w.mtu {
		t.Memo = y.memo.Reset()
		return false
	}
	y.verdict = m.env.CT.TrackFound(p, c, d, &t.CT, t.Now)
	if !y.verdict.OK || t.CT.Conn != c || t.CT.Info != w.info || c.Status&w.cares != w.status {
		y.judged = true
		return false
	}
	m.logInvalid(t)
	m.lane.begin(&y.paths)
	n := &m.lane.tally[i]
	n.packets++
	n.bytes += uint64(len(p.Data))
	if w.translated {
		nat.Packet(t, nat.Destination)
	}
	p.SetTTL(p.TTL() - 1)
	t.Out, t.Route.Gateway = w.out, w.via
	if w.translated {
		nat.Packet(t, nat.Source)
	}
	m.env.CT.Confirm(&t.CT, p, t.Now)
	m.sink.Transmit(w.out, p, t)
	return true
}

// learn remembers the path of a packet that was walked and forwarded.
func (m *Machine) learn() {
	t, p, y := &m.t, &m.pkt, &m.memory
	c := t.CT.Conn
	if t.Memo == nil || t.Memo.Varying || c == nil || t.Route.Type != route.Unicast || t.Route.Learned != 0 || t.Out == t.In ||
		t.Mark != 0 || p.Reassembled != nil || len(m.sink.sent()) != 1 || !c.Has(conntrack.Confirmed) || c.Has(conntrack.Dying) ||
		c.Extended() {
		return
	}
	info := t.CT.Info
	if info != conntrack.InfoEstablished && info != conntrack.InfoEstablishedReply {
		return
	}
	cares := ^conntrack.Status(0)
	if !t.Memo.Assured {
		cares = ^conntrack.Assured
	}
	k := pathKey{in: t.In, out: t.Out, via: t.Route.Gateway, mtu: t.Route.MTU, status: c.Status & cares, cares: cares, mark: c.Mark, tos: p.TOS(), info: info, nat: m.of(t).nat != nil}
	k.steps = hashSteps(t.Memo.Steps)
	n, known := y.index[k]
	if !known {
		if len(y.paths.list) == maxPaths {
			m.forget()
		}
		translated := k.nat && k.status&conntrack.NATMask != 0
		y.paths.list = append(y.paths.list, path{pathKey: k, translated: translated, walked: slices.Clone(t.Memo.Steps)})
		n = y.paths.base + uint32(len(y.paths.list))
		if y.index == nil {
			y.index = make(map[pathKey]uint32)
		}
		y.index[k] = n
		m.show()
	} else if !slices.Equal(y.paths.list[n-y.paths.base-1].walked, t.Memo.Steps) {
		return // two walks with one hash
	}
	c.Path[info.Dir()] = n
}

// hashSteps tells walks apart (FNV-1a over the ops).
func hashSteps(steps []hook.MemoStep) uint64 {
	h := uint64(14695981039346656037)
	for i := range steps {
		h = (h ^ uint64(uint32(steps[i].Op))) * 1099511628211
	}
	return h ^ uint64(len(steps))<<56
}

// settle adds what the paths counted to the counters of the rules.
func (m *Machine) settle() {
	m.lane.settle(&m.memory.paths)
	m.workers.halt()
	m.workers.settle(&m.memory.paths)
	m.workers.goOn()
}

func (l *lane) settle(y *paths) {
	for i := range l.tally {
		n := &l.tally[i]
		if n.packets == 0 {
			continue
		}
		for _, s := range y.list[i].walked {
			s.Table.(*xtables.Table).Add(s.Op, n.packets, n.bytes)
		}
		*n = tally{}
	}
}

// forget drops every path: rules or routes changed. Workers that are under way
// are waited for, so that none counts for a path that is over.
func (m *Machine) forget() {
	m.workers.halt()
	m.lane.settle(&m.memory.paths)
	m.workers.settle(&m.memory.paths)
	y := &m.memory.paths
	*y = paths{base: y.base + uint32(len(y.list))}
	clear(m.memory.index)
	m.show()
	m.workers.goOn()
}
