package linuxdiff

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"time"

	"weir/conntrack"
	"weir/engine"
	"weir/hook"
	"weir/internal/gen"
	"weir/internal/kernel"
	"weir/internal/wire"
	"weir/packet"
	"weir/trace/render"
)

// Report is the outcome of one scenario.
type Report struct {
	Case *gen.Case
	// Packets is how many were compared.
	Packets int
	// Diff is the first difference, nil if there is none.
	Diff *Difference
	// Chance: the comparison ended at a random choice that is not to be seen.
	Chance bool
	// Walk is weir's walk of the packet that differs, if Runner.Walks.
	Walk string
}

// Runner compares scenarios one after the other. It keeps a namespace as long
// as the interfaces stay the same. One goroutine at a time.
type Runner struct {
	// Reasons compares the lines of nf_conntrack_log_invalid too.
	Reasons bool
	// Walks records the walk of a packet that differs.
	Walks bool
	// Mode is how weir does it.
	Mode Mode

	k       *kernel.Kernel
	machine gen.Machine
	// other is what weir gets for IPv4 rules instead of the case's; for
	// tests of the comparison itself.
	other string
}

// Mode is how weir finds what its rules say. The answer is the same.
type Mode string

// The modes. By default the seed chooses.
const (
	BySeed    Mode = ""
	Remember  Mode = "remember"  // walks are remembered, chains are compiled
	Forgetful Mode = "forgetful" // every packet walks, chains are compiled
	Interpret Mode = "interpret" // every packet walks, rule by rule
)

// set is what the mode means for a machine.
func (m Mode) set(c *engine.Config) {
	if m == BySeed {
		m = []Mode{Remember, Forgetful, Remember, Interpret}[c.Seed/5%4]
	}
	c.Forgetful, c.Interpret = m != Remember, m == Interpret
}

// NewRunner makes a runner. It opens nothing yet.
func NewRunner() *Runner { return &Runner{} }

// Close frees the namespace.
func (r *Runner) Close() {
	if r.k != nil {
		r.k.Close()
		r.k = nil
	}
}

// prepare makes the kernel the machine of a case, with an empty table.
func (r *Runner) prepare(c *gen.Case, fresh bool) error {
	same := r.k != nil && !fresh && reflect.DeepEqual(r.machine.Ifaces, c.Machine.Ifaces) && reflect.DeepEqual(r.machine.Routes, c.Machine.Routes)
	if !same {
		r.Close()
		cfg := c.Machine.Config()
		cfg.Rules4, cfg.Rules6 = c.Rules4, c.Rules6
		k, err := kernel.New(cfg)
		if err != nil {
			return err
		}
		r.k, r.machine = k, c.Machine
		return nil
	}
	if err := r.k.Sysctl(c.Machine.Sysctl); err != nil {
		return err
	}
	if err := r.k.Reload(c.Rules4, c.Rules6); err != nil {
		return err
	}
	return r.k.Flush()
}

// Scenario generates a case and compares up to n packets of it.
func (r *Runner) Scenario(seed uint64, n int) (Report, error) {
	// Without TRACE connections are remembered; of what time does the rest.
	g := gen.New(seed, gen.Options{NoTrace: seed%3 == 1, Wait: seed%4 == 2})
	left := n
	return r.run(&g.Case, false, func() (gen.Packet, bool) {
		if left == 0 {
			return gen.Packet{}, false
		}
		left--
		return g.Next(), true
	}, g.Observe)
}

// Replay compares the packets of a case in a namespace of its own.
func (r *Runner) Replay(c *gen.Case) (Report, error) { return r.replay(c, true) }

// ReplayHere compares the packets of a case in the namespace of the case
// before, emptied, if the interfaces and routes are the same.
func (r *Runner) ReplayHere(c *gen.Case) (Report, error) { return r.replay(c, false) }

func (r *Runner) replay(c *gen.Case, fresh bool) (Report, error) {
	list := c.Packets
	return r.run(c, fresh, func() (p gen.Packet, ok bool) {
		if len(list) == 0 {
			return p, false
		}
		p, list = list[0], list[1:]
		return p, true
	}, func([]kernel.Output) {})
}

// run compares packet by packet until next has no more.
func (r *Runner) run(c *gen.Case, fresh bool, next func() (gen.Packet, bool), observe func([]kernel.Output)) (Report, error) {
	rep := Report{Case: c}
	if err := r.prepare(c, fresh); err != nil {
		return rep, fmt.Errorf("seed %d: %w", c.Seed, err)
	}
	mine := *c
	mine.Packets = nil
	if r.other != "" {
		mine.Rules4 = r.other
	}
	w, err := newSubject(&mine, r.Mode)
	if err != nil {
		return rep, fmt.Errorf("seed %d: %w", c.Seed, err)
	}
	w.m.Trace(r.Walks)
	before, err := r.k.Stats()
	if err != nil {
		return rep, err
	}
	// used: Linux remembers, and does not forget when asked, path MTUs that it
	// was told of and how often whom it refused a route.
	used := false
	defer func() {
		if used {
			r.Close()
		}
	}()
	for {
		p, ok := next()
		if !ok {
			break
		}
		if p.After > 0 {
			if err := r.wait(w, p.After); err != nil {
				return rep, fmt.Errorf("seed %d: %w", c.Seed, err)
			}
		}
		var res kernel.Result
		if p.In == gen.Local {
			res, err = r.k.SendLocal(p.Data, 0)
		} else {
			res, err = r.k.Inject(p.In, p.Data)
		}
		if err != nil {
			return rep, fmt.Errorf("seed %d: packet %d: %w", c.Seed, rep.Packets, err)
		}
		observe(res.Out)
		rep.Packets++
		if res.Refused != nil && !errors.Is(res.Refused, syscall.EPERM) && len(res.Trace)+len(res.Out)+len(res.Events) == 0 {
			continue // the socket refused it, no hook saw it
		}
		w.follow(p.Data, &res)
		w.steer.more = func() []kernel.Entry { return r.newcomers(w) }
		got := w.run(p, time.Now().UnixNano()+w.ahead)
		used = used || tellsMTU(p.Data) || got.Reason == hook.ReasonNoRoute || got.Reason == hook.ReasonProhibited
		d := packetDifference(p.Data, &res, &got, w, r.Reasons)
		if d != nil && w.steer.blind && !slices.ContainsFunc(res.Events, isNew) {
			// The kernel threw the connection away for which it chose a port, so
			// that nobody can know which. What follows may depend on it.
			rep.Chance = true
			return rep, nil
		}
		if d != nil {
			d.Packet = rep.Packets - 1
			rep.Walk = walkText(p, &got) + "  kernel: " + strings.Join(res.Trace, " ") + "\n  kernel: " + eventText(res.Events) + "\n  weir:   " + eventText(w.events) + "\n"
			rep.Diff = d
			return rep, nil
		}
	}
	rep.Diff, err = r.final(w, before)
	if rep.Diff != nil {
		rep.Diff.Packet = rep.Packets
	}
	return rep, err
}

// wait lets time pass for the connections of both sides. Where one would be
// over on one side and not on the other, since Linux is told in whole seconds,
// none passes.
func (r *Runner) wait(w *subject, d time.Duration) error {
	entries, err := r.k.Dump()
	if err != nil {
		return err
	}
	for i := range entries {
		left := int64(entries[i].Timeout) - int64(d/time.Second)
		if left >= -w.slack-1 && left <= w.slack+1 {
			return nil
		}
	}
	if err := r.k.Advance(d, young); err != nil {
		return err
	}
	w.ahead += int64(d)
	w.slack++
	w.now = time.Now().UnixNano() + w.ahead
	w.m.Tick(w.now)
	tb := w.m.Conntrack()
	tb.Each(w.now, func(c *conntrack.Conn) bool {
		if e := entryOf(c, w.now); young(&e) {
			tb.Kill(c, w.now)
		}
		return true
	})
	tb.Reap()
	return nil
}

// young reports datagrams that are no stream yet: when they become one hangs on
// a time stamp that Linux keeps to itself.
func young(e *kernel.Entry) bool {
	return (e.Orig.Proto == packet.UDP || e.Orig.Proto == packet.UDPLite) && e.Status&uint32(conntrack.Assured) == 0
}

func isNew(e kernel.Event) bool { return e.Type == kernel.EventNew }

// tellsMTU reports ICMPv6 messages that a packet is too big.
func tellsMTU(p []byte) bool {
	v, ok := wire.Parse(p)
	return ok && p[0]>>4 == 6 && v.Proto == wire.ProtoICMP6 && len(v.L4) > 0 && v.L4[0] == 2
}

// walkText is a walk for people.
func walkText(p gen.Packet, got *engine.Result) string {
	t := render.Text{}
	return string(t.Append(nil, &render.Packet{In: p.In, Data: p.Data, Verdict: string(got.Verdict), Reason: got.Reason.String(), Steps: got.Steps}))
}

// newcomers are the kernel's connections that weir does not have yet: those of
// a packet whose events a rule has switched off.
func (r *Runner) newcomers(w *subject) (list []kernel.Entry) {
	all, err := r.k.Dump()
	if err != nil {
		return nil // the difference will tell
	}
	type key struct {
		orig kernel.Tuple
		zone uint16
	}
	have := map[key]bool{}
	for _, e := range w.dump() {
		have[key{e.Orig, e.Zone}] = true
	}
	for _, e := range all {
		if !have[key{e.Orig, e.Zone}] {
			list = append(list, e)
		}
	}
	return list
}

// final compares what both sides know at the end.
func (r *Runner) final(w *subject, before kernel.Stats) (*Difference, error) {
	entries, err := r.k.Dump()
	if err != nil {
		return nil, err
	}
	w.now = max(w.now, time.Now().UnixNano()+w.ahead)
	if d := sameTable(entries, w.dump(), w.slack); d != nil {
		return d, nil
	}
	for _, f := range []struct {
		what   string
		family packet.Family
	}{{"counters4", packet.IPv4}, {"counters6", packet.IPv6}} {
		text, err := r.k.Save(f.family == packet.IPv6)
		if err != nil {
			return nil, err
		}
		if d := sameCounters(f.what, text, w.counters(f.family)); d != nil {
			return d, nil
		}
	}
	after, err := r.k.Stats()
	if err != nil {
		return nil, err
	}
	return sameStats(before, after, w.m.Conntrack().Stats(), w.steer), nil
}
