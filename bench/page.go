package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// keep marks the part of the page that people write and bench leaves alone.
const keep = "<!-- below this line bench changes nothing -->"

// labels of the lines in the plots.
var labels = map[string]string{
	"weir":             "weir, whole path",
	"gvisor":           "gVisor, whole path",
	"gvisor-hooks":     "gVisor, hooks only",
	"linux-netfilter":  "Linux, netfilter only",
	"linux":            "Linux, whole path",
	"linux-forwarding": "Linux, no netfilter",
}

// writePage writes performance.md and its plots into the directory.
func writePage(dir string, results []Result) error {
	plots := filepath.Join(dir, "performance")
	if err := os.MkdirAll(plots, 0o755); err != nil {
		return err
	}
	path := filepath.Join(dir, "performance.md")
	notes := "\n"
	if old, err := os.ReadFile(path); err == nil {
		if _, rest, ok := strings.Cut(string(old), keep); ok {
			notes = rest
		}
	}
	var b strings.Builder
	b.WriteString(head(results))
	for _, s := range []struct {
		file, title, sub, xLabel, workload, text string
		byRules                                  bool
	}{
		{"flows.svg", "A packet of an established connection", "one core, 64 bytes, masqueraded, flows at random, both directions; less is better", "connections in the table", "established",
			"## Established connections\nUDP and TCP alike, flows chosen at random, both directions. ns a packet; in brackets, how many times weir's.", false},
		{"rules.svg", "A packet of an established connection, by rules", "rules that do not match before the one that accepts; 1 k connections; less is better", "rules before the accept", "established",
			"## Established connections behind many rules\n1 k connections; before the rule that accepts stand as many others that do not match: addresses, ports, interfaces,\nconnection state, multiport and user chains, mixed.", true},
		{"", "", "", "", "new",
			"## New connections\nEach packet opens a connection (a SYN, or UDP) that is masqueraded, from an empty table to the number at the top. ns a connection.", false},
		{"new-rules.svg", "The first packet of a connection, by rules", "a new, masqueraded connection through rules that do not match; less is better", "rules before the accept", "new",
			"## New connections through many rules\nThe same rules, but every packet is the first of its connection and has to be decided. From an empty table to at most 100 k\nconnections.", true},
	} {
		cols := columns(results, s.workload, s.byRules)
		if len(cols) == 0 {
			continue
		}
		b.WriteString("\n" + s.text + "\n\n")
		if s.file != "" && len(cols) > 1 {
			p := chart(results, cols, s.byRules)
			p.title, p.sub, p.xLabel = s.title, s.sub, s.xLabel
			if err := os.WriteFile(filepath.Join(plots, s.file), []byte(p.svg()), 0o644); err != nil {
				return err
			}
			fmt.Fprintf(&b, "![%s](performance/%s)\n\n", s.title, s.file)
		}
		b.WriteString(table(results, cols))
	}
	b.WriteString(memoryTable(results))
	b.WriteString(loadTable(results))
	b.WriteString(replayTable(results))
	b.WriteString(method(results))
	return os.WriteFile(path, []byte(b.String()+keep+notes), 0o644)
}

func head(results []Result) string {
	versions := map[string]string{}
	for _, r := range results {
		versions[r.Subject] = r.Version
	}
	var who []string
	if v, ok := versions["gvisor"]; ok {
		who = append(who, "gVisor netstack "+v)
	}
	if v, ok := versions["linux"]; ok {
		who = append(who, "Linux "+v)
	}
	return "# Performance\nwritten by `make bench`; " + strings.Join(who, ", ") + "; " + cpuName() + ", " + runtime.Version() + "\n" + `
A masquerading gateway: filter FORWARD accepts ESTABLISHED and RELATED, then what comes from lan0, and drops the rest; nat
masquerades on wan0; raw, mangle and security are loaded and empty. One core, 64-byte IPv4 packets, ` + timeKind + `.
`
}

// chart makes the lines of a plot.
func chart(results []Result, cols []column, byRules bool) *plot {
	p := &plot{yLabel: "time a packet", xTick: func(x float64) string { return count(int(x)) }}
	at := func(c column) float64 {
		if byRules {
			return float64(c.rules)
		}
		return float64(c.flows)
	}
	line := func(name, class string, dash bool, get func(column) *Result) {
		s := series{name: name, class: class, dash: dash}
		for _, c := range cols {
			// A difference of two measurements can come out below zero.
			if r := get(c); r != nil && *r.NsPerPacket > 0 {
				s.x, s.y = append(s.x, at(c)), append(s.y, *r.NsPerPacket)
			}
		}
		if len(s.x) > 0 {
			p.series = append(p.series, s)
		}
	}
	for _, s := range []string{"gvisor", "gvisor-hooks", "linux-netfilter", "weir"} {
		class, _, _ := strings.Cut(s, "-")
		line(labels[s], class, s != class && s != "linux-netfilter", func(c column) *Result { return find(results, s, c) })
	}
	for _, v := range []string{"dependent", "independent"} {
		name := map[string]string{"dependent": "two lines, waiting", "independent": "two lines, batched"}[v]
		line(name, "memory", v == "independent", func(c column) *Result {
			return find(results, "memory", column{"two lines, " + v, c.flows, c.rules})
		})
	}
	return p
}

// table is a table of Markdown.
func table(results []Result, cols []column) string {
	var b strings.Builder
	b.WriteString("| |")
	for _, c := range cols {
		fmt.Fprintf(&b, " %s |", c.title())
	}
	b.WriteString("\n|---|" + strings.Repeat("---:|", len(cols)) + "\n")
	row := func(name string, get func(column) *Result) {
		cells, any := "", false
		for _, c := range cols {
			cell := ""
			if r := get(c); r != nil {
				cell = figure(*r.NsPerPacket)
				if r.Subject != "memory" {
					cell += ratio(r, find(results, "weir", c))
				}
				any = true
			}
			cells += " " + cell + " |"
		}
		if any {
			fmt.Fprintf(&b, "| %s |%s\n", name, cells)
		}
	}
	for _, s := range subjects {
		row(labels[s], func(c column) *Result { return find(results, s, c) })
	}
	for _, v := range []string{"dependent", "independent"} {
		if cols[0].workload != "established" || cols[0].rules > 0 {
			break
		}
		row("memory: two random lines, "+v, func(c column) *Result {
			return find(results, "memory", column{"two lines, " + v, c.flows, c.rules})
		})
	}
	return b.String()
}

func memoryTable(results []Result) string {
	var b strings.Builder
	b.WriteString("\n## Memory\nBytes a connection, everything included: record, hash, timers, NAT.\n\n")
	cols := columns(results, "established", false)
	// What a subject needs once weighs on few connections.
	most := 0
	for _, c := range cols {
		most = max(most, c.flows)
	}
	cols = slices.DeleteFunc(cols, func(c column) bool { return c.flows < min(most, 1_000_000) })
	b.WriteString("| |")
	for _, c := range cols {
		fmt.Fprintf(&b, " %s |", c.title())
	}
	b.WriteString("\n|---|" + strings.Repeat("---:|", len(cols)) + "\n")
	for _, s := range []string{"weir", "gvisor", "linux"} {
		cells := ""
		for _, c := range cols {
			cell := ""
			if r := find(results, s, c); r != nil && r.BytesPerConnection != nil {
				cell = fmt.Sprintf("%.0f", *r.BytesPerConnection)
			}
			cells += " " + cell + " |"
		}
		if strings.Trim(cells, " |") != "" {
			fmt.Fprintf(&b, "| %s |%s\n", map[string]string{"weir": "weir", "gvisor": "gVisor", "linux": "Linux"}[s], cells)
		}
	}
	return b.String()
}

// loadTable is the rows that weir alone has.
func loadTable(results []Result) string {
	var b strings.Builder
	for _, r := range results {
		if !slices.Contains(loadVariants[r.Workload], r.Subject) {
			continue
		}
		if b.Len() == 0 {
			b.WriteString("\n## Several cores, pauses, floods\nBatches of 64. Two cores are two threads on one shared machine; two machines share nothing. An empty loop shows what\na busy core takes from its neighbour on that computer. The longest is a stop by\nthe garbage collector, or one packet while half of the connections end at once.\n\n| | connections | ns a packet | the longest, µs |\n|---|---:|---:|---:|\n")
		}
		longest := ""
		if r.WorstNs != nil {
			longest = fmt.Sprintf("%.0f", *r.WorstNs/1000)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", r.Subject, count(r.Flows), figure(*r.NsPerPacket), longest)
	}
	return b.String()
}

// replayTable is the rows of the command.
func replayTable(results []Result) string {
	var b strings.Builder
	for _, r := range results {
		if r.Workload != loadReplay {
			continue
		}
		if b.Len() == 0 {
			fmt.Fprintf(&b, "\n## weir replay\nThe command, of a capture of %s packets in the page cache; %s connections. CPU time of the process.\n\n| | ns a packet | packets a second |\n|---|---:|---:|\n", count(replayPackets), count(r.Flows))
		}
		fmt.Fprintf(&b, "| %s | %s | %.1f M |\n", r.Subject, figure(*r.NsPerPacket), *r.PacketsPerSecond/1e6)
	}
	return b.String()
}

func method(results []Result) string {
	rounds := 0
	var widest float64
	for _, r := range results {
		rounds = max(rounds, r.Rounds)
		if r.Subject == "weir" && *r.NsPerPacket > 0 {
			widest = max(widest, (r.NsMax-r.NsMin) / *r.NsPerPacket)
		}
	}
	spread := ""
	if widest > 0 {
		spread = fmt.Sprintf(" Between the lowest and the highest round of weir's figures lie at most %.0f %% of the median.", widest*100)
	}
	return fmt.Sprintf(`
## How it was measured
Every subject is a process of its own that keeps its machine; the rounds go round the subjects, so that whatever else the
computer does meets all of them. The figures are medians of %d rounds.%s Packets are built in batches outside of
the measured time. Before it is timed, each packet that opens a flow is checked at the way out: translated addresses, the
same payload, TTL one lower, both checksums right; and every packet of a measured batch must leave.

- **weir, whole path**: batches of 64; bytes in, parse, PREROUTING, route, FORWARD, POSTROUTING, bytes out.
- **gVisor, whole path**: netstack between two channel endpoints, tables by its own Go interface. Its tables cannot ask for
  the state of a connection: an interface and the destination stand for the ESTABLISHED rule, and for the rules with
  `+"`--ctstate`"+` stands a test that is always false. Its garbage collector works in other threads, which are not counted;
  results.json has the time of all threads beside it as `+"`ns_process`"+`.
- **gVisor, hooks only**: prerouting, forward and postrouting called with packets that are parsed already.
- **Linux, whole path**: in a network namespace, frames of XDP (BPF_PROG_RUN) arrive 64 at a time, as from a driver's poll,
  and are taken at the egress of the other device, before a driver would; where the kernel cannot do that, they go from one
  TUN device to another, and the versions in results.json say so. **Linux, no netfilter**: the same without tables and
  connection tracking. **Linux, netfilter only** is the difference of the two in the same round. Its hash has as many
  buckets as there are connections at most.
- **memory**: a packet that only reads two random cache lines, a bucket and a record, out of as many of each as there are
  flows; once so that the second is known only after the first and the next packet only after the second (dependent), once
  32 packets at a time (independent).

`, rounds, spread)
}
