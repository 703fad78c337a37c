package match

import (
	"strings"

	"weir/conntrack"
	"weir/hook"
	"weir/xtables"
	"weir/xtables/args"
)

// State is -m state: the packet's relation to its connection.
func State() xtables.MatchExt {
	return xtables.MatchExt{
		Name: "state", Families: xtables.Both, NeedsConntrack: true,
		Options: []xtables.Option{{Name: "state", Args: xtables.OneArg}},
		Parse:   parseState,
		Doc:     "all options",
	}
}

type stateMatch struct {
	states stateSet
	not    bool
}

// stateSet is a bit for each conntrack.State, and two for translation.
type stateSet uint8

const (
	stateSNAT stateSet = 1 << (conntrack.StateUntracked + 1)
	stateDNAT stateSet = 1 << (conntrack.StateUntracked + 2)
)

// stateOrder is the order in which iptables-save lists states.
func stateOrder() [7]struct {
	name string
	bit  stateSet
} {
	return [7]struct {
		name string
		bit  stateSet
	}{
		{"INVALID", 1 << conntrack.StateInvalid}, {"NEW", 1 << conntrack.StateNew},
		{"RELATED", 1 << conntrack.StateRelated}, {"ESTABLISHED", 1 << conntrack.StateEstablished},
		{"UNTRACKED", 1 << conntrack.StateUntracked}, {"SNAT", stateSNAT}, {"DNAT", stateDNAT},
	}
}

// parseStates reads states with commas between; each may be abbreviated. The
// first n of stateOrder are allowed.
func parseStates(g *xtables.Given, n int) (set stateSet, err error) {
	order := stateOrder()
words:
	for _, w := range strings.Split(args.Text(g), ",") {
		for _, s := range order[:n] {
			if w != "" && args.Prefix(s.name, w) {
				set |= s.bit
				continue words
			}
		}
		return 0, args.Errorf(g, "--%s: no state %q", g.Name, w)
	}
	return set, nil
}

func (s stateSet) append(b []byte) []byte {
	sep := byte(' ')
	for _, o := range stateOrder() {
		if s&o.bit != 0 {
			b, sep = append(append(b, sep), o.name...), ','
		}
	}
	return b
}

func parseState(_ *xtables.Context, given []xtables.Given) (xtables.Match, error) {
	if err := args.Need(given, "state"); err != nil {
		return nil, err
	}
	g := args.Find(given, "state")
	set, err := parseStates(g, 5)
	return &stateMatch{set, g.Invert}, err
}

func (m *stateMatch) Match(t *hook.Traversal) bool {
	return (m.states&(1<<t.CT.State()) != 0) != m.not
}

func (m *stateMatch) Explain(t *hook.Traversal) string { return "state is " + t.CT.State().String() }

func (m *stateMatch) AppendArgs(b []byte) []byte {
	return m.states.append(args.Name(b, m.not, "state"))
}
