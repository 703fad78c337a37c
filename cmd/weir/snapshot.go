package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sort"
	"strings"

	"weir/machine"
)

type snapshotCmd struct {
	Dir   string `arg:"" help:"Directory to write; made if it does not exist."`
	Force bool   `help:"Overwrite the files of an earlier snapshot."`
}

func (snapshotCmd) Help() string {
	return `Runs ip, iptables-save, ip6tables-save, ipset and ss, and reads /proc/sys/net, in the network namespace it is started in. Needs root for the rules.

Examples:
  weir snapshot router
  ip netns exec blue weir snapshot blue
  ssh root@router weir snapshot /tmp/router`
}

// part is one file of a snapshot and the commands that may fill it.
type part struct {
	file string
	// cmds are tried in order; the first with something to say wins.
	cmds     [][]string
	optional bool
}

var parts = []part{
	{"addr.json", [][]string{{"ip", "-j", "addr"}}, false},
	{"route.json", [][]string{{"ip", "-j", "-4", "route", "show", "table", "all"}}, false},
	{"route6.json", [][]string{{"ip", "-j", "-6", "route", "show", "table", "all"}}, false},
	{"rule.json", [][]string{{"ip", "-j", "-4", "rule"}}, true},
	{"rule6.json", [][]string{{"ip", "-j", "-6", "rule"}}, true},
	{"ipset.save", [][]string{{"ipset", "save"}}, true},
	{"nfacct.list", [][]string{{"nfacct", "list"}}, true},
	{"timeout.conf", [][]string{{"nfct", "list", "timeout"}}, true},
	{"connlabel.conf", [][]string{{"cat", "/etc/xtables/connlabel.conf"}}, true},
	{"sockets.txt", [][]string{{"ss", "-HOlntue", "--inet-sockopt"}, {"ss", "-Hlntu"}}, false},
}

// Run fills the directory.
func (c *snapshotCmd) Run(e *env) error {
	if runtime.GOOS != "linux" {
		return errors.New("weir snapshot: only a Linux machine can be taken a snapshot of")
	}
	files := map[string][]byte{}
	for _, p := range parts {
		out, err := firstOutput(p.cmds)
		if err != nil {
			if p.optional {
				continue
			}
			return err
		}
		if p.optional && len(out) == 0 {
			continue
		}
		files[p.file] = out
	}
	for _, r := range []struct{ file, prefix string }{{"rules.v4", "iptables"}, {"rules.v6", "ip6tables"}} {
		out, err := rules(e, r.prefix)
		if err != nil {
			return err
		}
		files[r.file] = out
	}
	files["sysctl.conf"] = sysctls("/proc/sys/net")
	if err := ruleState(files); err != nil {
		return err
	}

	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return err
	}
	names := make([]string, 0, len(files))
	for n := range files {
		names = append(names, n)
	}
	sort.Strings(names)
	if !c.Force {
		for _, n := range append([]string{"machine.yaml"}, names...) {
			if _, err := os.Lstat(filepath.Join(c.Dir, n)); err == nil {
				return fmt.Errorf("%s: exists; --force overwrites it", filepath.Join(c.Dir, n))
			}
		}
	}
	for _, d := range machine.ProcDirs() {
		if c.Force {
			if err := os.RemoveAll(filepath.Join(c.Dir, d)); err != nil {
				return err
			}
		}
	}
	for _, n := range names {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(c.Dir, n)), 0o755); err != nil {
			return err
		}
		// Rules and addresses are nobody else's business.
		if err := os.WriteFile(filepath.Join(c.Dir, n), files[n], 0o600); err != nil {
			return err
		}
	}
	if c.Force {
		// What this machine does not have must not stay from another one.
		for _, n := range []string{"machine.yaml", "ipset.save", "nfacct.list", "connlabel.conf", "jiffies"} {
			if _, ok := files[n]; !ok {
				if err := os.Remove(filepath.Join(c.Dir, n)); err != nil && !os.IsNotExist(err) {
					return err
				}
			}
		}
	}
	fmt.Fprintf(e.stderr, "%s: %s\n", c.Dir, strings.Join(names, ", "))
	return nil
}

// ruleState reads what /proc/net shows of the state of rules, and the tick
// counter that its times refer to.
func ruleState(files map[string][]byte) error {
	any := false
	for _, d := range machine.ProcDirs() {
		list, err := os.ReadDir(filepath.Join("/proc/net", d))
		if err != nil {
			continue // this kernel has no such match
		}
		for _, f := range list {
			text, err := os.ReadFile(filepath.Join("/proc/net", d, f.Name()))
			if err != nil {
				return err
			}
			any = true
			files[filepath.Join(d, f.Name())] = text
		}
	}
	if !any {
		return nil
	}
	text, err := os.ReadFile("/proc/timer_list")
	if err != nil {
		return nil // not root: the newest time in the lists will do
	}
	for _, l := range strings.Split(string(text), "\n") {
		if n, ok := strings.CutPrefix(l, "jiffies: "); ok {
			files["jiffies"] = []byte(n + "\n")
			break
		}
	}
	return nil
}

// firstOutput runs commands until one has something to say; that none has is
// no error if one of them ran.
func firstOutput(cmds [][]string) ([]byte, error) {
	var first error
	ran := false
	for _, c := range cmds {
		out, err := outputOf(c)
		if err != nil {
			if first == nil {
				first = err
			}
			continue
		}
		ran = true
		if len(bytes.TrimSpace(out)) > 0 {
			return out, nil
		}
	}
	if ran {
		return nil, nil
	}
	return nil, first
}

func outputOf(c []string) ([]byte, error) {
	cmd := exec.Command(c[0], c[1:]...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		msg := strings.TrimSpace(stderr.String())
		if msg == "" {
			msg = err.Error()
		}
		return nil, fmt.Errorf("%s: %s", strings.Join(c, " "), msg)
	}
	return out, nil
}

// rules saves the rules of a family. A machine may have both variants of
// iptables; the one with rules is in use, and two with rules are an error
// because weir runs one set.
func rules(e *env, prefix string) ([]byte, error) {
	var found [][]byte
	var from []string
	var first error
	ran := false
	for _, variant := range []string{"-legacy-save", "-nft-save", "-save"} {
		if variant == "-save" && ran {
			break
		}
		out, err := outputOf([]string{prefix + variant, "-c"})
		if err != nil {
			if first == nil || errors.Is(first, exec.ErrNotFound) {
				first = err
			}
			continue
		}
		ran = true
		if hasRules(out) {
			found = append(found, out)
			from = append(from, prefix+variant)
		}
	}
	switch {
	case !ran:
		return nil, first
	case len(found) > 1:
		return nil, fmt.Errorf("%s and %s both have rules; weir runs one set of rules: clear one", from[0], from[1])
	case len(found) == 1:
		return found[0], nil
	}
	return nil, nil
}

// hasRules reports whether iptables-save printed anything that has an effect:
// a rule, a user chain or a policy other than ACCEPT.
func hasRules(out []byte) bool {
	for _, l := range bytes.Split(out, []byte{'\n'}) {
		s := string(l)
		if strings.HasPrefix(s, "-A ") || strings.HasPrefix(s, "[") {
			return true
		}
		if strings.HasPrefix(s, ":") {
			if f := strings.Fields(s); len(f) > 1 && f[1] != "ACCEPT" {
				return true
			}
		}
	}
	return false
}

// sysctls reads the settings under root as sysctl -a prints them.
func sysctls(root string) []byte {
	var b bytes.Buffer
	err := filepath.WalkDir(root, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // what cannot be read is left out
		}
		v, err := os.ReadFile(p)
		if err != nil {
			return nil
		}
		rel, err := filepath.Rel(filepath.Dir(root), p)
		if err != nil {
			return nil
		}
		words := strings.Split(rel, string(filepath.Separator))
		for i := range words {
			words[i] = strings.ReplaceAll(words[i], ".", "/")
		}
		value := strings.TrimRight(string(v), "\n")
		if strings.Contains(value, "\n") {
			return nil // tables such as route statistics
		}
		fmt.Fprintf(&b, "%s = %s\n", strings.Join(words, "."), value)
		return nil
	})
	if err != nil {
		return nil
	}
	return b.Bytes()
}
