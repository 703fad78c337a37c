package args

import (
	"fmt"

	"weir/xtables"
)

// Find is the first option of that name, or nil.
func Find(given []xtables.Given, name string) *xtables.Given {
	for i := range given {
		if given[i].Name == name {
			return &given[i]
		}
	}
	return nil
}

// Errorf is an error at the argument of g, or at the option if it has none.
func Errorf(g *xtables.Given, format string, a ...any) error {
	pos := g.Pos
	if len(g.Args) > 0 {
		pos = g.Args[0].Pos
	}
	return &xtables.Error{Pos: pos, Msg: fmt.Sprintf(format, a...)}
}

// Bad is the error for a value that an option does not take.
func Bad(g *xtables.Given, want string) error {
	return Errorf(g, "--%s: %q is not %s", g.Name, Text(g), want)
}

// Text is the first argument of g, empty if it has none.
func Text(g *xtables.Given) string {
	if len(g.Args) == 0 {
		return ""
	}
	return g.Args[0].Text
}

// Need is an error unless one of the options was given.
func Need(given []xtables.Given, names ...string) error {
	for _, n := range names {
		if Find(given, n) != nil {
			return nil
		}
	}
	if len(names) == 1 {
		return fmt.Errorf("--%s must be given", names[0])
	}
	msg := "one of "
	for i, n := range names {
		switch {
		case i == len(names)-1:
			msg += " and "
		case i > 0:
			msg += ", "
		}
		msg += "--" + n
	}
	return fmt.Errorf("%s must be given", msg)
}

// Apart is an error when more than one of the options was given.
func Apart(given []xtables.Given, names ...string) error {
	var first *xtables.Given
	for i := range given {
		for _, n := range names {
			if given[i].Name != n {
				continue
			}
			if first != nil && first.Name != n {
				return &xtables.Error{Pos: given[i].Pos,
					Msg: "--" + n + " cannot be used together with --" + first.Name}
			}
			first = &given[i]
		}
	}
	return nil
}
