package unit

import (
	"errors"
	"path/filepath"
	"strings"

	"weir/scenario/line"
	"weir/xtables"
)

// File is a file of tests.
type File struct {
	Name string
	// Machine is the machine directory; Rules4 and Rules6 are files that
	// stand for its rules.v4 and rules.v6. All are relative to the working
	// directory; empty if the file does not say.
	Machine, Rules4, Rules6 string
	MachinePos              xtables.Pos
	Tests                   []Test
}

// Test is one test.
type Test struct {
	Name    string
	Pos     xtables.Pos
	Packets []Packet
}

// Packet is a packet and what has to become of it.
type Packet struct {
	Text string
	Pos  xtables.Pos
	Line *line.Packet
	// Want is nil for a packet that is only sent.
	Want *Want
}

// Parse reads a file of tests. Every error has a place.
func Parse(name string, src []byte) (*File, []error) {
	f := &File{Name: name}
	var errs []error
	fail := func(no, col int, msg string) {
		errs = append(errs, &xtables.Error{Pos: xtables.Pos{File: name, Line: no, Col: col}, Msg: msg})
	}
	for no, l := range strings.Split(string(src), "\n") {
		no++
		l = strings.TrimRight(l, " \t\r")
		text := strings.TrimLeft(l, " \t")
		col := len(l) - len(text) + 1
		if text == "" || text[0] == '#' {
			continue
		}
		word, rest, _ := strings.Cut(text, " ")
		rest = strings.TrimSpace(rest)
		pos := xtables.Pos{File: name, Line: no, Col: col}
		last := len(f.Tests) - 1
		switch word {
		case "machine", "rules.v4", "rules.v6":
			to := map[string]*string{"machine": &f.Machine, "rules.v4": &f.Rules4, "rules.v6": &f.Rules6}[word]
			switch {
			case last >= 0:
				fail(no, col, word+" stands before the first test")
			case rest == "":
				fail(no, col, word+" needs a path")
			case *to != "":
				fail(no, col, word+" stands twice")
			case filepath.IsAbs(rest):
				*to = rest
			default:
				*to = filepath.Join(filepath.Dir(name), rest)
			}
			if word == "machine" {
				f.MachinePos = pos
			}
		case "test":
			if rest == "" {
				fail(no, col, "the test has no name")
			}
			f.Tests = append(f.Tests, Test{Name: rest, Pos: pos})
		case "->":
			switch {
			case last < 0 || len(f.Tests[last].Packets) == 0:
				fail(no, col, "no packet stands before this")
			default:
				p := &f.Tests[last].Packets[len(f.Tests[last].Packets)-1]
				if p.Want != nil {
					fail(no, col, "the packet has an expectation already; several words stand in one")
					continue
				}
				w, at, msg := parseWant(text)
				if msg != "" {
					fail(no, col+at, msg)
				}
				w.Pos = pos
				p.Want = w
			}
		default:
			if last < 0 {
				fail(no, col, "expected machine, rules.v4, rules.v6 or test, not "+word)
				continue
			}
			p, err := line.Parse(text)
			if err != nil {
				at, msg := 1, err.Error()
				var le *line.Error
				if errors.As(err, &le) {
					at, msg = le.Col, le.Msg
				}
				fail(no, col+at-1, msg)
				continue
			}
			f.Tests[last].Packets = append(f.Tests[last].Packets, Packet{Text: text, Pos: pos, Line: p})
		}
	}
	if len(errs) > 0 {
		return f, errs
	}
	if len(f.Tests) == 0 {
		fail(1, 1, "the file has no test")
	}
	for _, t := range f.Tests {
		wants := 0
		for _, p := range t.Packets {
			if p.Want != nil {
				wants++
			}
		}
		if wants == 0 {
			fail(t.Pos.Line, t.Pos.Col, "the test expects nothing: no packet has a line that begins with ->")
		}
	}
	return f, errs
}
