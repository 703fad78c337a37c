package save

import (
	"strings"

	"weir/xtables"
)

// global is an option of iptables itself.
type global struct {
	long  string
	short byte
	args  xtables.Arity
}

// globals are the options of iptables, as its option table has them.
func globals() []global {
	return []global{
		{"append", 'A', xtables.OneArg}, {"delete", 'D', xtables.OneArg},
		{"check", 'C', xtables.OneArg}, {"insert", 'I', xtables.OneArg},
		{"replace", 'R', xtables.OneArg}, {"list", 'L', xtables.OptArg},
		{"list-rules", 'S', xtables.OptArg}, {"flush", 'F', xtables.OptArg},
		{"zero", 'Z', xtables.OptArg}, {"new-chain", 'N', xtables.OneArg},
		{"delete-chain", 'X', xtables.OptArg}, {"rename-chain", 'E', xtables.OneArg},
		{"policy", 'P', xtables.OneArg}, {"source", 's', xtables.OneArg},
		{"destination", 'd', xtables.OneArg}, {"src", 's', xtables.OneArg},
		{"dst", 'd', xtables.OneArg}, {"protocol", 'p', xtables.OneArg},
		{"in-interface", 'i', xtables.OneArg}, {"jump", 'j', xtables.OneArg},
		{"table", 't', xtables.OneArg}, {"match", 'm', xtables.OneArg},
		{"numeric", 'n', xtables.NoArg}, {"out-interface", 'o', xtables.OneArg},
		{"verbose", 'v', xtables.NoArg}, {"wait", 'w', xtables.OptArg},
		{"wait-interval", 'W', xtables.OptArg}, {"exact", 'x', xtables.NoArg},
		{"version", 'V', xtables.NoArg}, {"help", 'h', xtables.OptArg},
		{"line-numbers", '0', xtables.NoArg}, {"modprobe", 'M', xtables.OneArg},
		{"set-counters", 'c', xtables.OneArg}, {"goto", 'g', xtables.OneArg},
		{"ipv4", '4', xtables.NoArg}, {"ipv6", '6', xtables.NoArg},
		{"fragments", 'f', xtables.NoArg},
	}
}

// block is one extension of the rule that is being read, with its options.
type block struct {
	match  *xtables.MatchExt
	target *xtables.TargetExt
	pos    xtables.Pos
	given  []xtables.Given
	bad    bool // an error was reported already
}

func (b *block) options() []xtables.Option {
	if b.match != nil {
		return b.match.Options
	}
	return b.target.Options
}

func (b *block) name() string {
	if b.match != nil {
		return b.match.Name
	}
	return b.target.Name
}

// found is an option that a word names: of iptables itself or of a block.
type found struct {
	global *global
	block  int
	opt    *xtables.Option
}

func (f *found) same(o *found) bool {
	if f.global != nil || o.global != nil {
		return f.global != nil && o.global != nil && f.global.short == o.global.short
	}
	return f.block == o.block && given(f.opt) == given(o.opt) && f.opt.Args == o.opt.Args
}

// given is the name under which an option is handed to its extension.
func given(o *xtables.Option) string {
	if o.Alias != "" {
		return o.Alias
	}
	return o.Name
}

// newest is the last block of the same extension: options go there.
func (r *ruleReader) newest(i int) int {
	for k := len(r.blocks) - 1; k > i; k-- {
		if r.blocks[k].match != nil && r.blocks[k].match == r.blocks[i].match {
			return k
		}
	}
	return i
}

// long finds a long option: by its whole name, first in iptables' own table and
// then in the extension loaded last, or by a beginning that fits one option
// only. several has the names that a beginning fits.
func (r *ruleReader) long(name string) (f found, several []string) {
	for i := range r.p.globals {
		if r.p.globals[i].long == name {
			return found{global: &r.p.globals[i]}, nil
		}
	}
	for i := len(r.blocks) - 1; i >= 0; i-- {
		opts := r.blocks[i].options()
		for k := range opts {
			if opts[k].Name == name {
				return found{block: r.newest(i), opt: &opts[k]}, nil
			}
		}
	}
	ambiguous := false
	hit := func(g found, long string) {
		switch {
		case len(several) == 0:
			f = g
		case !f.same(&g):
			ambiguous = true
		}
		several = append(several, "--"+long)
	}
	for i := range r.p.globals {
		if strings.HasPrefix(r.p.globals[i].long, name) {
			hit(found{global: &r.p.globals[i]}, r.p.globals[i].long)
		}
	}
	for i := len(r.blocks) - 1; i >= 0; i-- {
		if r.newest(i) != i {
			continue
		}
		opts := r.blocks[i].options()
		for k := range opts {
			if strings.HasPrefix(opts[k].Name, name) && !opts[k].Beyond {
				hit(found{block: i, opt: &opts[k]}, opts[k].Name)
			}
		}
	}
	if ambiguous {
		return found{}, several
	}
	return f, nil
}

// short finds a one-letter option.
func (r *ruleReader) short(c byte) found {
	for i := range r.p.globals {
		if g := &r.p.globals[i]; g.short == c && c != '0' {
			return found{global: g}
		}
	}
	for i := len(r.blocks) - 1; i >= 0; i-- {
		opts := r.blocks[i].options()
		for k := range opts {
			if opts[k].Short == c {
				return found{block: r.newest(i), opt: &opts[k]}
			}
		}
	}
	return found{}
}
