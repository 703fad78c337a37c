package main

import (
	"errors"
	"fmt"
	"strconv"

	"weir/engine"
	"weir/hook"
	"weir/machine"
	"weir/replay"
	"weir/scenario/line"
	"weir/trace/filter"
	"weir/trace/render"
)

type traceCmd struct {
	Machine string `arg:"" optional:"" help:"Machine directory."`
	Capture string `arg:"" optional:"" help:"pcap or pcapng file; - is standard input."`

	Live    *string `placeholder:"FILTER" help:"Show packets of the weir that runs, as they come, for which this is true; \"\" is all."`
	Rate    int     `default:"100" placeholder:"N" help:"At most so many live packets a second (default 100)."`
	Control string  `placeholder:"PATH" help:"Socket of the running weir."`

	Packet          []string `placeholder:"LINE" sep:"none" help:"A packet written out, instead of a capture; may stand more than once."`
	Only            string   `placeholder:"EXPR" help:"Show only packets for which this is true."`
	Show            string   `enum:"all,matched,verdict" default:"all" placeholder:"HOW" help:"all: every rule that was tried; matched: only rules that matched; verdict: one line a packet."`
	JSON            string   `name:"json" placeholder:"FILE" help:"JSON objects with the steps, instead of text."`
	Pipeline        bool     `help:"Print the order in which everything runs, and end."`
	In              string   `placeholder:"NAME" help:"Interface of packets of which the capture does not say it; \"local\" is the machine itself."`
	IncludeOutgoing bool     `help:"Also run packets that the capture marks as outgoing."`
	Seed            uint64   `default:"1" placeholder:"N" help:"Seed of every random choice (default 1)."`
	Workers         int      `default:"1" placeholder:"N" help:"Cores to use (default 1)."`
}

func (traceCmd) Help() string {
	return `The answer stands first: what became of the packet and which rule decided. The walk follows, hook by hook, with the place of each rule, and for each that did not match the test that failed and what the packet had there.

Packets written out (docs/packets.md has the whole language):
  weir trace router --packet 'lan0 tcp 192.0.2.10:4000 > 198.51.100.1:443 S'
  weir trace router --packet 'lan0 udp 192.0.2.10:4000 > 198.51.100.1:53 len=30' \
                    --packet '+2s wan0 udp 198.51.100.1:53 > 203.0.113.2:4000 len=60'
  weir trace host --packet 'local icmp 192.0.2.1 > 198.51.100.1 echo id=1 seq=1'

Expressions compare what weir found (n, len, verdict, reason, in, out, ct, table, chain) and take tcpdump's words, joined by && || ! and ( ):
  weir trace router day.pcapng --only 'verdict==drop && reason!=policy'
  weir trace router day.pcapng --only 'tcp port 443 and ct==INVALID' --show matched
  weir trace router day.pcapng --only n==17

Packets of a running weir, and those among them that it drops:
  weir trace --live 'host 192.0.2.10 and tcp port 443'
  weir trace --live verdict==drop --rate 10`
}

// Run traces.
func (c *traceCmd) Run(e *env) error {
	if c.Pipeline {
		return c.pipeline(e)
	}
	if c.Live != nil {
		return c.live(e)
	}
	switch {
	case c.Machine == "":
		return usagef("trace: expected MACHINE")
	case c.Capture == "" && len(c.Packet) == 0:
		return usagef("trace: expected a capture or --packet")
	case c.Capture != "" && len(c.Packet) > 0:
		return usagef("trace: a capture or --packet, not both")
	case c.Workers < 1:
		return usagef("--workers: %d is not a number of cores", c.Workers)
	}
	var only *filter.Filter
	if c.Only != "" {
		var err error
		if only, err = filter.Parse(c.Only); err != nil {
			return usagef("--only: %v", err)
		}
	}
	lines, err := c.lines()
	if err != nil {
		return err
	}
	m, eng, err := load(c.Machine, c.Seed)
	if err != nil {
		return err
	}
	if err := knownIface(m, c.In); err != nil {
		return err
	}
	for i, l := range lines {
		if l.In != machine.Local && m.Iface(l.In) == nil {
			return usagef("--packet %d: the machine has no interface %q", i+1, l.In)
		}
	}

	r := &replay.Runner{Machine: eng, Trace: true, Workers: c.Workers}
	dest := "-"
	if c.JSON != "" {
		dest = c.JSON
	}
	out, err := e.open(dest)
	if err != nil {
		return err
	}
	text := render.Text{Style: render.Style{Colour: e.colour}, Width: e.width}
	switch c.Show {
	case "matched":
		text.Show = render.ShowMatched
	case "verdict":
		text.Show = render.ShowVerdict
	}
	var buf []byte
	started := false
	shown := 0
	var sum summary
	var prog *progress
	r.Each = func(p *render.Packet) error {
		if prog != nil {
			prog.packets.Add(1)
		}
		if !started {
			text.Start, started = p.Time, true
		}
		sum.add(p)
		if only != nil && !only.Match(p) {
			return nil
		}
		shown++
		if c.JSON != "" {
			buf = render.AppendJSON(buf[:0], p, true)
		} else {
			buf = text.Append(buf[:0], p)
		}
		_, err := out.Write(buf)
		return err
	}

	if len(lines) > 0 {
		src := &replay.Lines{}
		for _, l := range lines {
			src.Add(l)
		}
		err = r.Run(src)
		if cerr := out.close(); err == nil {
			err = cerr
		}
		return err
	}

	in, size, err := e.input(c.Capture)
	if err != nil {
		return err
	}
	defer in.Close()
	quiet := *e
	quiet.progress = e.progress && (c.JSON != "" && c.JSON != "-")
	prog = quiet.watch(in, size)
	defer prog.done()
	src, err := replay.NewCapture(prog, c.Capture, m)
	if err != nil {
		return err
	}
	src.In, src.IncludeOutgoing = c.In, c.IncludeOutgoing
	err = r.Run(src)
	if cerr := out.close(); err == nil {
		err = cerr
	}
	for _, n := range src.Skipped.Notes() {
		fmt.Fprintf(e.stderr, "%s: %s\n", c.Capture, n)
	}
	switch {
	case err != nil:
	case only != nil && shown == 0:
		fmt.Fprintf(e.stderr, "%s: none of %d packets is as --only wants it\n", c.Capture, r.Count)
	case e.width > 0 && e.progress && c.JSON != "-":
		fmt.Fprintln(e.stderr, sum.line())
		if only == nil && c.Show == "all" && sum.verdicts.of("drop") > 0 && shown > 20 {
			fmt.Fprintln(e.stderr, "--only verdict==drop shows the dropped ones; --show verdict gives each packet a line")
		}
	}
	return err
}

// lines reads the packets of the command line, with all their errors.
func (c *traceCmd) lines() ([]*line.Packet, error) {
	var ps []*line.Packet
	for i, l := range c.Packet {
		p, err := line.Parse(l)
		if err != nil {
			var le *line.Error
			if errors.As(err, &le) {
				return nil, usagef("--packet %d, column %d: %s\n  %s\n  %*s", i+1, le.Col, le.Msg, l, le.Col, "^")
			}
			return nil, usagef("--packet %s: %v", strconv.Itoa(i+1), err)
		}
		ps = append(ps, p)
	}
	return ps, nil
}

// pipeline prints the order of netfilter as the engine has it.
func (c *traceCmd) pipeline(e *env) error {
	if c.Machine != "" || len(c.Packet) > 0 {
		return usagef("--pipeline is the same for every machine: it takes no arguments")
	}
	eng, errs := engine.New(engine.Config{})
	if len(errs) > 0 {
		return errorList(errs)
	}
	names := map[hook.Priority]string{
		hook.PriFirst: "first", hook.PriRawBeforeDefrag: "raw before defrag", hook.PriDefrag: "defrag", hook.PriRaw: "raw",
		hook.PriSELinuxFirst: "SELinux first", hook.PriConntrack: "conntrack", hook.PriMangle: "mangle", hook.PriDNAT: "DNAT",
		hook.PriFilter: "filter", hook.PriSecurity: "security", hook.PriSNAT: "SNAT", hook.PriSELinuxLast: "SELinux last",
		hook.PriHelper: "helper", hook.PriConfirm: "confirm",
	}
	fmt.Fprintf(e.stdout, "%-11s  %11s  %-17s  %s\n", "hook", "priority", "its name", "what runs")
	for pt := hook.Prerouting; pt < hook.NumPoints; pt++ {
		at := pt.String()
		for _, en := range eng.Pipeline().At(pt) {
			fmt.Fprintf(e.stdout, "%-11s  %11d  %-17s  %s\n", at, en.Pri, names[en.Pri], en.Name)
			at = ""
		}
	}
	return nil
}
