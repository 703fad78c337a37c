package main

import (
	"os"

	"weir/ipset"
	"weir/ipset/text"
	"weir/machine"
	"weir/packet"
	"weir/xtables"
	"weir/xtables/save"
	"weir/xtables/std"
)

type checkCmd struct {
	Files  []string `arg:"" name:"file" help:"Files as iptables-save prints them; - is standard input."`
	IPv6   bool     `name:"ipv6" help:"The files are ip6tables-save's."`
	Sets   string   `help:"File as ipset save prints it: the sets that the rules may name." placeholder:"FILE"`
	Names  string   `name:"machine" help:"Machine directory: its ipset.save, connlabel.conf, nfacct.list, passwd and group are what the rules may name." placeholder:"DIR"`
	Strict bool     `name:"strict-linux" help:"Refuse what Linux does not have: -j MASQUERADE and SNAT with --mapping."`
	Print  bool     `help:"Print what iptables-legacy-save would print after loading the file."`
}

func (checkCmd) Help() string {
	return `Silent when Linux would load the files; otherwise each error has a line FILE:LINE:COLUMN: message.

Examples:
  weir check rules.v4
  weir check --ipv6 rules.v6
  weir check --sets ipset.save rules.v4
  weir check --machine router rules.v4
  weir check --print rules.v4 | diff rules.v4 -`
}

// Run checks.
func (c *checkCmd) Run(e *env) error {
	fam := packet.IPv4
	if c.IPv6 {
		fam = packet.IPv6
	}
	var errs errorList
	list := std.List()
	list.StrictLinux = c.Strict
	if c.Sets != "" {
		var err error
		if list.Sets, err = e.loadSets(c.Sets); err != nil {
			return err
		}
	}
	if c.Names != "" {
		var errs errorList
		if list.Known, errs = machine.Known(c.Names); len(errs) > 0 {
			return errs
		}
		if c.Sets == "" {
			var err error
			if list.Sets, err = loadSets(c.Names); err != nil {
				return err
			}
		}
	}
	for _, name := range c.Files {
		src, err := e.readFile(name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		f, ferrs := save.Parse(name, src, fam, list)
		if len(ferrs) == 0 {
			ferrs = f.Rules.Bind(&xtables.Shared{Sets: list.Sets})
		}
		errs = append(errs, ferrs...)
		if len(ferrs) == 0 && c.Print {
			if _, err := e.stdout.Write(save.Print(f)); err != nil {
				return err
			}
		}
	}
	if len(errs) > 0 {
		return errs
	}
	return nil
}

// loadSets reads a file as ipset save prints it.
func (e *env) loadSets(name string) (*ipset.Sets, error) {
	src, err := e.readFile(name)
	if err != nil {
		return nil, err
	}
	sets := ipset.New(nil)
	if line, col, msg := text.Load(sets, src, 0); line > 0 {
		return nil, &xtables.Error{Pos: xtables.Pos{File: name, Line: line, Col: col}, Msg: msg}
	}
	return sets, nil
}

func (e *env) readFile(name string) ([]byte, error) {
	if name == "-" {
		return readAll(e.stdin)
	}
	return os.ReadFile(name)
}
