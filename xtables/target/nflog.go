package target

import (
	"math"
	"strings"

	"weir/hook"
	"weir/xtables"
	"weir/xtables/args"
	"weir/xtables/logline"
)

// NFLog is -j NFLOG: tells a group of listeners about the packet.
func NFLog() xtables.TargetExt {
	return xtables.TargetExt{
		Name: "NFLOG", Families: xtables.Both,
		Options: one("nflog-group", "nflog-prefix", "nflog-range", "nflog-size", "nflog-threshold"),
		Parse:   parseNFLog,
		Doc:     "group and prefix go to the log, as many bytes as size says to captures; range has no effect, as in Linux, and threshold none where each line is written at once",
	}
}

type nflogTarget struct {
	group, threshold uint16
	prefix           string
	length           uint32
	hasSize, hasLen  bool
}

func parseNFLog(_ *xtables.Context, given []xtables.Given) (xtables.Target, error) {
	if err := args.Apart(given, "nflog-range", "nflog-size"); err != nil {
		return nil, err
	}
	m := &nflogTarget{}
	for i := range given {
		g := &given[i]
		var n uint64
		var err error
		switch g.Name {
		case "nflog-group":
			n, err = args.Uint(g, 0, 65535)
			m.group = uint16(n)
		case "nflog-threshold":
			n, err = args.Uint(g, 0, 65535)
			m.threshold = uint16(n)
		case "nflog-prefix":
			p := args.Text(g)
			if p == "" || strings.Contains(p, "\n") {
				err = args.Errorf(g, "--nflog-prefix must have a character and no new line")
			}
			m.prefix = args.Cut(p, 63)
		default:
			n, err = args.Uint(g, 0, math.MaxUint32)
			m.length, m.hasLen, m.hasSize = uint32(n), true, g.Name == "nflog-size"
		}
		if err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *nflogTarget) Do(t *hook.Traversal) xtables.Code {
	if t.Env.Log != nil {
		size := uint32(0)
		if m.hasSize {
			size = m.length
		}
		t.Env.Log.Log(t, hook.LogRecord{Source: "NFLOG", Level: 5, Group: m.group, Rule: t.Rule(), Size: size,
			Text: string(logline.Append(make([]byte, 0, 256), m.prefix, t, logline.All))})
	}
	return xtables.Continue
}

func (m *nflogTarget) AppendArgs(b []byte) []byte {
	if m.prefix != "" {
		b = args.Quoted(args.Name(b, false, "nflog-prefix"), m.prefix)
	}
	if m.group != 0 {
		b = args.Dec(args.Name(b, false, "nflog-group"), uint64(m.group))
	}
	if m.hasSize {
		b = args.Dec(args.Name(b, false, "nflog-size"), uint64(m.length))
	} else if m.hasLen && m.length != 0 {
		b = args.Dec(args.Name(b, false, "nflog-range"), uint64(m.length))
	}
	if m.threshold != 0 {
		b = args.Dec(args.Name(b, false, "nflog-threshold"), uint64(m.threshold))
	}
	return b
}
