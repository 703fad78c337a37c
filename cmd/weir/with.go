package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"

	"weir/machine"
	"weir/xtables/verbs"
)

// withEnv names the machine directory to a program that weir runs as iptables.
const withEnv = "WEIR_MACHINE"

// withFile says the same beside the programs, for those that clean their
// environment.
const withFile = "machine"

// toolMachine is the machine directory of weir run as argv0; empty if there is
// none.
func toolMachine(argv0 string) string {
	if dir := os.Getenv(withEnv); dir != "" {
		return dir
	}
	path, err := exec.LookPath(argv0)
	if err != nil {
		return ""
	}
	dir, err := os.ReadFile(filepath.Join(filepath.Dir(path), withFile))
	if err != nil {
		return ""
	}
	return string(dir)
}

type withCmd struct {
	Machine string   `arg:"" help:"Machine directory."`
	Command []string `arg:"" passthrough:"" help:"The program and its arguments, behind --."`
}

func (withCmd) Help() string {
	return `Runs a program that finds iptables, iptables-save, iptables-restore and their ip6tables twins and ipset on its PATH as programs that read and write rules.v4, rules.v6 and ipset.save of the machine directory, and never the kernel. Messages and exit statuses are those of iptables-legacy 1.8.9. It needs no root; each command is one atomic change.

A program that calls iptables by its full path (/usr/sbin/iptables), as ufw and shorewall do, reaches the real one unless weir is mounted over it, which an ordinary user can do for himself:

  unshare -rm sh -c 'mount --bind "$(command -v weir)" /usr/sbin/xtables-nft-multi && weir with router -- ufw --force enable'

Examples:
  weir with router -- iptables -A INPUT -p tcp --dport 22 -j ACCEPT
  weir with router -- sh ./firewall.sh
  weir with router -- iptables -L -n -v --line-numbers`
}

// Run runs the program.
func (c *withCmd) Run(e *env) error {
	args := c.Command
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		return usagef("with: expected -- COMMAND")
	}
	dir, err := filepath.Abs(c.Machine)
	if err != nil {
		return err
	}
	if _, errs := machine.Load(dir); len(errs) > 0 {
		return errorList(errs)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	bin, err := os.MkdirTemp("", "weir-with-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(bin)
	for _, n := range append(verbs.Names(), "ipset") {
		if err := os.Symlink(self, filepath.Join(bin, n)); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(bin, withFile), []byte(dir), 0o644); err != nil {
		return err
	}
	path := bin + string(os.PathListSeparator) + os.Getenv("PATH")
	name := args[0]
	if !strings.ContainsRune(name, filepath.Separator) {
		if _, ok := verbs.Find(name); ok || name == "ipset" {
			name = filepath.Join(bin, name)
		}
	}
	// A signal of the terminal reaches the program too: weir waits for its end.
	signal.Notify(make(chan os.Signal, 8), os.Interrupt)
	defer signal.Reset(os.Interrupt)
	cmd := exec.CommandContext(context.Background(), name, args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = e.stdin, e.stdout, e.stderr
	cmd.Env = append(os.Environ(), "PATH="+path, withEnv+"="+dir)
	err = cmd.Run()
	var x *exec.ExitError
	switch {
	case errors.As(err, &x) && x.ExitCode() >= 0:
		return exitStatus(x.ExitCode())
	case errors.As(err, &x):
		return fmt.Errorf("%s: %s", args[0], x.ProcessState)
	}
	return err
}

// exitStatus ends weir as a program that it ran ended, without a word.
type exitStatus int

func (s exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }
