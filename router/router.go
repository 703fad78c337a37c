package router

import (
	"weir/conntrack"
	"weir/defrag"
	"weir/hook"
	"weir/iface"
	"weir/packet"
	"weir/route"
	"weir/trace"
)

// Fate is what became of a packet. The zero value is a drop.
type Fate uint8

// The fates. A drop has its reason in Traversal.Why.
const (
	Dropped   Fate = iota
	Forwarded      // it left, or its fragments did
	Delivered      // for this machine, which took, answered or refused it
	Sent           // of this machine, and left
	Held           // a fragment that waits, or a packet that a hook function kept

	looped // internal: on its way through lo
)

// Sink takes the packets that leave.
type Sink interface {
	// Transmit takes one packet that leaves by dev. Its bytes are valid
	// until the router's next Tick. t tells what is known of it.
	Transmit(dev *iface.Iface, p *packet.Packet, t *hook.Traversal)
}

// maxNested bounds packets that are made while a packet is made.
const maxNested = 8

// maxLooped bounds the packets that one packet can send around through lo.
const maxLooped = 256

// Router carries packets of one machine between its hooks. Make one with New.
type Router struct {
	cfg    Config
	devs   []*Dev // by interface index
	env    *hook.Env
	routes *route.Table
	lo     *iface.Iface
	pipe   *hook.Pipeline
	sink   Sink
	frags  *defrag.Queue

	now    int64
	ipID   uint16
	fragID uint32
	limits limits

	active []*passage // the packets under way, innermost last
	free   []*passage
	top    passage
	loop   []*passage // packets in lo
	// icmpBusy: an ICMP message of the family (IPv4, IPv6) is being sent.
	icmpBusy [2]bool
	socket   hook.Owner // of the machine's own answers
	// draining: the packets in lo are being received
	draining bool
	arena    []byte
	piece    packet.Packet // the fragment being sent
	expire   func(*defrag.Expired)
	learned  func()             // path MTUs changed
	proxied  conntrack.Template // of what the SYN proxy sends to servers
	options  [40]byte
	queues   queues
}

// passage is what the router knows of a packet under way beside its traversal.
type passage struct {
	t   *hook.Traversal
	opt options
	// before is the destination on the way into PREROUTING.
	before packet.Addr
	own    hook.Traversal // t points here for packets that the router made
	pkt    packet.Packet
	keep   bool // it entered lo: whoever takes it out there releases it
	top    bool
	// attached: the connection belongs to the packet that caused this one.
	attached bool
	// direct: the sender is a neighbour (fib_validate_source returned 1).
	direct bool
	// noRoute: the route that refuses the packet is the lack of one.
	noRoute bool
	// made: the router made the packet, and may cut it for IPv6 too.
	made bool
	fate Fate
	// back: it was held in a queue before.
	back bool
	// copyOf is the interface of a multicast of which this is the copy for
	// the machine itself.
	copyOf *iface.Iface
}

// New makes a router. env, its Routes included, and pipe must outlive it; it
// makes itself env's Emitter.
func New(c Config, env *hook.Env, pipe *hook.Pipeline, sink Sink) *Router {
	r := &Router{cfg: c, env: env, routes: env.Routes, lo: env.Routes.Loopback(), pipe: pipe, sink: sink}
	r.frags = defrag.New(c.Defrag)
	r.proxied.SynProxy = true
	r.proxied.Prepare()
	r.expire = r.fragmentTimeout
	r.setDevs()
	r.limits.peers = make(map[packet.Addr]*peerLimit)
	r.socket.Kernel = true
	env.Emit = r
	return r
}

// setDevs brings the settings of interfaces where packets find them.
func (r *Router) setDevs() {
	r.devs = nil
	for i, d := range r.cfg.Devs {
		if i < 0 || i > 1<<16 {
			continue
		}
		for len(r.devs) <= i {
			r.devs = append(r.devs, nil)
		}
		r.devs[i] = &d
	}
}

// SetConfig replaces the settings, all but Handover, between packets. What
// waits for fragments stays, and is counted against the new limits.
func (r *Router) SetConfig(c Config) {
	c.Handover = r.cfg.Handover
	r.cfg = c
	r.frags.SetConfig(c.Defrag)
	r.setDevs()
}

// SetPipeline replaces the hook functions, between packets.
func (r *Router) SetPipeline(p *hook.Pipeline) { r.pipe = p }

// SetRoutes replaces the routes, between packets.
func (r *Router) SetRoutes(t *route.Table) {
	r.env.Routes, r.routes, r.lo = t, t, t.Loopback()
}

// Fragments is the datagrams that wait for their rest.
func (r *Router) Fragments() *defrag.Queue { return r.frags }

// OnLearned sets who hears that path MTUs were learned or forgotten; nil for
// nobody.
func (r *Router) OnLearned(f func()) { r.learned = f }

// Tick moves the clock to now: datagrams whose rest did not come are given up,
// which may send ICMP errors. It takes back the bytes handed to the Sink.
func (r *Router) Tick(now int64) {
	r.arena = r.arena[:0]
	r.Advance(now)
}

// Advance is Tick while packets that the router made are still wanted.
func (r *Router) Advance(now int64) {
	r.now = now
	if r.routes.ExpireMTUs(now) && r.learned != nil {
		r.learned()
	}
	if r.frags.Len() > 0 {
		r.frags.Expire(now, r.expire)
		r.drainLoop()
	}
}

// alloc takes n bytes that live until the next Tick.
func (r *Router) alloc(n int) []byte {
	if cap(r.arena)-len(r.arena) < n {
		r.arena = make([]byte, 0, max(2*cap(r.arena), n, 64<<10))
	}
	at := len(r.arena)
	r.arena = r.arena[:at+n]
	return r.arena[at : at+n : at+n]
}

// Receive carries a packet that arrived by t.In to its end, and all that it
// causes. t.Pkt is parsed (packet.Parse); t.Env, t.In and t.Now are set.
func (r *Router) Receive(t *hook.Traversal) Fate {
	return r.carry(t, r.receive)
}

// Send carries a packet that this machine sends. t.Pkt is parsed, t.Env and
// t.Now are set; t.Out, if set, is the interface by which it has to leave.
func (r *Router) Send(t *hook.Traversal) Fate {
	t.Local = true
	return r.carry(t, r.send)
}

func (r *Router) carry(t *hook.Traversal, way func(*passage) Fate) Fate {
	if t.Pkt == nil || len(t.Pkt.Data) == 0 {
		t.Why = hook.ReasonMalformed
		return Dropped
	}
	r.now = t.Now
	p := &r.top
	p.t, p.opt, p.top, p.keep, p.attached, p.direct, p.noRoute, p.made, p.back, p.copyOf = t, options{}, true, false, false, false, false, false, false, nil
	return r.to(p, way)
}

// to carries the packet that came into the machine to its end.
func (r *Router) to(p *passage, way func(*passage) Fate) Fate {
	t := p.t
	r.active = append(r.active, p)
	f := way(p)
	r.active = r.active[:len(r.active)-1]
	if len(r.loop) > 0 {
		p.fate = f
		r.drainLoop()
		f = p.fate
	}
	p.t = nil
	if f == looped {
		t.Why = hook.ReasonNotLocal
		return Dropped
	}
	return f
}

// drainLoop receives the packets in lo, in their order.
func (r *Router) drainLoop() {
	r.draining = true
	for n := 0; n < len(r.loop); n++ {
		p := r.loop[n]
		if n >= maxLooped {
			p.t.Why = hook.ReasonNotLocal
			p.fate = Dropped
		} else {
			t := p.t
			t.In, t.Out, t.Local, t.Copy, t.SocketOwner = r.lo, nil, false, false, nil
			t.Pkt.Link = packet.Link{}
			if p.copyOf != nil {
				t.In, t.Pkt.Link.Type = p.copyOf, packet.Looped
			}
			p.keep, p.opt, p.copyOf = false, options{}, nil
			r.active = append(r.active, p)
			p.fate = r.receive(p)
			r.active = r.active[:len(r.active)-1]
		}
		if !p.top && !p.keep {
			r.put(p)
		}
	}
	r.loop = r.loop[:0]
	r.draining = false
}

// get takes a passage for a packet that the router makes because of parent.
func (r *Router) get(parent *hook.Traversal) *passage {
	var p *passage
	if n := len(r.free); n > 0 {
		p = r.free[n-1]
		r.free = r.free[:n-1]
	} else {
		p = new(passage)
	}
	*p = passage{made: true}
	p.t = &p.own
	p.own = hook.Traversal{Pkt: &p.pkt, Env: r.env, Now: r.now, Local: true}
	if parent != nil {
		p.own.Trace = parent.Trace
	}
	return p
}

// put gives a passage back and releases the connection of its packet.
func (r *Router) put(p *passage) {
	if !p.attached && r.env.CT != nil {
		r.env.CT.Release(p.t.CT)
	}
	r.free = append(r.free, p)
}

// passageOf finds the passage of a traversal; nil if it is not the router's.
func (r *Router) passageOf(t *hook.Traversal) *passage {
	for i := len(r.active) - 1; i >= 0; i-- {
		if r.active[i].t == t {
			return r.active[i]
		}
	}
	return nil
}

// run passes a packet through the functions of a hook point. done tells that
// the packet ends here with fate.
func (r *Router) run(pt hook.Point, p *passage) (fate Fate, done bool) {
	t := p.t
	if t.Trace.On() {
		defer t.Trace.SetHook(t.Trace.SetHook(pt.String()))
	}
	v, at := r.pipe.Run(pt, t, 0)
	if v == hook.Queue {
		v = r.queue(p, r.pipe, at)
	}
	return r.ran(p, v)
}

// ran is what a verdict of a hook point means for a packet.
func (r *Router) ran(p *passage, v hook.Verdict) (fate Fate, done bool) {
	switch v {
	case hook.Accept:
		return 0, false
	case hook.Stolen:
		switch t := p.t; {
		case t.Taken && t.Point == hook.Input:
			return Delivered, true
		case t.Taken:
			return Dropped, true // as what REJECT answers
		}
		return Held, true
	}
	return Dropped, true
}

// drop ends a packet.
func (p *passage) drop(why hook.Reason) Fate {
	p.t.Why = why
	return Dropped
}

// traceRoute records the way that was chosen.
func (r *Router) traceRoute(p *passage) {
	t := p.t
	if !t.Trace.On() {
		return
	}
	res := t.Route
	if p.noRoute {
		res.Type = route.None
	}
	s := trace.Step{Kind: trace.KindRoute, Hook: "route", Verdict: typeName(res.Type)}
	to := t.Pkt.Dst()
	if !res.Gateway.IsZero() {
		to = res.Gateway
	}
	s.Text = to.IP(t.Pkt.Family).String()
	switch res.Type {
	case route.Unicast, route.Multicast, route.Broadcast:
		if res.Out != nil {
			s.Text += " by " + res.Out.Name
		}
	case route.Local, route.Anycast:
		s.Text += ", this machine"
	case route.None:
		s.Text = "no route to " + s.Text
	}
	t.Trace.Add(s)
}

func typeName(t route.Type) string {
	switch t {
	case route.Unicast:
		return "unicast"
	case route.Local:
		return "local"
	case route.Broadcast:
		return "broadcast"
	case route.Anycast:
		return "anycast"
	case route.Multicast:
		return "multicast"
	case route.Blackhole:
		return "blackhole"
	case route.Unreachable:
		return "unreachable"
	case route.Prohibit:
		return "prohibit"
	case route.Throw:
		return "throw"
	}
	return "none"
}
