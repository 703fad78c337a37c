// Command campaign compares weir with the running kernel on random machines,
// rules and packets. It needs Linux and root.
//
//	campaign -packets 1000000 -seed 1
//	campaign -case failing.case
//
// Exit status: 0 no difference; 1 differences; 2 it could not run.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"time"

	"weir/internal/gen"
	"weir/internal/linuxdiff"
)

func main() { os.Exit(run()) }

func run() int {
	var (
		packets  = flag.Int("packets", 100000, "compare at least so many packets")
		seed     = flag.Uint64("seed", 1, "seed of the first scenario")
		duration = flag.Duration("time", 0, "stop after this time")
		perCase  = flag.Int("per-case", 150, "packets of one scenario")
		parallel = flag.Int("parallel", runtime.NumCPU(), "kernels at once")
		stop     = flag.Int("stop", 20, "stop after so many differences, 0 never")
		dir      = flag.String("dir", "", "write failing cases into this directory")
		shrink   = flag.Bool("shrink", true, "make failing cases small")
		reasons  = flag.Bool("reasons", false, "compare why packets are invalid, too")
		mode     = flag.String("mode", "", "remember, forgetful or interpret; otherwise by the seed")
		file     = flag.String("case", "", "compare this kept case only")
	)
	flag.Parse()
	if *file != "" {
		return one(*file, *reasons, linuxdiff.Mode(*mode))
	}
	if *dir != "" {
		if err := os.MkdirAll(*dir, 0o755); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 2
		}
	}
	c := linuxdiff.Campaign{
		Seed: *seed, Packets: *packets, Duration: *duration, PerCase: *perCase, Parallel: *parallel,
		MaxFailing: *stop, Dir: *dir, Shrink: *shrink, Reasons: *reasons, Mode: linuxdiff.Mode(*mode), Log: os.Stdout,
	}
	t, err := c.Run()
	fmt.Printf("%d scenarios, %d packets in %s: %d differ %v, %d differed once, %d ended at a choice that is not to be seen\n",
		t.Scenarios, t.Packets, t.Elapsed.Round(time.Millisecond), t.Failing, t.Kinds, t.Fleeting, t.Chance)
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		return 2
	case t.Failing > 0:
		return 1
	}
	return 0
}

// one replays a kept case.
func one(name string, reasons bool, mode linuxdiff.Mode) int {
	f, err := os.Open(name)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	defer f.Close()
	c, err := gen.Read(f)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	r := linuxdiff.NewRunner()
	r.Reasons, r.Walks, r.Mode = reasons, true, mode
	defer r.Close()
	rep, err := r.Replay(c)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	if rep.Diff == nil {
		fmt.Printf("%d packets, no difference\n", rep.Packets)
		return 0
	}
	if rep.Diff.Packet < len(c.Packets) {
		p := c.Packets[rep.Diff.Packet]
		fmt.Printf("%s %s\n", p.In, linuxdiff.Brief(p.Data))
	}
	fmt.Println(rep.Diff)
	fmt.Print("\n", rep.Walk)
	return 1
}
