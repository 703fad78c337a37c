package replay

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"

	"weir/conntrack"
	"weir/engine"
	"weir/hook"
	"weir/iface"
	"weir/machine"
	"weir/trace"
	"weir/trace/render"
)

// Runner runs a source through a machine.
type Runner struct {
	Machine *engine.Machine
	// Trace records walks and keeps the packets as they came in.
	Trace bool
	// Workers above 1 overlaps reading, the machine and Each in goroutines
	// of their own. The results are the same and come in the same order.
	Workers int
	// Each is called for each packet, in order. The packet is valid until
	// it returns. An error ends the run.
	Each func(*render.Packet) error
	// Took, if set, is called in place of Each for packets that were run
	// together, with what the machine returned for each, where that needs no
	// copies: without Trace and Workers. The items' data are rewritten.
	Took func([]Item, []engine.Result) error

	in   []engine.Arrival // of the batch that runs
	done []engine.Result
	devs [2]*iface.Iface // used last

	// First and Last are the packet clock at the first and last packet.
	First, Last int64
	// Count is the number of packets run.
	Count int
}

// batchSize is how many packets travel from one stage to the next at once.
const batchSize = 256

// batch is packets on their way through the three stages.
type batch struct {
	items []Item
	res   []render.Packet
	arena []byte // the bytes of items, and of what left
	err   error  // what ended the reading
}

func (b *batch) keep(d []byte) []byte {
	n := len(b.arena)
	b.arena = append(b.arena, d...)
	return b.arena[n:len(b.arena):len(b.arena)]
}

// Run runs the source to its end. What could be read before an error is run.
func (r *Runner) Run(src Source) error {
	r.Machine.Trace(r.Trace)
	if r.Workers > 1 {
		return r.parallel(src)
	}
	b := &batch{}
	for {
		read(src, b)
		if err := r.run(b); err != nil {
			return err
		}
		if err := r.each(b); err != nil {
			return err
		}
		if b.err != nil {
			return end(b.err)
		}
	}
}

func end(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

// parallel is Run with a goroutine for each stage. A stage that fails closes
// quit, and the others stop at the next batch.
func (r *Runner) parallel(src Source) error {
	const depth = 8
	free := make(chan *batch, depth)
	for range depth {
		free <- &batch{}
	}
	full, done := make(chan *batch, depth), make(chan *batch, depth)
	quit := make(chan struct{})
	stop := sync.OnceFunc(func() { close(quit) })
	go func() {
		defer close(full)
		for {
			select {
			case <-quit:
				return
			case b := <-free:
				read(src, b)
				last := b.err != nil
				full <- b
				if last {
					return
				}
			}
		}
	}()
	var runErr error
	go func() {
		defer close(done)
		for b := range full {
			if runErr == nil {
				if runErr = r.run(b); runErr != nil {
					stop()
					continue // drain
				}
				done <- b
			}
		}
	}()
	var err error
	for b := range done {
		if err != nil {
			continue
		}
		if err = r.each(b); err == nil && b.err != nil {
			err = b.err
			if err == io.EOF {
				continue
			}
		}
		if err != nil {
			stop()
			continue
		}
		free <- b
	}
	if runErr != nil {
		return runErr
	}
	return end(err)
}

// read fills a batch.
func read(src Source, b *batch) {
	b.items, b.res, b.arena, b.err = b.items[:0], b.res[:0], b.arena[:0], nil
	b.items = slices.Grow(b.items, batchSize)[:batchSize]
	for i := range b.items {
		it := &b.items[i]
		if b.err = src.Next(it); b.err != nil {
			b.items = b.items[:i]
			return
		}
		it.Data = b.keep(it.Data)
	}
}

// run passes a batch through the machine.
func (r *Runner) run(b *batch) error {
	b.res = slices.Grow(b.res, len(b.items))[:len(b.items)]
	for at := 0; at < len(b.items); {
		it := &b.items[at]
		if it.In == machine.Local {
			r.done = append(r.done[:0], r.Machine.Send(r.taken(b, it), it.Owner, r.Last))
		} else {
			// Those that arrive together. A walk that is recorded is told of
			// before the connection changes again.
			r.in = r.in[:0]
			for i := at; i < len(b.items) && (i == at || !r.Trace); i++ {
				it := &b.items[i]
				if it.In == machine.Local {
					break
				}
				dev := r.dev(it.In)
				if dev == nil {
					return fmt.Errorf("packet %d: the machine has no interface %q", it.N, it.In)
				}
				data := r.taken(b, it)
				r.in = append(r.in, engine.Arrival{In: dev, Link: it.Link, Data: data, Now: r.Last})
			}
			r.done = r.Machine.ReceiveBatch(r.in, r.in[0].Now, r.done)
		}
		if r.plain() {
			if err := r.Took(b.items[at:at+len(r.done)], r.done); err != nil {
				return err
			}
		} else {
			for i := range r.done {
				r.tell(b, at+i, &r.done[i])
			}
		}
		at += len(r.done)
	}
	return nil
}

// plain: results are handed on as they come from the machine.
func (r *Runner) plain() bool { return r.Took != nil && !r.Trace && r.Workers <= 1 }

// taken counts an item and is the bytes of it that the machine may rewrite.
func (r *Runner) taken(b *batch, it *Item) []byte {
	if r.Count == 0 {
		r.First, r.Last = it.Time, it.Time
	}
	r.Count++
	r.Last = max(r.Last, it.Time) // the clock does not go back
	if r.Trace {
		return b.keep(it.Data)
	}
	return it.Data
}

// dev finds an interface; few are used at a time.
func (r *Runner) dev(name string) *iface.Iface {
	for _, d := range r.devs {
		if d != nil && d.Name == name {
			return d
		}
	}
	d := r.Machine.Ifaces().Name(name)
	r.devs[1], r.devs[0] = r.devs[0], d
	return d
}

// tell makes of a result what Each gets.
func (r *Runner) tell(b *batch, i int, res *engine.Result) {
	it, p := &b.items[i], &b.res[i]
	*p = render.Packet{N: it.N, Time: it.Time, In: it.In, Data: it.Data, Out: p.Out[:0], Verdict: string(res.Verdict)}
	if res.Reason != hook.NoReason {
		p.Reason = res.Reason.String()
	}
	for j := range res.Out {
		o := &res.Out[j]
		data := o.Data
		if r.Trace || !within(data, it.Data) {
			data = b.keep(data)
		}
		p.Out = append(p.Out, render.Out{Dev: o.Dev.Name, Data: data})
	}
	for _, l := range res.Logs {
		p.Logs = append(p.Logs, l.Text)
	}
	if r.Trace {
		p.Steps = append([]trace.Step(nil), res.Steps...)
		p.Conn = ConnText(res.CT, p.Steps)
	}
}

// within reports that a begins where b does: it is the packet, rewritten.
func within(a, b []byte) bool { return len(a) > 0 && len(b) > 0 && &a[0] == &b[0] }

// ConnText is what connection tracking made of a packet; empty if the packet
// never came so far. A connection that was never confirmed, or that the packet
// or the answer to it ended, is gone by now; only the walk still knows its
// number.
func ConnText(ref conntrack.Ref, steps []trace.Step) string {
	i := slices.IndexFunc(steps, func(s trace.Step) bool { return s.Kind == trace.KindConntrack })
	if i < 0 {
		return ""
	}
	s := ref.State().String()
	if ref.Conn == nil {
		return s
	}
	if ref.Conn.Seq != 0 {
		return s + " #" + strconv.FormatUint(ref.Conn.Seq, 10)
	}
	for _, d := range steps[i].Detail {
		if d.Key != "conn" {
			continue
		}
		if strings.HasPrefix(steps[i].Text, "new ") && !slices.ContainsFunc(steps, confirms(d.Value)) {
			return s + " #" + d.Value + ", never confirmed"
		}
		return s + " #" + d.Value + ", closed"
	}
	return s
}

// confirms asks for the step that enters a connection into the table.
func confirms(conn string) func(trace.Step) bool {
	return func(s trace.Step) bool {
		return s.Kind == trace.KindConfirm && slices.Contains(s.Detail, trace.Pair{Key: "conn", Value: conn})
	}
}

func (r *Runner) each(b *batch) error {
	if r.Each == nil || r.plain() {
		return nil
	}
	for i := range b.res {
		if err := r.Each(&b.res[i]); err != nil {
			return err
		}
	}
	return nil
}
