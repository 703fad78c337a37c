package lint

import (
	"fmt"
	"strings"
)

// AppendText appends the finding as people read it, over a few lines.
func (f *Finding) AppendText(b []byte, colour bool) []byte {
	paint := func(code, s string) string {
		if !colour {
			return s
		}
		return "\x1b[" + code + "m" + s + "\x1b[0m"
	}
	where := f.Table + " " + f.Chain
	if f.Rule > 0 {
		where += fmt.Sprintf(" %d", f.Rule)
	}
	b = fmt.Appendf(b, "%s: %s: %s: %s\n", paint("1", fmt.Sprintf("%s:%d", f.File, f.Line)), paint("33", string(f.ID)), where, f.Reason)
	if f.Text != "" {
		b = fmt.Appendf(b, "    %s\n", f.Text)
	}
	for i := range f.By {
		p := &f.By[i]
		at := fmt.Sprintf("line %d", p.Line)
		if p.File != f.File {
			at = fmt.Sprintf("%s:%d", p.File, p.Line)
		}
		if p.Chain != f.Chain {
			at += " (" + p.Chain + ")"
		}
		b = fmt.Appendf(b, "    %s  %s\n", paint("2", at+":"), p.Text)
	}
	for i := range f.Packets {
		b = f.Packets[i].append(b, paint)
	}
	return b
}

func (w *Witness) append(b []byte, paint func(code, s string) string) []byte {
	var more []string
	if w.Out != "" {
		more = append(more, "out "+w.Out)
	}
	more = append(more, w.State)
	if w.Mark != 0 {
		more = append(more, fmt.Sprintf("mark 0x%x", w.Mark))
	}
	by := "by policy"
	if w.By != nil {
		by = fmt.Sprintf("in line %d", w.By.Line)
	}
	code := "32"
	if w.Verdict == "DROP" {
		code = "31"
	}
	return fmt.Appendf(b, "    %s  %s (%s in %s): %s %s\n", paint("2", "packet:"), w.Packet, strings.Join(more, ", "), w.Hook, paint(code, w.Verdict), by)
}
