package diff

import (
	"fmt"
	"strconv"

	"weir/trace/render"
	"weir/xtables/names"
)

func summary(d []byte) string { return render.Summary(d) }

func protoName(p uint8) string {
	if n, ok := names.ProtocolName(p); ok {
		return n
	}
	return "protocol " + strconv.Itoa(int(p))
}

func painter(colour bool) func(code, s string) string {
	return func(code, s string) string {
		if !colour {
			return s
		}
		return "\x1b[" + code + "m" + s + "\x1b[0m"
	}
}

// AppendText appends the difference as people read it; a and b are the names
// of the two.
func (d *Difference) AppendText(b []byte, colour bool) []byte {
	paint := painter(colour)
	last := len(d.Packets) - 1
	b = fmt.Appendf(b, "%s\n", paint("1", d.Packets[last]))
	for i, l := range d.Packets[:last] {
		word := "after"
		if i > 0 {
			word = "  and"
		}
		b = fmt.Appendf(b, "    %s  %s\n", paint("2", word), l)
	}
	if d.Setup != "" {
		b = fmt.Appendf(b, "    %s  %s\n", paint("2", "where"), d.Setup)
	}
	b = d.A.append(b, paint("36", "A"), paint)
	return d.B.append(b, paint("35", "B"), paint)
}

// AppendText appends the flow as people read it.
func (f *Flow) AppendText(b []byte, colour bool) []byte {
	paint := painter(colour)
	b = fmt.Appendf(b, "%s: %d of %d packets, first #%d in %s: %s\n", paint("1", f.Flow), f.Packets, f.All, f.First, f.In, f.Packet)
	b = f.A.append(b, paint("36", "A"), paint)
	return f.B.append(b, paint("35", "B"), paint)
}
