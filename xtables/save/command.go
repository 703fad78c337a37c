package save

import (
	"strconv"
	"strings"

	"weir/xtables"
	"weir/xtables/args"
)

// global reads an option of iptables itself. w is the option, v a value in the
// same word.
func (r *ruleReader) global(g *global, w xtables.Word, v *xtables.Word) {
	not, notPos := r.not, r.notPos
	r.not = false
	if not && strings.IndexByte("psdiof", g.short) < 0 {
		r.errorf(notPos, "%s takes no !", w.Text).said(2, "cannot have ! before -%c", g.short)
		if g.short == 'm' {
			r.said(2, "unexpected ! flag before --match")
		}
	}
	if v == nil && g.args == xtables.OneArg {
		a, ok := r.next()
		if !ok {
			r.errorf(w.Pos, "%s needs an argument", w.Text).said(2, "option \"%s\" requires an argument", w.Text)
			return
		}
		v = &a
	}
	if strings.IndexByte("psdiojgfcnx0", g.short) >= 0 {
		kind := g.short
		if kind == 'g' {
			kind = 'j'
		}
		if kind == 'j' && g.short == 'g' && strings.IndexByte(r.seen, kind) >= 0 {
			r.errorf(w.Pos, "a rule has one -j or one -g").said(2, "multiple -j flags not allowed")
			return
		}
		if strings.IndexByte(r.seen, kind) >= 0 {
			r.errorf(w.Pos, "%s cannot stand in a rule twice", w.Text).said(2, "multiple -%c flags not allowed", kind)
			return
		}
		r.seen += string(rune(kind))
	}
	switch g.short {
	case 'A', 'D', 'I', 'R', 'C', 'N', 'P', 'E', 'F', 'X', 'Z':
		r.command(g.short, w, v)
	case 's':
		r.src = r.addresses(*v, xtables.TestSrc, not)
	case 'd':
		r.dst = r.addresses(*v, xtables.TestDst, not)
	case 'p':
		r.given(xtables.TestProto, not)
		r.protocol(*v)
	case 'i':
		r.given(xtables.TestIn, not)
		r.base.In, r.inPos = r.device(*v), w.Pos
	case 'o':
		r.given(xtables.TestOut, not)
		r.base.Out, r.outPos = r.device(*v), w.Pos
	case 'f':
		if r.p.family.Len() == 16 {
			r.errorf(w.Pos, "-f does not exist for IPv6; -m frag looks at fragments").
				said(2, "`-f' is not supported in IPv6, use -m frag instead")
		}
		r.given(xtables.TestFragment, not)
	case 'm':
		r.match(*v)
	case 'j':
		r.jump(*v)
	case 'g':
		r.jumpTo(*v, xtables.KindGoto)
	case 'c':
		r.setCounters(*v, w.Pos)
	case '4', '6':
		r.family = g.short
		r.skip = (g.short == '6') != (r.p.family.Len() == 16)
		if r.skip && r.p.run && r.start.Line == 0 {
			r.skip = false
			r.errorf(w.Pos, "%s has no place in a command of the other family", w.Text).said(2, "")
		}
	case 'v':
		r.verbose++
	case 'M': // where modprobe is: of no consequence for what is loaded
	case 't':
		if r.p.run && r.start.Line == 0 {
			r.tableName = v.Text
			return
		}
		r.errorf(w.Pos, "-t cannot stand in a rule file: the *%s line above says the table", r.p.cur.name).
			said(2, "The -t option cannot be used in %s.\n", r.p.restoreName())
	case 'n', 'x', '0':
		if !r.p.run {
			r.errorf(w.Pos, "%s belongs to --list", w.Text)
		}
	case 'w', 'W':
		if r.p.run && r.start.Line == 0 {
			r.wait(g.short, w, v)
			return
		}
		r.errorf(w.Pos, "%s cannot stand in a rule file", w.Text)
		r.plain()
	default: // L S h V
		if r.p.run {
			r.command(g.short, w, v)
			return
		}
		r.errorf(w.Pos, "%s only prints and has no place in a rule file", w.Text)
		r.plain()
	}
}

func (r *ruleReader) given(t xtables.Test, not bool) {
	r.base.Given |= t
	if not {
		r.base.Not |= t
	}
}

func (r *ruleReader) addresses(v xtables.Word, t xtables.Test, not bool) []network {
	r.given(t, not)
	list, ok := r.p.networks(v)
	if !ok {
		r.bad = true
	}
	if not && len(list) > 1 {
		r.errorf(v.Pos, "! is not allowed with several addresses").
			said(2, "! not allowed with multiple source or destination IP addresses")
	}
	return list
}

// command reads -A and the like with what belongs to it.
func (r *ruleReader) command(c byte, w xtables.Word, v *xtables.Word) {
	listing := func(c byte) bool { return c == 'L' || c == 'S' }
	switch {
	case r.cmd == 0, r.cmd == 'Z' && listing(c):
		r.zero = r.cmd == 'Z'
		r.cmd, r.cmdPos = c, w.Pos
	case c == 'Z' && listing(r.cmd):
		r.zero = true
	default:
		r.errorf(w.Pos, "-%c cannot stand together with -%c", c, r.cmd).said(2, "Cannot use -%c with -%c", c, r.cmd)
		return
	}
	if v == nil {
		if a, ok := r.plain(); ok { // F, X, Z
			v = &a
		}
	}
	if v != nil {
		r.chain, r.chainPos = v.Text, v.Pos
	}
	r.argPos = w.Pos // until there is one
	switch c {
	case 'I', 'D', 'R', 'P', 'E', 'L', 'S', 'Z':
		if v == nil && (c == 'L' || c == 'S' || c == 'Z') {
			return
		}
		if a, ok := r.plain(); ok {
			if r.arg, r.argPos = a.Text, a.Pos; r.p.run && c != 'P' && c != 'E' {
				r.number(1<<31 - 1) // iptables reads it before all that follows
			}
		} else if c == 'R' || c == 'P' || c == 'E' {
			what := map[byte]string{'R': "a rule number", 'P': "a policy", 'E': "a new name"}[c]
			r.errorf(w.Pos, "-%c needs a chain and %s", c, what)
			switch c {
			case 'R':
				r.said(2, "-R requires a rule number")
			case 'P':
				r.said(2, "-P requires a chain and a policy")
			case 'E':
				r.said(2, "-E requires old-chain-name and new-chain-name")
			}
		}
	}
}

// match reads -m.
func (r *ruleReader) match(v xtables.Word) {
	name := v.Text
	switch name {
	case "icmpv6", "ipv6-icmp":
		name = "icmp6"
	case "ipv6-mh":
		name = "mh"
	}
	m := r.p.matches[name]
	switch {
	case m == nil:
		r.errorf(v.Pos, "no match %s%s", quote(v.Text), r.p.noExtension(v.Text, true)).
			said(2, "Couldn't load match `%s':No such file or directory\n", v.Text)
		r.skipOptions()
	case m.Refuse != "":
		r.errorf(v.Pos, "-m %s: %s", name, m.Refuse)
		r.skipOptions()
	default:
		r.add(m, nil, v.Pos)
	}
}

// skipOptions leaves out the long options of an extension that is not there:
// complaints about each would hide the first.
func (r *ruleReader) skipOptions() {
	for r.i < len(r.words) {
		t := r.words[r.i].Text
		if strings.HasPrefix(t, "--") && len(t) > 2 {
			name, _, _ := strings.Cut(t[2:], "=")
			if f, _ := r.long(name); f.global != nil || f.opt != nil {
				return
			}
		} else if len(t) > 1 && t[0] == '-' {
			return
		} else if t == "!" && r.i+1 < len(r.words) && !strings.HasPrefix(r.words[r.i+1].Text, "--") {
			return
		}
		r.i++
	}
}

// otherTool is the command for the other family.
func (p *parser) otherTool() string {
	if p.family.Len() == 16 {
		return "iptables"
	}
	return "ip6tables"
}

// madeLater reports a chain that the rest of the table makes.
func (p *parser) madeLater(name string) bool {
	rest, _, _ := strings.Cut(p.rest, "\nCOMMIT")
	rest = "\n" + rest
	return strings.Contains(rest, "\n:"+name+" ") || strings.Contains(rest, "\n-N "+name+"\n")
}

// noExtension says more about a name that is no extension.
func (p *parser) noExtension(name string, match bool) string {
	var near []string
	other := p.otherTool()
	if match {
		for _, m := range p.all.Matches {
			if m.Name == name {
				return ": it belongs to " + other
			}
			if m.Families.Has(p.family) {
				near = append(near, m.Name)
			}
		}
		return suggest("", name, near)
	}
	for _, t := range p.all.Targets {
		if t.Name == name {
			return ": it belongs to " + other
		}
		if t.Families.Has(p.family) {
			near = append(near, t.Name)
		}
	}
	for _, c := range p.cur.chains {
		if !c.Builtin {
			near = append(near, c.Name)
		}
	}
	return suggest("", name, append(near, "ACCEPT", "DROP", "RETURN", "QUEUE"))
}

// jump reads -j: a verdict, a chain or an extension.
func (r *ruleReader) jump(v xtables.Word) {
	k, ok := xtables.VerdictKind(v.Text)
	t := r.p.targets[v.Text]
	switch {
	case v.Text == "":
		r.errorf(v.Pos, "the name of the target is empty").said(2, "Invalid target name (too short)")
	case len(v.Text) > maxName && r.p.run:
		r.errorf(v.Pos, "the name of the target has %d bytes; at most %d are allowed", len(v.Text), maxName).
			said(2, "Invalid target name `%s' (28 chars max)", v.Text)
	case ok:
		if k == xtables.KindDrop && r.p.cur.name == "nat" {
			r.errorf(v.Pos, "DROP has no place in table nat: only the first packet of a connection comes here").said(2, natDrop)
		}
		r.target = xtables.RuleTarget{Kind: k, Name: v.Text, Pos: v.Pos}
	case r.p.cur.byName[v.Text] != nil:
		r.jumpTo(v, xtables.KindJump)
	case t == nil:
		hint := r.p.noExtension(v.Text, false)
		if strings.HasPrefix(v.Text, "-") {
			hint = ": iptables wants a space between the option and its value"
		} else if r.p.madeLater(v.Text) {
			hint = ": the chain is only made further down"
		}
		r.errorf(v.Pos, "no target or chain %s%s", quote(v.Text), hint).
			said(2, "Couldn't load target `%s':No such file or directory\n", v.Text)
		if r.postpone() {
			return
		}
		r.skipOptions()
	case t.Refuse != "":
		r.errorf(v.Pos, "-j %s: %s", t.Name, t.Refuse)
		r.skipOptions()
	default:
		r.add(nil, t, v.Pos)
		r.target = xtables.RuleTarget{Kind: xtables.KindExt, Name: t.Name, Ext: t, Pos: v.Pos}
	}
}

func (r *ruleReader) jumpTo(v xtables.Word, k xtables.Kind) {
	c := r.p.cur.byName[v.Text]
	switch {
	case c == nil:
		var near []string
		for _, c := range r.p.cur.chains {
			near = append(near, c.Name)
		}
		r.errorf(v.Pos, "no chain %s%s", quote(v.Text), suggest("", v.Text, near)).
			said(2, "goto '%s' is not a chain", v.Text)
		r.postpone()
	case c.Builtin:
		r.errorf(v.Pos, "%s is a built-in chain: no rule can jump there", c.Name).said(1, invalid)
	default:
		r.target = xtables.RuleTarget{Kind: k, Name: c.Name, Pos: v.Pos}
	}
}

// postpone takes the last error back when a command is run: iptables looks for
// the target after it has checked all else.
func (r *ruleReader) postpone() bool {
	if !r.p.run {
		return false
	}
	n := len(r.p.errs) - 1
	r.late, r.p.errs = r.p.errs[n], r.p.errs[:n]
	r.bad = n > 0
	return true
}

// setCounters reads "-c packets bytes".
func (r *ruleReader) setCounters(v xtables.Word, pos xtables.Pos) {
	b, ok := r.plain()
	if !ok {
		r.errorf(pos, "-c needs a packet and a byte counter").said(2, "-c requires packet and byte counter")
		return
	}
	var err1, err2 error
	r.counters.Packets, err1 = strconv.ParseUint(v.Text, 10, 64)
	r.counters.Bytes, err2 = strconv.ParseUint(b.Text, 10, 64)
	if err1 != nil || err2 != nil {
		r.errorf(v.Pos, "-c: %s and %s are not two numbers", quote(v.Text), quote(b.Text))
		what := "packet"
		if err1 == nil {
			what = "byte"
		}
		r.said(2, "-c %s counter not numeric", what)
	}
	r.counted = true
}

// number reads a rule number that must be at most last.
func (r *ruleReader) number(last int) (int, bool) {
	n, ok := args.Number(r.arg, 1, 1<<31-1)
	switch {
	case !ok:
		r.errorf(r.argPos, "%s is not a rule number (the first is 1)", quote(r.arg)).said(2, "Invalid rule number `%s'", r.arg)
	case int(n) > last:
		what := map[byte]string{'I': "insertion", 'D': "deletion", 'R': "replacement", 'Z': "counter"}[r.cmd]
		r.errorf(r.argPos, "there is no rule %d: the chain has %d", n, last).said(1, "Index of %s too big", what)
		return 0, false
	}
	return int(n), ok
}
