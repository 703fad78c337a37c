package render

import (
	"path"
	"strconv"
	"strings"
	"unicode/utf8"

	"weir/trace"
)

// Show is how much of a walk is written.
type Show uint8

// The amounts.
const (
	ShowAll     Show = iota // every rule that was tried
	ShowMatched             // only the rules that matched
	ShowVerdict             // only the first line
)

// Text writes packets as text.
type Text struct {
	Style Style
	Show  Show
	// Start is the time of the first packet; times are shown relative to it.
	Start int64
	// Width is the columns of the terminal that the text goes to: what is
	// longer goes on in a line of its own, and rules are cut. 0: no limit.
	Width int
}

// row is one line of a walk before its columns are aligned.
type row struct {
	hook, part, place string
	text, note        string
	textCol, noteCol  string
}

// Append appends one packet: the answer, then the walk.
func (t *Text) Append(b []byte, p *Packet) []byte {
	b = t.head(b, p)
	if t.Show == ShowVerdict {
		return b
	}
	b = t.table(b, t.rows(p))
	for _, l := range p.Logs {
		b = append(b, t.Style.paint(dim, "  log          ")...)
		b = append(b, l...)
		b = append(b, '\n')
	}
	for i := range p.Out {
		b = append(b, "  "...)
		b = append(b, t.Style.paint(bold, "leaves ")...)
		b = append(b, pad(p.Out[i].Dev, hookWidth-len("leaves "))...)
		b = append(b, ' ', ' ')
		b = AppendSummary(b, p.Out[i].Data)
		b = append(b, '\n')
	}
	return append(b, '\n')
}

// head is the first line: what became of the packet and where, which packet
// it was, by which interfaces it passed.
func (t *Text) head(b []byte, p *Packet) []byte {
	st := t.Style
	c := verdictColour(p.Verdict)
	if c != "" {
		c = bold + ";" + c
	}
	when := pad("#"+strconv.Itoa(p.N), 4) + " +" + seconds(p.Time-t.Start) + "s"
	where, what := Where(p), Summary(p.Data)
	left := 8 + len(when) + 2 + width(what)
	b = append(b, st.paint(c, pad(strings.ToUpper(p.Verdict), 7))...)
	b = append(b, ' ')
	b = append(b, st.paint(dim, when)...)
	b = append(b, "  "...)
	if where != "" {
		b = append(b, st.paint(c, where)...)
		b = append(b, "   "...)
		left += width(where) + 3
	}
	b = append(b, st.paint(bold, what)...)
	dev := mainOut(p)
	right := len("in ") + width(p.In)
	if dev != "" {
		right += len(" out ") + width(dev)
	}
	if p.Conn != "" {
		right += len("   ct ") + width(p.Conn)
	}
	if t.Width > 0 && left+3+right > t.Width && t.Show != ShowVerdict {
		b = append(b, '\n')
		b = append(b, strings.Repeat(" ", hookWidth+4)...)
	} else {
		b = append(b, "   "...)
	}
	b = append(b, st.paint(dim, "in ")...)
	b = append(b, p.In...)
	if dev != "" {
		b = append(b, st.paint(dim, " out ")...)
		b = append(b, dev...)
	}
	if p.Conn != "" {
		b = append(b, st.paint(dim, "   ct ")...)
		b = append(b, p.Conn...)
	}
	return append(b, '\n')
}

// mainOut is the interface by which the packet itself left or would have: the
// last way that was chosen before the machine made packets of its own.
func mainOut(p *Packet) string {
	dev := ""
	for i := range p.Steps {
		s := &p.Steps[i]
		if s.Kind == trace.KindEmit {
			break
		}
		if s.Kind == trace.KindRoute {
			_, dev, _ = strings.Cut(s.Text, " by ")
		}
	}
	if dev == "" && (p.Verdict == "forward" || p.Verdict == "output") && len(p.Out) > 0 {
		dev = p.Out[len(p.Out)-1].Dev
	}
	return dev
}

// Where names the place that decided a drop: table, chain and rule or policy,
// or the reason alone.
func Where(p *Packet) string {
	if p.Verdict != "drop" {
		return ""
	}
	if s := decider(p); s != nil {
		at := s.Table + "/" + s.Chain
		if s.Kind == trace.KindPolicy {
			return at + " policy"
		}
		if s.File != "" {
			return at + " " + path.Base(s.File) + ":" + strconv.Itoa(s.Line)
		}
		return at + " rule " + strconv.Itoa(s.Rule)
	}
	return p.Reason
}

// decider is the rule or policy that dropped the packet; nil if something
// else did.
func decider(p *Packet) *trace.Step {
	switch p.Reason {
	case "rule", "policy", "reject", "hotdrop":
	default:
		return nil
	}
	for i := len(p.Steps) - 1; i >= 0; i-- {
		s := &p.Steps[i]
		if (s.Kind == trace.KindRule && s.Match || s.Kind == trace.KindPolicy) && s.Verdict == "DROP" {
			return s
		}
	}
	return nil
}

// rows turns steps into lines: the hook stands where it changes, and the
// table where it changes.
func (t *Text) rows(p *Packet) []row {
	var rows []row
	last, lastPart := "", ""
	dec := decider(p)
	mapping := "" // what NAT did in the rule whose step follows
	steps := Arrange(p.Steps)
	for i := range steps {
		s := steps[i]
		if s.Kind == trace.KindRule && !s.Match && t.Show == ShowMatched {
			continue
		}
		if s.Kind == trace.KindNAT && ofRule(steps[i+1:]) {
			mapping = join(s.Text, values(s))
			continue
		}
		r := row{hook: s.Hook, part: s.Table}
		if s.Kind != trace.KindRule && s.Kind != trace.KindPolicy {
			r.part = string(s.Kind)
		}
		switch s.Kind {
		case trace.KindRoute:
			r.hook, r.part = "route", ""
		case trace.KindEmit:
			r.hook, r.part = "answer", ""
		}
		t.fill(&r, s)
		if mapping != "" {
			r.note, mapping = join(r.note, mapping), ""
		}
		if s == dec {
			r.note = join(r.note, "decided here")
			r.noteCol = red
		}
		hook, part := r.hook, r.part
		if hook == last {
			r.hook = ""
			if part == lastPart {
				r.part = ""
			}
		}
		last, lastPart = hook, part
		rows = append(rows, r)
	}
	return rows
}

func (t *Text) fill(r *row, s *trace.Step) {
	indent := strings.Repeat("  ", s.Depth)
	switch s.Kind {
	case trace.KindRule:
		if s.File != "" {
			r.place = path.Base(s.File) + ":" + strconv.Itoa(s.Line)
		} else {
			r.place = s.Chain + ":" + strconv.Itoa(s.Rule)
		}
		if !s.Match {
			r.text = indent + "no: " + s.Failed
			if s.Actual != "" {
				r.text += " (" + s.Actual + ")"
			}
			r.textCol = dim
			return
		}
		r.text = indent + ruleText(s)
		if s.Verdict == "JUMP" || s.Verdict == "GOTO" {
			r.text = indent + "-> " + ruleText(s)
		}
		r.textCol = bold
		if c := verdictColour(s.Verdict); c != "" {
			r.textCol = c
		}
		r.note = details(s)
	case trace.KindPolicy:
		r.text = indent + "policy " + s.Verdict
		if c := verdictColour(s.Verdict); c == red {
			r.textCol = c
		} else {
			r.textCol = dim
		}
		r.note = details(s)
	default:
		r.text = s.Text
		if s.Verdict == "DROP" {
			r.textCol = red
			if r.text == "" {
				r.text = "DROP"
			}
		}
		switch s.Kind {
		case trace.KindNAT:
			r.note = values(s)
		case trace.KindHook:
			r.note = details(s)
		}
	}
	if s.Kind != trace.KindRule && s.Actual != "" {
		r.note = join(r.note, s.Actual)
	}
}

// ruleText is the rule without "-A CHAIN", which its place already says.
func ruleText(s *trace.Step) string {
	text := s.Text
	if rest, ok := strings.CutPrefix(text, "-A "); ok {
		if _, r, ok := strings.Cut(rest, " "); ok {
			text = r
		} else {
			text = ""
		}
	}
	if text == "" {
		text = "(counts only)"
	}
	return text
}

// Arrange puts the rule that made the machine answer in front of the answer: a
// target acts before its rule's step is written.
func Arrange(steps []trace.Step) []*trace.Step {
	list := make([]*trace.Step, len(steps))
	for i := range steps {
		list[i] = &steps[i]
	}
	for i, s := range list {
		if s.Kind != trace.KindEmit {
			continue
		}
		for j := i + 1; j < len(list); j++ {
			if r := list[j]; r.Kind == trace.KindRule && r.Match && r.Target == "REJECT" {
				copy(list[i+1:j+1], list[i:j])
				list[i] = r
				break
			}
		}
		break
	}
	return list
}

// ofRule reports whether the steps begin with the rule that made a mapping:
// a target acts before its rule's step is written.
func ofRule(next []*trace.Step) bool {
	return len(next) > 0 && next[0].Kind == trace.KindRule && next[0].Match && next[0].Table == "nat"
}

// values is the details of a step without their names.
func values(s *trace.Step) string {
	text := ""
	for _, d := range s.Detail {
		text = join(text, d.Value)
	}
	return text
}

func details(s *trace.Step) string {
	var b strings.Builder
	for i, d := range s.Detail {
		if i > 0 {
			b.WriteString("  ")
		}
		if d.Key != "" {
			b.WriteString(d.Key)
			b.WriteByte(' ')
		}
		b.WriteString(d.Value)
	}
	return b.String()
}

func join(a, b string) string {
	switch {
	case a == "":
		return b
	case b == "":
		return a
	}
	return a + "; " + b
}

// Columns: what the hook and the table take at least, and the furthest column
// to which notes are pushed for alignment.
const (
	hookWidth = 11
	partWidth = 9
	noteAt    = 64
)

// table aligns the columns of one packet's walk.
func (t *Text) table(b []byte, rows []row) []byte {
	hookW, partW, placeW, textW := hookWidth, partWidth, 0, 0
	for i := range rows {
		r := &rows[i]
		hookW = max(hookW, width(r.hook))
		partW = max(partW, width(r.part))
		placeW = max(placeW, width(r.place))
		if r.note != "" && r.place != "" && width(r.text) <= noteAt {
			textW = max(textW, width(r.text))
		}
	}
	st := t.Style
	for i := range rows {
		r := &rows[i]
		b = append(b, "  "...)
		b = append(b, st.paint(bold, pad(r.hook, hookW))...)
		b = append(b, ' ', ' ')
		b = append(b, st.paint(cyan, pad(r.part, partW))...)
		b = append(b, ' ', ' ')
		at := hookW + partW + 6 // where the text begins
		if r.place != "" {
			b = append(b, st.paint(dim, pad(r.place, placeW))...)
			b = append(b, ' ', ' ')
			at += placeW + 2
		}
		text := r.text
		if t.Width > 0 {
			text = cut(text, max(t.Width-at, minText))
		}
		b = append(b, st.paint(r.textCol, text)...)
		if r.note != "" {
			gap := textW - width(text)
			if r.place == "" && placeW > 0 && textW > 0 {
				gap += placeW + 2
			}
			gap = max(gap, 0) + 3
			if end := at + width(text) + width(r.note); t.Width > 0 && end+gap > t.Width {
				gap = 3
				if end+gap > t.Width {
					b = append(b, '\n')
					gap = at + 2
				}
			}
			b = append(b, strings.Repeat(" ", gap)...)
			c := r.noteCol
			if c == "" {
				c = dim
			}
			b = append(b, st.paint(c, r.note)...)
		}
		b = trimRight(b)
		b = append(b, '\n')
	}
	return b
}

// minText is the columns that a rule gets on the narrowest terminal.
const minText = 30

// cut shortens a text to w columns. Of a rule it keeps the end too, which says
// what the rule does.
func cut(text string, w int) string {
	if width(text) <= w {
		return text
	}
	tail := ""
	if i := max(strings.LastIndex(text, " -j "), strings.LastIndex(text, " -g ")); i >= 0 && width(text[i:]) <= w/2 {
		tail = text[i:]
	}
	r := []rune(text)
	return strings.TrimRight(string(r[:w-width(tail)-1]), " ") + "…" + tail
}

func trimRight(b []byte) []byte {
	for len(b) > 0 && b[len(b)-1] == ' ' {
		b = b[:len(b)-1]
	}
	return b
}

func width(s string) int { return utf8.RuneCountInString(s) }

func pad(s string, w int) string {
	if n := w - width(s); n > 0 {
		return s + strings.Repeat(" ", n)
	}
	return s
}

// seconds writes nanoseconds as seconds, to the microsecond.
func seconds(ns int64) string {
	sign := ""
	if ns < 0 {
		sign, ns = "-", -ns
	}
	us := strconv.FormatInt(ns%1e9/1000+1e6, 10)[1:]
	return sign + strconv.FormatInt(ns/1e9, 10) + "." + us
}
