package scenario

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"weir/conntrack"
	"weir/conntrack/show"
	"weir/engine"
	"weir/packet"
	"weir/replay"
	"weir/trace"
	"weir/trace/render"
	"weir/xtables/save"
)

// Run runs the packets and returns what became of them, in the format of the
// section want.
func (f *File) Run() (string, []error) {
	eng, errs := engine.New(replay.Config(f.Machine, 1))
	if len(errs) > 0 {
		return "", errs
	}
	var w Writer
	var seen Numbers
	r := &replay.Runner{Machine: eng, Trace: true, Each: func(p *render.Packet) error {
		p.Conn = seen.Again(p.Conn)
		w.Packet(p)
		return nil
	}}
	src := f.Packets
	if err := r.Run(&src); err != nil {
		return "", []error{err}
	}
	var list []string
	tb := eng.Conntrack()
	tb.Each(r.Last, func(c *conntrack.Conn) bool {
		list = append(list, string(show.AppendEntry(nil, tb, c, r.Last, 0)))
		return true
	})
	w.Connections(list)
	for _, fam := range []packet.Family{packet.IPv4, packet.IPv6} {
		if rules := eng.Rules(fam); rules != nil {
			w.Rules(fam, string(save.Append(nil, rules, true)))
		}
	}
	return w.String(), nil
}

// Numbers counts the connections that are shown, from 1: the machine also
// counts those that no packet shows.
type Numbers []string

// Again is a render.Packet's Conn with the number counted so.
func (n *Numbers) Again(conn string) string {
	state, rest, ok := strings.Cut(conn, "#")
	if !ok {
		return conn
	}
	id, tail, more := strings.Cut(rest, ",")
	i := slices.Index(*n, id)
	if i < 0 {
		i = len(*n)
		*n = append(*n, id)
	}
	s := fmt.Sprintf("%s#%d", state, i+1)
	if more {
		s += "," + tail
	}
	return s
}

// Update is the file with want as its last section.
func (f *File) Update(want string) []byte { return append(bytes.Clone(f.front), want...) }

// Writer writes the section want. The zero Writer is ready.
type Writer struct{ b bytes.Buffer }

// String is what was written.
func (w *Writer) String() string { return w.b.String() }

// Packet writes a packet's fate, its walk in short and what left. The
// connection is named as Packet.Conn has it.
func (w *Writer) Packet(p *render.Packet) {
	b := &w.b
	fmt.Fprintf(b, "%d %s", p.N, p.Verdict)
	if s := where(p); s != "" {
		fmt.Fprintf(b, " (%s)", s)
	}
	fmt.Fprintf(b, " in %s", p.In)
	if p.Conn != "" {
		fmt.Fprintf(b, " ct %s", p.Conn)
	}
	fmt.Fprintf(b, ": %s\n", render.Summary(p.Data))
	hook := ""
	var parts []string
	flush := func() {
		if len(parts) > 0 {
			fmt.Fprintf(b, "    %-11s  %s\n", hook, strings.Join(parts, ", "))
		}
		parts = parts[:0]
	}
	table := ""
	for _, s := range render.Arrange(p.Steps) {
		text := ""
		switch {
		case s.Kind == trace.KindRule && s.Match && s.Failed == "": // TRACE does not name a rule that could not judge
			text = fmt.Sprintf("%s:%d %s", s.Chain, s.Rule, does(s))
		case s.Kind == trace.KindPolicy:
			text = "policy " + s.Verdict
		default:
			continue
		}
		if s.Hook != hook {
			flush()
			hook, table = s.Hook, ""
		}
		if s.Table != table {
			table = s.Table
			if table != "" {
				text = table + " " + text
			}
		}
		parts = append(parts, text)
	}
	flush()
	for _, l := range p.Logs {
		if strings.HasPrefix(l, "TRACE: ") {
			continue // the walk says it
		}
		fmt.Fprintf(b, "    log %s\n", strings.TrimRight(l, " \n"))
	}
	for _, o := range p.Out {
		fmt.Fprintf(b, "    > %s %s\n", o.Dev, leaving(o.Data))
	}
}

// where is the reason of a drop.
func where(p *render.Packet) string {
	if p.Verdict != "drop" {
		return ""
	}
	return p.Reason
}

// does is what a rule that matched did.
func does(s *trace.Step) string {
	if s.Target != "" && s.Target != s.Verdict {
		return s.Target
	}
	return s.Verdict
}

// leaving describes a packet that left, with the fields that routers and rules
// change.
func leaving(d []byte) string {
	s := render.Summary(d)
	var p packet.Packet
	err := packet.Parse(bytes.Clone(d), &p)
	if err != nil {
		return s + " malformed: " + err.Error()
	}
	s += fmt.Sprintf(" ttl %d", p.TTL())
	if p.TOS() != 0 {
		s += fmt.Sprintf(" tos %#02x", p.TOS())
	}
	if whole := !p.More && p.FragOff == 0; whole && !p.L4ChecksumOK() {
		s += " wrong checksum"
	}
	return s
}

// Connections writes lines as conntrack -L prints them.
func (w *Writer) Connections(lines []string) {
	for i, l := range lines {
		if i == 0 {
			w.b.WriteString("conntrack\n")
		}
		fmt.Fprintf(&w.b, "    %s\n", strings.TrimRight(l, "\n"))
	}
}

// Rules writes the rules that matched and the policies that were reached, of
// text as iptables-save -c prints it.
func (w *Writer) Rules(f packet.Family, text string) {
	title := "rules.v4"
	if f == packet.IPv6 {
		title = "rules.v6"
	}
	b := &w.b
	tab, first := "", true
	for _, l := range strings.Split(text, "\n") {
		if t, ok := strings.CutPrefix(l, "*"); ok {
			tab = t
			continue
		}
		out := ""
		switch {
		case strings.HasPrefix(l, "[") && !strings.HasPrefix(l, "[0:0]"):
			out = l
		case strings.HasPrefix(l, ":") && !strings.HasSuffix(l, "[0:0]"):
			w := strings.Fields(l[1:])
			if len(w) == 3 {
				out = w[2] + " -P " + w[0] + " " + w[1]
			}
		}
		if out == "" {
			continue
		}
		if first {
			fmt.Fprintln(b, title)
			first = false
		}
		fmt.Fprintf(b, "    %-8s %s\n", tab, out)
	}
}
