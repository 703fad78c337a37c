package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
)

// options of the command line.
type options struct {
	quick  bool
	only   map[string]bool // nil: all
	rounds int
	flows  []int // nil: the usual
	page   bool
	out    string
}

func main() {
	var o options
	var only, flows, as string
	var redraw bool
	flag.BoolVar(&o.quick, "quick", false, "fewer points and rounds")
	flag.StringVar(&only, "only", "", "measure these `subjects` only: "+strings.Join(processes, ","))
	flag.IntVar(&o.rounds, "rounds", 0, "`number` of rounds; 5 unless given, 3 with -quick")
	flag.StringVar(&flows, "flows", "", "measure established traffic of these `numbers` of flows only")
	flag.StringVar(&o.out, "o", "results.json", "`file` for the results")
	flag.BoolVar(&redraw, "redraw", false, "write docs/performance.md from the results of an earlier run")
	flag.StringVar(&as, "worker", "", "be the process of one subject (used by bench itself)")
	flag.Parse()
	if as != "" {
		work(as)
		return
	}
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "bench: %q: no arguments are taken\n", flag.Arg(0))
		os.Exit(2)
	}
	if err := o.parse(only, flows); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	if err := do(o, redraw); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (o *options) parse(only, flows string) error {
	if only != "" {
		o.only = map[string]bool{}
		for _, name := range strings.Split(only, ",") {
			known := false
			for _, p := range processes {
				known = known || p == name
			}
			if !known {
				return fmt.Errorf("-only %s: not one of %s", name, strings.Join(processes, ", "))
			}
			o.only[name] = true
		}
	}
	if flows != "" {
		for _, f := range strings.Split(flows, ",") {
			n, err := strconv.Atoi(f)
			if err != nil || n < 1 || n > 1<<27 {
				return fmt.Errorf("-flows %s: numbers from 1 to 2^27, with commas between", flows)
			}
			o.flows = append(o.flows, n)
		}
	}
	if o.rounds < 0 {
		return errors.New("-rounds: at least 1")
	}
	if o.rounds == 0 {
		o.rounds = 5
		if o.quick {
			o.rounds = 3
		}
	}
	o.page = only == "" && flows == "" && !o.quick
	return nil
}

func do(o options, redraw bool) error {
	if redraw {
		results, err := readResults(o.out)
		if err != nil {
			return err
		}
		return writePage("../docs", results)
	}
	points := plan(o)
	most := 0
	for _, p := range points {
		if p.runs("linux") {
			most = max(most, p.Flows)
		}
	}
	if o.only == nil || o.only["linux"] {
		restore, said := raiseLimits(most + most/8)
		defer restore()
		if said != "" {
			fmt.Fprintf(os.Stderr, "bench: for the time of this run, on this machine:%s\n", said)
		}
	}
	f := &fleet{}
	defer f.stop()
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	f.interrupted = stop
	results, failed := f.measure(points, o)
	if len(results) == 0 && failed != nil {
		return failed
	}
	if err := writeResults(o.out, results); err != nil {
		return err
	}
	printTable(os.Stdout, results)
	if failed != nil || !o.page {
		return failed
	}
	return writePage("../docs", results)
}
