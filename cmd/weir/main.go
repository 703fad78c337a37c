// Command weir runs packets through a Linux machine's iptables rules without
// the machine: it replays captures, explains what happens to each packet,
// checks rule files and takes snapshots of running machines.
package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/alecthomas/kong"

	"weir/xtables/verbs"
)

// Exit statuses.
const (
	exitOK     = 0
	exitFailed = 1 // the work failed
	exitUsage  = 2
)

// cli is the command line.
type cli struct {
	Replay replayCmd `cmd:"" help:"Run a capture through a machine and write what comes out."`
	Trace  traceCmd  `cmd:"" help:"Explain packet by packet what a machine does and why."`
	Check  checkCmd  `cmd:"" help:"Say whether Linux would load a rule file."`
	Lint   lintCmd   `cmd:"" help:"Find rules that can never match and other mistakes."`
	Fmt    fmtCmd    `cmd:"" help:"Print a rule file in its canonical form, with its comments."`
	Test   testCmd   `cmd:"" help:"Run unit tests for a firewall."`
	With   withCmd   `cmd:"" help:"Run a program whose iptables changes a machine directory."`
	Diff   diffCmd   `cmd:"" help:"Show what two machines or rule sets decide differently."`
	Run    runCmd    `cmd:"" help:"Carry real packets through a machine: a router, firewall and NAT."`
	Status statusCmd `cmd:"" help:"Show the state of the weir that runs."`
	Nat    natCmd    `cmd:"" help:"Show the ports that translated connections use, and who holds one."`
	Top    topCmd    `cmd:"" help:"Show who moves the most."`

	Iptables         iptablesCmd         `cmd:"" passthrough:"" help:"iptables of the weir that runs."`
	IptablesSave     iptablesSaveCmd     `cmd:"" passthrough:"" help:"iptables-save of the weir that runs."`
	IptablesRestore  iptablesRestoreCmd  `cmd:"" passthrough:"" help:"iptables-restore of the weir that runs."`
	Ip6tables        ip6tablesCmd        `cmd:"" passthrough:"" help:"ip6tables of the weir that runs."`
	Ip6tablesSave    ip6tablesSaveCmd    `cmd:"" passthrough:"" help:"ip6tables-save of the weir that runs."`
	Ip6tablesRestore ip6tablesRestoreCmd `cmd:"" passthrough:"" help:"ip6tables-restore of the weir that runs."`
	Conntrack        conntrackCmd        `cmd:"" passthrough:"" help:"conntrack of the weir that runs, of a saved state, or after a replay."`
	Ipset            ipsetCmd            `cmd:"" passthrough:"" help:"ipset of the weir that runs."`

	Snapshot   snapshotCmd   `cmd:"" help:"Write the running machine into a machine directory."`
	Version    versionCmd    `cmd:"" help:"Print the version."`
	Completion completionCmd `cmd:"" help:"Print completion code for a shell."`
}

const description = `Weir is Linux netfilter in user space. It takes a machine (interfaces, routes, iptables rules) as a directory and says what that machine does with packets.

A first look:
  weir trace examples/home-router examples/home-router/browse.pcapng
  weir trace MACHINE --packet 'lan0 tcp 192.0.2.10:4000 > 198.51.100.1:443 S'

A machine directory holds machine.yaml (or addr.json and route.json as "ip -j" prints them), rules.v4 and rules.v6 as iptables-save prints them, and optionally ipset.save, conntrack.save, connlabel.conf, nfacct.list, timeout.conf, pf.os, passwd, group, sysctl.conf, rule.json and sockets.txt. "weir snapshot DIR" takes one from the Linux machine it runs on.`

// env is where a command reads and writes; tests put their own here.
type env struct {
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	// colour and progress: the streams are terminals.
	colour   bool
	progress bool
	// width is the columns of the terminal that stdout is; 0 if it is none.
	width int
}

func main() {
	e := &env{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		colour:   isTerminal(os.Stdout) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb",
		progress: isTerminal(os.Stderr),
		width:    terminalWidth(os.Stdout),
	}
	p, ok := verbs.Find(os.Args[0])
	name := filepath.Base(os.Args[0])
	if ok || name == "ipset" || name == "conntrack" {
		dir := toolMachine(os.Args[0])
		switch {
		case dir == "" || name == "conntrack":
			os.Exit(liveTool(e, controlPath(os.Args[0]), os.Args))
		case ok:
			os.Exit(tool(e, p, dir, os.Args))
		}
		os.Exit(ipsetTool(e, dir, os.Args))
	}
	os.Exit(run(e, os.Args[1:]))
}

// isTerminal reports whether f is a character device that is not the null
// device: good enough to decide about colours.
func isTerminal(f *os.File) bool {
	st, err := f.Stat()
	if err != nil || st.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(st, null)
}

// errUsage marks errors of the command line.
type errUsage struct{ msg string }

func (e errUsage) Error() string { return e.msg }

func usagef(format string, args ...any) error { return errUsage{fmt.Sprintf(format, args...)} }

// exit is how kong's own flags (--help) end the program.
type exit int

// run is the whole program but for the process around it.
func run(e *env, args []string) (code int) {
	defer func() {
		if r := recover(); r != nil {
			x, ok := r.(exit)
			if !ok {
				panic(r)
			}
			code = int(x)
		}
	}()
	var c cli
	parser, err := kong.New(&c,
		kong.Name("weir"),
		kong.Description(description),
		kong.Writers(e.stdout, e.stderr),
		kong.Exit(func(n int) { panic(exit(n)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true, WrapUpperBound: 100}),
		kong.ShortUsageOnError(),
		kong.Bind(e),
	)
	if err != nil {
		fmt.Fprintln(e.stderr, "weir:", err)
		return exitFailed
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	ctx, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(e.stderr, "weir: %v\n", err)
		var pe *kong.ParseError
		if errors.As(err, &pe) && pe.Context != nil && pe.Context.Selected() != nil {
			fmt.Fprintf(e.stderr, "weir %s --help explains it\n", pe.Context.Selected().Name)
		} else {
			fmt.Fprintln(e.stderr, "weir --help explains it")
		}
		return exitUsage
	}
	err = ctx.Run(e)
	return report(e, err)
}

// report writes an error, or each of several, a line each.
func report(e *env, err error) int {
	if err == nil {
		return exitOK
	}
	var x exitStatus
	if errors.As(err, &x) {
		return int(x)
	}
	var u errUsage
	if errors.As(err, &u) {
		fmt.Fprintln(e.stderr, "weir:", u.msg)
		return exitUsage
	}
	if errors.As(err, &errFound{}) {
		return exitFailed
	}
	var trouble errTrouble
	if errors.As(err, &trouble) {
		report(e, trouble.error)
		return exitUsage
	}
	var list errorList
	if errors.As(err, &list) {
		for _, x := range list {
			fmt.Fprintln(e.stderr, plain(x))
		}
		return exitFailed
	}
	fmt.Fprintln(e.stderr, plain(err))
	return exitFailed
}

// plain is an error as FILE: message; what Go tried to do with the file says
// nothing to the reader.
func plain(err error) string {
	if p, ok := err.(*fs.PathError); ok {
		return p.Path + ": " + p.Err.Error()
	}
	return err.Error()
}

// errorList is several errors, each for a line of its own.
type errorList []error

func (l errorList) Error() string {
	if len(l) == 0 {
		return "no error"
	}
	return l[0].Error()
}
