package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"weir/conntrack"
	"weir/conntrack/show"
	"weir/conntrack/verbs"
	"weir/engine"
	"weir/machine"
	"weir/replay"
)

type conntrackCmd struct {
	programCmd

	state, machine, capture, in, labels string
	at                                  float64
	seed                                uint64
}

func (conntrackCmd) Help() string {
	return `Does what conntrack(8) 1.4.7 does, with its options, messages and exit statuses, to the weir that runs, to a saved state or to what a replay leaves. Options of weir come first:

  --control PATH     the socket of the weir that runs, if it is not the usual one
  --state FILE       a saved state, as replay --state-out writes it; changes are written back; - is standard input
  --machine DIR      a machine, with the connections of its conntrack.save
  --capture FILE     a capture that runs through the machine first
  --in NAME          interface of packets of which the capture does not say it
  --at SECONDS       let the clock run on so long after the last packet
  --seed N           seed of every random choice (default 1)
  --labels FILE      a connlabel.conf; without, the one beside the state or in the machine directory

Then those of conntrack(8); -h lists them. -o takes json, flat and proc beside conntrack's own words, and --helper NAME goes with -I and -A.

Examples:
  weir conntrack -L -p tcp --state ESTABLISHED
  weir conntrack --machine router --capture browse.pcapng -L --src-nat
  weir conntrack --machine router --capture browse.pcapng -E -e NEW -o timestamp
  weir conntrack --machine router --capture browse.pcapng -L -o json | jq .original.src
  weir conntrack --state router/conntrack.save -D -s 192.0.2.10`
}

// options takes weir's options from the front of the arguments.
func (c *conntrackCmd) options() (rest []string, err error) {
	c.seed = 1
	args := c.Args
	for len(args) > 0 {
		name, value, given := strings.Cut(args[0], "=")
		to := map[string]*string{
			"--state": &c.state, "--machine": &c.machine, "--capture": &c.capture, "--in": &c.in, "--labels": &c.labels,
		}[name]
		number := name == "--at" || name == "--seed"
		if to == nil && !number {
			break
		}
		if !given {
			if len(args) < 2 {
				return nil, usagef("%s needs a value", name)
			}
			value, args = args[1], args[1:]
		}
		args = args[1:]
		switch {
		case to != nil:
			*to = value
		case name == "--at":
			if c.at, err = strconv.ParseFloat(value, 64); err != nil || !(c.at >= 0 && c.at <= 1e9) {
				return nil, usagef("--at: %s is not a time to let pass", value)
			}
		default:
			if c.seed, err = strconv.ParseUint(value, 10, 64); err != nil {
				return nil, usagef("--seed: %s is not a number", value)
			}
		}
	}
	return args, nil
}

// Run carries a command line of conntrack(8) out.
func (c *conntrackCmd) Run(e *env) error {
	if len(c.Args) == 1 && c.Args[0] == "--help" {
		fmt.Fprintln(e.stdout, c.Help())
		return nil
	}
	args, err := c.options()
	if err != nil {
		return err
	}
	switch {
	case c.state != "" && c.machine != "":
		return usagef("--state and --machine both say what to work on")
	case c.capture != "" && c.machine == "":
		return usagef("--capture needs --machine")
	case c.state == "" && c.machine == "" && len(args) < len(c.Args):
		return usagef("%s goes with --state FILE or --machine DIR", c.Args[0])
	case c.state == "" && c.machine == "":
		return c.run(e, "conntrack")
	}
	names, err := c.names()
	if err != nil {
		return err
	}
	run, listens, err := c.command(e, args, names)
	if err != nil {
		return err
	}
	if c.state != "" {
		return c.onState(e, run, listens, names)
	}
	return c.onMachine(e, run, listens)
}

// runner is commands that were read.
type runner func(m verbs.Machine, now int64) verbs.Result

// command reads the command line, or with -R the file that it names. listens is
// the command if that is -E.
func (c *conntrackCmd) command(e *env, args []string, names *show.LabelNames) (run runner, listens *verbs.Command, err error) {
	if len(args) > 1 && (args[0] == "-R" || args[0] == "--load-file") {
		var text []byte
		if args[1] == "-" {
			text, err = readAll(e.stdin)
		} else {
			text, err = os.ReadFile(args[1])
		}
		if err != nil {
			return nil, nil, err
		}
		list, bad := verbs.ParseFile(text, names)
		if bad != nil {
			e.stderr.Write(bad.Output())
			return nil, nil, exitStatus(bad.Status)
		}
		return func(m verbs.Machine, now int64) verbs.Result { return verbs.RunFile(list, m, now) }, nil, nil
	}
	cmd, bad := verbs.Parse(args, names)
	if bad != nil {
		e.stderr.Write(bad.Output())
		return nil, nil, exitStatus(bad.Status)
	}
	if cmd.Listens() {
		listens = cmd
	}
	return cmd.Run, listens, nil
}

// names is the labels' names.
func (c *conntrackCmd) names() (*show.LabelNames, error) {
	name := c.labels
	if name == "" {
		dir := c.machine
		if dir == "" {
			dir = filepath.Dir(c.state)
		}
		name = filepath.Join(dir, "connlabel.conf")
	}
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) && c.labels == "" {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return show.ParseLabels(text), nil
}

// readState loads a saved state into a table.
func (c *conntrackCmd) readState(e *env, names *show.LabelNames) (verbs.Machine, error) {
	var text []byte
	var err error
	if c.state == "-" {
		text, err = readAll(e.stdin)
	} else {
		text, err = os.ReadFile(c.state)
	}
	if err != nil {
		return verbs.Machine{}, err
	}
	// Nothing but its connections: the machine has no rules to run.
	eng, errs := engine.New(engine.Config{
		Seed: c.seed, Connections: engine.Text{Name: c.state, Text: text}, Start: 1,
		Labels: engine.Text{Text: labelText(names)},
	})
	if len(errs) > 0 {
		return verbs.Machine{}, errorList(errs)
	}
	return eng.Commands(), nil
}

// labelText is a connlabel.conf with the names.
func labelText(names *show.LabelNames) []byte {
	var b bytes.Buffer
	for i := range uint8(conntrack.NumLabels) {
		if n := names.Name(i); n != "" {
			fmt.Fprintln(&b, i, n)
		}
	}
	return b.Bytes()
}

// onState works on a saved state. Its clock stands still.
func (c *conntrackCmd) onState(e *env, run runner, listens *verbs.Command, names *show.LabelNames) error {
	if listens != nil {
		return usagef("-E needs --machine and --capture: nothing happens in a saved state")
	}
	if c.state != "-" {
		unlock, err := lockDir(filepath.Dir(c.state), true, 0)
		if err != nil {
			return err
		}
		defer unlock()
	}
	m, err := c.readState(e, names)
	if err != nil {
		return err
	}
	const now = 1
	res := run(m, now)
	m.Table.Reap()
	if res.Changed && c.state != "-" {
		if err := replaceFile(c.state, verbs.AppendState(nil, m.Table, names, now)); err != nil {
			return err
		}
	}
	return finishCommand(e, res)
}

// finishCommand writes what a command said.
func finishCommand(e *env, res verbs.Result) error {
	e.stdout.Write(res.Stdout)
	e.stderr.Write(res.Stderr)
	if res.Status != 0 {
		return exitStatus(res.Status)
	}
	return nil
}

// onMachine works on what a capture leaves in a machine, or with -E tells what
// happens on the way.
func (c *conntrackCmd) onMachine(e *env, run runner, listens *verbs.Command) error {
	m, eng, err := load(c.machine, c.seed)
	if err != nil {
		return err
	}
	r := &replay.Runner{Machine: eng}
	var count func() []byte
	if listens != nil {
		count = listen(e, listens, eng)
	}
	if c.capture != "" {
		if err := c.replay(e, r, m); err != nil {
			return err
		}
	}
	now := max(r.Last+int64(c.at*1e9), 1)
	eng.Tick(now)
	if listens != nil {
		e.stderr.Write(count())
		return nil
	}
	return finishCommand(e, run(eng.Commands(), now))
}

// replay runs the capture.
func (c *conntrackCmd) replay(e *env, r *replay.Runner, m *machine.Machine) error {
	in, size, err := e.input(c.capture)
	if err != nil {
		return err
	}
	defer in.Close()
	p := e.watch(in, size)
	defer func() { p.done() }()
	src, err := replay.NewCapture(p, c.capture, m)
	if err != nil {
		return err
	}
	src.In = c.in
	if err := knownIface(m, c.in); err != nil {
		return err
	}
	return r.Run(src)
}

// listen prints the events that the command asks for, and returns what counts
// them.
func listen(e *env, cmd *verbs.Command, eng *engine.Machine) func() []byte {
	out := bufio.NewWriter(e.stdout)
	p, tb, n := cmd.Printer(), eng.Conntrack(), 0
	word := "conntrack"
	var b []byte
	line := func(f func(b []byte) []byte) {
		if n++; n == 1 {
			out.WriteString(p.Head(word))
		}
		b = append(f(b[:0]), '\n')
		out.Write(b) // a failure is kept by the buffer until Flush
	}
	if cmd.Table == verbs.Expectations {
		word = "expect"
		tb.OnExpect(func(ev conntrack.ExpectEvent) {
			line(func(b []byte) []byte { return p.ExpectEvent(b, &ev) })
		})
	} else {
		tb.OnEvent(func(ev conntrack.Event) {
			if cmd.MatchEvent(&ev) {
				line(func(b []byte) []byte { return p.Event(b, &ev) })
			}
		})
	}
	return func() []byte {
		if n > 0 {
			out.WriteString(p.Tail(word))
		}
		out.Flush()
		return cmd.Shown(n)
	}
}
