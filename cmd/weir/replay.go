package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"weir/capture"
	"weir/conntrack"
	"weir/conntrack/show"
	"weir/conntrack/verbs"
	"weir/engine"
	"weir/hook"
	"weir/machine"
	"weir/packet"
	"weir/replay"
	"weir/trace/render"
	"weir/xtables/save"
)

type replayCmd struct {
	Machine string `arg:"" help:"Machine directory."`
	Capture string `arg:"" help:"pcap or pcapng file, gzipped or not; - is standard input."`

	In              string  `placeholder:"NAME" help:"Interface of packets of which the capture does not say it; \"local\" is the machine itself."`
	IncludeOutgoing bool    `help:"Also run packets that the capture marks as outgoing."`
	JSON            string  `name:"json" placeholder:"FILE" help:"One JSON object a line for each packet."`
	Write           string  `short:"w" placeholder:"FILE" help:"pcapng of every packet that leaves, if_name = the interface it leaves by."`
	Conntrack       string  `placeholder:"FILE" help:"The connections at the end, as conntrack -L -o extended."`
	Expect          string  `placeholder:"FILE" help:"The expectations at the end, as conntrack -L expect."`
	Events          string  `placeholder:"FILE" help:"Events of connection tracking, as conntrack -E -o extended,timestamp."`
	Save            string  `placeholder:"FILE" help:"IPv4 tables with counters, as iptables-save -c."`
	Save6           string  `name:"save6" placeholder:"FILE" help:"IPv6 tables with counters, as ip6tables-save -c."`
	StateOut        string  `placeholder:"FILE" help:"The connections at the end as conntrack.save of a machine directory has them."`
	Proc            string  `placeholder:"DIR" help:"The state of -m recent and -m hashlimit at the end, as files of /proc/net: DIR/xt_recent/NAME, DIR/ipt_hashlimit/NAME, DIR/ip6t_hashlimit/NAME."`
	Nfacct          string  `placeholder:"FILE" help:"The accounting objects at the end, as nfacct list."`
	Stats           string  `placeholder:"FILE" help:"Statistics of connection tracking, as conntrack -S."`
	At              float64 `placeholder:"SECONDS" help:"Let the clock run on so long after the last packet before the tables are written."`
	Seed            uint64  `default:"1" placeholder:"N" help:"Seed of every random choice; the same seed gives the same bytes (default 1)."`
	Workers         int     `default:"1" placeholder:"N" help:"Cores to use; results come in the order of the capture (default 1)."`
}

func (replayCmd) Help() string {
	return `Each FILE may be - for standard output. Without any, a summary is printed.

Examples:
  weir replay router browse.pcapng
  weir replay router browse.pcapng --json - | jq 'select(.verdict=="drop")'
  weir replay router browse.pcapng -w out.pcapng --conntrack - --save -
  tcpdump -w - -i any | weir replay router - --events -`
}

// Run replays.
func (c *replayCmd) Run(e *env) (err error) {
	if err := c.check(); err != nil {
		return err
	}
	m, eng, err := load(c.Machine, c.Seed)
	if err != nil {
		return err
	}
	in, size, err := e.input(c.Capture)
	if err != nil {
		return err
	}
	defer in.Close()
	p := e.watch(in, size)
	defer func() { p.done() }()
	src, err := replay.NewCapture(p, c.Capture, m)
	if err != nil {
		return err
	}
	src.In, src.IncludeOutgoing = c.In, c.IncludeOutgoing
	if err := knownIface(m, c.In); err != nil {
		return err
	}

	w, err := c.open(e, eng, show.ParseLabels(m.Labels.Text))
	if err != nil {
		return err
	}
	r := &replay.Runner{Machine: eng, Workers: c.Workers}
	sum := summary{}
	r.Each = func(pk *render.Packet) error {
		p.packets.Add(1)
		sum.add(pk)
		return w.packet(pk)
	}
	if w.json == nil {
		r.Took = func(items []replay.Item, done []engine.Result) error {
			p.packets.Add(int64(len(done)))
			for i := range done {
				sum.took(&done[i])
				if err := w.took(items[i].Time, &done[i]); err != nil {
					return err
				}
			}
			return nil
		}
	}
	runErr := r.Run(src)
	if err := w.finish(c, eng, r); err != nil {
		return err
	}
	p.done()
	p.stop = nil
	for _, n := range src.Skipped.Notes() {
		fmt.Fprintf(e.stderr, "%s: %s\n", c.Capture, n)
	}
	if w.none() && c.Proc == "" {
		sum.print(e, eng)
	}
	return runErr
}

// check refuses options that cannot be.
func (c *replayCmd) check() error {
	if c.Workers < 1 {
		return usagef("--workers: %d is not a number of cores", c.Workers)
	}
	if c.At < 0 || math.IsNaN(c.At) || c.At > 1e9 {
		return usagef("--at: %v is not a time to let pass", c.At)
	}
	if c.Write == "-" {
		for _, f := range []string{c.JSON, c.Conntrack, c.Expect, c.Events, c.Save, c.Save6, c.Stats, c.Nfacct, c.StateOut} {
			if f == "-" {
				return usagef("-w - fills standard output: nothing else can go there")
			}
		}
	}
	return nil
}

// knownIface refuses an --in that the machine does not have.
func knownIface(m *machine.Machine, name string) error {
	if name == "" || name == machine.Local || m.Iface(name) != nil {
		return nil
	}
	return usagef("--in: the machine has no interface %q", name)
}

// writers is the outputs of a replay; those not asked for are nil.
type writers struct {
	json, pcap, conntrack, expect, events, save, save6, stats, nfacct, state *output

	names *show.LabelNames // of labels

	ng  *capture.Writer
	buf []byte
}

func (c *replayCmd) open(e *env, eng *engine.Machine, names *show.LabelNames) (*writers, error) {
	w := &writers{names: names}
	for _, o := range []struct {
		name string
		to   **output
	}{
		{c.JSON, &w.json}, {c.Write, &w.pcap}, {c.Conntrack, &w.conntrack}, {c.Expect, &w.expect},
		{c.Events, &w.events}, {c.Save, &w.save}, {c.Save6, &w.save6}, {c.Stats, &w.stats}, {c.Nfacct, &w.nfacct}, {c.StateOut, &w.state},
	} {
		var err error
		if *o.to, err = e.open(o.name); err != nil {
			return nil, err
		}
	}
	if w.pcap != nil {
		var err error
		if w.ng, err = capture.NewWriter(w.pcap); err != nil {
			return nil, err
		}
		for _, i := range eng.Ifaces().All() {
			if err := w.ng.Interface(i.Name); err != nil {
				return nil, err
			}
		}
	}
	if w.events != nil {
		tb := eng.Conntrack()
		var b []byte
		tb.OnEvent(func(ev conntrack.Event) {
			b = append(show.AppendEvent(b[:0], &ev, show.Extended|show.Timestamp), '\n')
			w.events.Write(b) // a failure is kept by the buffer until Flush
		})
	}
	return w, nil
}

func (w *writers) none() bool {
	return w.json == nil && w.pcap == nil && w.conntrack == nil && w.expect == nil && w.events == nil && w.save == nil && w.save6 == nil && w.stats == nil && w.nfacct == nil && w.state == nil
}

// packet writes what one packet caused.
func (w *writers) packet(p *render.Packet) error {
	if w.json != nil {
		w.buf = render.AppendJSON(w.buf[:0], p, false)
		if _, err := w.json.Write(w.buf); err != nil {
			return err
		}
	}
	if w.ng != nil {
		for i := range p.Out {
			if err := w.ng.Packet(p.Out[i].Dev, p.Time, p.Out[i].Data, ""); err != nil {
				return err
			}
		}
	}
	return nil
}

// took is packet for a result of the machine.
func (w *writers) took(time int64, r *engine.Result) error {
	if w.ng != nil {
		for i := range r.Out {
			if err := w.ng.Packet(r.Out[i].Dev.Name, time, r.Out[i].Data, ""); err != nil {
				return err
			}
		}
	}
	return nil
}

// finish lets the clock run on and writes the tables.
func (w *writers) finish(c *replayCmd, eng *engine.Machine, r *replay.Runner) error {
	now := r.Last + int64(c.At*1e9)
	if r.Count > 0 {
		for _, o := range eng.Tick(now).Out {
			if w.ng != nil {
				if err := w.ng.Packet(o.Dev.Name, now, o.Data, ""); err != nil {
					return err
				}
			}
		}
	}
	tb := eng.Conntrack()
	if w.conntrack != nil {
		var b []byte
		tb.Each(now, func(k *conntrack.Conn) bool {
			b = append(show.AppendEntry(b[:0], tb, k, now, show.Extended), '\n')
			w.conntrack.Write(b)
			return true
		})
	}
	if w.expect != nil {
		tb.EachExpect(func(x *conntrack.Expect) bool {
			w.expect.Write(append(show.AppendExpect(nil, tb, x, now), '\n'))
			return true
		})
	}
	if w.save != nil {
		w.save.Write(save.Append(nil, eng.Rules(packet.IPv4), true))
	}
	if w.save6 != nil {
		w.save6.Write(save.Append(nil, eng.Rules(packet.IPv6), true))
	}
	if w.stats != nil {
		w.stats.Write(append(show.AppendStats(nil, tb.Stats()), '\n'))
	}
	if w.state != nil {
		w.state.Write(verbs.AppendState(nil, tb, w.names, now))
	}
	if w.nfacct != nil {
		w.nfacct.Write(eng.Known().Accounts.Append(nil))
	}
	var first error
	if c.Proc != "" {
		first = writeProc(c.Proc, eng.Proc(now))
	}
	for _, o := range []*output{w.json, w.pcap, w.conntrack, w.expect, w.events, w.save, w.save6, w.stats, w.nfacct, w.state} {
		if err := o.close(); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// writeProc writes files as /proc/net has them.
func writeProc(dir string, files []engine.ProcFile) error {
	for _, f := range files {
		if err := os.MkdirAll(filepath.Join(dir, f.Dir), 0o777); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, f.Dir, f.Name), f.Text.Text, 0o666); err != nil {
			return err
		}
	}
	return nil
}

// summary is what replay says when no option asks for more.
type summary struct {
	verdicts, out tally
	n             int
}

func (s *summary) add(p *render.Packet) {
	s.n++
	s.verdicts.add(p.Verdict)
	for i := range p.Out {
		s.out.add(p.Out[i].Dev)
	}
}

func (s *summary) took(r *engine.Result) {
	s.n++
	s.verdicts.add(string(r.Verdict))
	for i := range r.Out {
		s.out.add(r.Out[i].Dev.Name)
	}
}

// tally counts by name; frequent names stand in front.
type tally []struct {
	name string
	n    int
}

func (t *tally) add(name string) {
	l := *t
	for i := range l {
		if l[i].name != name {
			continue
		}
		l[i].n++
		if i > 0 && l[i].n > l[i-1].n {
			l[i], l[i-1] = l[i-1], l[i]
		}
		return
	}
	*t = append(l, struct {
		name string
		n    int
	}{name, 1})
}

func (t tally) of(name string) int {
	for i := range t {
		if t[i].name == name {
			return t[i].n
		}
	}
	return 0
}

// verdictOrder is the order in which fates are listed.
var verdictOrder = [...]string{"forward", "local", "output", "held", "drop"}

// line is the fates in one line.
func (s *summary) line() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d packets", s.n)
	sep := ": "
	for _, v := range verdictOrder {
		if n := s.verdicts.of(v); n > 0 {
			fmt.Fprintf(&b, "%s%d %s", sep, n, v)
			sep = ", "
		}
	}
	return b.String()
}

func (s *summary) print(e *env, eng *engine.Machine) {
	fmt.Fprintf(e.stdout, "%d packets\n", s.n)
	for _, v := range verdictOrder {
		if n := s.verdicts.of(v); n > 0 {
			fmt.Fprintf(e.stdout, "  %-10s %8d\n", v, n)
		}
	}
	for r, n := range eng.Drops() {
		if n > 0 {
			fmt.Fprintf(e.stdout, "    %-8s %8d\n", hook.Reason(r), n)
		}
	}
	sort.Slice(s.out, func(i, j int) bool { return s.out[i].name < s.out[j].name })
	fmt.Fprintln(e.stdout, "left the machine")
	for _, d := range s.out {
		fmt.Fprintf(e.stdout, "  %-10s %8d\n", d.name, d.n)
	}
	fmt.Fprintf(e.stdout, "connections  %8d\n", eng.Conntrack().Len())
}
