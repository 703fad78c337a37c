package save

import (
	"strings"

	"weir/xtables"
	"weir/xtables/args"
	"weir/xtables/names"
)

// ruleReader reads one line of a table: a command with a rule. Its buffers
// serve all lines, so an extension must not keep what it is given.
type ruleReader struct {
	p *parser
	lineState
	blocks []block
}

// lineState is what is known of the line so far.
type lineState struct {
	words  []xtables.Word
	i      int // next word
	start  xtables.Pos
	bad    bool // an error was reported
	skip   bool // the line is for the other family
	family byte // '4' or '6': the line says for which it is

	not    bool // a "!" stands before the next option
	notPos xtables.Pos

	cmd      byte // 'A', 'I' …; 0: none yet
	cmdPos   xtables.Pos
	chain    string
	chainPos xtables.Pos
	arg      string // rule number, policy or new name
	argPos   xtables.Pos

	seen     string // one-letter options that stood
	base     xtables.Base
	src, dst []network
	target   xtables.RuleTarget
	counters xtables.Counter
	counted  bool

	proto     string // as written, lower case
	protoUsed bool   // the match named like the protocol was loaded for it
	inPos     xtables.Pos
	outPos    xtables.Pos

	// What a command line has besides; see Editor.
	tableName string
	verbose   int
	interval  bool
	late      error // see postpone
	dry       bool  // there is no such table: only read
	zero      bool  // -Z stands beside -L or -S
	waitGiven bool
	seconds   int
	notes     []string // what iptables remarks on standard error
	made      []*xtables.Rule
	touched   []string // chains that -F, -X and -Z name
}

func (r *ruleReader) errorf(pos xtables.Pos, format string, a ...any) *ruleReader {
	r.bad = true
	r.p.errorf(pos, format, a...)
	return r
}

// said adds to the last error what iptables itself says and how it ends.
func (r *ruleReader) said(status int, format string, a ...any) { r.p.said(status, format, a...) }

// fail reports an error of an extension.
func (r *ruleReader) fail(pos xtables.Pos, err error) {
	r.bad = true
	r.p.errs = append(r.p.errs, xtables.At(pos, err))
}

// line reads a line of a table.
func (r *ruleReader) line(text string, no int) {
	r.begin(nil, xtables.Pos{File: r.p.file, Line: no, Col: 1})
	col := 1
	if text[0] == '[' {
		var ok bool
		if r.counters, ok = readCounters(text); !ok {
			r.errorf(r.start, "the counters are not [packets:bytes]")
			if !strings.Contains(text, "]") {
				r.said(2, "Bad line %d: need ]", no)
			}
		}
		if r.counted = true; r.p.zero {
			r.counters = xtables.Counter{}
		}
		end := strings.IndexByte(text, ']') + 1
		if end == 0 {
			return
		}
		text, col = text[end:], col+end
	}
	before := len(r.p.errs)
	if r.words = r.p.split(text, no, col); len(r.words) == 0 {
		if len(r.p.errs) == before {
			r.errorf(r.start, "the line has no command; -A CHAIN appends a rule").said(2, "no command specified")
		}
		return
	}
	r.run()
}

// run reads the words and does what they say.
func (r *ruleReader) run() {
	for r.i < len(r.words) && !r.skip {
		r.option()
	}
	if r.skip {
		return
	}
	if r.not {
		r.errorf(r.notPos, "nothing follows this !").said(2, "nothing appropriate following !")
	}
	r.finish()
}

// next is the word behind an option, whatever it is.
func (r *ruleReader) next() (xtables.Word, bool) {
	if r.i == len(r.words) {
		return xtables.Word{}, false
	}
	r.i++
	return r.words[r.i-1], true
}

// plain is the next word if it is no option and no "!".
func (r *ruleReader) plain() (xtables.Word, bool) {
	if r.i == len(r.words) || r.words[r.i].Text != "" && (r.words[r.i].Text[0] == '-' || r.words[r.i].Text[0] == '!') {
		return xtables.Word{}, false
	}
	return r.next()
}

// option reads the next word and what belongs to it.
func (r *ruleReader) option() {
	w, _ := r.next()
	switch t := w.Text; {
	case t == "!":
		if r.not {
			r.errorf(w.Pos, "two ! in a row").said(2, "multiple consecutive ! not allowed")
		}
		r.not, r.notPos = true, w.Pos
	case t == "--":
		r.errorf(w.Pos, "-- has no place in a rule").said(2, "unknown arguments found on commandline")
	case len(t) < 2 || t[0] != '-':
		r.stray(w)
	case t[1] == '-':
		r.longOption(w)
	default:
		r.cluster(w)
	}
}

// stray complains about a word that is no option.
func (r *ruleReader) stray(w xtables.Word) {
	hint := ""
	switch {
	case strings.HasPrefix(w.Text, "!"):
		hint = "; a ! stands alone, with spaces around it"
	case strings.HasPrefix(w.Text, "#"):
		hint = "; a comment needs a line of its own, or -m comment"
	case w.Text == "COMMIT" || strings.HasPrefix(w.Text, "*") || strings.HasPrefix(w.Text, ":"):
		hint = "; it must stand alone at the beginning of its line"
	case r.i >= 2 && r.words[r.i-2].Text == "!" || r.i >= 3 && r.words[r.i-2].Text == "!" && r.words[r.i-3].Text != "":
		hint = "; ! stands before an option, not before its value"
	}
	r.errorf(w.Pos, "unexpected argument %s%s", quote(w.Text), hint).said(2, "Bad argument `%s'", w.Text)
	r.not = false
}

// longOption reads "--name", "--name value" or "--name=value".
func (r *ruleReader) longOption(w xtables.Word) {
	name, value, attached := strings.Cut(w.Text[2:], "=")
	f, several := r.long(name)
	if f.global == nil && f.opt == nil && r.loadProto(w.Pos) {
		f, several = r.long(name)
	}
	val := xtables.Word{Text: value, Pos: w.Pos}
	val.Pos.Col += 2 + len(name) + 1
	switch {
	case f.global != nil:
		if f.global.args == xtables.NoArg && attached {
			r.errorf(w.Pos, "--%s takes no value", f.global.long).said(2, "unknown option \"%s\"", w.Text)
			return
		}
		var v *xtables.Word
		if attached {
			if strings.IndexByte("psdjio", f.global.short) >= 0 {
				val = w // iptables looks at the whole word
			}
			v = &val
		}
		r.global(f.global, xtables.Word{Text: "--" + f.global.long, Pos: w.Pos}, v)
	case f.opt != nil:
		if attached {
			r.extension(f, w, &val)
		} else {
			r.extension(f, w, nil)
		}
	default:
		if several != nil {
			r.errorf(w.Pos, "--%s could be %s", name, strings.Join(several, " or ")).said(2, "unknown option \"%s\"", w.Text)
		} else {
			r.errorf(w.Pos, "unknown option --%s%s", name, r.hint(name)).said(2, "unknown option \"%s\"", w.Text)
		}
		r.skipValues()
	}
}

// skipValues goes on to the next option, to look for more errors.
func (r *ruleReader) skipValues() {
	r.not = false
	for r.i < len(r.words) && r.words[r.i].Text != "!" && !strings.HasPrefix(r.words[r.i].Text, "-") {
		r.i++
	}
}

// cluster reads one-letter options: "-f", "-fi eth0", "-A INPUT", "-AINPUT".
func (r *ruleReader) cluster(w xtables.Word) {
	for k := 1; k < len(w.Text) && !r.skip; k++ {
		at := w.Pos
		if k > 1 {
			at.Col += k
		}
		f := r.short(w.Text[k])
		if f.global == nil && f.opt == nil && r.loadProto(w.Pos) {
			f = r.short(w.Text[k])
		}
		var v *xtables.Word
		if k+1 < len(w.Text) {
			v = &xtables.Word{Text: w.Text[k+1:], Pos: w.Pos}
			v.Pos.Col += k + 1
		}
		switch {
		case f.global != nil:
			if f.global.args == xtables.NoArg {
				r.global(f.global, xtables.Word{Text: "-" + w.Text[k:k+1], Pos: at}, nil)
				continue
			}
			if v != nil && strings.IndexByte("psdjio", f.global.short) >= 0 {
				v = &w // iptables looks at the whole word
			}
			r.global(f.global, xtables.Word{Text: "-" + w.Text[k:k+1], Pos: at}, v)
			return
		case f.opt != nil:
			if f.opt.Args == xtables.NoArg {
				r.extension(f, xtables.Word{Text: "-" + w.Text[k:k+1], Pos: at}, nil)
				continue
			}
			r.extension(f, xtables.Word{Text: "-" + w.Text[k:k+1], Pos: at}, v)
			return
		default:
			hint := ""
			if len(w.Text) > 2 {
				hint = r.hint(w.Text[1:])
			}
			r.errorf(at, "unknown option -%c%s", w.Text[k], hint).said(2, "unknown option \"%s\"", w.Text)
			r.skipValues()
			return
		}
	}
}

// extension reads an option of an extension. v is a value in the same word.
func (r *ruleReader) extension(f found, w xtables.Word, v *xtables.Word) {
	b, o := &r.blocks[f.block], f.opt
	g := xtables.Given{Name: given(o), Invert: r.not, Pos: w.Pos}
	if r.not && o.NoInvert {
		r.errorf(r.notPos, "--%s takes no !", o.Name).said(2, "%s: option \"--%s\" cannot be inverted.\n", b.name(), o.Name)
		b.bad = true
	}
	r.not = false
	if o.Beyond && r.p.all.StrictLinux {
		r.errorf(w.Pos, "--%s is weir's own: %s of Linux does not have it", o.Name, b.name()).said(2, "unknown option \"%s\"", w.Text)
		b.bad = true
	}
	from := len(r.p.extra)
	missing := func() {
		n := "an argument"
		if o.Args == xtables.TwoArgs {
			n = "two arguments"
		}
		r.errorf(w.Pos, "--%s needs %s", o.Name, n)
		if len(r.p.extra) > from {
			r.said(2, "--%s requires two args.", o.Name)
		} else {
			r.said(2, "option \"%s\" requires an argument", w.Text)
		}
		b.bad = true
	}
	switch o.Args {
	case xtables.NoArg:
		if v != nil {
			r.errorf(w.Pos, "--%s takes no value", o.Name).said(2, "unknown option \"%s\"", w.Text)
			b.bad = true
		}
	case xtables.OptArg:
		if v != nil {
			r.p.extra = append(r.p.extra, *v)
		} else if a, ok := r.plain(); ok {
			r.p.extra = append(r.p.extra, a)
		}
	default:
		if v == nil {
			a, ok := r.next()
			if !ok {
				missing()
				return
			}
			v = &a
		}
		r.p.extra = append(r.p.extra, *v)
		if o.Args == xtables.TwoArgs {
			a, ok := r.plain()
			if !ok {
				missing()
				return
			}
			r.p.extra = append(r.p.extra, a)
		}
	}
	g.Args = r.p.extra[from:len(r.p.extra):len(r.p.extra)]
	if !o.Multi {
		for i := range b.given {
			if b.given[i].Name == g.Name {
				r.errorf(w.Pos, "--%s stands twice", o.Name).said(2, "%s: option \"--%s\" can only be used once.\n", b.name(), o.Name)
				b.bad = true
				return
			}
		}
	}
	b.given = append(b.given, g)
}

// add begins a block of options.
func (r *ruleReader) add(m *xtables.MatchExt, t *xtables.TargetExt, pos xtables.Pos) *block {
	n := len(r.blocks)
	if n < cap(r.blocks) {
		r.blocks = r.blocks[:n+1]
		r.blocks[n] = block{given: r.blocks[n].given[:0]}
	} else {
		r.blocks = append(r.blocks, block{})
	}
	b := &r.blocks[n]
	b.match, b.target, b.pos = m, t, pos
	return b
}

// loadProto loads the match of the rule's protocol once, because an option
// stands that nobody knows.
func (r *ruleReader) loadProto(pos xtables.Pos) bool {
	if r.proto == "" || r.protoUsed {
		return false
	}
	m := r.p.matches[matchName(r.proto)]
	if m == nil || m.Refuse != "" {
		return false
	}
	r.protoUsed = true
	r.add(m, nil, pos)
	return true
}

// matchName is the match that -p loads.
func matchName(proto string) string {
	if n, ok := args.Number(proto, 0, 255); ok {
		proto, _ = names.ProtocolName(uint8(n))
	}
	switch proto {
	case "icmpv6", "ipv6-icmp":
		return "icmp6"
	case "ipv6-mh", "mobility-header":
		return "mh"
	}
	return proto
}

// hint says more about an unknown option: which extension has it, or which
// name is near.
func (r *ruleReader) hint(name string) string {
	var protos, owners, near []string
	other := ""
	for _, m := range r.p.all.Matches {
		for _, o := range m.Options {
			switch {
			case o.Name != name:
			case !m.Families.Has(r.p.family):
				other = "-m " + m.Name
			case len(m.Protos) == 1:
				protos = append(protos, m.Name)
			default:
				owners = append(owners, "-m "+m.Name)
			}
		}
	}
	for _, t := range r.p.all.Targets {
		for _, o := range t.Options {
			switch {
			case o.Name != name:
			case !t.Families.Has(r.p.family):
				other = "-j " + t.Name
			default:
				owners = append(owners, "-j "+t.Name)
			}
		}
	}
	switch {
	case len(protos) > 0 && r.proto == "":
		for i := range protos {
			protos[i] = "-p " + protos[i]
		}
		return " here: it needs " + strings.Join(protos, " or ") + " before it"
	case len(protos) > 0:
		return " of -p " + r.proto + ": it belongs to -p " + strings.Join(protos, " or -p ")
	case len(owners) == 0 && other != "":
		return ": it belongs to " + other + " of " + r.p.otherTool()
	case len(owners) > 3:
		return ""
	case len(owners) > 0:
		return ": it belongs to " + strings.Join(owners, " or ") + ", which must stand before it"
	}
	for i := range r.p.globals {
		near = append(near, r.p.globals[i].long)
	}
	for i := range r.blocks {
		for _, o := range r.blocks[i].options() {
			near = append(near, o.Name)
		}
	}
	if m := r.p.matches[matchName(r.proto)]; m != nil && r.proto != "" {
		for _, o := range m.Options {
			near = append(near, o.Name)
		}
	}
	return suggest("--", name, near)
}

// protocol reads -p.
func (r *ruleReader) protocol(v xtables.Word) {
	s := strings.ToLower(v.Text)
	n, ok := args.Number(s, 0, 255)
	num := uint8(n)
	if !ok {
		num, ok = names.Protocol(s)
	}
	if !ok {
		hint := suggest("", s, []string{"tcp", "udp", "icmp", "icmpv6", "ipv6-icmp", "sctp", "dccp", "gre", "esp", "ah", "all", "udplite"})
		if strings.HasPrefix(s, "-") {
			hint = ": iptables wants a space between the option and its value"
		}
		r.errorf(v.Pos, "unknown protocol %s%s", quote(v.Text), hint).said(2, "unknown protocol \"%s\" specified", s)
		return
	}
	if num == 0 && r.base.Not&xtables.TestProto != 0 {
		r.errorf(v.Pos, "! -p %s would match nothing", v.Text).said(2, "rule would never match protocol")
	}
	r.base.Proto, r.proto = num, s
}

// device reads -i or -o.
func (r *ruleReader) device(v xtables.Word) string {
	switch {
	case v.Text == "":
		r.errorf(v.Pos, "the name of the interface is empty").said(2, "Empty interface is likely to be undesired")
	case len(v.Text) > 15:
		r.errorf(v.Pos, "the name of an interface has at most 15 bytes, %s has %d", quote(v.Text), len(v.Text)).
			said(2, "interface name `%s' must be shorter than IFNAMSIZ (15)", v.Text)
	case strings.IndexByte(v.Text, 0) >= 0:
		r.errorf(v.Pos, "the name of the interface has a zero byte")
	}
	return v.Text
}
