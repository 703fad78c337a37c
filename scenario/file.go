package scenario

import (
	"bytes"
	"errors"
	"strings"

	"weir/machine"
	"weir/replay"
	"weir/scenario/line"
	"weir/xtables"
)

// File is a scenario file.
type File struct {
	Name string
	// Doc is the comment on top, without the marks.
	Doc string
	// NotLinux is why Linux cannot be asked what becomes of the packets: what
	// stands behind "Not on Linux:" in a comment line on top.
	NotLinux string
	Machine  *machine.Machine
	Packets  replay.Lines
	// Want is what stands under want, with a newline at its end; WantLine
	// the line before its first.
	Want     string
	WantLine int
	// front is the file up to the text under want.
	front []byte
}

// section is the text between two marks.
type section struct {
	name string
	line int // of the mark
	text []byte
}

// sections in the order in which a file has them.
var sectionNames = []string{"machine", "rules.v4", "rules.v6", "packets", "want"}

// Parse reads a scenario file. Every error has a place.
func Parse(name string, src []byte) (*File, []error) {
	f := &File{Name: name}
	var errs []error
	fail := func(line, col int, msg string) {
		errs = append(errs, &xtables.Error{Pos: xtables.Pos{File: name, Line: line, Col: col}, Msg: msg})
	}
	secs, doc := f.split(src, fail)
	f.Doc = doc
	for l := range strings.Lines(doc) {
		if why, ok := strings.CutPrefix(l, "Not on Linux:"); ok {
			f.NotLinux = strings.TrimSpace(why)
		}
	}
	if secs["machine"] == nil {
		fail(1, 1, "no section -- machine --")
		return f, errs
	}
	m, merrs := machine.FromYAML(name, secs["machine"].text, secs["machine"].line)
	errs = append(errs, merrs...)
	f.Machine = m
	for _, r := range []struct {
		sec string
		to  *machine.File
	}{{"rules.v4", &m.Rules4}, {"rules.v6", &m.Rules6}} {
		if s := secs[r.sec]; s != nil {
			// Empty lines in front make the places of errors those of
			// the scenario file.
			text := append(bytes.Repeat([]byte{'\n'}, s.line), s.text...)
			*r.to = machine.File{Name: name, Text: text}
		}
	}
	if s := secs["packets"]; s != nil && len(errs) == 0 {
		f.packets(s, fail)
	}
	if s := secs["want"]; s != nil {
		f.Want, f.WantLine = string(s.text), s.line
	}
	return f, errs
}

func (f *File) split(src []byte, fail func(int, int, string)) (map[string]*section, string) {
	secs := map[string]*section{}
	var doc []string
	var cur *section
	at, off := -1, 0
	for n, l := range bytes.SplitAfter(src, []byte{'\n'}) {
		text := strings.TrimRight(string(l), "\r\n")
		if name, ok := mark(text); ok {
			i := index(sectionNames, name)
			switch {
			case i < 0:
				fail(n+1, 4, "no section is called "+name+": "+strings.Join(sectionNames, ", "))
			case i <= at:
				fail(n+1, 4, "section "+name+" stands too late or twice; the order is "+strings.Join(sectionNames, ", "))
			}
			at = max(at, i)
			cur = &section{name: name, line: n + 1}
			secs[name] = cur
			if name == "want" {
				f.front = src[:off+len(l)]
			}
		} else if cur != nil {
			cur.text = append(cur.text, l...)
		} else if c, ok := strings.CutPrefix(text, "#"); ok {
			doc = append(doc, strings.TrimPrefix(c, " "))
		} else if strings.TrimSpace(text) != "" {
			fail(n+1, 1, "before the first section only comments stand")
		}
		off += len(l)
	}
	if f.front == nil {
		f.front = append(bytes.TrimRight(src, "\n"), "\n-- want --\n"...)
	}
	return secs, strings.Join(doc, "\n")
}

// mark reads "-- name --".
func mark(l string) (string, bool) {
	s, ok := strings.CutPrefix(l, "-- ")
	if !ok {
		return "", false
	}
	s, ok = strings.CutSuffix(strings.TrimRight(s, " "), " --")
	return strings.TrimSpace(s), ok
}

func index(list []string, s string) int {
	for i, x := range list {
		if x == s {
			return i
		}
	}
	return -1
}

func (f *File) packets(s *section, fail func(int, int, string)) {
	for i, l := range strings.Split(string(s.text), "\n") {
		t := strings.TrimSpace(l)
		if t == "" || t[0] == '#' {
			continue
		}
		n := s.line + 1 + i
		p, err := line.Parse(strings.TrimRight(l, "\r"))
		if err != nil {
			col, msg := 1, err.Error()
			var le *line.Error
			if errors.As(err, &le) {
				col, msg = le.Col, le.Msg
			}
			fail(n, col, msg)
			continue
		}
		if p.In != machine.Local && f.Machine.Iface(p.In) == nil {
			fail(n, 1+strings.Index(l, p.In), "the machine has no interface "+p.In)
			continue
		}
		f.Packets.Add(p)
	}
}
