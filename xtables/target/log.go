package target

import (
	"strings"

	"weir/hook"
	"weir/xtables"
	"weir/xtables/args"
	"weir/xtables/logline"
	"weir/xtables/names"
)

// Log is -j LOG: writes a line that describes the packet.
func Log() xtables.TargetExt {
	return xtables.TargetExt{
		Name: "LOG", Families: xtables.Both,
		Options: append(one("log-level", "log-prefix"),
			flags("log-tcp-sequence", "log-tcp-options", "log-ip-options", "log-uid", "log-macdecode")...),
		Parse: parseLog,
		Doc:   "all options; the line is the kernel's",
	}
}

type logTarget struct {
	level  uint8
	prefix string
	flags  logline.Flags
}

func logFlagNames() [5]struct {
	name string
	flag logline.Flags
} {
	return [5]struct {
		name string
		flag logline.Flags
	}{
		{"log-tcp-sequence", logline.TCPSequence}, {"log-tcp-options", logline.TCPOptions},
		{"log-ip-options", logline.IPOptions}, {"log-uid", logline.UID}, {"log-macdecode", logline.MACDecode},
	}
}

func parseLog(_ *xtables.Context, given []xtables.Given) (xtables.Target, error) {
	m := &logTarget{level: 4}
	for i := range given {
		g := &given[i]
		switch g.Name {
		case "log-level":
			n, ok := args.Number(args.Text(g), 0, 7)
			if ok {
				m.level = uint8(n)
			} else if m.level, ok = names.LogLevel(args.Text(g)); !ok {
				return nil, args.Bad(g, "a log level (0 to 7 or emerg, alert, crit, error, warning, notice, info, debug)")
			}
		case "log-prefix":
			p := args.Text(g)
			if p == "" {
				return nil, args.Errorf(g, "--log-prefix must not be empty")
			}
			if strings.Contains(p, "\n") {
				return nil, args.Errorf(g, "--log-prefix: a new line is not allowed")
			}
			m.prefix = args.Cut(p, 29) // room in the kernel's structure
		default:
			for _, f := range logFlagNames() {
				if f.name == g.Name {
					m.flags |= f.flag
				}
			}
		}
	}
	return m, nil
}

// Do costs nothing when nobody takes lines.
func (m *logTarget) Do(t *hook.Traversal) xtables.Code {
	if t.Env.Log != nil {
		t.Env.Log.Log(t, hook.LogRecord{Source: "LOG", Level: m.level, Rule: t.Rule(),
			Text: string(logline.Append(make([]byte, 0, 256), m.prefix, t, m.flags))})
	}
	return xtables.Continue
}

func (m *logTarget) AppendArgs(b []byte) []byte {
	if m.prefix != "" {
		b = args.Quoted(args.Name(b, false, "log-prefix"), m.prefix)
	}
	if m.level != 4 {
		b = args.Dec(args.Name(b, false, "log-level"), uint64(m.level))
	}
	for _, f := range logFlagNames() {
		if m.flags&f.flag != 0 {
			b = args.Name(b, false, f.name)
		}
	}
	return b
}
