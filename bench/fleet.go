package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// processes are the subjects' processes in the order of the tables.
var processes = []string{"weir", "gvisor", "linux", "linux-forwarding", "memory", "load", "replay"}

// point is one place at which all subjects are measured.
type point struct {
	Workload string // established, new
	Flows    int
	Rules    int // before those that accept
	Who      []string
}

func (p point) runs(name string) bool { return slices.Contains(p.Who, name) }

// plan lists the points.
func plan(o options) (points []point) {
	add := func(workload string, flows, rules int, who ...string) {
		p := point{Workload: workload, Flows: flows, Rules: rules}
		for _, w := range who {
			// The kernel's share needs both.
			if o.only == nil || o.only[w] || w == "linux-forwarding" && o.only["linux"] {
				p.Who = append(p.Who, w)
			}
		}
		if len(p.Who) > 0 {
			points = append(points, p)
		}
	}
	gateways, limits := processes[:4], processes[:5]
	if o.flows != nil {
		for _, n := range o.flows {
			add("established", n, 0, limits...)
		}
		return points
	}
	add("established", 1_000, 0, limits...)
	if !o.quick {
		add("established", 10_000, 0, limits...)
	}
	add("established", 100_000, 0, limits...)
	if !o.quick {
		add("established", 1_000_000, 0, limits...)
		add("established", 10_000_000, 0, "weir", "memory")
		add("new", 1_000_000, 0, gateways...)
	} else {
		add("new", 100_000, 0, gateways...)
	}
	if !o.quick {
		add(loadCores, 100_000, 0, "load")
		add(loadFlood, 100_000, 0, "load")
		add(loadExpiry, 2_000_000, 0, "load")
		add(loadPause, 10_000_000, 0, "load")
	}
	add(loadReplay, 1_000, 0, "replay")
	rules := []int{10, 100, 1_000, 10_000, 100_000}
	if o.quick {
		rules = []int{10, 1_000, 10_000}
	}
	for _, n := range rules {
		add("established", 1_000, n, gateways...)
	}
	for _, n := range rules {
		add("new", 100_000, n, gateways...)
	}
	return points
}

// child is the process of one subject.
type child struct {
	name string
	cmd  *exec.Cmd
	in   io.WriteCloser
	enc  *json.Encoder
	dec  *json.Decoder
}

// fleet is all of them.
type fleet struct {
	children    map[string]*child
	interrupted <-chan os.Signal
}

var errInterrupted = errors.New("interrupted")

func (f *fleet) child(name string) (*child, error) {
	if c := f.children[name]; c != nil {
		return c, nil
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{name: name, cmd: exec.Command(self, "-worker", name)}
	c.cmd.Stderr = os.Stderr
	if strings.HasPrefix(name, "linux") {
		// A signal of Go's scheduler would interrupt the system calls that
		// are measured.
		c.cmd.Env = append(os.Environ(), "GODEBUG=asyncpreemptoff=1")
	}
	c.cmd.SysProcAttr = apart()
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	c.enc, c.dec = json.NewEncoder(c.in), json.NewDecoder(out)
	if f.children == nil {
		f.children = map[string]*child{}
	}
	f.children[name] = c
	return c, nil
}

// ask sends a request and waits for the answer.
func (f *fleet) ask(name string, q request) (a reply, err error) {
	c, err := f.child(name)
	if err != nil {
		return a, err
	}
	done := make(chan error, 1)
	go func() {
		err := c.enc.Encode(q)
		if err == nil {
			err = c.dec.Decode(&a)
		}
		done <- err
	}()
	select {
	case err = <-done:
	case <-f.interrupted:
		return reply{}, errInterrupted
	}
	if err != nil {
		return reply{}, fmt.Errorf("%s: its process ended: %w", name, err)
	}
	return a, nil
}

func (f *fleet) stop() {
	for _, c := range f.children {
		c.in.Close()
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait()
	}
	f.children = nil
}

// row collects the rounds of one subject at one point.
type row struct {
	subject, version string
	workload         string
	ns, process      []float64
	allocs, bytes    *float64
	worst, grown     *float64 // the largest of the rounds
}

// measure goes through the points. At each, every subject prepares, and then
// the rounds go round the subjects, each time beginning with another.
// It returns what it has when it is interrupted or a subject fails.
func (f *fleet) measure(points []point, o options) (results []Result, err error) {
	skipped := map[string]bool{}
	for _, p := range points {
		q := request{Workload: p.Workload, Flows: p.Flows, Rules: p.Rules, Budget: 400e6}
		fmt.Fprintf(os.Stderr, "bench: %s, %s flows, %s rules before the accept:", p.Workload, count(p.Flows), count(p.Rules))
		var rows []*row
		type turn struct {
			process, variant string
			row              *row
		}
		var turns []turn
		for _, name := range p.Who {
			q.Op = "prepare"
			a, err := f.ask(name, q)
			if err != nil {
				return results, err
			}
			if a.Error != "" {
				return results, fmt.Errorf("%s: %s", name, a.Error)
			}
			if a.Skip != "" {
				if !skipped[name+a.Skip] {
					fmt.Fprintf(os.Stderr, "\nbench: %s skipped: %s\n", name, a.Skip)
				}
				skipped[name+a.Skip] = true
				continue
			}
			fmt.Fprintf(os.Stderr, " %s", name)
			for _, v := range a.Variants {
				r := &row{subject: v, version: a.Version, workload: p.Workload, bytes: a.Bytes}
				if name == "memory" {
					r.subject, r.workload = name, "two lines, "+v
				}
				rows = append(rows, r)
				turns = append(turns, turn{name, v, r})
			}
		}
		rounds := o.rounds
		if p.Workload == "new" && p.Rules == 0 {
			rounds = min(rounds, 3) // each is a growth from nothing
		}
		if p.Workload == loadExpiry || p.Workload == loadPause {
			rounds = 1
		}
		for i := range rounds {
			for j := range turns {
				t := turns[(i+j)%len(turns)]
				q.Op, q.Variant = "measure", t.variant
				a, err := f.ask(t.process, q)
				if err != nil {
					return results, err
				}
				if a.Error != "" {
					return results, fmt.Errorf("%s: %s", t.row.subject, a.Error)
				}
				t.row.ns = append(t.row.ns, a.NS)
				t.row.process = append(t.row.process, a.ProcessNS)
				t.row.allocs = a.Allocs
				t.row.worst, t.row.grown = larger(t.row.worst, a.Worst), larger(t.row.grown, a.Grown)
			}
		}
		fmt.Fprintln(os.Stderr)
		for _, name := range p.Who {
			if _, err := f.ask(name, request{Op: "close"}); err != nil {
				return results, err
			}
		}
		results = append(results, summarise(p, rows)...)
	}
	return results, nil
}

// larger is the larger of two figures, of which either may be missing.
func larger(a, b *float64) *float64 {
	if a == nil || b != nil && *b > *a {
		return b
	}
	return a
}
