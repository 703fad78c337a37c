package verbs

import (
	"strconv"

	"weir/hook"
	"weir/xtables"
	"weir/xtables/save"
)

// rules is -S.
func (w *run) rules(c save.Command, chains []*xtables.Chain) {
	b := w.res.Stdout
	one := func(ch *xtables.Chain) bool { return !c.Named || ch.Name == c.Chain }
	for _, ch := range chains {
		if !one(ch) || c.Number != 0 {
			continue
		}
		if ch.Builtin {
			b = append(append(append(b, "-P "...), ch.Name...), " ACCEPT"...)
			if ch.Policy == hook.Drop {
				b = append(b[:len(b)-len("ACCEPT")], "DROP"...)
			}
			if c.Verbose > 0 {
				b = appendCounters(b, ch.Start)
			}
		} else {
			b = append(append(b, "-N "...), ch.Name...)
		}
		b = append(b, '\n')
	}
	for _, ch := range chains {
		for i, r := range ch.Rules {
			if !one(ch) || c.Number != 0 && c.Number != i+1 {
				continue
			}
			b = append(append(b, "-A "...), ch.Name...)
			t := r.Target
			r := *r
			r.Target = xtables.RuleTarget{}
			b = r.Append(b)
			if c.Verbose > 0 {
				b = appendCounters(b, r.Start)
			}
			b = append(t.Append(b), '\n')
		}
	}
	w.res.Stdout = b
}

func appendCounters(b []byte, c xtables.Counter) []byte {
	b = strconv.AppendUint(append(b, " -c "...), c.Packets, 10)
	return strconv.AppendUint(append(b, ' '), c.Bytes, 10)
}
