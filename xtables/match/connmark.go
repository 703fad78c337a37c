package match

import (
	"weir/hook"
	"weir/xtables"
)

// Connmark is -m connmark: the mark of the packet's connection under a mask.
func Connmark() xtables.MatchExt {
	return xtables.MatchExt{
		Name: "connmark", Families: xtables.Both, Options: markOptions(), NeedsConntrack: true,
		Parse: func(_ *xtables.Context, given []xtables.Given) (xtables.Match, error) {
			m, err := parseMark(given)
			return &connmarkMatch{m}, err
		},
		Doc: "all options",
	}
}

type connmarkMatch struct{ maskedMark }

// Match is false for a packet without a connection, inverted or not.
func (m *connmarkMatch) Match(t *hook.Traversal) bool {
	return t.CT.Conn != nil && m.has(t.CT.Conn.Mark)
}

func (m *connmarkMatch) Explain(t *hook.Traversal) string {
	if t.CT.Conn == nil {
		return noConn(t)
	}
	return "connection mark is " + hex(uint64(t.CT.Conn.Mark))
}

// noConn says in a trace that there was no connection to ask.
func noConn(t *hook.Traversal) string {
	return "no connection, state is " + t.CT.State().String()
}
