package control

import (
	"errors"
	"io/fs"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"weir/conntrack"
	"weir/conntrack/show"
	ctverbs "weir/conntrack/verbs"
	"weir/engine"
	"weir/ipset"
	"weir/ipset/text"
	"weir/packet"
	"weir/xtables"
	"weir/xtables/std"
	"weir/xtables/verbs"
)

// Call is the command line of a program that the server runs on its machine.
// What the program reads comes with the call; when something is missing the
// answer names it, nothing was changed, and the call is made again.
type Call struct {
	// Program is its name: iptables, ip6tables-restore, ipset …
	Program string   `json:"program"`
	Args    []string `json:"args"`
	// Stdin is all of standard input; null is not given yet.
	Stdin []byte `json:"stdin,omitempty"`
	// NoStdin says that Stdin is given, and empty.
	NoStdin bool              `json:"no_stdin,omitempty"`
	Files   map[string][]byte `json:"files,omitempty"`
	// Missing is files that the caller could not read.
	Missing []string `json:"missing,omitempty"`
}

// Answer is what a program did.
type Answer struct {
	Status int    `json:"status"`
	Stdout []byte `json:"stdout,omitempty"`
	Stderr []byte `json:"stderr,omitempty"`
	// NeedStdin and NeedFile say what is missing.
	NeedStdin bool   `json:"need_stdin,omitempty"`
	NeedFile  string `json:"need_file,omitempty"`
	// Write is the files to be written.
	Write []File `json:"write,omitempty"`
}

// File is a file that a program wrote.
type File struct {
	Name string `json:"name"`
	Data []byte `json:"data"`
}

// errNeed stops a program that wants what was not sent.
var errNeed = errors.New("not sent yet")

// Programs are the names that a Call may have.
func Programs() []string { return append(verbs.Names(), "ipset", "conntrack") }

func (s *Server) program(w http.ResponseWriter, q *http.Request) error {
	var c Call
	if err := object(q, &c); err != nil {
		return err
	}
	a, err := s.Run(c)
	if err != nil {
		return err
	}
	return reply(w, a)
}

// Run runs a program.
func (s *Server) Run(c Call) (Answer, error) { return s.run(c, false) }

// run runs a program; whole means that what did not succeed changes nothing,
// while iptables-restore keeps the tables before the one that failed.
func (s *Server) run(c Call, whole bool) (Answer, error) {
	var a Answer
	name := filepath.Base(c.Program)
	p, ok := verbs.Find(name)
	if !ok && name != "ipset" && name != "conntrack" {
		return a, bad("program: %q is none of %s", c.Program, strings.Join(Programs(), " "))
	}
	s.change.Lock()
	defer s.change.Unlock()
	f := &files{call: &c, answer: &a}
	switch {
	case ok:
		s.tables(p, c, f, whole)
	case name == "conntrack":
		s.conntrack(c, &a)
	default:
		s.sets(c, f)
	}
	if f.missing() {
		return Answer{NeedStdin: a.NeedStdin, NeedFile: a.NeedFile}, nil
	}
	if a.Status == 0 && len(c.Args) > 0 {
		s.opt.Log.Debug("program", "name", name, "args", c.Args)
	}
	return a, nil
}

// tries is how often a program runs on a copy of the rules before it has the
// machine for itself.
const tries = 3

// tables runs one of iptables' programs. Most of its work is done on a copy,
// while packets go on; what rules count meanwhile is not lost.
func (s *Server) tables(p verbs.Program, c Call, f *files, whole bool) {
	for range tries {
		var live, frozen *xtables.Ruleset
		var sets *ipset.Sets
		var known xtables.Known
		s.target.Do(func(m *engine.Machine) {
			live, sets, known = m.Rules(p.Family), m.Sets(), m.Known()
			frozen = live.Freeze()
		})
		res := s.verb(p, c, f, frozen, sets, known)
		if f.missing() {
			return
		}
		if res.Changed && (!whole || res.Status == 0) {
			next := res.Rules
			after := xtables.Succeed(next, frozen, live, res.Origin)
			next.Compile(false)
			again := false
			s.target.Do(func(m *engine.Machine) {
				if again = m.Rules(p.Family) != live; !again {
					after.Settle()
					res.refuse(c, m.SetRules(next))
				}
			})
			if again {
				continue // somebody else changed the rules
			}
		}
		f.answer.Status, f.answer.Stdout, f.answer.Stderr = res.Status, res.Stdout, res.Stderr
		return
	}
	s.target.Do(func(m *engine.Machine) {
		res := s.verb(p, c, f, m.Rules(p.Family), m.Sets(), m.Known())
		if res.Changed && (!whole || res.Status == 0) {
			res.refuse(c, m.SetRules(res.Rules))
		}
		f.answer.Status, f.answer.Stdout, f.answer.Stderr = res.Status, res.Stdout, res.Stderr
	})
}

// verb runs one of iptables' programs on a rule set.
func (s *Server) verb(p verbs.Program, c Call, f *files, rs *xtables.Ruleset, sets *ipset.Sets, known xtables.Known) result {
	list := std.List()
	list.Sets, list.Known = sets, known
	return result{verbs.Run(rs, verbs.Call{
		Program: p, Args: c.Args, Now: time.Unix(0, s.target.Now()), List: list,
		Stdin: f.stdin, Open: f.Read, Write: f.Write,
	})}
}

// result is what a program did.
type result struct{ verbs.Result }

// refuse says why the machine did not take the rules.
func (r *result) refuse(c Call, errs []error) {
	if len(errs) == 0 {
		return
	}
	r.Status, r.Stdout = 1, nil
	for _, err := range errs {
		r.Stderr = append(r.Stderr, c.Program+": "+err.Error()+"\n"...)
	}
}

// conntrack runs conntrack, all but -E, which is a stream.
func (s *Server) conntrack(c Call, a *Answer) {
	cmd, bad := ctverbs.Parse(c.Args, s.labels())
	if bad == nil && cmd.Listens() {
		bad = &ctverbs.Failure{Status: 1, Text: "-E is a stream: see /v1/conntrack/events", Arg: -1}
	}
	if bad != nil {
		a.Status, a.Stderr = bad.Status, bad.Output()
		return
	}
	if cmd.Reads() {
		pages := func(f func(*conntrack.Table, *conntrack.Conn, int64)) { s.each(f, nil) }
		res := cmd.Run(ctverbs.Machine{Pages: pages}, s.target.Now())
		a.Status, a.Stdout, a.Stderr = res.Status, res.Stdout, res.Stderr
		return
	}
	s.target.Do(func(m *engine.Machine) {
		res := cmd.Run(m.Commands(), s.target.Now())
		a.Status, a.Stdout, a.Stderr = res.Status, res.Stdout, res.Stderr
	})
}

// labels are the names of connlabel.conf; nil for none.
func (s *Server) labels() (names *show.LabelNames) {
	s.target.Do(func(m *engine.Machine) { names = m.Known().Labels })
	return names
}

// sets runs ipset.
func (s *Server) sets(c Call, f *files) {
	restore := slices.Contains(c.Args, "restore") || slices.Contains(c.Args, "-R")
	file := slices.ContainsFunc(c.Args, func(a string) bool { return a == "-f" || a == "-file" || a == "--file" })
	if restore && !file && c.Stdin == nil && !c.NoStdin {
		f.answer.NeedStdin = true
		return
	}
	s.target.Do(func(m *engine.Machine) {
		a := f.answer
		a.Stdout, a.Stderr, a.Status = text.Run(m.Sets(), c.Args, c.Stdin, s.target.Now(), f)
	})
}

// files is what a program reads and writes.
type files struct {
	call   *Call
	answer *Answer
}

// missing reports that the program wanted what was not sent.
func (f *files) missing() bool { return f.answer.NeedStdin || f.answer.NeedFile != "" }

func (f *files) stdin() ([]byte, error) {
	if f.call.Stdin == nil && !f.call.NoStdin {
		f.answer.NeedStdin = true
		return nil, errNeed
	}
	return f.call.Stdin, nil
}

// Read is the file of that name.
func (f *files) Read(name string) ([]byte, error) {
	d, ok := f.call.Files[name]
	if !ok {
		if slices.Contains(f.call.Missing, name) {
			return nil, fs.ErrNotExist
		}
		f.answer.NeedFile = name
		return nil, errNeed
	}
	return d, nil
}

// Write remembers the file for the caller to write.
func (f *files) Write(name string, data []byte) error {
	f.answer.Write = append(f.answer.Write[:0], File{name, slices.Clone(data)})
	return nil
}

// familyOf reads the parameter family.
func familyOf(q *http.Request) (packet.Family, error) {
	switch f := q.FormValue("family"); f {
	case "ipv4", "":
		return packet.IPv4, nil
	case "ipv6":
		return packet.IPv6, nil
	default:
		return 0, bad("family: %q is neither ipv4 nor ipv6", f)
	}
}

// tableOf reads the parameter table, empty for all.
func tableOf(q *http.Request) (string, error) {
	t := q.FormValue("table")
	if t != "" && !slices.Contains(xtables.TableNames(), t) {
		return "", bad("table: %q is none of %s", t, strings.Join(xtables.TableNames(), " "))
	}
	return t, nil
}
