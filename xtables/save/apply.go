package save

import (
	"slices"
	"strings"

	"weir/hook"
	"weir/xtables"
)

// finish does what the line says, after all of its words were read.
func (r *ruleReader) finish() {
	if r.cmd == 0 {
		if !r.bad {
			r.errorf(r.start, "the line has no command; -A CHAIN appends a rule").said(2, "no command specified")
		}
		return
	}
	if r.interval && !r.waitGiven {
		r.errorf(r.cmdPos, "-W has no meaning without -w").said(2, "--wait-interval only makes sense with --wait\n")
		return
	}
	if c := r.illegal(); c != 0 && !r.bad {
		r.errorf(r.cmdPos, "-%c has no place behind -%c", c, r.cmd).said(2, "Illegal option `-%c' with this command", c)
		return
	}
	if r.dry {
		return
	}
	switch r.cmd {
	case 'A', 'I', 'D', 'R', 'C':
		r.ruleCommand()
	case 'L', 'S':
		r.listing()
	case 'h', 'V':
	default:
		if len(r.blocks) > 0 && !r.p.run {
			r.errorf(r.cmdPos, "-m has no place behind -%c", r.cmd)
			return
		}
		r.chainCommand()
	}
}

// find is the chain that the command names; nil after an error.
func (r *ruleReader) find() *xtables.Chain {
	t := r.p.cur
	c := t.byName[r.chain]
	if c == nil {
		var near []string
		for _, c := range t.chains {
			near = append(near, c.Name)
		}
		r.errorf(r.chainPos, "no chain %s in table %s%s", quote(r.chain), t.name, suggest("", r.chain, near)).said(1, noName)
		if len(r.chain) > maxName {
			r.said(2, "chain name `%s' too long (must be under 29 chars)", r.chain)
		}
	}
	return c
}

// ruleCommand does -A, -I, -R, -D and -C.
func (r *ruleReader) ruleCommand() {
	switch {
	case r.cmd == 'R' && max(1, len(r.src))*max(1, len(r.dst)) > 1:
		r.errorf(r.cmdPos, "-R takes one address only").said(2, "Replacement rule does not specify a unique address")
		return
	case r.inPos.Col > 0 && (r.chain == "OUTPUT" || r.chain == "POSTROUTING"):
		r.errorf(r.inPos, "-i has no meaning in %s: the packet does not come in by an interface there", r.chain).
			said(2, "Can't use -i with %s\n", r.chain)
	case r.outPos.Col > 0 && (r.chain == "INPUT" || r.chain == "PREROUTING"):
		r.errorf(r.outPos, "-o has no meaning in %s: nobody knows yet by which interface the packet leaves", r.chain).
			said(2, "Can't use -o with %s\n", r.chain)
	}
	if r.late != nil && !r.bad {
		r.bad = true
		r.p.errs = append(r.p.errs, r.late)
		return
	}
	rules := r.rules()
	if r.cmd != 'D' || r.arg == "" {
		r.made = rules
	}
	if r.p.run && r.bad {
		return
	}
	c := r.find()
	if c == nil {
		if (r.cmd == 'D' || r.cmd == 'C') && r.arg == "" && len(r.chain) <= maxName {
			r.said(1, noRule)
		}
		return
	}
	at := 0
	switch {
	case r.cmd == 'I' && r.arg == "":
		at = 1
	case r.cmd == 'I':
		at, _ = r.number(len(c.Rules) + 1)
	case r.cmd == 'R' || r.cmd == 'D' && r.arg != "":
		at, _ = r.number(len(c.Rules))
	}
	if r.bad {
		// The file will not load; a rule that asks for something keeps the
		// numbers of those behind it right.
		if r.cmd == 'A' || r.cmd == 'I' {
			c.Rules = append(c.Rules, &xtables.Rule{Base: xtables.Base{Given: xtables.TestFragment}})
		}
		return
	}
	switch r.cmd {
	case 'A':
		c.Rules = append(c.Rules, rules...)
	case 'I':
		for _, n := range rules { // each in front of the one before
			c.Rules = slices.Insert(c.Rules, at-1, n)
		}
	case 'R':
		c.Rules[at-1] = rules[0]
	case 'D':
		if at > 0 {
			c.Rules = slices.Delete(c.Rules, at-1, at)
			return
		}
		for _, n := range rules {
			i := same(c, n)
			if i < 0 {
				r.errorf(r.cmdPos, "chain %s has no such rule", c.Name).said(1, "%s", r.unmatched())
				return
			}
			c.Rules = slices.Delete(c.Rules, i, i+1)
		}
	case 'C':
		for _, n := range rules {
			if same(c, n) < 0 {
				r.errorf(r.cmdPos, "chain %s has no such rule", c.Name).said(1, "%s", r.unmatched())
			}
		}
	}
}

// unmatched is what iptables says when no rule is the one to be deleted.
func (r *ruleReader) unmatched() string {
	switch r.target.Kind {
	case xtables.KindExt, xtables.KindJump, xtables.KindGoto:
		return noName // it asked for the name last
	}
	return noRule
}

// same finds a rule by what it says.
func same(c *xtables.Chain, r *xtables.Rule) int {
	text := string(r.Append(nil))
	return slices.IndexFunc(c.Rules, func(o *xtables.Rule) bool { return string(o.Append(nil)) == text })
}

// rules makes the rules of the line: one for each pair of addresses, each with
// matches and a target of its own, since those may hold state.
func (r *ruleReader) rules() (out []*xtables.Rule) {
	for i := 0; i < max(1, len(r.src)); i++ {
		for k := 0; k < max(1, len(r.dst)); k++ {
			n := &xtables.Rule{Pos: r.start, Base: r.base, Target: r.target, Start: r.counters}
			if len(r.src) > 0 {
				n.Base.Src, n.Base.SrcMask = r.src[i].addr, r.src[i].mask
			}
			if len(r.dst) > 0 {
				n.Base.Dst, n.Base.DstMask = r.dst[k].addr, r.dst[k].mask
			}
			r.extensions(n)
			if out = append(out, n); r.bad {
				return out
			}
		}
	}
	return out
}

// extensions lets the extensions of the line read their options.
func (r *ruleReader) extensions(n *xtables.Rule) {
	if len(r.blocks) == 0 {
		return
	}
	ctx := xtables.Context{Sets: r.p.all.Sets, Known: r.p.all.Known, Family: r.p.family, Table: r.p.cur.name, Chain: r.chain,
		Proto: r.base.Proto, ProtoInvert: r.base.Not&xtables.TestProto != 0}
	for i := range r.blocks {
		b := &r.blocks[i]
		switch {
		case b.bad:
		case b.match != nil:
			m, err := b.match.Parse(&ctx, b.given)
			if err != nil {
				r.extensionFail(b, err)
				continue
			}
			if n.Matches == nil {
				n.Matches = make([]xtables.RuleMatch, 0, len(r.blocks))
			}
			n.Matches = append(n.Matches, xtables.RuleMatch{Ext: b.match, Match: m, Pos: b.pos})
		default:
			t, err := b.target.Parse(&ctx, b.given)
			if err != nil {
				r.extensionFail(b, err)
				continue
			}
			n.Target.Target = t
		}
	}
}

// extensionFail reports what an extension complains of.
func (r *ruleReader) extensionFail(b *block, err error) {
	r.fail(b.pos, err)
	e := r.p.errs[len(r.p.errs)-1].(*xtables.Error)
	if name, ok := strings.CutSuffix(e.Msg, " must be given"); ok && e.Said == "" && strings.HasPrefix(name, "--") {
		r.said(2, "%s: option \"%s\" must be specified\n", b.name(), name)
	}
}

// chainCommand does -N, -X, -E, -F, -Z and -P.
func (r *ruleReader) chainCommand() {
	t := r.p.cur
	if r.chain == "" && r.chainPos.Col == 0 {
		all := slices.Clone(t.chains)
		sortChains(all)
		for _, c := range all {
			r.emptyTable(c)
		}
		return
	}
	if r.bad {
		return
	}
	if strings.IndexByte("FZX", r.cmd) >= 0 && r.arg == "" {
		r.touched = append(r.touched, r.chain)
	}
	if r.cmd == 'N' {
		r.checkName(r.chain, r.chainPos)
		if !r.bad && !r.p.newChain(r.chain, r.chainPos) {
			r.bad = true
		}
		return
	}
	c := r.find()
	if c == nil {
		switch {
		case r.cmd == 'P' && r.arg == "DROP" && t.name == "nat":
			r.said(2, natDrop)
		case r.cmd == 'P':
			r.said(1, "Bad built-in chain name")
		case r.cmd == 'E' && (t.byName[r.arg] != nil || isVerdict(r.arg)):
			r.said(1, "File exists")
		}
		return
	}
	switch r.cmd {
	case 'F':
		c.Rules = nil
	case 'Z':
		r.zeroOne(c)
	case 'X':
		r.remove(c)
	case 'E':
		r.rename(c)
	case 'P':
		r.policy(c)
	}
}

// emptyTable does -F, -Z or -X without a chain.
func (r *ruleReader) emptyTable(c *xtables.Chain) {
	if r.cmd != 'X' || !c.Builtin {
		r.touched = append(r.touched, c.Name)
	}
	switch r.cmd {
	case 'F':
		c.Rules = nil
	case 'Z':
		zero(c)
	case 'X':
		if !c.Builtin {
			r.remove(c)
		}
	}
}

// zeroOne does -Z CHAIN [NUMBER].
func (r *ruleReader) zeroOne(c *xtables.Chain) {
	if r.arg == "" {
		zero(c)
	} else if n, ok := r.number(len(c.Rules)); ok {
		c.Rules[n-1].Start = xtables.Counter{}
	}
}

func zero(c *xtables.Chain) {
	c.Start = xtables.Counter{}
	for _, r := range c.Rules {
		r.Start = xtables.Counter{}
	}
}

// checkName refuses what iptables refuses for -N.
func (r *ruleReader) checkName(name string, pos xtables.Pos) {
	switch {
	case name == "":
		r.errorf(pos, "the name of the chain is empty")
	case name[0] == '-' || name[0] == '!':
		r.errorf(pos, "the name of a chain cannot begin with %c", name[0]).said(2, "chain name not allowed to start with `%c'", name[0])
	case strings.ContainsAny(name, " \t\v\f\r"):
		r.errorf(pos, "the name of a chain cannot have a space").said(2, "Invalid chain name `%s'", name)
	case r.p.targets[name] != nil || isVerdict(name):
		r.errorf(pos, "%s is a target: no chain can have its name", name).said(2, "chain name may not clash with target name")
	}
}

func isVerdict(name string) bool {
	_, ok := xtables.VerdictKind(name)
	return ok
}

func (r *ruleReader) remove(c *xtables.Chain) {
	t := r.p.cur
	switch {
	case c.Builtin:
		r.errorf(r.chainPos, "%s is a built-in chain and cannot be removed", c.Name).said(1, invalid)
	case len(c.Rules) > 0:
		r.errorf(r.cmdPos, "chain %s is not empty", c.Name).said(1, "Directory not empty")
		if r.p.run && r.referred(c) {
			r.said(1, "Too many links")
		}
	default:
		for _, o := range t.chains {
			for _, u := range o.Rules {
				if jumps(u, c.Name) {
					r.errorf(r.cmdPos, "line %d refers to chain %s", u.Pos.Line, c.Name).said(1, "Too many links")
					return
				}
			}
		}
		delete(t.byName, c.Name)
		t.chains = slices.DeleteFunc(t.chains, func(o *xtables.Chain) bool { return o == c })
	}
}

func jumps(r *xtables.Rule, chain string) bool {
	return (r.Target.Kind == xtables.KindJump || r.Target.Kind == xtables.KindGoto) && r.Target.Name == chain
}

func (r *ruleReader) rename(c *xtables.Chain) {
	t := r.p.cur
	_, verdict := xtables.VerdictKind(r.arg)
	switch {
	case verdict:
		r.errorf(r.argPos, "%s is a target: no chain can have its name", r.arg).said(1, "File exists")
	case t.byName[r.arg] != nil:
		r.errorf(r.argPos, "chain %s exists already", r.arg).said(1, "File exists")
	case c.Builtin:
		r.errorf(r.chainPos, "%s is a built-in chain and cannot be renamed", c.Name).said(1, noName)
	case len(r.arg) > maxName:
		r.errorf(r.argPos, "the name of the chain has %d bytes; at most %d are allowed", len(r.arg), maxName).
			said(2, "chain name `%s' too long (must be under 29 chars)", r.arg)
	}
	if r.bad {
		return
	}
	for _, o := range t.chains {
		for _, u := range o.Rules {
			if jumps(u, c.Name) {
				u.Target.Name = r.arg
			}
		}
	}
	delete(t.byName, c.Name)
	c.Name = r.arg
	t.byName[c.Name] = c
}

func (r *ruleReader) policy(c *xtables.Chain) {
	switch {
	case r.arg == "DROP" && r.p.cur.name == "nat":
		r.errorf(r.argPos, "DROP has no place in table nat: only the first packet of a connection comes here").said(2, natDrop)
	case !c.Builtin:
		r.errorf(r.chainPos, "%s is not a built-in chain and has no policy", c.Name).said(1, "Bad built-in chain name")
	case r.arg == "ACCEPT":
		c.Policy = hook.Accept
	case r.arg == "DROP":
		c.Policy = hook.Drop
	default:
		r.errorf(r.argPos, "the policy of a chain is ACCEPT or DROP, not %s", quote(r.arg)).said(1, noPolicy)
	}
	if r.counted {
		c.Start = r.counters
		r.p.give(c)
	}
}
