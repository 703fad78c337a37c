package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
)

// Result is one object of results.json. The first ten fields are what other
// programs read; null where a figure does not apply.
type Result struct {
	Subject            string   `json:"subject"`
	Version            string   `json:"version"`
	Workload           string   `json:"workload"`
	Flows              int      `json:"flows"`
	Rules              int      `json:"rules"` // before those that accept
	NsPerPacket        *float64 `json:"ns_per_packet"`
	PacketsPerSecond   *float64 `json:"packets_per_second"`
	AllocsPerPacket    *float64 `json:"allocs_per_packet"`
	BytesPerConnection *float64 `json:"bytes_per_connection"`
	Cores              int      `json:"cores"`

	// Lowest and highest of the rounds, and with all threads of the
	// process (its garbage collector) counted.
	NsMin     float64  `json:"ns_min"`
	NsMax     float64  `json:"ns_max"`
	NsProcess *float64 `json:"ns_process"`
	Rounds    int      `json:"rounds"`
	// WorstNs is the longest pause of the garbage collector, or the longest
	// packet; GrownBytes is by how much memory grew under a flood.
	WorstNs    *float64 `json:"worst_ns,omitempty"`
	GrownBytes *float64 `json:"grown_bytes,omitempty"`
}

func median(x []float64) float64 {
	s := slices.Sorted(slices.Values(x))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

// summarise makes results of rows, and the kernel's share: the difference of
// neighbours in each round.
func summarise(p point, rows []*row) (results []Result) {
	byName := map[string]*row{}
	for _, r := range rows {
		byName[r.subject] = r
	}
	if g, f := byName["linux"], byName["linux-forwarding"]; g != nil && f != nil {
		d := &row{subject: "linux-netfilter", version: g.version, workload: g.workload, bytes: g.bytes}
		for i := range g.ns {
			d.ns = append(d.ns, g.ns[i]-f.ns[i])
		}
		rows = append(rows, d)
	}
	for _, r := range rows {
		ns := median(r.ns)
		x := Result{
			Subject: r.subject, Version: r.version, Workload: r.workload, Flows: p.Flows, Rules: p.Rules,
			NsPerPacket: round(ns), AllocsPerPacket: r.allocs, BytesPerConnection: r.bytes, Cores: 1,
			WorstNs: r.worst, GrownBytes: r.grown,
			NsMin: *round(slices.Min(r.ns)), NsMax: *round(slices.Max(r.ns)), Rounds: len(r.ns),
		}
		if strings.HasPrefix(r.subject, "weir, two") || strings.HasPrefix(r.subject, "weir, beside") {
			x.Cores = 2
		}
		if ns > 0 {
			x.PacketsPerSecond = round(1e9 / ns)
		}
		if x.AllocsPerPacket != nil {
			// Objects that the run as a whole needs are not the packets'.
			a := float64(int64(*r.allocs*100+0.5)) / 100
			x.AllocsPerPacket = &a
		}
		// What a subject needs once, and its rules, are not the connections'.
		if p.Flows < 100_000 || p.Rules > 0 {
			x.BytesPerConnection = nil
		}
		if x.BytesPerConnection != nil {
			x.BytesPerConnection = round(*r.bytes)
		}
		if len(r.process) > 0 && r.subject != "memory" {
			x.NsProcess = round(median(r.process))
		}
		results = append(results, x)
	}
	return results
}

// round keeps a tenth.
func round(v float64) *float64 {
	s := 1.0
	if v < 0 {
		s = -1
	}
	v = s * float64(int64(v*s*10+0.5)) / 10
	return &v
}

func writeResults(path string, results []Result) error {
	b, err := json.MarshalIndent(results, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}

func readResults(path string) (results []Result, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(b, &results); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return results, nil
}

// subjects are the rows of the tables, in order.
var subjects = []string{"weir", "gvisor-hooks", "gvisor", "linux-netfilter", "linux-forwarding", "linux"}

// column is a point as a column of a table.
type column struct {
	workload     string
	flows, rules int
}

func (c column) title() string {
	switch {
	case c.rules > 0:
		return count(c.rules) + " rules"
	default:
		return count(c.flows)
	}
}

// columns are those of a kind of table: by flows, or by rules.
func columns(results []Result, workload string, byRules bool) (cols []column) {
	for _, r := range results {
		c := column{r.Workload, r.Flows, r.Rules}
		if r.Subject == "memory" {
			c.workload = "established" // what it is compared with
		}
		if c.workload == workload && (r.Rules > 0) == byRules && !slices.Contains(cols, c) {
			cols = append(cols, c)
		}
	}
	return cols
}

func find(results []Result, subject string, c column) *Result {
	for i := range results {
		r := &results[i]
		if r.Subject == subject && (column{r.Workload, r.Flows, r.Rules}) == c {
			return r
		}
	}
	return nil
}

// printTable prints the figures, each with its ratio to weir's.
func printTable(w io.Writer, results []Result) {
	for _, kind := range []struct {
		title, workload string
		byRules         bool
	}{
		{"established: ns a packet (times weir) by flows", "established", false},
		{"established, 1 k flows: ns a packet (times weir) by rules before the accept", "established", true},
		{"new connections growing to: ns each (times weir)", "new", false},
		{"new connections: ns each (times weir) by rules before the accept", "new", true},
	} {
		cols := columns(results, kind.workload, kind.byRules)
		if len(cols) == 0 {
			continue
		}
		fmt.Fprintf(w, "\n%s\n", kind.title)
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
		for _, c := range cols {
			fmt.Fprintf(t, "\t%s", c.title())
		}
		fmt.Fprintln(t, "\t")
		for _, s := range subjects {
			line, any := s, false
			for _, c := range cols {
				line += "\t"
				if r := find(results, s, c); r != nil {
					line += figure(*r.NsPerPacket) + ratio(r, find(results, "weir", c))
					any = true
				}
			}
			if any {
				fmt.Fprintln(t, line+"\t")
			}
		}
		for _, v := range []string{"dependent", "independent"} {
			line, any := "memory, "+v, false
			for _, c := range cols {
				line += "\t"
				if r := find(results, "memory", column{"two lines, " + v, c.flows, c.rules}); r != nil {
					line += figure(*r.NsPerPacket)
					any = true
				}
			}
			if any && kind.workload == "established" && !kind.byRules {
				fmt.Fprintln(t, line+"\t")
			}
		}
		t.Flush()
	}
	fmt.Fprintf(w, "\nmemory: bytes a connection\n")
	cols := columns(results, "established", false)
	for _, s := range []string{"weir", "gvisor", "linux"} {
		for _, c := range slices.Backward(cols) {
			if r := find(results, s, c); r != nil && r.BytesPerConnection != nil {
				fmt.Fprintf(w, "  %-8s %.0f at %s\n", s, *r.BytesPerConnection, count(c.flows))
				break
			}
		}
	}
}

func ratio(r, weir *Result) string {
	if weir == nil || r.Subject == "weir" || r.Subject == "linux-forwarding" || *weir.NsPerPacket <= 0 {
		return ""
	}
	x := *r.NsPerPacket / *weir.NsPerPacket
	if x < 10 && x > -10 {
		return fmt.Sprintf(" (%.1f)", x)
	}
	return fmt.Sprintf(" (%.0f)", x)
}

// figure writes ns with three digits or so.
func figure(v float64) string {
	switch {
	case v < 10 && v > -10:
		return fmt.Sprintf("%.1f", v)
	case v < 10000:
		return fmt.Sprintf("%.0f", v)
	}
	return group(int(v/10+0.5) * 10)
}

// group writes a number with spaces between thousands.
func group(n int) string {
	s := fmt.Sprint(n)
	var b strings.Builder
	for i, c := range s {
		if i > 0 && (len(s)-i)%3 == 0 {
			b.WriteByte(' ')
		}
		b.WriteRune(c)
	}
	return b.String()
}

// count writes 1 k, 10 k, 1 M.
func count(n int) string {
	switch {
	case n >= 1_000_000 && n%100_000 == 0:
		return strings.TrimSuffix(fmt.Sprintf("%.1f", float64(n)/1e6), ".0") + " M"
	case n >= 1000 && n%100 == 0:
		return strings.TrimSuffix(fmt.Sprintf("%.1f", float64(n)/1e3), ".0") + " k"
	}
	return fmt.Sprint(n)
}
