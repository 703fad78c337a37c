package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"weir/ipset"
	"weir/ipset/text"
	"weir/machine"
	"weir/packet"
	"weir/xtables"
	"weir/xtables/save"
	"weir/xtables/std"
	"weir/xtables/verbs"
)

// exitLocked is how iptables ends when another one holds the lock.
const exitLocked = 4

// tool is weir as iptables, iptables-save or iptables-restore of the machine
// directory dir; args is the whole command line.
func tool(e *env, p verbs.Program, dir string, args []string) int {
	name := filepath.Base(args[0])
	if p.Kind != verbs.SaveRules {
		seconds, wait := verbs.Wait(args[1:])
		unlock, err := lockDir(dir, wait, time.Duration(seconds)*time.Second)
		switch {
		case errors.Is(err, errLocked):
			fmt.Fprintln(e.stderr, "Another app is currently holding the xtables lock. Perhaps you want to use the -w option?")
			return exitLocked
		case err != nil:
			fmt.Fprintf(e.stderr, "%s: %s\n", name, plain(err))
			return exitLocked
		}
		defer unlock()
	}
	file := filepath.Join(dir, "rules.v4")
	if p.Family == packet.IPv6 {
		file = filepath.Join(dir, "rules.v6")
	}
	src, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintf(e.stderr, "%s: %s\n", name, plain(err))
		return exitFailed
	}
	list := std.List()
	if list.Sets, err = loadSets(dir); err != nil {
		return report(e, err)
	}
	var errs []error
	if list.Known, errs = machine.Known(dir); len(errs) > 0 {
		return report(e, errorList(errs))
	}
	f, errs := save.Parse(file, src, p.Family, list)
	if len(errs) > 0 {
		return report(e, errorList(errs))
	}
	res := verbs.Run(f.Rules, verbs.Call{
		Program: p, Args: args[1:], Now: time.Now(), List: list,
		Stdin: func() ([]byte, error) { return readAll(e.stdin) },
		Open:  os.ReadFile,
		Write: func(name string, data []byte) error { return os.WriteFile(name, data, 0o666) },
	})
	if res.Changed {
		if rules := rulesText(res.Rules); !bytes.Equal(rules, src) {
			if err := replaceFile(file, rules); err != nil {
				fmt.Fprintf(e.stderr, "%s: %s\n", name, plain(err))
				return exitFailed
			}
		}
	}
	e.stdout.Write(res.Stdout)
	e.stderr.Write(res.Stderr)
	return res.Status
}

// ipsetTool is weir as ipset of the machine directory dir.
func ipsetTool(e *env, dir string, args []string) int {
	unlock, err := lockDir(dir, true, 0)
	if err != nil {
		return report(e, err)
	}
	defer unlock()
	sets, err := loadSets(dir)
	if err != nil {
		return report(e, err)
	}
	var stdin []byte
	if slices.Contains(args, "restore") || slices.Contains(args, "-R") {
		if stdin, err = readAll(e.stdin); err != nil {
			return report(e, err)
		}
	}
	if err := referSets(dir, sets); err != nil {
		return report(e, err)
	}
	before := text.Save(sets, false, 0)
	stdout, stderr, code := text.Run(sets, args[1:], stdin, 0, diskFiles{})
	if after := text.Save(sets, false, 0); !bytes.Equal(before, after) {
		if err := replaceFile(filepath.Join(dir, setsFile), after); err != nil {
			return report(e, err)
		}
	}
	e.stdout.Write(stdout)
	e.stderr.Write(stderr)
	return code
}

// referSets counts what the rules of a machine directory name: such a set
// cannot be destroyed.
func referSets(dir string, sets *ipset.Sets) error {
	list := std.List()
	list.Sets = sets
	var bad []error
	if list.Known, bad = machine.Known(dir); len(bad) > 0 {
		return errorList(bad)
	}
	for name, fam := range map[string]packet.Family{"rules.v4": packet.IPv4, "rules.v6": packet.IPv6} {
		file := filepath.Join(dir, name)
		src, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		f, errs := save.Parse(file, src, fam, list)
		if len(errs) > 0 {
			return errorList(errs)
		}
		words := strings.Fields(string(save.Print(f)))
		for i, w := range words[:max(0, len(words)-1)] {
			switch w {
			case "--match-set", "--add-set", "--del-set", "--map-set":
				if id, ok := sets.ID(words[i+1]); ok {
					sets.Refer(id, 1)
				}
			}
		}
	}
	return nil
}

// setsFile holds the sets of a machine directory.
const setsFile = "ipset.save"

// loadSets reads the sets of a machine directory; none are none.
func loadSets(dir string) (*ipset.Sets, error) {
	name := filepath.Join(dir, setsFile)
	sets := ipset.New(nil)
	src, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return sets, nil
	}
	if err != nil {
		return nil, err
	}
	if line, col, msg := text.Load(sets, src, 0); line > 0 {
		return nil, &xtables.Error{Pos: xtables.Pos{File: name, Line: line, Col: col}, Msg: msg}
	}
	return sets, nil
}

// diskFiles are files by name.
type diskFiles struct{}

func (diskFiles) Read(name string) ([]byte, error)     { return os.ReadFile(name) }
func (diskFiles) Write(name string, data []byte) error { return os.WriteFile(name, data, 0o666) }

// rulesText is a rule set as rules.v4 has it: with the counters of rules if
// there are any.
func rulesText(rs *xtables.Ruleset) []byte {
	for _, t := range rs.Tables {
		for _, c := range t.Chains {
			for i := range c.Rules {
				if t.Counter(c, i) != (xtables.Counter{}) {
					return save.Append(nil, rs, true)
				}
			}
		}
	}
	return save.Append(nil, rs, false)
}

// replaceFile writes a file so that a reader sees the old one or the new one,
// whole.
func replaceFile(name string, text []byte) error {
	mode := fs.FileMode(0o644)
	if st, err := os.Stat(name); err == nil {
		mode = st.Mode().Perm()
	}
	tmp, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(text)
	if err == nil {
		err = tmp.Chmod(mode)
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), name)
	}
	if err != nil {
		os.Remove(tmp.Name())
	}
	return err
}

var errLocked = errors.New("the machine directory is locked")
