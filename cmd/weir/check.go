package main

import (
	"os"

	"weir/ipset"
	"weir/ipset/text"
	"weir/packet"
	"weir/xtables"
	"weir/xtables/save"
	"weir/xtables/std"
)

type checkCmd struct {
	Files []string `arg:"" name:"file" help:"Files as iptables-save prints them; - is standard input."`
	IPv6  bool     `name:"ipv6" help:"The files are ip6tables-save's."`
	Sets  string   `help:"File as ipset save prints it: the sets that the rules may name." placeholder:"FILE"`
	Print bool     `help:"Print what iptables-legacy-save would print after loading the file."`
}

func (checkCmd) Help() string {
	return `Silent when Linux would load the files; otherwise each error has a line FILE:LINE:COLUMN: message.

Examples:
  weir check rules.v4
  weir check --ipv6 rules.v6
  weir check --sets ipset.save rules.v4
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
	if c.Sets != "" {
		src, err := e.readFile(c.Sets)
		if err != nil {
			return err
		}
		list.Sets = ipset.New(nil)
		if line, col, msg := text.Load(list.Sets, src, 0); line > 0 {
			return &xtables.Error{Pos: xtables.Pos{File: c.Sets, Line: line, Col: col}, Msg: msg}
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

func (e *env) readFile(name string) ([]byte, error) {
	if name == "-" {
		return readAll(e.stdin)
	}
	return os.ReadFile(name)
}
