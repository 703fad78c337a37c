package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"slices"

	"weir/engine"
	"weir/lint"
	"weir/packet"
	"weir/replay"
	"weir/xtables"
)

type lintCmd struct {
	Path []string `arg:"" name:"machine" help:"Machine directories, or files as iptables-save prints them; - is standard input."`
	IPv6 bool     `name:"ipv6" help:"The files are ip6tables-save's."`
	JSON bool     `name:"json" help:"Print a JSON object a finding."`
	Skip []string `placeholder:"ID" help:"Kinds of findings to leave out."`
}

func (lintCmd) Help() string {
	return `Finds rules that can never match, with the rules that take their packets and a packet that shows it; chains that nobody calls; jumps that only return; NAT rules that no new connection reaches; connections that are let in and then cut off; exceptions ("!") that do not mean what they say. What is said is proved or was run; docs/lint.md explains each finding.

Exit status: 0 nothing found, 1 something found or a file that does not load, 2 usage.

Examples:
  weir lint examples/home-router
  weir lint rules.v4 --skip jump-returns,chain-unused
  weir lint --ipv6 --json rules.v6`
}

// errFound ends a command of which the exit status says what it found.
type errFound struct{}

func (errFound) Error() string { return "" }

// Run lints.
func (c *lintCmd) Run(e *env) error {
	for _, id := range c.Skip {
		if !slices.Contains(lint.IDs(), lint.ID(id)) {
			return usagef("--skip: no finding %q; they are %v", id, lint.IDs())
		}
	}
	var found []lint.Finding
	for _, p := range c.Path {
		m, sets, err := rulesOf(e, p, c.IPv6)
		if err != nil {
			return err
		}
		for _, rs := range sets {
			found = append(found, lint.Check(rs, m)...)
		}
	}
	found = slices.DeleteFunc(found, func(f lint.Finding) bool { return slices.Contains(c.Skip, string(f.ID)) })
	w := bufio.NewWriter(e.stdout)
	var buf []byte
	for i := range found {
		buf = buf[:0]
		if c.JSON {
			var err error
			if buf, err = json.Marshal(&found[i]); err != nil {
				return err
			}
			buf = append(buf, '\n')
		} else {
			buf = found[i].AppendText(buf, e.colour)
		}
		w.Write(buf)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if len(found) > 0 {
		return errFound{}
	}
	return nil
}

// rulesOf reads what an argument names: a machine with the rules of both
// families, or rules alone with a machine that is made up for them.
func rulesOf(e *env, path string, ipv6 bool) (*engine.Machine, []*xtables.Ruleset, error) {
	if st, err := os.Stat(path); err == nil && st.IsDir() {
		m, eng, err := load(path, 1)
		if err != nil {
			return nil, nil, err
		}
		var sets []*xtables.Ruleset
		c := replay.Config(m, 1)
		for f, text := range map[packet.Family]engine.Text{packet.IPv4: c.Rules4, packet.IPv6: c.Rules6} {
			rs, errs := engine.ParseRules(f, text)
			if len(errs) > 0 {
				return nil, nil, errorList(errs)
			}
			sets = append(sets, rs)
		}
		slices.SortFunc(sets, func(a, b *xtables.Ruleset) int { return int(a.Family) - int(b.Family) })
		return eng, sets, nil
	}
	src, err := e.readFile(path)
	if err != nil {
		return nil, nil, err
	}
	fam := packet.IPv4
	if ipv6 {
		fam = packet.IPv6
	}
	rs, errs := engine.ParseRules(fam, engine.Text{Name: path, Text: src})
	if len(errs) > 0 {
		return nil, nil, errorList(errs)
	}
	eng, errs := engine.New(lint.Imagine(rs))
	if len(errs) > 0 {
		return nil, nil, fmt.Errorf("%s: %w", path, errs[0])
	}
	return eng, []*xtables.Ruleset{rs}, nil
}
