package verbs

import (
	"fmt"
	"path"
	"strings"
	"time"

	"weir/packet"
	"weir/xtables"
	"weir/xtables/save"
)

// version is the iptables whose words these are.
const version = "v1.8.9 (legacy)"

// Kind is one of the three programs.
type Kind uint8

// The programs.
const (
	Iptables Kind = iota
	SaveRules
	RestoreRules
)

// Program is one of the programs for one family.
type Program struct {
	Family packet.Family
	Kind   Kind
}

// Names are the names under which the programs are called.
func Names() []string {
	var ns []string
	for _, f := range []string{"iptables", "ip6tables"} {
		for _, v := range []string{"", "-legacy"} {
			ns = append(ns, f+v, f+v+"-save", f+v+"-restore")
		}
	}
	return ns
}

// Find is the program of a name or path.
func Find(argv0 string) (p Program, ok bool) {
	name := path.Base(strings.ReplaceAll(argv0, "\\", "/"))
	for _, n := range Names() {
		if ok = n == name; ok {
			break
		}
	}
	if strings.HasPrefix(name, "ip6") {
		p.Family = packet.IPv6
	} else {
		p.Family = packet.IPv4
	}
	switch {
	case strings.HasSuffix(name, "-save"):
		p.Kind = SaveRules
	case strings.HasSuffix(name, "-restore"):
		p.Kind = RestoreRules
	}
	return p, ok
}

// name is how the program calls itself.
func (p Program) name() string {
	n := "iptables"
	if p.Family == packet.IPv6 {
		n = "ip6tables"
	}
	return n + [...]string{"", "-save", "-restore"}[p.Kind]
}

// Call is what a program gets.
type Call struct {
	Program Program
	// Args is the command line without the name of the program.
	Args []string
	// Stdin and Open read standard input and a file. They are called by
	// iptables-restore only.
	Stdin func() ([]byte, error)
	Open  func(name string) ([]byte, error)
	// Write writes the file of iptables-save -f.
	Write func(name string, data []byte) error
	// Now is what iptables-save writes into its comments.
	Now  time.Time
	List xtables.List
}

// Result is what a program did.
type Result struct {
	// Rules is the rule set afterwards; Changed says that it is another one.
	Rules   *xtables.Ruleset
	Changed bool
	// Origin says of a rule of Rules which rule it was before; nil for a new
	// one.
	Origin         func(*xtables.Rule) *xtables.Rule
	Stdout, Stderr []byte
	// Status is the exit status: 0 done, 1 the rule set would not have it,
	// 2 usage, 3 there is no such table.
	Status int
}

// Run runs a program on a rule set of its family. A nil rule set has no tables.
func Run(rs *xtables.Ruleset, c Call) Result {
	w := &run{Call: c, rs: rs, edit: save.NewEditor(rs, c.Program.Family, c.List)}
	w.res.Rules, w.res.Origin = rs, w.edit.Origin
	switch c.Program.Kind {
	case SaveRules:
		w.save()
	case RestoreRules:
		w.restore()
	default:
		w.iptables()
	}
	return w.res
}

// Wait says whether a command line has -w, and for how many seconds it waits
// for the lock; 0 is for as long as it takes.
func Wait(args []string) (seconds int, given bool) {
	for i, a := range args {
		v, attached := strings.CutPrefix(a, "--wait=")
		switch {
		case attached:
		case a == "-w" || a == "--wait":
			if v = ""; i+1 < len(args) {
				v = args[i+1]
			}
		case len(a) > 2 && strings.HasPrefix(a, "-w"):
			v = a[2:]
		default:
			continue
		}
		n := 0
		for k := 0; k < len(v) && v[k] >= '0' && v[k] <= '9' && n < 1<<20; k++ {
			n = n*10 + int(v[k]-'0')
		}
		return n, true
	}
	return 0, false
}

// run is one call under way.
type run struct {
	Call
	rs   *xtables.Ruleset
	edit *save.Editor
	res  Result
}

func (w *run) outf(format string, a ...any) {
	w.res.Stdout = fmt.Appendf(w.res.Stdout, format, a...)
}

func (w *run) errf(format string, a ...any) {
	w.res.Stderr = fmt.Appendf(w.res.Stderr, format, a...)
}

// fail says what iptables says to an error. line is the line of a restore.
func (w *run) fail(err *xtables.Error, line int) {
	name := w.Program.name()
	said, status := err.Said, err.Status
	if status == 0 {
		said, status = err.Msg, 2
	}
	w.res.Status = status
	switch {
	case status == 2 && (said == "" || strings.HasPrefix(said, "Bad argument")):
		if said != "" {
			w.errf("%s\n", said)
		}
	case status == 1 && !strings.HasPrefix(said, "Can't"):
		end := "."
		if line > 0 {
			end = ""
		}
		w.errf("%s: %s%s\n", name, said, end)
	default:
		w.errf("%s %s: %s\n", name, version, said)
	}
	if status != 2 {
		return
	}
	if line > 0 {
		w.errf("Error occurred at line: %d\n", line)
	}
	w.errf("Try `%s -h' or '%s --help' for more information.\n", name, name)
}

// iptables is iptables(8).
func (w *run) iptables() {
	c, err := w.edit.Command(w.Args)
	for _, n := range c.Notes {
		w.errf("%s\n", n)
	}
	if err != nil {
		if err.Status == 1 && c.Verb != 'L' && c.Verb != 'S' {
			w.show(c, nil) // said before it is tried
		}
		w.fail(err, 0)
		return
	}
	switch c.Verb {
	case 'V':
		w.outf("%s %s\n", w.Program.name(), version)
		return
	case 'h':
		w.help()
		return
	}
	var before []*xtables.Chain
	if c.Zero { // what is listed is from before
		e := save.NewEditor(w.rs, w.Program.Family, w.List)
		before = e.Table(c.Table)
	}
	rs, err := w.edit.Commit()
	if err != nil {
		w.show(c, before)
		w.fail(err, 0)
		return
	}
	w.show(c, before)
	if w.edit.Dirty() {
		w.res.Rules, w.res.Changed = rs, true
	}
}

// show prints what a command prints. chains is the table as it was, nil for as
// it is.
func (w *run) show(c save.Command, chains []*xtables.Chain) {
	if chains == nil {
		chains = w.edit.Table(c.Table)
	}
	switch c.Verb {
	case 'S':
		w.rules(c, chains)
	case 'L':
		w.list(c, chains)
	case 'A', 'I', 'R', 'D', 'C':
		if c.Verbose == 0 {
			return
		}
		for _, r := range c.Rules {
			l := lister{family: w.Program.Family, numeric: true, plain: true, via: true}
			w.res.Stdout = l.rule(w.res.Stdout, r, 0)
		}
	default:
		w.touched(c)
	}
}

// touched says what -v says of -F, -X and -Z.
func (w *run) touched(c save.Command) {
	what := map[byte]string{'F': "Flushing", 'X': "Deleting", 'Z': "Zeroing"}[c.Verb]
	if c.Verbose == 0 || what == "" {
		return
	}
	for _, n := range c.Chains {
		w.outf("%s chain `%s'\n", what, n)
	}
}

// help is -h.
func (w *run) help() {
	n := w.Program.name()
	w.outf(`%s %s, by weir

Usage: %s [-t TABLE] COMMAND [RULE] [OPTION...]

Commands: -A -C -D chain rule   append, check, delete a rule
          -D chain number       delete by number
          -I chain [number] rule, -R chain number rule
          -L -S [chain [number]]
          -F -Z -X [chain], -N chain, -E old new, -P chain ACCEPT|DROP
Rules:    [!] -p -s -d -i -o, -f, -m MATCH, -j TARGET, -g CHAIN, -c PACKETS BYTES
Options:  -v -n -x --line-numbers, -w [SECONDS], -4 -6, -V, -h

iptables(8) and iptables-extensions(8) describe them.
`, n, version, n)
}
