package text

import (
	"strings"

	"weir/ipset"
)

// Version is the ipset(8) whose language this is.
const Version = "7.17"

// Exit codes of ipset(8).
const (
	exitOther = 1
	exitUsage = 2
)

// maxArgs is the words that a command line may have.
const maxArgs = 32

// Files is where -file reads and writes; nil refuses the option.
type Files interface {
	Read(name string) ([]byte, error)
	Write(name string, data []byte) error
}

// Run does what ipset does with the arguments, without the program's name.
// now is the time in ns.
func Run(sets *ipset.Sets, args []string, stdin []byte, now int64, files Files) (stdout, stderr []byte, code int) {
	r := &runner{sets: sets, now: now, stdin: stdin, files: files}
	if end := r.line(args); end != nil {
		code = end.code
	}
	return r.out, r.err, code
}

// level is how bad a message is.
type level uint8

const (
	fine level = iota
	warning
	notice
	failure
)

// end stops the program.
type end struct{ code int }

type runner struct {
	sets     *ipset.Sets
	now      int64
	stdin    []byte
	files    Files
	out, err []byte

	report                             string
	level                              level
	lineno                             int // of the message's line
	line0                              int // of restore; 0 outside
	file                               string
	mode                               string // of the output, "" for the command's own
	sorted, quiet, exist, names, terse bool

	cmd string // the last command; add and del of one set go together
	set string
	batch
}

// batch is what restore has read and not yet done.
type batch struct {
	todo  []todo
	force bool // -exist
}

type todo struct {
	op   ipset.Op
	set  string
	req  ipset.Request
	line int
}

// say keeps a message for the end, as the library of ipset does.
func (r *runner) say(l level, msg string) bool {
	if r.level > fine && r.level < l {
		r.report = ""
	}
	if r.lineno != 0 && l == failure {
		r.report = "Error in line " + itoa(uint64(r.lineno)) + ": "
	}
	r.report += msg + "\n"
	r.level = l
	return false
}

func (r *runner) syntax(msg string) bool { return r.say(failure, "Syntax error: "+msg) }

// usage ends the program for a wrong command line.
func (r *runner) usage(msg string) *end { return r.quit(exitUsage, msg) }

func (r *runner) quit(code int, msg string) *end {
	if !r.quiet {
		r.err = append(r.err, "ipset v"+Version+": "+msg+"\n"...)
		if code == exitUsage {
			r.err = append(r.err, "Try `ipset help' for more information.\n"...)
		}
	}
	return &end{code}
}

// finish ends the program with the message that was kept.
func (r *runner) finish() *end {
	if !r.quiet {
		switch r.level {
		case warning:
			r.err = append(r.err, "Warning: "+r.report...)
		case notice:
			r.err = append(r.err, r.report...)
		case failure:
			r.err = append(r.err, "ipset v"+Version+": "+r.report...)
		}
	}
	if r.level <= warning {
		return &end{0}
	}
	return &end{exitOther}
}

// option is one of the options that may stand anywhere.
type option struct {
	short, long string
	arg         bool
}

func options() []option {
	return []option{{"-o", "-output", true}, {"-s", "-sorted", false}, {"-q", "-quiet", false}, {"-r", "-resolve", false},
		{"-!", "-exist", false}, {"-n", "-name", false}, {"-t", "-terse", false}, {"-f", "-file", true}}
}

// command is a verb and how many words must follow it; -1 is one that may.
type command struct {
	names []string
	args  int
}

func commands() []command {
	return []command{{[]string{"create", "new", "-N"}, 2}, {[]string{"add", "-A"}, 2}, {[]string{"del", "-D"}, 2},
		{[]string{"test", "-T"}, 2}, {[]string{"destroy", "x", "-X"}, -1}, {[]string{"list", "-L"}, -1}, {[]string{"save", "-S"}, -1},
		{[]string{"restore", "-R"}, 0}, {[]string{"flush", "-F"}, -1}, {[]string{"rename", "e", "-E"}, 2},
		{[]string{"swap", "w", "-W"}, 2}, {[]string{"help", "-h", "-H"}, -1}, {[]string{"version", "-v", "-V"}, 0},
		{[]string{"quit"}, 0}}
}

// takeOptions removes the options from the words and minds them.
func (r *runner) takeOptions(args []string) ([]string, *end) {
	for _, o := range options() {
		for i := 0; i < len(args); {
			w := args[i]
			if strings.HasPrefix(w, "--") {
				w = w[1:]
			}
			if w != o.short && w != o.long {
				i++
				continue
			}
			args = append(args[:i:i], args[i+1:]...)
			val := ""
			if o.arg {
				if i >= len(args) {
					return nil, r.usage("Missing mandatory argument to option " + o.short)
				}
				val = args[i]
				args = append(args[:i:i], args[i+1:]...)
			}
			if e := r.setOption(o.short, val); e != nil {
				return nil, e
			}
		}
	}
	return args, nil
}

func (r *runner) setOption(name, val string) *end {
	switch name {
	case "-o":
		switch val {
		case "plain", "xml", "save":
			r.mode = val
		default:
			r.syntax("unknown output mode '" + val + "'")
			return r.finish()
		}
	case "-s":
		r.sorted = true
	case "-q":
		r.quiet = true
	case "-r":
		return r.quit(exitOther, "Names are not resolved.")
	case "-!":
		r.exist = true
	case "-n":
		r.names = true
	case "-t":
		r.terse = true
	case "-f":
		if r.file != "" {
			return r.usage("-file option cannot be used when full io is activated")
		}
		r.file = val
	}
	return nil
}

// line does one command line. Nil is to go on.
func (r *runner) line(args []string) *end {
	if len(args)+1 > maxArgs {
		return r.usage("Line is too long to parse.")
	}
	r.lineno = r.line0
	args, e := r.takeOptions(args)
	if e != nil {
		return e
	}
	cmd, rest, e := r.findCommand(args)
	if e != nil {
		return e
	}
	words := rest.words
	switch cmd {
	case "":
		switch {
		case len(args) > 0 && args[0] == "-":
			return r.quit(exitOther, "There is no interactive mode.")
		case len(args) > 0:
			return r.usage("No command specified: unknown argument " + args[0])
		}
		return r.usage("No command specified.")
	case "version":
		r.out = append(r.out, "ipset v"+Version+", protocol version: 7\n"...)
		return &end{0}
	case "help":
		return r.help(rest.arg0)
	case "quit":
		return &end{0}
	case "create":
		return r.create(rest.arg0, rest.arg1, words)
	case "add", "del", "test":
		return r.element(cmd, rest.arg0, rest.arg1, words)
	case "rename", "swap":
		if !r.checkName(rest.arg0) || !r.checkName(rest.arg1) {
			return r.finish()
		}
	case "restore":
	default:
		if rest.arg0 != "" && !r.checkName(rest.arg0) {
			return r.finish()
		}
	}
	if len(words) > 0 {
		return r.usage("Unknown argument " + words[0])
	}
	if cmd == "restore" {
		return r.restore()
	}
	if !r.commit() {
		return r.finish()
	}
	r.cmd, r.set = cmd, ""
	err := ipset.OK
	switch cmd {
	case "list", "save":
		return r.list(cmd, rest.arg0)
	case "destroy":
		err = r.sets.Destroy(rest.arg0)
	case "flush":
		err = r.flush(rest.arg0)
	case "rename":
		err = r.sets.Rename(rest.arg0, rest.arg1)
	case "swap":
		err = r.sets.Swap(rest.arg0, rest.arg1)
	}
	if err != ipset.OK {
		r.say(failure, message(cmd, err))
		return r.finish()
	}
	return nil
}

func (r *runner) flush(name string) ipset.Error {
	if name != "" {
		s := r.sets.Lookup(name)
		if s == nil {
			return ipset.ErrNoSet
		}
		s.Flush()
		return ipset.OK
	}
	for _, s := range r.sets.All() {
		s.Flush()
	}
	return ipset.OK
}

// rest is a command line behind its verb.
type rest struct {
	arg0, arg1 string
	words      []string
}

func (r *runner) findCommand(args []string) (string, rest, *end) {
	var out rest
	if len(args) == 0 {
		return "", out, nil
	}
	for _, c := range commands() {
		if !matches(args[0], c.names) {
			continue
		}
		name := c.names[0]
		if r.line0 != 0 && (name == "restore" || name == "version" || name == "help") {
			return "", out, r.usage("Command `" + name + "' is invalid in restore mode.")
		}
		out.words = args[1:]
		if c.args > 0 && len(out.words) == 0 {
			return "", out, r.usage("Missing mandatory argument to command " + name)
		}
		if c.args != 0 && len(out.words) > 0 {
			out.arg0, out.words = out.words[0], out.words[1:]
		}
		if c.args == 2 {
			if len(out.words) == 0 {
				return "", out, r.usage("Missing second mandatory argument to command " + name)
			}
			out.arg1, out.words = out.words[0], out.words[1:]
		}
		return name, out, nil
	}
	return "", out, nil
}

// matches: any beginning of a name will do, with two dashes before it or not.
func matches(arg string, names []string) bool {
	arg = strings.TrimPrefix(arg, "--")
	if arg == "" || arg == "-" {
		return false
	}
	for _, n := range names {
		if strings.HasPrefix(n, arg) {
			return true
		}
	}
	return false
}

const maxName = 31

func (r *runner) checkName(name string) bool {
	if len(name) > maxName {
		return r.syntax("setname '" + name + "' is longer than 31 characters")
	}
	return true
}
