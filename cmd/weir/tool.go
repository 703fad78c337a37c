package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

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
	f, errs := save.Parse(file, src, p.Family, std.List())
	if len(errs) > 0 {
		return report(e, errorList(errs))
	}
	res := verbs.Run(f.Rules, verbs.Call{
		Program: p, Args: args[1:], Now: time.Now(), List: std.List(),
		Stdin: func() ([]byte, error) { return readAll(e.stdin) },
		Open:  os.ReadFile,
		Write: func(name string, data []byte) error { return os.WriteFile(name, data, 0o666) },
	})
	if res.Changed {
		if text := rulesText(res.Rules); !bytes.Equal(text, src) {
			if err := replaceFile(file, text); err != nil {
				fmt.Fprintf(e.stderr, "%s: %s\n", name, plain(err))
				return exitFailed
			}
		}
	}
	e.stdout.Write(res.Stdout)
	e.stderr.Write(res.Stderr)
	return res.Status
}

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
