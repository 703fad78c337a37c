package target

import (
	"weir/hook"
	"weir/xtables"
	"weir/xtables/args"
)

// Connsecmark is -j CONNSECMARK: copies security labels between packets and
// connections. As on a Linux without SELinux nothing has a label, so that it
// changes nothing.
func Connsecmark() xtables.TargetExt {
	return xtables.TargetExt{
		Name: "CONNSECMARK", Families: xtables.Both, Tables: []string{"mangle", "security"}, NeedsConntrack: true,
		Options: flags("save", "restore"),
		Parse: func(_ *xtables.Context, given []xtables.Given) (xtables.Target, error) {
			if err := args.Need(given, "save", "restore"); err != nil {
				return nil, err
			}
			return &connsecmarkTarget{given[0].Name}, args.Apart(given, "save", "restore")
		},
		Doc: "all options; there are no labels, as without SELinux",
	}
}

type connsecmarkTarget struct{ op string }

// Do finds neither a label to save nor one to restore.
func (*connsecmarkTarget) Do(*hook.Traversal) xtables.Code { return xtables.Continue }

func (m *connsecmarkTarget) AppendArgs(b []byte) []byte { return args.Name(b, false, m.op) }
