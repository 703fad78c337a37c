package target

import (
	"weir/hook"
	"weir/xtables"
)

// Trace is -j TRACE: every rule that the packet matches from here on is logged.
func Trace() xtables.TargetExt {
	return xtables.TargetExt{
		Name: "TRACE", Families: xtables.Both, Tables: []string{"raw"},
		Parse: func(*xtables.Context, []xtables.Given) (xtables.Target, error) { return traceTarget{}, nil },
		Doc:   "yes",
	}
}

type traceTarget struct{}

func (traceTarget) Do(t *hook.Traversal) xtables.Code {
	t.NFTrace = true
	return xtables.Continue
}

func (traceTarget) AppendArgs(b []byte) []byte { return b }
