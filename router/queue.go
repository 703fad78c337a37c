package router

import (
	"slices"
	"strconv"

	"weir/conntrack"
	"weir/hook"
	"weir/iface"
	"weir/packet"
	"weir/trace"
)

// maxRequeued bounds how often a packet is handed out while it is in the
// machine: a listener that says Repeat at once would go on for ever.
const maxRequeued = 256

// queues is what NFQUEUE hands out: who listens, and what waits for an answer.
type queues struct {
	specs map[uint16]*queue
	held  map[uint64]*waiting
	last  uint64 // the newest id
}

// queue is one to which somebody listens.
type queue struct {
	hook.QueueSpec
	waits int
}

// waiting is a packet that a listener has.
type waiting struct {
	p    *passage
	num  uint16
	pipe *hook.Pipeline
	at   int // the function that queued it
	was  way
}

// way is what may not change while a packet of this machine waits, without its
// being routed again. Linux: struct ip_rt_info, struct ip6_rt_info.
type way struct {
	src, dst packet.Addr
	mark     uint32
	tos      uint8
}

func wayOf(t *hook.Traversal) (w way) {
	if t.Point != hook.Output {
		return w
	}
	w = way{src: t.Pkt.Src(), dst: t.Pkt.Dst(), mark: t.Mark}
	if t.Pkt.Family == packet.IPv4 {
		w.tos = t.Pkt.TOS()
	}
	return w
}

// queue hands a packet to who listens to the queue that function at of its hook
// point chose, and goes on with it as he says. Linux: nf_queue.
func (r *Router) queue(p *passage, pipe *hook.Pipeline, at int) hook.Verdict {
	t, v := p.t, hook.Queue
	for n := 0; v == hook.Queue; n++ {
		num, bypass := t.QueueNum, t.QueueBypass
		t.QueueBypass = false
		q := r.queues.specs[num]
		switch {
		case q == nil && bypass:
			r.tellQueue(t, num, "nobody listens, the packet goes on", "")
			v, at = pipe.Run(t.Point, t, at+1)
			continue
		case q == nil:
			return r.dropQueued(t, num, "nobody listens", hook.ReasonQueue)
		case n == maxRequeued:
			return r.dropQueued(t, num, "handed out too often", hook.ReasonListener)
		case p.attached && t.CT.Conn != nil && !t.CT.Conn.Has(conntrack.Confirmed):
			// Linux: nf_ct_drop_unconfirmed.
			return r.dropQueued(t, num, "another packet has its new connection", hook.ReasonQueueShared)
		}
		was := wayOf(t)
		if q.waits >= q.room() {
			if !q.FailOpen {
				return r.dropQueued(t, num, "full", hook.ReasonQueueFull)
			}
			r.tellQueue(t, num, "full, the packet goes on", "")
			v, at = r.reinject(p, pipe, at, was, hook.Accept)
			continue
		}
		a := r.handOut(p, q, num)
		if a.Verdict == hook.Stolen {
			r.wait(p, &waiting{num: num, pipe: pipe, at: at, was: was})
			q.waits++
			return hook.Stolen
		}
		v, at = r.reinject(p, pipe, at, was, r.answered(p, num, &a))
	}
	return v
}

func (q *queue) room() int {
	if q.MaxLen > 0 {
		return q.MaxLen
	}
	return hook.QueueLen
}

// handOut shows a packet to the listener.
func (r *Router) handOut(p *passage, q *queue, num uint16) hook.Answer {
	t, pk := p.t, p.t.Pkt
	if pk.Offload.Size == 0 {
		pk.Complete()
		pk.FillSum()
		pk.Unsummed = false
	}
	if t.Memo != nil {
		t.Memo.Varying = true
	}
	r.queues.last++
	return q.Listener.Queued(&hook.Queued{
		ID: r.queues.last, Queue: num, Family: pk.Family, Point: t.Point, In: t.In, Out: t.Out, Mark: t.Mark,
		Link: pk.Link, Owner: t.SocketOwner, Now: t.Now, Data: pk.Data, Size: pk.Offload.Size,
	})
}

// answered does what the listener says, all but its verdict. Linux:
// nfqnl_recv_verdict.
func (r *Router) answered(p *passage, num uint16, a *hook.Answer) hook.Verdict {
	t, v := p.t, a.Verdict
	text := "the listener says " + v.String()
	switch v {
	case hook.Accept, hook.Repeat, hook.Stop:
	case hook.Queue:
		t.QueueNum = a.To
	default:
		return r.dropQueued(t, num, text, hook.ReasonListener)
	}
	if a.Marked {
		t.Mark = a.Mark
		text += ", mark 0x" + strconv.FormatUint(uint64(a.Mark), 16)
	}
	if a.Data != nil {
		same := t.Pkt.Dst() == p.before
		if !t.Pkt.Replace(a.Data) {
			return r.dropQueued(t, num, "the listener's packet is none", hook.ReasonMalformed)
		}
		if same {
			p.before = t.Pkt.Dst() // what is known of the way holds on
		}
		text += ", " + strconv.Itoa(len(a.Data)) + " other bytes"
	}
	r.tellQueue(t, num, text, "")
	return v
}

// reinject goes on with a packet that function at of its hook point had queued.
// Linux: nf_reinject.
func (r *Router) reinject(p *passage, pipe *hook.Pipeline, at int, was way, v hook.Verdict) (hook.Verdict, int) {
	t := p.t
	if v == hook.Repeat {
		v = pipe.At(t.Point)[at].Fn(t)
		if v == hook.Repeat {
			return t.Drop(hook.ReasonListener), at
		}
		if v == hook.Drop && t.Why == hook.NoReason {
			t.Why = hook.ReasonUser
		}
	}
	switch v {
	case hook.Accept:
		if wayOf(t) != was {
			if v := r.Reroute(t); v != hook.Accept {
				return v, at
			}
		}
		return pipe.Run(t.Point, t, at+1)
	case hook.Stop:
		return hook.Accept, at
	}
	return v, at
}

func (r *Router) dropQueued(t *hook.Traversal, num uint16, text string, why hook.Reason) hook.Verdict {
	r.tellQueue(t, num, text, "DROP")
	return t.Drop(why)
}

func (r *Router) tellQueue(t *hook.Traversal, num uint16, text, verdict string) {
	if t.Trace.On() {
		t.Trace.Add(trace.Step{Kind: trace.KindQueue, Text: "queue " + strconv.Itoa(int(num)) + ": " + text, Verdict: verdict})
	}
}

// wait keeps a packet for the listener, who has it as the newest id. What is
// its own is copied; its connection is kept.
func (r *Router) wait(p *passage, w *waiting) {
	t := p.t
	h := new(passage)
	*h = *p
	h.own, h.pkt = *t, *t.Pkt
	h.t, h.own.Pkt = &h.own, &h.pkt
	h.top, h.keep, h.attached = false, false, false
	h.own.Trace, h.own.Memo = nil, nil
	h.pkt.Data = slices.Clone(t.Pkt.Data)
	if g := t.Pkt.Reassembled; g != nil {
		c := *g
		c.Parts = slices.Clone(g.Parts)
		h.pkt.Reassembled = &c
	}
	if o := t.SocketOwner; o != nil && o != &r.socket {
		c := *o
		h.own.SocketOwner = &c
	}
	if c := t.CT.Conn; c != nil && r.env.CT != nil {
		r.env.CT.Keep(c)
	}
	w.p = h
	if r.queues.held == nil {
		r.queues.held = make(map[uint64]*waiting)
	}
	r.queues.held[r.queues.last] = w
	r.tellQueue(t, w.num, "held as packet "+strconv.FormatUint(r.queues.last, 10), "")
}

// SetQueue says who listens to a queue, from the next packet on; nil for nobody
// any more, which drops the packets that wait there: ended is told of each.
func (r *Router) SetQueue(num uint16, s *hook.QueueSpec, ended func(*hook.Traversal)) {
	if s == nil {
		delete(r.queues.specs, num)
		r.flush(func(w *waiting) bool { return w.num == num }, ended)
		return
	}
	if r.queues.specs == nil {
		r.queues.specs = make(map[uint16]*queue)
	}
	if q := r.queues.specs[num]; q != nil {
		q.QueueSpec = *s
		return
	}
	r.queues.specs[num] = &queue{QueueSpec: *s}
}

// flush drops packets that wait. Linux: nfqnl_flush.
func (r *Router) flush(which func(*waiting) bool, ended func(*hook.Traversal)) {
	for id, w := range r.queues.held {
		if !which(w) {
			continue
		}
		r.takeBack(id, w)
		w.p.own.Why = hook.ReasonListener
		ended(&w.p.own)
		if r.env.CT != nil {
			r.env.CT.Release(w.p.own.CT)
		}
	}
}

// takeBack takes a packet that waits.
func (r *Router) takeBack(id uint64, w *waiting) {
	delete(r.queues.held, id)
	if q := r.queues.specs[w.num]; q != nil {
		q.waits--
	}
	if c := w.p.own.CT.Conn; c != nil && r.env.CT != nil {
		r.env.CT.LetGo(c)
	}
}

// Waiting is how many packets wait for an answer in a queue.
func (r *Router) Waiting(num uint16) int {
	if q := r.queues.specs[num]; q != nil {
		return q.waits
	}
	return 0
}

// ChangeIfaces tells what waits of other interfaces: packets whose interface is
// gone or down are dropped. Linux: nfqnl_dev_drop.
func (r *Router) ChangeIfaces(set *iface.Set, ended func(*hook.Traversal)) {
	lost := func(i *iface.Iface) bool {
		if i == nil {
			return false
		}
		now := set.Index(i.Index)
		return now == nil || now.Down
	}
	r.flush(func(w *waiting) bool { return lost(w.p.own.In) || lost(w.p.own.Out) }, ended)
	for _, w := range r.queues.held {
		t := &w.p.own
		for _, i := range []**iface.Iface{&t.In, &t.Out, &t.Route.Out, &w.p.copyOf} {
			if *i != nil {
				*i = set.Index((*i).Index)
			}
		}
	}
}

// Held is by which interface a packet that waits came in, and its bytes; ok is
// false if none of that name waits.
func (r *Router) Held(id uint64) (in *iface.Iface, data []byte, ok bool) {
	w := r.queues.held[id]
	if w == nil {
		return nil, nil, false
	}
	return w.p.own.In, w.p.pkt.Data, true
}

// Reinject goes on with a packet that waits, as its listener says, and makes t
// and t.Pkt that packet; t.Now and t.Trace stay.
//
// Precondition: it waits (Held), and the answer is not to wait.
func (r *Router) Reinject(id uint64, a *hook.Answer, t *hook.Traversal) Fate {
	w := r.queues.held[id]
	r.takeBack(id, w)
	pk, now, rec := t.Pkt, t.Now, t.Trace
	*pk = w.p.pkt
	*t = w.p.own
	t.Pkt, t.Now, t.Trace = pk, now, rec
	r.now = now
	p := &r.top
	*p = passage{t: t, opt: w.p.opt, before: w.p.before, top: true, direct: w.p.direct, noRoute: w.p.noRoute, made: w.p.made, copyOf: w.p.copyOf, back: true}
	return r.to(p, func(p *passage) Fate { return r.goOn(p, w, a) })
}

// goOn takes a packet that waited to its end.
func (r *Router) goOn(p *passage, w *waiting, a *hook.Answer) Fate {
	t := p.t
	before := t.Trace.SetHook(t.Point.String())
	v, at := r.reinject(p, w.pipe, w.at, w.was, r.answered(p, w.num, a))
	if v == hook.Queue {
		v = r.queue(p, w.pipe, at)
	}
	t.Trace.SetHook(before)
	if f, done := r.ran(p, v); done {
		return f
	}
	switch t.Point {
	case hook.Prerouting:
		return r.received(p)
	case hook.Input:
		return r.delivered(p)
	case hook.Forward:
		return r.forwarded(p)
	case hook.Output:
		return r.output(p)
	}
	if t.Copy {
		return r.copied(p)
	}
	return r.posted(p)
}
