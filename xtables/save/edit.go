package save

import (
	"slices"
	"strings"

	"weir/packet"
	"weir/xtables"
)

// What iptables says when the rule set would not have a change.
const (
	noName   = "No chain/target/match by that name"
	noRule   = "Bad rule (does a matching rule exist in that chain?)"
	noPolicy = "Bad policy name. Run `dmesg' for more information"
	invalid  = "Invalid argument. Run `dmesg' for more information"
	tooDeep  = "Too many levels of symbolic links"
	natDrop  = "\nThe \"nat\" table is not intended for filtering, the use of DROP is therefore inhibited.\n\n"
)

// Editor changes the tables of a family by the commands of iptables(8). It
// works on copies: the rule set that it began with stays as it is.
type Editor struct {
	p             *parser
	rs            *xtables.Ruleset
	dirty         map[string]bool
	changedTables bool
	// copied is each rule that was copied, behind its copy; origin is made of
	// it when somebody asks.
	copied [][2]*xtables.Rule
	origin map[*xtables.Rule]*xtables.Rule
}

// Command is a command that was run.
type Command struct {
	// Verb is its letter: 'A', 'L' … 'h' and 'V' ask for help and version.
	// Zero: there was none.
	Verb  byte
	Table string
	// Chain is what it names; Named says that it names one.
	Chain string
	Named bool
	// Number is the rule number of -L and -S; 0 for all.
	Number int
	// Verbose counts -v. Numeric, Exact and Lines are -n, -x and
	// --line-numbers. Zero is -Z beside -L or -S.
	Verbose                     int
	Numeric, Exact, Lines, Zero bool
	// Wait says that -w was given, Seconds its value (0: as long as it takes).
	Wait    bool
	Seconds int
	// Rules are those that -A, -I, -R, -D and -C spell out. Chains are those
	// that -F, -X and -Z went for, whether or not it worked.
	Rules  []*xtables.Rule
	Chains []string
	// Notes are remarks for standard error.
	Notes []string
}

// NewEditor is an editor of rs, which may be nil.
func NewEditor(rs *xtables.Ruleset, f packet.Family, list xtables.List) *Editor {
	e := &Editor{p: newParser("command line", f, list), rs: rs, dirty: map[string]bool{}}
	e.p.run = true
	return e
}

// Table is the chains of a table as they are now, built-in ones first, then the
// user's by name; nil if no command has touched it and the rule set has none.
// Counters stand in Start.
func (e *Editor) Table(name string) []*xtables.Chain {
	if e.p.tables[name] == nil && e.rs.Table(name) == nil {
		return nil
	}
	cs := slices.Clone(e.open(name).chains)
	sortChains(cs)
	return cs
}

// open is the editable copy of a table; a table that is not there is made.
func (e *Editor) open(name string) *table {
	if t := e.p.tables[name]; t != nil {
		return t
	}
	t := &table{name: name, byName: make(map[string]*xtables.Chain)}
	if old := e.rs.Table(name); old != nil {
		for _, c := range old.Chains {
			n := *c
			n.Start = old.Counter(c, len(c.Rules))
			n.Rules = make([]*xtables.Rule, len(c.Rules))
			for i, r := range c.Rules {
				m := *r
				m.Start = old.Counter(c, i)
				n.Rules[i] = &m
				e.copied = append(e.copied, [2]*xtables.Rule{&m, r})
			}
			t.chains = append(t.chains, &n)
		}
	} else {
		t.chains = xtables.Builtins(name)
		e.dirty[name] = true // iptables loads a table by looking at it
	}
	for _, c := range t.chains {
		t.byName[c.Name] = c
	}
	e.p.tables[name] = t
	return t
}

// Origin is the rule of the rule set that the Editor began with of which r is a
// copy; nil for a rule that a command made.
func (e *Editor) Origin(r *xtables.Rule) *xtables.Rule {
	if e.origin == nil {
		e.origin = make(map[*xtables.Rule]*xtables.Rule, len(e.copied))
		for _, c := range e.copied {
			e.origin[c[0]] = c[1]
			if first, ok := e.origin[c[1]]; ok { // a table that was restored twice
				e.origin[c[0]] = first
			}
		}
	}
	return e.origin[r]
}

// Command runs one command line, without the name of the program. After an
// error the tables are not to be used; what is known of the command is returned
// all the same.
func (e *Editor) Command(args []string) (Command, *xtables.Error) {
	words := make([]xtables.Word, len(args))
	col := 1
	for i, a := range args {
		words[i] = xtables.Word{Text: a, Pos: xtables.Pos{File: e.p.file, Col: col}}
		col += len(a) + 1
	}
	r := &e.p.rule
	// -t may stand behind what needs the table: the first reading looks for it.
	e.p.cur = &table{name: "filter", byName: map[string]*xtables.Chain{}}
	r.begin(words, xtables.Pos{File: e.p.file, Col: 1})
	for r.i < len(r.words) {
		r.option()
	}
	name := r.tableName
	if name == "" {
		name = "filter"
	}
	e.p.errs = e.p.errs[:0]
	known := xtables.TablePoints(name) != 0
	if known {
		e.p.cur = e.open(name)
	}
	r.begin(words, xtables.Pos{File: e.p.file, Col: 1})
	r.dry = !known
	r.run()
	c := r.result(name)
	if n := len(e.p.errs); n > 0 && c.Verb == 'X' && !c.Named {
		return c, e.p.errs[n-1].(*xtables.Error) // all are tried
	}
	if err := e.first(); err != nil {
		return c, err
	}
	if !known && c.Verb != 'h' && c.Verb != 'V' {
		prog := "iptables"
		if e.p.family == packet.IPv6 {
			prog = "ip6tables"
		}
		return c, &xtables.Error{Msg: "no table " + quote(name) + suggest("", name, xtables.TableNames()), Status: 3,
			Said: "can't initialize " + prog + " table `" + name + "': Table does not exist (do you need to insmod?)\nPerhaps " + prog + " or your kernel needs to be upgraded."}
	}
	e.changed(c)
	return c, nil
}

// changed notes a command that may have changed its table.
func (e *Editor) changed(c Command) {
	if strings.IndexByte("ADIRFZNXPE", c.Verb) >= 0 || c.Zero {
		e.dirty[c.Table] = true
	}
}

func (e *Editor) first() *xtables.Error {
	if len(e.p.errs) == 0 {
		return nil
	}
	return e.p.errs[0].(*xtables.Error)
}

// Dirty reports whether anything was changed.
func (e *Editor) Dirty() bool { return len(e.dirty) > 0 }

// Commit is the rule set with all changes, checked as the kernel checks it.
func (e *Editor) Commit() (*xtables.Ruleset, *xtables.Error) {
	rs := &xtables.Ruleset{Family: e.p.family}
	for _, n := range xtables.TableNames() {
		switch {
		case e.dirty[n]:
			t, err := e.compile(n)
			if err != nil {
				return nil, err
			}
			rs.Tables = append(rs.Tables, t)
		case e.rs.Table(n) != nil:
			rs.Tables = append(rs.Tables, e.rs.Table(n))
		}
	}
	return rs, nil
}

func (e *Editor) compile(name string) (*xtables.Table, *xtables.Error) {
	for _, c := range e.p.tables[name].chains {
		// A change sets the counters of all policies to zero, but for those
		// that it gives: so iptables does.
		if c.Builtin && !e.p.given[c] {
			c.Start = xtables.Counter{}
		}
	}
	t, errs := xtables.NewTable(name, e.p.family, e.p.tables[name].chains)
	if len(errs) == 0 {
		return t, nil
	}
	err := xtables.At(xtables.Pos{File: e.p.file, Col: 1}, errs[0])
	if err.Said == "" {
		err.Said, err.Status = invalid, 1
		if strings.HasPrefix(err.Msg, "loop of chains") {
			err.Said = tooDeep
		}
	}
	return nil, err
}

// begin takes up the words of a line or of a command line.
func (r *ruleReader) begin(words []xtables.Word, start xtables.Pos) {
	r.lineState = lineState{start: start}
	r.blocks = r.blocks[:0]
	r.p.extra = r.p.extra[:0]
	r.base.Family = r.p.family
	r.words = words
}

// result is what the reader knows of the command line.
func (r *ruleReader) result(table string) Command {
	has := func(c string) bool { return strings.Contains(r.seen, c) }
	c := Command{Verb: r.cmd, Table: table, Chain: r.chain, Named: r.chainPos.Col != 0,
		Verbose: r.verbose, Numeric: has("n"), Exact: has("x"), Lines: has("0"), Zero: r.zero,
		Wait: r.waitGiven, Seconds: r.seconds, Rules: r.made, Chains: r.touched, Notes: r.notes}
	if (c.Verb == 'L' || c.Verb == 'S') && r.arg != "" && !r.bad {
		c.Number, _ = r.number(1<<31 - 1)
	}
	return c
}

// listing checks what -L and -S name; -Z beside them does its work.
func (r *ruleReader) listing() {
	if r.bad || r.dry {
		return
	}
	if r.chainPos.Col != 0 && r.find() == nil || !r.zero {
		return
	}
	for _, c := range r.p.cur.chains {
		if r.chainPos.Col == 0 || c.Name == r.chain {
			zero(c)
		}
	}
}

// illegal is the first option that the command does not take, in the order of
// iptables' own table; 0 if there is none.
func (r *ruleReader) illegal() byte {
	allowed := ""
	switch r.cmd {
	case 'A', 'I', 'R':
		allowed = "sdpjiocf"
	case 'C':
		allowed = "sdpjiof"
	case 'D':
		if allowed = "sdpjiof"; r.arg != "" {
			allowed = ""
		}
	case 'L':
		allowed = "nx0"
	case 'P':
		allowed = "c"
	case 'h', 'V':
		return 0
	}
	if !r.p.run && (r.cmd != 'D' || r.arg == "") {
		allowed += "c"
	}
	for _, c := range []byte("nsdpjxio0cf") {
		if strings.IndexByte(r.seen, c) >= 0 && strings.IndexByte(allowed, c) < 0 {
			return c
		}
	}
	return 0
}

// referred reports a chain that a rule jumps to.
func (r *ruleReader) referred(c *xtables.Chain) bool {
	for _, o := range r.p.cur.chains {
		for _, u := range o.Rules {
			if jumps(u, c.Name) {
				return true
			}
		}
	}
	return false
}

// wait reads -w and -W.
func (r *ruleReader) wait(c byte, w xtables.Word, v *xtables.Word) {
	if v == nil {
		if a, ok := r.plain(); ok {
			v = &a
		}
	}
	n, ok := 0, true
	if v != nil {
		n, ok = leadingNumber(v.Text)
	}
	switch {
	case c == 'W' && v == nil:
		r.errorf(w.Pos, "%s needs an argument", w.Text).said(2, "wait interval value required")
	case c == 'W' && !ok:
		r.errorf(v.Pos, "%s is not a number", quote(v.Text)).said(2, "wait interval not numeric")
	case c == 'W':
		r.notes = append(r.notes, "Ignoring deprecated --wait-interval option.")
		r.interval = true
	case !ok:
		r.errorf(v.Pos, "%s is not a number of seconds", quote(v.Text)).said(2, "wait seconds not numeric")
	default:
		r.waitGiven, r.seconds = true, n
	}
}

// leadingNumber reads the digits at the beginning of s.
func leadingNumber(s string) (n int, ok bool) {
	for i := 0; i < len(s) && s[i] >= '0' && s[i] <= '9' && n < 1<<30; i++ {
		n, ok = n*10+int(s[i]-'0'), true
	}
	return n, ok
}

func (p *parser) restoreName() string {
	if p.family == packet.IPv6 {
		return "ip6tables-restore"
	}
	return "iptables-restore"
}
