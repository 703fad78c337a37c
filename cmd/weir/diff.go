package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"

	"weir/diff"
	"weir/engine"
	"weir/lint"
	"weir/machine"
	"weir/packet"
	"weir/replay"
	"weir/xtables"
)

type diffCmd struct {
	A       string `arg:"" help:"Machine directory, or a file as iptables-save prints it."`
	B       string `arg:"" help:"The other one."`
	Capture string `arg:"" optional:"" help:"pcap or pcapng file with packets for both; - is standard input."`

	IPv6            bool   `name:"ipv6" help:"Rule files are ip6tables-save's."`
	JSON            bool   `name:"json" help:"Print a JSON object a difference."`
	Max             int    `default:"20" placeholder:"N" help:"End after N differences (default 20)."`
	In              string `placeholder:"NAME" help:"Interface of packets of which the capture does not say it; \"local\" is the machine itself."`
	IncludeOutgoing bool   `help:"Also run packets that the capture marks as outgoing."`
}

func (diffCmd) Help() string {
	return `With a capture: the flows whose verdict or translation is another, with the first packet of each. Without: packets that the two treat differently, searched for at the boundaries of their rules; every one that is shown was run on both, and --packet of weir trace takes it. If only one of the two is a machine, the other file's rules are put on the same machine.

Exit status: 0 no difference, 1 some, 2 an error.

Examples:
  weir diff rules.v4 rules.new
  weir diff MACHINE rules.new
  weir diff MACHINE OTHER day.pcapng --json | jq -r .flow`
}

// errTrouble is an error of a command whose exit status 1 means something else.
type errTrouble struct{ error }

// Run compares.
func (c *diffCmd) Run(e *env) error {
	if c.Max < 1 {
		return usagef("--max: %d is not a number of differences", c.Max)
	}
	differ, err := c.run(e)
	switch {
	case err != nil:
		return errTrouble{err}
	case differ:
		return errFound{}
	}
	return nil
}

func (c *diffCmd) run(e *env) (differ bool, err error) {
	a, b, m, err := c.subjects(e)
	if err != nil {
		return false, err
	}
	w := bufio.NewWriter(e.stdout)
	defer func() {
		if ferr := w.Flush(); err == nil {
			err = ferr
		}
	}()
	if c.Capture != "" {
		return c.capture(e, w, a, b, m)
	}
	found, errs := diff.Search(a, b, c.Max)
	if len(errs) > 0 {
		return false, errorList(errs)
	}
	n := len(found.Differences)
	if !c.JSON && n > 0 {
		fmt.Fprintf(w, "A is %s, B is %s\n", a.Name, b.Name)
	}
	for i := range found.Differences {
		if err := c.show(e, w, &found.Differences[i]); err != nil {
			return n > 0, err
		}
	}
	if !c.JSON {
		switch {
		case found.Same:
			fmt.Fprintln(w, "the rules are the same")
		case found.More:
			fmt.Fprintf(w, "%d differences, and there may be more: --max %d shows some of them\n", n, 5*c.Max)
		default:
			fmt.Fprintf(w, "%s in %d packets\n", count(n, "difference", "differences"), found.Packets)
		}
	}
	return n > 0, nil
}

// count is "no flow", "1 flow", "2 flows".
func count(n int, one, many string) string {
	switch n {
	case 0:
		return "no " + one
	case 1:
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// shower is a difference of either kind.
type shower interface {
	AppendText(b []byte, colour bool) []byte
}

func (c *diffCmd) show(e *env, w *bufio.Writer, d shower) error {
	if !c.JSON {
		_, err := w.Write(d.AppendText(nil, e.colour))
		return err
	}
	return json.NewEncoder(w).Encode(d)
}

// capture compares by the packets of a file.
func (c *diffCmd) capture(e *env, w *bufio.Writer, a, b diff.Subject, m *machine.Machine) (bool, error) {
	if m == nil {
		return false, fmt.Errorf("%s: a capture needs a machine: one of the two has to be a directory", c.Capture)
	}
	if c.In != "" {
		if err := knownIface(m, c.In); err != nil {
			return false, err
		}
	}
	in, _, err := e.input(c.Capture)
	if err != nil {
		return false, err
	}
	data, err := readAll(in)
	in.Close()
	if err != nil {
		return false, err
	}
	flows, err := diff.Capture(a.Config, b.Config, func() (replay.Source, error) {
		src, err := replay.NewCapture(bytes.NewReader(data), c.Capture, m)
		if err != nil {
			return nil, err
		}
		src.In, src.IncludeOutgoing = c.In, c.IncludeOutgoing
		return src, nil
	})
	if err != nil {
		return false, err
	}
	if !c.JSON && len(flows.Flows) > 0 {
		fmt.Fprintf(w, "A is %s, B is %s\n", a.Name, b.Name)
	}
	for _, f := range flows.Flows {
		if err := c.show(e, w, f); err != nil {
			return true, err
		}
	}
	if !c.JSON {
		fmt.Fprintf(w, "%s of %d differ, %d packets\n", count(len(flows.Flows), "flow", "flows"), flows.All, flows.Packets)
	}
	return len(flows.Flows) > 0, nil
}

// subjects reads the two. m is the machine that reads captures, nil if there is
// none.
func (c *diffCmd) subjects(e *env) (a, b diff.Subject, m *machine.Machine, err error) {
	var side [2]diff.Subject
	var text [2]*engine.Text
	var ms [2]*machine.Machine
	var errs errorList
	for i, path := range [2]string{c.A, c.B} {
		side[i].Name = path
		if st, serr := os.Stat(path); serr == nil && st.IsDir() {
			mm, _, lerr := load(path, 1)
			if lerr != nil {
				errs = append(errs, all(lerr)...)
				continue
			}
			ms[i], side[i].Config = mm, replay.Config(mm, 1)
			continue
		}
		src, rerr := e.readFile(path)
		if rerr != nil {
			errs = append(errs, rerr)
			continue
		}
		text[i] = &engine.Text{Name: path, Text: src}
	}
	if len(errs) > 0 {
		return a, b, nil, errs
	}
	fam := packet.IPv4
	if c.IPv6 {
		fam = packet.IPv6
	}
	var sets []*xtables.Ruleset
	for _, t := range text {
		if t == nil {
			continue
		}
		rs, perrs := engine.ParseRules(fam, *t)
		errs = append(errs, perrs...)
		sets = append(sets, rs)
	}
	if len(errs) > 0 {
		return a, b, nil, errs
	}
	base := lint.Imagine(sets...)
	for i := range side {
		if ms[i] != nil {
			m, base = ms[i], side[i].Config
			break
		}
	}
	for i := range side {
		if text[i] == nil {
			continue
		}
		side[i].Config, side[i].Imagined = base, m == nil
		if fam == packet.IPv6 {
			side[i].Config.Rules6 = *text[i]
		} else {
			side[i].Config.Rules4 = *text[i]
		}
	}
	return side[0], side[1], m, nil
}

// all is the errors of an error.
func all(err error) errorList {
	if l, ok := err.(errorList); ok {
		return l
	}
	return errorList{err}
}
