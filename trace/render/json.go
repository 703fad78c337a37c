package render

import (
	"strconv"
	"time"
	"unicode/utf8"

	"weir/trace"
)

// Packet is one packet and its fate, ready to be shown.
type Packet struct {
	// N counts the packets of the input from 1.
	N int
	// Time is nanoseconds since the Unix epoch.
	Time int64
	// In is the interface, or "local".
	In string
	// Data is the packet as it came in, for the summary. Machines rewrite
	// packets in place: keep a copy.
	Data []byte
	// Verdict is forward, local, output, drop or held; Reason the cause of
	// a drop.
	Verdict, Reason string
	Out             []Out
	// Steps is the walk; nil when it was not recorded.
	Steps []trace.Step
	// Conn is the state of connection tracking in a word or two.
	Conn string
	// Logs is the lines that rules and trackers wrote.
	Logs []string
}

// Out is a packet that left.
type Out struct {
	Dev  string
	Data []byte
}

// AppendJSON appends the packet as one JSON object and a newline. Steps are
// part of it when withSteps is set.
func AppendJSON(b []byte, p *Packet, withSteps bool) []byte {
	b = append(b, `{"n":`...)
	b = strconv.AppendInt(b, int64(p.N), 10)
	b = append(b, `,"time":"`...)
	b = AppendTime(b, p.Time)
	b = append(b, `","in":`...)
	b = appendString(b, p.In)
	b = append(b, `,"verdict":`...)
	b = appendString(b, p.Verdict)
	b = append(b, `,"reason":`...)
	b = appendString(b, p.Reason)
	b = append(b, `,"out":[`...)
	for i := range p.Out {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"dev":`...)
		b = appendString(b, p.Out[i].Dev)
		b = append(b, `,"data":"`...)
		b = appendHex(b, p.Out[i].Data)
		b = append(b, `"}`...)
	}
	b = append(b, ']')
	if withSteps {
		b = append(b, `,"summary":`...)
		b = appendString(b, Summary(p.Data))
		if p.Conn != "" {
			b = append(b, `,"ct":`...)
			b = appendString(b, p.Conn)
		}
		if len(p.Logs) > 0 {
			b = append(b, `,"log":[`...)
			for i, l := range p.Logs {
				if i > 0 {
					b = append(b, ',')
				}
				b = appendString(b, l)
			}
			b = append(b, ']')
		}
		b = append(b, `,"steps":[`...)
		for i := range p.Steps {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendStep(b, &p.Steps[i])
		}
		b = append(b, ']')
	}
	return append(b, "}\n"...)
}

// AppendTime writes nanoseconds since the epoch as RFC 3339 in UTC with nine
// digits of fraction.
func AppendTime(b []byte, ns int64) []byte {
	return time.Unix(0, ns).UTC().AppendFormat(b, "2006-01-02T15:04:05.000000000Z")
}

// appendStep writes a step; keys that do not apply are left out, but a rule
// always says whether it matched.
func appendStep(b []byte, s *trace.Step) []byte {
	b = append(b, `{"kind":`...)
	b = appendString(b, string(s.Kind))
	str := func(key, v string) {
		if v != "" {
			b = append(b, `,"`...)
			b = append(b, key...)
			b = append(b, `":`...)
			b = appendString(b, v)
		}
	}
	num := func(key string, v int) {
		if v != 0 {
			b = append(b, `,"`...)
			b = append(b, key...)
			b = append(b, `":`...)
			b = strconv.AppendInt(b, int64(v), 10)
		}
	}
	str("hook", s.Hook)
	str("table", s.Table)
	str("chain", s.Chain)
	num("rule", s.Rule)
	str("text", s.Text)
	str("file", s.File)
	num("line", s.Line)
	if s.Kind == trace.KindRule || s.Match {
		b = append(b, `,"match":`...)
		b = strconv.AppendBool(b, s.Match)
	}
	str("failed", s.Failed)
	str("actual", s.Actual)
	str("target", s.Target)
	str("verdict", s.Verdict)
	num("depth", s.Depth)
	if len(s.Detail) > 0 {
		b = append(b, `,"detail":{`...)
		for i, d := range s.Detail {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendString(b, d.Key)
			b = append(b, ':')
			b = appendString(b, d.Value)
		}
		b = append(b, '}')
	}
	return append(b, '}')
}

// appendString writes a JSON string; bytes that are no UTF-8 become U+FFFD.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			b = utf8.AppendRune(b, r)
			i += n
			continue
		}
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, '\\', 'n')
		case c == '\t':
			b = append(b, '\\', 't')
		case c < 0x20 || c == 0x7f:
			const digits = "0123456789abcdef"
			b = append(b, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		default:
			b = append(b, c)
		}
		i++
	}
	return append(b, '"')
}
