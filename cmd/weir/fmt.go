package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"weir/packet"
	"weir/trace/render"
	"weir/xtables/save"
	"weir/xtables/std"
)

type fmtCmd struct {
	Files []string `arg:"" name:"file" help:"Rule files, or machine directories; - is standard input."`
	Write bool     `short:"w" help:"Write the result back instead of printing it."`
	Check bool     `short:"d" aliases:"diff" help:"Show what would change, and end with status 1 if something would."`
	Sets  string   `help:"File as ipset save prints it: the sets that the rules may name; ipset.save beside the rules unless given." placeholder:"FILE"`
	IPv6  bool     `name:"ipv6" help:"The files are for ip6tables (files called rules.v6 always are)."`
}

func (fmtCmd) Help() string {
	return `Each rule is written as iptables-save writes it, where it stands; comments stay. The rules that are loaded stay the same. A file with errors is left alone and its errors are shown.

Examples:
  weir fmt rules.v4
  weir fmt -w router
  weir fmt --check router`
}

// Run formats.
func (c *fmtCmd) Run(e *env) error {
	if c.Write && c.Check {
		return usagef("fmt: --write or --check, not both")
	}
	var errs errorList
	differs := false
	for _, name := range c.files(&errs) {
		src, err := e.readFile(name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		fam := packet.IPv4
		if c.IPv6 || filepath.Base(name) == "rules.v6" {
			fam = packet.IPv6
		}
		list := std.List()
		sets := c.Sets
		if beside := filepath.Join(filepath.Dir(name), "ipset.save"); sets == "" && name != "-" && isFile(beside) {
			sets = beside
		}
		if sets != "" {
			if list.Sets, err = e.loadSets(sets); err != nil {
				errs = append(errs, err)
				continue
			}
		}
		lines, ferrs := save.Format(name, src, fam, list)
		if len(ferrs) > 0 {
			errs = append(errs, ferrs...)
			continue
		}
		text := save.Text(lines)
		same := bytes.Equal(text, src)
		switch {
		case c.Check && !same:
			differs = true
			e.stdout.Write(diffLines(name, lines, len(src) > 0 && src[len(src)-1] != '\n', render.Style{Colour: e.colour}))
		case c.Check, c.Write && same:
		case c.Write && name != "-":
			if err := replaceFile(name, text); err != nil {
				errs = append(errs, err)
			}
		default:
			if _, err := e.stdout.Write(text); err != nil {
				return err
			}
		}
	}
	if len(errs) > 0 {
		return errs
	}
	if differs {
		return exitStatus(exitFailed)
	}
	return nil
}

// files are the rule files that the arguments name.
func (c *fmtCmd) files(errs *errorList) (list []string) {
	for _, name := range c.Files {
		st, err := os.Stat(name)
		if name == "-" || err != nil || !st.IsDir() {
			list = append(list, name) // reading says what is wrong
			continue
		}
		n := len(list)
		for _, f := range []string{"rules.v4", "rules.v6"} {
			if _, err := os.Stat(filepath.Join(name, f)); err == nil {
				list = append(list, filepath.Join(name, f))
			}
		}
		if len(list) == n {
			*errs = append(*errs, fmt.Errorf("%s: no rules.v4 and no rules.v6", name))
		}
	}
	return list
}

// diffContext is how many lines a diff shows around a change.
const diffContext = 3

// diffLines is a unified diff between the lines and their canonical form.
func diffLines(name string, lines []save.Line, noEnd bool, style render.Style) []byte {
	changed := func(i int) bool {
		c := lines[i].Canonical
		return len(c) != 1 || c[0] != lines[i].Text || noEnd && i == len(lines)-1
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "--- %s\n+++ %s, formatted\n", name, name)
	newAt := 1
	for i := 0; i < len(lines); {
		from := i
		for from < len(lines) && !changed(from) {
			from++
		}
		if from == len(lines) {
			break
		}
		start := max(i, from-diffContext)
		for k := i; k < start; k++ {
			newAt += len(lines[k].Canonical)
		}
		// The hunk goes on while changes stand close together.
		end := from + 1
		for quiet := 0; end < len(lines) && quiet <= 2*diffContext; end++ {
			if quiet++; changed(end) {
				quiet = 0
			}
		}
		last := end
		for last > from+1 && !changed(last-1) {
			last--
		}
		end = min(len(lines), last+diffContext)
		var body bytes.Buffer
		added := 0
		for k := start; k < end; k++ {
			added += len(lines[k].Canonical)
			if !changed(k) {
				fmt.Fprintf(&body, " %s\n", lines[k].Text)
				continue
			}
			fmt.Fprintln(&body, style.Bad("-"+lines[k].Text))
			if noEnd && k == len(lines)-1 {
				fmt.Fprintln(&body, "\\ No newline at end of file")
			}
			for _, l := range lines[k].Canonical {
				fmt.Fprintln(&body, style.Good("+"+l))
			}
		}
		fmt.Fprintf(&b, "@@ -%d,%d +%d,%d @@\n", start+1, end-start, newAt, added)
		b.Write(body.Bytes())
		newAt += added
		i = end
	}
	return b.Bytes()
}

// isFile reports a file that can be read as one.
func isFile(name string) bool {
	st, err := os.Stat(name)
	return err == nil && st.Mode().IsRegular()
}
