package save

import (
	"fmt"
	"sort"
	"strconv"
	"strings"

	"weir/hook"
	"weir/packet"
	"weir/xtables"
)

// File is a rule file that was read.
type File struct {
	Name string
	// Rules is what it loads: only the tables that it names.
	Rules *xtables.Ruleset
}

// parser reads one file.
type parser struct {
	file    string
	family  packet.Family
	globals []global
	matches map[string]*xtables.MatchExt
	targets map[string]*xtables.TargetExt
	all     xtables.List

	errs   []error
	tables map[string]*table // as they are now, by name
	done   map[string]*xtables.Table
	cur    *table // nil outside of a table

	run  bool // commands are run, not only read: see Editor
	keep bool // chains that are there are emptied and not an error
	zero bool // counters in the text do not count
	// given are the built-in chains whose counters a command gives.
	given map[*xtables.Chain]bool
	// canon takes what the lines are in canonical form; nil if nobody asks.
	canon *[]Line

	rest  string         // of the file, behind the line
	words []xtables.Word // of the line
	extra []xtables.Word // values that are a part of a word
	rule  ruleReader
}

// table is a table that is being written.
type table struct {
	name   string
	pos    xtables.Pos
	chains []*xtables.Chain // built-in ones first
	byName map[string]*xtables.Chain
}

// Parse reads the text of a file as iptables-restore (ip6tables-restore for
// IPv6) does. file is the name for errors. If errors is not empty, nothing may
// be loaded and the File is nil. Each error is an *xtables.Error with its
// place, in the order of the file.
func Parse(file string, src []byte, f packet.Family, list xtables.List) (*File, []error) {
	p := newParser(file, f, list)
	p.lines(string(src))
	if len(p.errs) > 0 {
		sort.SliceStable(p.errs, func(i, j int) bool { return before(p.errs[i], p.errs[j]) })
		return nil, p.errs
	}
	rs := &xtables.Ruleset{Family: f}
	for _, n := range xtables.TableNames() {
		if t := p.done[n]; t != nil {
			rs.Tables = append(rs.Tables, t)
		}
	}
	return &File{Name: file, Rules: rs}, nil
}

func newParser(file string, f packet.Family, list xtables.List) *parser {
	p := &parser{file: file, family: f, globals: globals(), all: list,
		matches: make(map[string]*xtables.MatchExt), targets: make(map[string]*xtables.TargetExt),
		tables: make(map[string]*table), done: make(map[string]*xtables.Table)}
	p.rule.p = p
	// The rules keep pointers into the list: a copy that nobody changes.
	ms, ts := append([]xtables.MatchExt(nil), list.Matches...), append([]xtables.TargetExt(nil), list.Targets...)
	for i := range ms {
		if ms[i].Families.Has(f) {
			p.matches[ms[i].Name] = &ms[i]
		}
	}
	for i := range ts {
		if ts[i].Families.Has(f) {
			p.targets[ts[i].Name] = &ts[i]
		}
	}
	return p
}

func before(a, b error) bool {
	x, y := a.(*xtables.Error).Pos, b.(*xtables.Error).Pos
	return x.Line < y.Line || x.Line == y.Line && x.Col < y.Col
}

func (p *parser) errorf(pos xtables.Pos, format string, a ...any) {
	p.errs = append(p.errs, &xtables.Error{Pos: pos, Msg: fmt.Sprintf(format, a...)})
}

func (p *parser) said(status int, format string, a ...any) {
	e := p.errs[len(p.errs)-1].(*xtables.Error)
	e.Said, e.Status = fmt.Sprintf(format, a...), status
}

func quote(s string) string { return strconv.Quote(s) }

// lines reads line by line.
func (p *parser) lines(src string) {
	for no := 1; src != ""; no++ {
		line, rest, ended := strings.Cut(src, "\n")
		src, p.rest = rest, rest
		pos := xtables.Pos{File: p.file, Line: no, Col: 1}
		before := len(p.errs)
		switch {
		case len(line) > maxLine:
			p.errorf(pos, "the line has %d bytes; iptables-restore reads at most %d", len(line), maxLine)
		case line == "" || line[0] == '#':
		case line == "COMMIT" && !ended:
			p.errorf(pos, "COMMIT must be followed by a line end")
			p.commit(pos)
		case line == "COMMIT" && p.cur == nil:
			p.errorf(pos, "COMMIT without a *table line before it")
		case line == "COMMIT":
			p.commit(pos)
		case line[0] == '*':
			p.table(line, pos)
		case p.cur == nil:
			p.errorf(pos, "this stands outside of a table: a *table line must come first")
			p.cur = p.open("filter", pos) // to say more than this once
		case line[0] == ':':
			p.chain(line, pos)
		default:
			p.rule.line(line, no)
		}
		if len(p.errs) > before && strings.HasSuffix(line, "\r") {
			pos.Col = len(line)
			p.errs = p.errs[:before]
			p.errorf(pos, "the line ends in a carriage return: iptables-restore reads Unix line ends only")
			return
		}
		if p.canon != nil && len(p.errs) == 0 {
			p.canonical(line)
		}
	}
	if p.cur != nil && len(p.errs) == 0 {
		p.errorf(p.cur.pos, "table %s has no COMMIT", p.cur.name)
	}
}

// table reads "*filter".
func (p *parser) table(line string, pos xtables.Pos) {
	if p.cur != nil {
		p.errorf(pos, "table %s of line %d has no COMMIT before this line", p.cur.name, p.cur.pos.Line)
		p.commit(pos)
	}
	name, _, _ := field(line, 1)
	if xtables.TablePoints(name) == 0 {
		at := pos
		at.Col = 2
		p.errorf(at, "no table %s%s", quote(name), suggest("", name, xtables.TableNames()))
		p.said(2, "iptables-restore: unable to initialize table '%s'", name)
		name = "filter"
	}
	p.cur = p.open(name, pos)
}

// open empties a table. Policies stay as a block before left them.
func (p *parser) open(name string, pos xtables.Pos) *table {
	t := &table{name: name, pos: pos, chains: xtables.Builtins(name), byName: make(map[string]*xtables.Chain)}
	for _, c := range t.chains {
		c.Pos = pos
		t.byName[c.Name] = c
		if old := p.tables[name]; old != nil {
			c.Policy, c.Start = old.byName[c.Name].Policy, old.byName[c.Name].Start
		}
	}
	p.tables[name] = t
	return t
}

// commit checks and compiles the table.
func (p *parser) commit(pos xtables.Pos) {
	if p.cur == nil {
		return
	}
	t := p.cur
	p.cur = nil
	tb, errs := xtables.NewTable(t.name, p.family, t.chains)
	for _, err := range errs {
		p.errs = append(p.errs, xtables.At(pos, err))
	}
	p.done[t.name] = tb
}

// field is the next word of a line from byte i on, where it begins, and where
// it ends.
func field(line string, i int) (word string, from, to int) {
	for i < len(line) && (line[i] == ' ' || line[i] == '\t') {
		i++
	}
	from = i
	for i < len(line) && line[i] != ' ' && line[i] != '\t' {
		i++
	}
	return line[from:i], from, i
}

// maxName is the longest name of a chain or an extension.
const maxName = 28

// chain reads ":NAME POLICY [packets:bytes]".
func (p *parser) chain(line string, pos xtables.Pos) {
	at := func(col int) xtables.Pos { q := pos; q.Col = col + 1; return q }
	name, from, to := field(line, 1)
	policy, pfrom, to := field(line, to)
	counters, cfrom, _ := field(line, to)
	if name == "" {
		p.errorf(at(1), "the name of the chain is missing")
		p.said(2, "%s: line %d chain name invalid", p.restoreName(), pos.Line)
		return
	}
	c := p.cur.byName[name]
	switch {
	case c != nil && c.Builtin:
	case c != nil && p.keep:
		c.Rules = nil
	default:
		if !p.newChain(name, at(from)) {
			if len(name) <= maxName {
				p.said(2, "error creating chain '%s':File exists", name)
			}
			return
		}
		c = p.cur.byName[name]
	}
	c.Pos = at(from)
	switch {
	case policy == "":
		p.errorf(at(len(line)), "the policy is missing (- for a chain of your own)")
		p.said(2, "%s: line %d policy invalid", p.restoreName(), pos.Line)
	case policy == "-":
	case !c.Builtin:
		p.errorf(at(pfrom), "%s is not a built-in chain of table %s and can have no policy but -", name, p.cur.name)
		p.said(1, "Can't set policy `%s' on `%s' line %d: Bad built-in chain name\n", policy, name, pos.Line)
	case policy == "ACCEPT":
		c.Policy = hook.Accept
	case policy == "DROP":
		c.Policy = hook.Drop
	default:
		p.errorf(at(pfrom), "the policy of a chain is ACCEPT or DROP, not %s", quote(policy))
		p.said(1, "Can't set policy `%s' on `%s' line %d: Bad policy name\n", policy, name, pos.Line)
	}
	if p.zero && c.Builtin && policy != "-" {
		c.Start = xtables.Counter{}
	}
	if counters == "" || p.zero {
		return
	}
	n, ok := readCounters(counters)
	if !ok || len(counters) != strings.IndexByte(counters, ']')+1 {
		p.errorf(at(cfrom), "%s is not [packets:bytes]", quote(counters))
		p.said(2, "invalid policy counters for chain '%s'", name)
	}
	if c.Builtin && policy != "-" {
		c.Start = n
		p.give(c)
	}
}

// newChain adds a chain of the user to the table.
func (p *parser) newChain(name string, pos xtables.Pos) bool {
	_, verdict := xtables.VerdictKind(name)
	switch {
	case len(name) > maxName:
		p.errorf(pos, "the name of the chain has %d bytes; at most %d are allowed", len(name), maxName)
		p.said(2, "chain name `%s' too long (must be under 29 chars)", name)
		return false
	case verdict:
		p.errorf(pos, "%s is a target: no chain can have its name", name)
		p.said(1, "File exists")
		return false
	case p.cur.byName[name] != nil:
		p.errorf(pos, "chain %s exists already", name)
		p.said(1, "Chain already exists")
		return false
	}
	c := &xtables.Chain{Name: name, Pos: pos}
	p.cur.chains = append(p.cur.chains, c)
	p.cur.byName[name] = c
	return true
}

func (p *parser) give(c *xtables.Chain) {
	if p.given == nil {
		p.given = make(map[*xtables.Chain]bool)
	}
	p.given[c] = true
}

// readCounters reads "[packets:bytes]" at the beginning of s.
func readCounters(s string) (c xtables.Counter, ok bool) {
	end := strings.IndexByte(s, ']')
	if end < 1 || s[0] != '[' {
		return c, false
	}
	a, b, ok := strings.Cut(s[1:end], ":")
	if !ok {
		return c, false
	}
	var err1, err2 error
	c.Packets, err1 = strconv.ParseUint(a, 10, 64)
	c.Bytes, err2 = strconv.ParseUint(b, 10, 64)
	return c, err1 == nil && err2 == nil
}
