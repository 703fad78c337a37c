package target

import (
	"weir/hook"
	"weir/xtables"
	"weir/xtables/args"
)

// Checksum is -j CHECKSUM: computes a checksum that was left to the network
// card. weir's packets always carry theirs, so there is nothing left to do.
func Checksum() xtables.TargetExt {
	return xtables.TargetExt{
		Name: "CHECKSUM", Families: xtables.Both, Tables: []string{"mangle"},
		Options: flags("checksum-fill"),
		Parse: func(_ *xtables.Context, given []xtables.Given) (xtables.Target, error) {
			return checksumTarget{}, args.Need(given, "checksum-fill")
		},
		Doc: "yes; a packet's checksum is never left to a network card",
	}
}

type checksumTarget struct{}

func (checksumTarget) Do(*hook.Traversal) xtables.Code { return xtables.Continue }

func (checksumTarget) AppendArgs(b []byte) []byte { return args.Name(b, false, "checksum-fill") }
