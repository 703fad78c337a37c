package save

import (
	"fmt"
	"strings"

	"weir/xtables"
)

// Restore is the options of iptables-restore(8).
type Restore struct {
	Counters bool   // -c
	Noflush  bool   // -n
	Test     bool   // -t
	Verbose  bool   // -v
	Table    string // -T; empty for all
	// Each is told every command that was run, with the tables as they are
	// behind it; nil if nobody asks.
	Each func(Command)
	// Flushed is told the chains that are emptied and removed for a table.
	Flushed func(chains, removed []string)
}

// Failure is why a restore ended before its text did.
type Failure struct {
	Err  *xtables.Error
	Line int
}

// Restore runs a text as iptables-restore does: table by table, up to the first
// error. The tables that were committed before it stay.
func (e *Editor) Restore(file string, src []byte, o Restore) *Failure {
	p := e.p
	p.file, p.keep, p.zero = file, o.Noflush, !o.Counters
	p.cur = nil
	skip := false
	text := string(src)
	no := 0
	for no = 1; text != ""; no++ {
		line, rest, ended := strings.Cut(text, "\n")
		text, p.rest = rest, rest
		pos := xtables.Pos{File: file, Line: no, Col: 1}
		switch {
		case line == "" || line[0] == '#':
		case skip && (line[0] != '*'):
			skip = line != "COMMIT"
		case line == "COMMIT" && ended && p.cur != nil:
			if !o.Test {
				if err := e.commitOne(p.cur.name); err != nil {
					err.Said, err.Status = fmt.Sprintf("line %d failed", no), 1
					return &Failure{err, no}
				}
			}
			p.cur = nil
		case line[0] == '*' && p.cur == nil:
			name, _, _ := field(line, 1)
			if skip = o.Table != "" && name != o.Table; skip {
				continue
			}
			if xtables.TablePoints(name) == 0 {
				p.table(line, pos) // complains
				break
			}
			p.cur = e.open(name)
			p.cur.pos = pos
			e.dirty[name] = true
			if !o.Noflush {
				e.flush(&o)
			}
		case p.cur == nil:
			p.errorf(pos, "this stands outside of a table: a *table line must come first")
			p.said(1, "line %d failed", no)
		case line[0] == ':':
			p.chain(line, pos)
		default:
			p.rule.line(line, no)
			if c := p.rule.result(p.cur.name); o.Each != nil && !p.rule.skip {
				if o.Verbose {
					c.Verbose++
				}
				o.Each(c)
			}
		}
		if err := e.first(); err != nil {
			if err.Status == 1 && !strings.HasPrefix(err.Said, "Can't") {
				err.Said = fmt.Sprintf("line %d failed", no)
			}
			return &Failure{err, no}
		}
	}
	if p.cur != nil {
		p.errorf(p.cur.pos, "table %s has no COMMIT", p.cur.name)
		p.said(1, "COMMIT expected at line %d", no)
		return &Failure{e.first(), no}
	}
	return nil
}

// flush empties the table that begins.
func (e *Editor) flush(o *Restore) {
	t := e.p.cur
	sortChains(t.chains)
	var all, own []string
	var keep []*xtables.Chain
	for _, c := range t.chains {
		all = append(all, c.Name)
		if c.Builtin {
			keep = append(keep, c)
			c.Rules = nil
		} else {
			own = append(own, c.Name)
			delete(t.byName, c.Name)
		}
	}
	t.chains = keep
	if o.Flushed != nil {
		o.Flushed(all, own)
	}
}

// commitOne makes one table a part of the rule set.
func (e *Editor) commitOne(name string) *xtables.Error {
	t, err := e.compile(name)
	if err != nil {
		return err
	}
	rs := &xtables.Ruleset{Family: e.p.family}
	for _, n := range xtables.TableNames() {
		if n == name {
			rs.Tables = append(rs.Tables, t)
		} else if old := e.rs.Table(n); old != nil {
			rs.Tables = append(rs.Tables, old)
		}
	}
	e.rs = rs
	delete(e.p.tables, name)
	delete(e.dirty, name)
	e.changedTables = true
	return nil
}

// Restored is the rule set with the tables that Restore committed, and whether
// there were any.
func (e *Editor) Restored() (*xtables.Ruleset, bool) { return e.rs, e.changedTables }
