package text

import (
	"strings"

	"weir/ipset"
)

// help prints the commands, or the options of a type.
func (r *runner) help(typ string) *end {
	var b strings.Builder
	b.WriteString("ipset v" + Version + "\n\nUsage: ipset [options] COMMAND\n\nCommands:\n")
	for _, c := range commands() {
		args := map[string]string{"create": " SETNAME TYPENAME [options]", "add": " SETNAME ENTRY [options]", "del": " SETNAME ENTRY [options]",
			"test": " SETNAME ENTRY [options]", "rename": " FROM TO", "swap": " FROM TO", "help": " [TYPENAME]"}[c.names[0]]
		if args == "" && c.args < 0 {
			args = " [SETNAME]"
		}
		b.WriteString("  " + c.names[0] + args + "\n")
	}
	b.WriteString("\nOptions:\n")
	for _, o := range options() {
		arg := ""
		if o.arg {
			arg = " VALUE"
		}
		b.WriteString("  " + o.short + ", " + o.long + arg + "\n")
	}
	if typ == "" {
		b.WriteString("\nTypes of sets:\n")
		for _, t := range ipset.Types() {
			b.WriteString("  " + t.String() + "\n")
		}
		r.out = append(r.out, b.String()...)
		return &end{0}
	}
	t, ok := typeNamed(typ)
	if !ok {
		r.out = append(r.out, b.String()...)
		return r.usage("Unknown settype: `" + typ + "'")
	}
	b.WriteString("\n" + t.String() + ":\n  create SETNAME " + t.String())
	for _, o := range createOptions(t) {
		b.WriteString(" [" + o + value(o) + "]")
	}
	for _, cmd := range []string{"add", "del", "test"} {
		b.WriteString("\n  " + cmd + " SETNAME " + strings.ToUpper(strings.Join(parts(t), ",")))
		for _, o := range addOptions(t, cmd) {
			if o == "comment" {
				b.WriteString(" [comment TEXT]")
				continue
			}
			b.WriteString(" [" + o + value(o) + "]")
		}
	}
	r.out = append(r.out, b.String()+"\n"...)
	return &end{0}
}

func value(o string) string {
	if flagOption(o) || o == "nomatch" || o == "wildcard" {
		return ""
	}
	return " VALUE"
}
