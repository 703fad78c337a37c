package linuxdiff

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"weir/internal/gen"
)

// Campaign compares many scenarios on several kernels at once.
type Campaign struct {
	Seed       uint64
	Packets    int // at least so many; 0: no limit
	Duration   time.Duration
	PerCase    int // packets of a scenario
	Parallel   int
	MaxFailing int    // stop after so many differences; 0: never
	Dir        string // where failing cases are written
	Shrink     bool
	Reasons    bool // see Runner
	Mode       Mode
	// Blocks ends the campaign after so many blocks of 64 seeds; 0: no limit.
	Blocks uint64
	Log    io.Writer
}

// Tally is the outcome of a campaign.
type Tally struct {
	Scenarios, Packets int
	// Failing are the scenarios with a difference that a second run in a
	// fresh namespace shows too; Fleeting those that it does not.
	Failing, Fleeting int
	// Chance are those that ended early, at a random choice of the kernel's for
	// a connection that it then threw away.
	Chance int
	// Kinds counts the failing ones by what differs.
	Kinds   map[string]int
	Files   []string
	Elapsed time.Duration
}

// seedsPerBlock is how many seeds one runner does in a row: those that share
// interfaces, so that the namespace is used again.
const seedsPerBlock = 64

// shrinkTime bounds the shrinking of one case; what was reached is kept.
const shrinkTime = 20 * time.Second

// Run runs the campaign. The error is that of a harness that failed, not of a
// difference.
func (c *Campaign) Run() (Tally, error) {
	var (
		mu    sync.Mutex
		wg    sync.WaitGroup
		next  = c.Seed / seedsPerBlock
		total = Tally{Kinds: map[string]int{}}
		first error
		start = time.Now()
	)
	over := func() bool {
		return first != nil || c.Packets > 0 && total.Packets >= c.Packets ||
			c.Duration > 0 && time.Since(start) >= c.Duration || c.MaxFailing > 0 && total.Failing >= c.MaxFailing
	}
	for range max(1, c.Parallel) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			r := NewRunner()
			r.Reasons, r.Mode = c.Reasons, c.Mode
			defer r.Close()
			for {
				mu.Lock()
				block := next
				next++
				done := over() || c.Blocks > 0 && block >= c.Seed/seedsPerBlock+c.Blocks
				mu.Unlock()
				if done {
					return
				}
				for i := range uint64(seedsPerBlock) {
					rep, err := r.Scenario(block*seedsPerBlock+i, c.PerCase)
					var again Report
					if err == nil && rep.Diff != nil {
						if again, err = r.Replay(rep.Case); err == nil && again.Diff == nil {
							r.Close() // whatever lingered there
						}
					}
					mu.Lock()
					total.Scenarios++
					total.Packets += rep.Packets
					if rep.Chance {
						total.Chance++
					}
					if err != nil && first == nil {
						first = err
					}
					fleeting := rep.Diff != nil && again.Diff == nil
					if fleeting {
						total.Fleeting++
						fmt.Fprintf(c.Log, "seed %d: only once: %s\n", rep.Case.Seed, rep.Diff)
					}
					failing := rep.Diff != nil && again.Diff != nil
					if failing {
						total.Failing++
						total.Kinds[rep.Diff.What]++
					}
					done := over()
					mu.Unlock()
					if failing {
						file := c.keep(r, again)
						mu.Lock()
						total.Files = append(total.Files, file)
						mu.Unlock()
					}
					if done {
						return
					}
				}
			}
		}()
	}
	wg.Wait()
	total.Elapsed = time.Since(start)
	return total, first
}

// keep shrinks a failing case and writes it. It returns the file's name, or
// "" if nothing is to be written.
func (c *Campaign) keep(r *Runner, rep Report) string {
	small, diff := rep.Case, rep.Diff
	if c.Shrink {
		what := diff.What
		start := time.Now()
		try := gen.Shrink(rep.Case, func(try *gen.Case) bool {
			if time.Since(start) > shrinkTime {
				return false
			}
			got, err := r.replay(try, false)
			return err == nil && got.Diff != nil && got.Diff.What == what
		})
		// Shrinking uses one namespace again and again; only what a fresh
		// one shows too is kept.
		if got, err := r.Replay(try); err == nil && got.Diff != nil {
			small, diff = try, got.Diff
		}
	}
	fmt.Fprintf(c.Log, "seed %d: %d packets: %s\n", small.Seed, len(small.Packets), diff)
	if c.Dir == "" {
		return ""
	}
	name := filepath.Join(c.Dir, fmt.Sprintf("%s-%d.case", diff.What, small.Seed))
	f, err := os.Create(name)
	if err != nil {
		fmt.Fprintln(c.Log, err)
		return ""
	}
	defer f.Close()
	if err := small.Write(f); err != nil {
		fmt.Fprintln(c.Log, err)
	}
	return name
}
