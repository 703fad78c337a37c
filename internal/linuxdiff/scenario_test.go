package linuxdiff

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/internal/kernel"
	"weir/packet"
	"weir/scenario"
)

var recording = flag.Bool("record", false, "write into the scenario files what Linux does with the packets")

// TestScenarios plays every scenario file through Linux: weir has to do the
// same with each packet, and what the file wants has to be what Linux did.
func TestScenarios(t *testing.T) {
	playAll(t, "../../testdata/scenarios/*.txt", recorded)
}

// TestExtensionSheets does so with the scenario of every extension, and asks
// Linux about every rule that is refused.
func TestExtensionSheets(t *testing.T) {
	playAll(t, "../../testdata/extensions/*.txt", sheet)
}

// sheet is recorded for the scenario of an extension.
func sheet(name string) (why, wrong string) {
	src, err := os.ReadFile(name)
	if err != nil {
		return "", err.Error()
	}
	s, errs := scenario.ParseSheet(filepath.Base(name), src)
	if len(errs) > 0 {
		return "", fmt.Sprint(errs)
	}
	run, errs := s.Run()
	if len(errs) > 0 {
		return "", fmt.Sprint(errs)
	}
	want := run
	if s.NotLinux == "" {
		for range tries {
			var late time.Duration
			if want, wrong, late = played(&s.File, run, s.Compact); wrong == "" || late < patience {
				break
			}
		}
		if want == "" {
			return "", wrong
		}
		wrong += loaded(s)
	}
	want = s.Compact(want)
	if *recording {
		if err := os.WriteFile(name, s.Update(want), 0o644); err != nil {
			return s.NotLinux, err.Error()
		}
	} else if !scenario.Same(want, s.Want) && want != s.Want {
		wrong += fmt.Sprintf("%s:%d: Linux does not do what stands here; \"make record\" takes it over:\n%s", s.Name, s.WantLine, sides(s.Want, want))
	}
	return s.NotLinux, wrong
}

// loaded names the rules that weir refuses and Linux loads.
func loaded(s *scenario.Sheet) (wrong string) {
	cfg, err := kernelConfig(&s.File)
	if err != nil {
		return err.Error()
	}
	cfg.Sets = string(s.Machine.IPSets.Text)
	k, err := kernel.New(cfg)
	if err != nil {
		return err.Error()
	}
	defer k.Close()
	s.Refused(func(f packet.Family, rule, text string) {
		program := "iptables-legacy-restore"
		if f == packet.IPv6 {
			program = "ip6tables-legacy-restore"
		}
		if _, _, status, err := k.Program(text, program, "-w"); err != nil || status == 0 {
			wrong += fmt.Sprintf("%v: Linux loads what weir refuses: %s (%v)\n", f, rule, err)
		}
	})
	return wrong
}

// playAll plays the files of a pattern, several at once.
func playAll(t *testing.T, pattern string, recorded func(name string) (why, wrong string)) {
	needKernel(t)
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) == 0 {
		t.Fatalf("no scenario files: %v", err)
	}
	found := make([]string, len(names))
	var not []string
	var mu sync.Mutex
	var wg sync.WaitGroup
	slots := make(chan struct{}, 12) // most of them wait for their clock
	for i, name := range names {
		wg.Add(1)
		slots <- struct{}{}
		go func() {
			defer wg.Done()
			defer func() { <-slots }()
			why, wrong := recorded(name)
			found[i] = wrong
			if why != "" {
				mu.Lock()
				not = append(not, strings.TrimSuffix(filepath.Base(name), ".txt")+": "+why)
				mu.Unlock()
			}
		}()
	}
	wg.Wait()
	for i, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) {
			if found[i] != "" {
				t.Error(found[i])
			}
		})
	}
	slices.Sort(not)
	fmt.Printf("%d scenarios, %d recorded from Linux, %d not", len(names), len(names)-len(not), len(not))
	if len(not) > 0 {
		fmt.Printf(" (%s)", strings.Join(not, "; "))
	}
	fmt.Println()
}

// recorded compares one file, or writes it. why is set if Linux cannot be
// asked; wrong is what is not as it should be.
func recorded(name string) (why, wrong string) {
	src, err := os.ReadFile(name)
	if err != nil {
		return "", err.Error()
	}
	f, errs := scenario.Parse(filepath.Base(name), src)
	if len(errs) > 0 {
		return "", fmt.Sprint(errs)
	}
	mine, errs := f.Run()
	if len(errs) > 0 {
		return "", fmt.Sprint(errs)
	}
	want := mine
	if f.NotLinux == "" {
		// On a busy machine time may slip away between packets: then again.
		for range tries {
			var late time.Duration
			if want, wrong, late = played(f, mine, whole); wrong == "" || late < patience {
				break
			}
		}
		if want == "" {
			return "", wrong
		}
	}
	if *recording {
		if err := os.WriteFile(name, f.Update(want), 0o644); err != nil {
			return f.NotLinux, err.Error()
		}
	} else if !scenario.Same(want, f.Want) && want != f.Want {
		wrong += fmt.Sprintf("%s:%d: Linux does not do what stands here; \"make record\" takes it over:\n%s", f.Name, f.WantLine, sides(f.Want, want))
	}
	return f.NotLinux, wrong
}

// tries is how often a file is played that differs when packets were late, and
// patience how late they may be: one that makes up for lost time follows too closely.
const (
	tries    = 10
	patience = 5 * time.Millisecond
)

// whole shows all that was recorded.
func whole(text string) string { return text }

// played plays a file through Linux once and compares what of it is shown.
// want is empty if that failed.
func played(f *scenario.File, mine string, show func(string) string) (want, wrong string, late time.Duration) {
	text, d, s, err := record(f)
	if err != nil {
		return "", err.Error(), 0
	}
	if d != nil {
		wrong = d.String() + "\n"
	}
	want = s.settle(text, mine)
	if !scenario.Same(show(want), show(mine)) {
		wrong += "weir does otherwise than Linux:\n" + sides(show(want), show(mine))
	}
	return want, wrong, s.late
}

// sides is the lines in which two texts differ.
func sides(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	var out strings.Builder
	for i := range max(len(x), len(y)) {
		p, q := "", ""
		if i < len(x) {
			p = x[i]
		}
		if i < len(y) {
			q = y[i]
		}
		if !scenario.SameLine(p, q) {
			fmt.Fprintf(&out, "- %s\n+ %s\n", p, q)
		}
	}
	return out.String()
}

var digits = regexp.MustCompile(`\b\d+\b`)

var left = regexp.MustCompile(`^(    \S+ +\d+ )(\d+) `)

// settle takes out of what Linux did the value of what it takes at random, and
// puts its connections in the order of weir's; a second of their timeouts is
// the time that the test took.
func (s *scene) settle(text, mine string) string {
	text, rules := cutBefore(text, "\nrules.v")
	chosen := map[string]string{}
	for _, d := range s.w.steer.draws {
		if d.hi > d.lo {
			chosen[strconv.Itoa(int(d.value))] = scenario.Range(d.lo, d.hi)
		}
	}
	text = digits.ReplaceAllStringFunc(text, func(n string) string {
		if r, ok := chosen[n]; ok {
			return r
		}
		return n
	})
	text += rules
	lines, theirs := strings.Split(text, "\n"), section(strings.Split(mine, "\n"))
	i := slices.Index(lines, "conntrack") + 1
	if i == 0 {
		return text
	}
	conns := lines[i : i+len(section(lines))]
	rest := slices.Clone(conns)
	slices.Sort(rest)
	var order []string
	for _, l := range theirs {
		at := slices.IndexFunc(rest, func(k string) bool { return scenario.SameLine(nearly(k, l, s.w.slack), l) })
		if at >= 0 {
			order = append(order, nearly(rest[at], l, s.w.slack))
			rest = slices.Delete(rest, at, at+1)
		}
	}
	copy(conns, append(order, rest...))
	return strings.Join(lines, "\n")
}

// cutBefore cuts a text in front of sep.
func cutBefore(text, sep string) (before, after string) {
	if i := strings.Index(text, sep); i >= 0 {
		return text[:i], text[i:]
	}
	return text, ""
}

// nearly is the line of a connection with the timeout of another, if they are
// at most slack seconds apart.
func nearly(k, l string, slack int64) string {
	a, b := left.FindStringSubmatch(k), left.FindStringSubmatch(l)
	if a == nil || b == nil {
		return k
	}
	x, _ := strconv.Atoi(a[2])
	y, _ := strconv.Atoi(b[2])
	if d := int64(y - x); d > slack || d < -1 {
		return k
	}
	k = a[1] + b[2] + strings.TrimPrefix(k, a[1]+a[2])
	return use.ReplaceAllString(k, use.FindString(l)) // the dump itself uses a connection
}

// section is the lines of the connections.
func section(lines []string) []string {
	i := slices.Index(lines, "conntrack")
	if i < 0 {
		return nil
	}
	n := i + 1
	for n < len(lines) && strings.HasPrefix(lines[n], " ") {
		n++
	}
	return lines[i+1 : n]
}
