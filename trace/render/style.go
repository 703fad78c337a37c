package render

// Style says how text is dressed. The zero Style is plain.
type Style struct {
	// Colour uses ANSI sequences.
	Colour bool
}

const (
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
)

// paint wraps s in a colour, or leaves it plain.
func (st Style) paint(code, s string) string {
	if !st.Colour || s == "" || code == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// verdictColour is red for the end, green for a way on, yellow for a wait.
func verdictColour(v string) string {
	switch v {
	case "DROP", "drop", "REJECT":
		return red
	case "ACCEPT", "forward", "local", "output":
		return green
	case "held", "QUEUE", "STOLEN":
		return yellow
	case "JUMP", "GOTO", "RETURN":
		return cyan
	}
	return ""
}

// Good and Bad dress a result.
func (st Style) Good(s string) string { return st.paint(green, s) }

// Bad is Good's other.
func (st Style) Bad(s string) string { return st.paint(red, s) }
