package main

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"regexp"
	"strings"

	"weir/replay"
	"weir/scenario/unit"
	"weir/trace/render"
)

type testCmd struct {
	Files   []string `arg:"" name:"file" help:"Files of tests; - is standard input."`
	Machine string   `placeholder:"DIR" help:"Try this machine instead of the one that the files name."`
	Only    string   `placeholder:"REGEXP" help:"Run only the tests whose name matches."`
	Verbose bool     `short:"v" help:"Also name the tests that pass."`
	JUnit   string   `name:"junit" placeholder:"FILE" help:"Results as JUnit XML."`
	JSON    string   `name:"json" placeholder:"FILE" help:"Results as one JSON object a test, with the walk of what failed."`
}

func (testCmd) Help() string {
	return `A file names a machine and says for packets what has to become of them (docs/testing-rules.md):
  machine ../router
  test The office browses the web
      lan0 tcp 192.0.2.10:4000 > 198.51.100.1:443 S
          -> forward out wan0 src 203.0.113.2

What fails is shown with the walk of its packet. Exit status 0: all passed; 1: a test failed, or a file or the machine is wrong; 2: usage.

Examples:
  weir test firewall.test
  weir test --machine candidate --junit report.xml tests/*.test`
}

// Run tests.
func (c *testCmd) Run(e *env) error {
	var only *regexp.Regexp
	if c.Only != "" {
		var err error
		if only, err = regexp.Compile(c.Only); err != nil {
			return usagef("--only: %v", err)
		}
	}
	junit, err := e.open(c.JUnit)
	if err != nil {
		return err
	}
	jsonOut, err := e.open(c.JSON)
	if err != nil {
		return err
	}
	var all []unit.Result
	var errs errorList
	for _, name := range c.Files {
		src, err := e.readFile(name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		f, ferrs := unit.Parse(name, src)
		var res []unit.Result
		if len(ferrs) == 0 {
			if only != nil {
				var keep []unit.Test
				for _, t := range f.Tests {
					if only.MatchString(t.Name) {
						keep = append(keep, t)
					}
				}
				f.Tests = keep
			}
			res, ferrs = f.Run(c.Machine)
		}
		errs = append(errs, ferrs...)
		for i := range res {
			c.print(e, &res[i])
		}
		all = append(all, res...)
	}
	failed := 0
	for i := range all {
		if len(all[i].Fails) > 0 {
			failed++
		}
		if jsonOut != nil {
			jsonOut.Write(testJSON(&all[i]))
		}
	}
	if junit != nil {
		junit.Write(junitXML(all))
	}
	for _, o := range []*output{junit, jsonOut} {
		if err := o.close(); err != nil {
			errs = append(errs, err)
		}
	}
	if c.JUnit != "-" && c.JSON != "-" && len(all) > 0 {
		fmt.Fprintf(e.stdout, "%d tests, %d passed, %d failed\n", len(all), len(all)-failed, failed)
	}
	if only != nil && len(all) == 0 && len(errs) == 0 {
		return usagef("--only: no test has such a name")
	}
	if len(errs) > 0 {
		return errs
	}
	if failed > 0 {
		return exitStatus(exitFailed)
	}
	return nil
}

// print shows a test on the terminal.
func (c *testCmd) print(e *env, r *unit.Result) {
	if c.JUnit == "-" || c.JSON == "-" {
		return
	}
	style := render.Style{Colour: e.colour}
	if len(r.Fails) == 0 {
		if c.Verbose {
			fmt.Fprintf(e.stdout, "%s  %s: %s\n", style.Good("ok  "), r.File, r.Name)
		}
		return
	}
	fmt.Fprintf(e.stdout, "%s  %s:%d: %s\n", style.Bad("FAIL"), r.File, r.Pos.Line, r.Name)
	text := render.Text{Style: style, Width: e.width, Start: replay.Epoch}
	if text.Width > 8 {
		text.Width -= 4
	}
	for i := range r.Fails {
		f := &r.Fails[i]
		fmt.Fprintf(e.stdout, "  line %d  %s\n", f.Packet.Pos.Line, f.Packet.Text)
		fmt.Fprintf(e.stdout, "    expected %s\n", f.Packet.Want.Text)
		fmt.Fprintf(e.stdout, "    got      %s\n", style.Bad(f.Got))
		for l := range strings.Lines(string(text.Append(nil, &f.Walk))) {
			if l == "\n" {
				continue
			}
			fmt.Fprint(e.stdout, "    ", l)
		}
	}
	fmt.Fprintln(e.stdout)
}

func testJSON(r *unit.Result) []byte {
	type fail struct {
		Line     int             `json:"line"`
		Packet   string          `json:"packet"`
		Expected string          `json:"expected"`
		Got      string          `json:"got"`
		Walk     json.RawMessage `json:"walk"`
	}
	out := struct {
		File    string `json:"file"`
		Line    int    `json:"line"`
		Test    string `json:"test"`
		Passed  bool   `json:"passed"`
		Packets int    `json:"packets"`
		Fails   []fail `json:"fails,omitempty"`
	}{File: r.File, Line: r.Pos.Line, Test: r.Name, Passed: len(r.Fails) == 0, Packets: r.Packets}
	for i := range r.Fails {
		f := &r.Fails[i]
		out.Fails = append(out.Fails, fail{f.Packet.Pos.Line, f.Packet.Text, f.Packet.Want.Text, f.Got,
			json.RawMessage(strings.TrimSpace(string(render.AppendJSON(nil, &f.Walk, true))))})
	}
	b, err := json.Marshal(out)
	if err != nil {
		return nil // strings and numbers always encode
	}
	return append(b, '\n')
}

// The elements of JUnit's XML that programs for CI read.
type junitSuites struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Suites   []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Name    string        `xml:"name,attr"`
	Class   string        `xml:"classname,attr"`
	File    string        `xml:"file,attr"`
	Line    int           `xml:"line,attr"`
	Failure *junitFailure `xml:"failure,omitempty"`
}

type junitFailure struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

func junitXML(all []unit.Result) []byte {
	var top junitSuites
	for i := range all {
		r := &all[i]
		if n := len(top.Suites); n == 0 || top.Suites[n-1].Name != r.File {
			top.Suites = append(top.Suites, junitSuite{Name: r.File})
		}
		s := &top.Suites[len(top.Suites)-1]
		c := junitCase{Name: r.Name, Class: r.File, File: r.File, Line: r.Pos.Line}
		if len(r.Fails) > 0 {
			f := &r.Fails[0]
			c.Failure = &junitFailure{Message: fmt.Sprintf("line %d: expected %s, got %s", f.Packet.Pos.Line, f.Packet.Want.Text, f.Got)}
			text := render.Text{Start: replay.Epoch}
			for i := range r.Fails {
				c.Failure.Text += string(text.Append([]byte(r.Fails[i].Packet.Text+"\n"), &r.Fails[i].Walk))
			}
			s.Failures++
			top.Failures++
		}
		s.Tests++
		top.Tests++
		s.Cases = append(s.Cases, c)
	}
	b, err := xml.MarshalIndent(&top, "", "  ")
	if err != nil {
		return nil // strings and numbers always encode
	}
	return append([]byte(xml.Header), append(b, '\n')...)
}
