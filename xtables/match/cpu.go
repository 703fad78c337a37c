package match

import (
	"math"

	"weir/hook"
	"weir/xtables"
	"weir/xtables/args"
)

// CPU is -m cpu: the processor that handles the packet.
func CPU() xtables.MatchExt {
	return xtables.MatchExt{
		Name: "cpu", Families: xtables.Both,
		Options: []xtables.Option{{Name: "cpu", Args: xtables.OneArg}},
		Parse:   parseCPU,
		Doc:     "weir has one processor, number 0",
	}
}

type cpuMatch struct {
	cpu uint32
	not bool
}

func parseCPU(_ *xtables.Context, given []xtables.Given) (xtables.Match, error) {
	if err := args.Need(given, "cpu"); err != nil {
		return nil, err
	}
	g := args.Find(given, "cpu")
	n, err := args.Uint(g, 0, math.MaxUint32)
	return &cpuMatch{uint32(n), g.Invert}, err
}

func (m *cpuMatch) Match(*hook.Traversal) bool { return (m.cpu == 0) != m.not }

func (m *cpuMatch) Explain(*hook.Traversal) string { return "cpu is 0" }

func (m *cpuMatch) AppendArgs(b []byte) []byte {
	return args.Dec(args.Name(b, m.not, "cpu"), uint64(m.cpu))
}
