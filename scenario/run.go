package scenario

import (
	"bytes"
	"fmt"
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
	var b bytes.Buffer
	r := &replay.Runner{Machine: eng, Trace: true, Each: func(p *render.Packet) error {
		walk(&b, p)
		return nil
	}}
	src := f.Packets
	if err := r.Run(&src); err != nil {
		return "", []error{err}
	}
	table(&b, eng, r.Last)
	for _, fam := range []struct {
		f     packet.Family
		title string
	}{{packet.IPv4, "rules.v4"}, {packet.IPv6, "rules.v6"}} {
		counters(&b, fam.title, eng, fam.f)
	}
	return b.String(), nil
}

// Update is the file with want as its last section.
func (f *File) Update(want string) []byte { return append(bytes.Clone(f.front), want...) }

// walk writes a packet's fate, its walk in short and what left.
func walk(b *bytes.Buffer, p *render.Packet) {
	fmt.Fprintf(b, "%d %s", p.N, p.Verdict)
	if w := where(p); w != "" {
		fmt.Fprintf(b, " (%s)", w)
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
	for i := range p.Steps {
		s := &p.Steps[i]
		text := ""
		switch {
		case s.Kind == trace.KindRule && s.Match:
			text = fmt.Sprintf("%s:%d %s", s.Chain, s.Rule, does(s))
		case s.Kind == trace.KindPolicy:
			text = "policy " + s.Verdict
		case s.Verdict == "DROP":
			text = string(s.Kind) + " DROP"
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
	if !p.L4ChecksumOK() {
		s += " wrong checksum"
	}
	return s
}

// table writes the connections that are left.
func table(b *bytes.Buffer, eng *engine.Machine, now int64) {
	tb := eng.Conntrack()
	if tb.Len() == 0 {
		return
	}
	b.WriteString("conntrack\n")
	var buf []byte
	tb.Each(now, func(c *conntrack.Conn) bool {
		buf = show.AppendEntry(buf[:0], tb, c, now, 0)
		fmt.Fprintf(b, "    %s\n", bytes.TrimRight(buf, "\n"))
		return true
	})
}

// counters writes the rules that matched and the policies that were reached.
func counters(b *bytes.Buffer, title string, eng *engine.Machine, f packet.Family) {
	rules := eng.Rules(f)
	if rules == nil {
		return
	}
	tab, first := "", true
	for _, l := range strings.Split(string(save.Append(nil, rules, true)), "\n") {
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
