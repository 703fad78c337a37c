package text

import (
	"strings"

	"weir/ipset"
)

// maxLine is the bytes of a line that ipset reads at once.
const maxLine = 1023

// restore does the lines of standard input, or of a file.
func (r *runner) restore() *end {
	src := r.stdin
	if r.file != "" {
		if r.files == nil {
			return r.quit(exitOther, "Cannot open "+r.file+" for reading: Permission denied")
		}
		b, err := r.files.Read(r.file)
		if err != nil {
			r.say(failure, "Cannot open "+r.file+" for reading: "+err.Error())
			return r.finish()
		}
		src = b
	}
	return r.lines(string(src))
}

func (r *runner) lines(src string) *end {
	for src != "" {
		line, after, _ := strings.Cut(src, "\n")
		if len(line) >= maxLine {
			line, after = src[:maxLine], src[maxLine:]
		} else if len(line) < len(src) {
			line = src[:len(line)+1]
		}
		src = after
		r.line0++
		line = strings.TrimLeft(line, " \t\n\v\f\r")
		if line == "" || line[0] == '#' {
			continue
		}
		if line == "COMMIT\n" || line == "COMMIT\r\n" {
			if !r.commit() {
				return r.finish()
			}
			continue
		}
		args, msg := split(line)
		if msg != "" {
			return r.usage(msg)
		}
		if e := r.line(args); e != nil {
			return e
		}
	}
	if !r.commit() {
		return r.finish()
	}
	return nil
}

// split cuts a line into words; a quoted part may hold spaces.
func split(line string) (args []string, msg string) {
	quoted := false
	var arg []byte
	for i := 0; i < len(line); i++ {
		if len(args)+2 == maxArgs {
			return nil, "Line is too long to parse."
		}
		last := i+1 == len(line)
		switch c := line[i]; c {
		case '"':
			quoted = !quoted
			if !last {
				continue
			}
		case ' ', '\r', '\n', '\t':
			if quoted {
				arg = append(arg, c)
				continue
			}
		default:
			arg = append(arg, c)
			if !last {
				continue
			}
		}
		if last && quoted {
			return nil, "Missing close quote!"
		}
		if len(arg) > 0 {
			args = append(args, string(arg))
			arg = arg[:0]
		}
	}
	return args, ""
}

// commit does what was read and not yet done; the first that fails ends it.
func (r *runner) commit() bool {
	list := r.todo
	r.todo = r.todo[:0]
	for i := range list {
		d := &list[i]
		if err := r.sets.Do(d.op, d.set, &d.req, r.force, r.now); err != ipset.OK {
			r.lineno = d.line
			cmd := "add"
			if d.op == ipset.Del {
				cmd = "del"
			}
			return r.say(failure, message(cmd, err))
		}
	}
	return true
}

// Load reads the text of ipset save into sets. If it cannot be read, line and
// col say where, and msg what is wrong; line 0 is fine.
func Load(sets *ipset.Sets, src []byte, now int64) (line, col int, msg string) {
	r := &runner{sets: sets, now: now, quiet: false}
	e := r.lines(string(src))
	if e == nil {
		return 0, 0, ""
	}
	line = r.line0
	if r.lineno != 0 && r.level == failure {
		line = r.lineno
	}
	text := strings.TrimSuffix(string(r.err), "\n")
	text = strings.TrimPrefix(text, "ipset v"+Version+": ")
	text = strings.TrimSuffix(text, "\nTry `ipset help' for more information.")
	if _, after, ok := strings.Cut(text, "Error in line "+itoa(uint64(line))+": "); ok {
		text = after
	}
	if text == "" {
		text = "this command has no place in a machine's sets"
	}
	return line, 1, strings.ReplaceAll(text, "\n", "; ")
}
