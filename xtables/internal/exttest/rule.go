// Package exttest reads single rules for the tests of extensions: just enough
// of iptables' command line to hand options to Parse and to print what came of
// it. The real parser is in package xtables/save.
package exttest

import (
	"fmt"
	"strings"

	"weir/packet"
	"weir/xtables"
	"weir/xtables/names"
)

// Rule is one rule: its protocol, what was parsed, and the options of every
// extension in order.
type Rule struct {
	Family      packet.Family
	Table       string
	Chain       string
	Proto       uint8
	ProtoInvert bool
	Matches     []xtables.Match
	Target      xtables.Target
	MatchExts   []xtables.MatchExt
	TargetExt   *xtables.TargetExt
	Saved       string // as iptables-save prints it, without -A CHAIN
}

type block struct {
	match  *xtables.MatchExt
	target *xtables.TargetExt
	given  []xtables.Given
}

func (b *block) options() []xtables.Option {
	if b.match != nil {
		return b.match.Options
	}
	return b.target.Options
}

// Parse reads a rule such as "-p tcp -m tcp --dport 80 -j LOG".
func Parse(list xtables.List, f packet.Family, table, chain, text string) (*Rule, error) {
	words, err := split(text)
	if err != nil {
		return nil, err
	}
	r := &Rule{Family: f, Table: table, Chain: chain}
	var blocks []*block
	head := ""
	invert := false
	for i := 0; i < len(words); i++ {
		w := words[i]
		next := func() (xtables.Word, error) {
			if i++; i >= len(words) {
				return xtables.Word{}, fmt.Errorf("%s needs an argument", w.Text)
			}
			return words[i], nil
		}
		switch w.Text {
		case "!":
			if invert {
				return nil, fmt.Errorf("two !")
			}
			invert = true
			continue
		case "-p":
			v, err := next()
			if err != nil {
				return nil, err
			}
			if r.Proto, err = proto(v.Text); err != nil {
				return nil, err
			}
			r.ProtoInvert = invert
			if r.Proto != 0 {
				n, ok := names.ProtocolName(r.Proto)
				if !ok {
					n = fmt.Sprint(r.Proto)
				}
				head += map[bool]string{true: " !"}[invert] + " -p " + n
			}
		case "-m":
			v, err := next()
			if err != nil {
				return nil, err
			}
			m := findMatch(list, f, v.Text)
			if m == nil {
				return nil, fmt.Errorf("no match %s", v.Text)
			}
			blocks = append(blocks, &block{match: m})
		case "-j":
			v, err := next()
			if err != nil {
				return nil, err
			}
			t := findTarget(list, f, v.Text)
			if t == nil {
				return nil, fmt.Errorf("no target %s", v.Text)
			}
			blocks = append(blocks, &block{target: t})
		default:
			if !strings.HasPrefix(w.Text, "--") {
				return nil, fmt.Errorf("bad argument %q", w.Text)
			}
			b, o := findOption(blocks, w.Text[2:])
			if o == nil {
				if m := implied(list, f, r.Proto); m != nil {
					nb := &block{match: m}
					if _, o = findOption([]*block{nb}, w.Text[2:]); o != nil {
						b, blocks = nb, append(blocks, nb)
					}
				}
			}
			if o == nil {
				return nil, fmt.Errorf("unknown option %s", w.Text)
			}
			g := xtables.Given{Name: o.Name, Invert: invert, Pos: w.Pos}
			if o.Alias != "" {
				g.Name = o.Alias
			}
			if invert && (o.NoInvert || b.target != nil) {
				return nil, fmt.Errorf("%s cannot be inverted", w.Text)
			}
			n := map[xtables.Arity]int{xtables.OneArg: 1, xtables.TwoArgs: 2}[o.Args]
			for ; n > 0; n-- {
				v, err := next()
				if err != nil {
					return nil, err
				}
				g.Args = append(g.Args, v)
			}
			if o.Args == xtables.OptArg && i+1 < len(words) && !strings.HasPrefix(words[i+1].Text, "-") && words[i+1].Text != "!" {
				i++
				g.Args = append(g.Args, words[i])
			}
			for _, have := range b.given {
				if have.Name == g.Name && !o.Multi {
					return nil, fmt.Errorf("%s can only be used once", w.Text)
				}
			}
			b.given = append(b.given, g)
		}
		invert = false
	}
	return r, r.finish(head, blocks)
}

func (r *Rule) finish(head string, blocks []*block) error {
	c := &xtables.Context{Family: r.Family, Table: r.Table, Chain: r.Chain, Proto: r.Proto,
		ProtoInvert: r.ProtoInvert, Points: points(r.Chain)}
	s := head
	for _, b := range blocks {
		if b.match == nil {
			continue
		}
		m := b.match
		if m.Refuse != "" {
			return fmt.Errorf("%s: %s", m.Name, m.Refuse)
		}
		if err := place(c, m.Name, m.Protos, m.Tables, uint8(m.Points)); err != nil {
			return err
		}
		v, err := m.Parse(c, b.given)
		if err != nil {
			return err
		}
		if m.Check != nil {
			if err := m.Check(c, v); err != nil {
				return err
			}
		}
		r.Matches, r.MatchExts = append(r.Matches, v), append(r.MatchExts, *m)
		s += " -m " + m.Name + string(v.AppendArgs(nil))
	}
	for _, b := range blocks {
		if b.target == nil {
			continue
		}
		t := b.target
		if t.Refuse != "" {
			return fmt.Errorf("%s: %s", t.Name, t.Refuse)
		}
		if err := place(c, t.Name, t.Protos, t.Tables, uint8(t.Points)); err != nil {
			return err
		}
		v, err := t.Parse(c, b.given)
		if err != nil {
			return err
		}
		if t.Check != nil {
			c.Rule = &xtables.Rule{}
			for i := range r.Matches {
				c.Rule.Matches = append(c.Rule.Matches, xtables.RuleMatch{Ext: &r.MatchExts[i], Match: r.Matches[i]})
			}
			if err := t.Check(c, v); err != nil {
				return err
			}
		}
		r.Target, r.TargetExt = v, t
		s += " -j " + t.Name + string(v.AppendArgs(nil))
	}
	r.Saved = strings.TrimPrefix(s, " ")
	return nil
}

func place(c *xtables.Context, name string, protos []uint8, tables []string, at uint8) error {
	ok := len(protos) == 0
	for _, p := range protos {
		ok = ok || p == c.Proto && !c.ProtoInvert
	}
	if !ok {
		return fmt.Errorf("%s: wrong protocol", name)
	}
	ok = len(tables) == 0
	for _, t := range tables {
		ok = ok || t == c.Table
	}
	if !ok || at != 0 && uint8(c.Points)&^at != 0 {
		return fmt.Errorf("%s: not here", name)
	}
	return nil
}
