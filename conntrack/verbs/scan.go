package verbs

import "strings"

// scan walks a command line as getopt_long(3) does: options in bundles or by
// name, names cut short where they are clear, other words passed over.
type scan struct {
	args  []string
	at    int    // next argument
	rest  string // of the bundle at args[at-1], once it is begun
	longs []long

	cur  int    // index of the argument of the option that was found
	arg  string // its own argument, if hasArg
	has  bool
	argN int // index of where arg stands
}

// next is the next option; 0 is the end.
func (s *scan) next() (c rune, bad *Failure) {
	for s.rest == "" {
		if s.at == len(s.args) {
			return 0, nil
		}
		a := s.args[s.at]
		s.at++
		switch {
		case a == "--":
			s.at = len(s.args)
			return 0, nil
		case strings.HasPrefix(a, "--"):
			return s.long(a)
		case len(a) > 1 && a[0] == '-':
			s.rest = a[1:]
		}
	}
	return s.short()
}

// short takes one letter of a bundle.
func (s *scan) short() (rune, *Failure) {
	c := s.rest[0]
	s.rest = s.rest[1:]
	s.cur, s.has = s.at-1, false
	arg, ok := short(c)
	if !ok {
		// getopt(3) is still at the argument, unless it was its last letter.
		name := s.args[s.cur]
		if s.rest != "" {
			name = "conntrack"
			if s.cur > 0 {
				name = s.args[s.cur-1]
			}
		}
		return 0, s.usage("unknown option `" + name + "'")
	}
	switch {
	case arg == never:
	case s.rest != "":
		s.arg, s.has, s.argN, s.rest = s.rest, true, s.cur, ""
	case arg == always:
		if s.at == len(s.args) {
			return 0, s.usage("option `" + s.args[s.cur] + "' requires an argument")
		}
		s.take()
	}
	return rune(c), nil
}

// long takes an option by its name.
func (s *scan) long(a string) (rune, *Failure) {
	s.cur, s.has = s.at-1, false
	name, value, given := strings.Cut(a[2:], "=")
	var l *long
	for i := range s.longs {
		o := &s.longs[i]
		if o.name == name {
			l = o
			break
		}
		if strings.HasPrefix(o.name, name) {
			if l != nil && (l.code != o.code || l.arg != o.arg) {
				l = &long{} // unclear, unless one fits exactly
			} else if l == nil {
				l = o
			}
		}
	}
	if l == nil || l.code == 0 || given && l.arg == never {
		return 0, s.usage("unknown option `" + a + "'")
	}
	switch {
	case given:
		s.arg, s.has, s.argN = value, true, s.cur
	case l.arg == always && s.at == len(s.args):
		return 0, s.usage("option `" + a + "' requires an argument")
	case l.arg == always:
		s.take()
	}
	return l.code, nil
}

func (s *scan) take() {
	s.arg, s.has, s.argN = s.args[s.at], true, s.at
	s.at++
}

// optional is the word behind an option that may have one. A value that is
// attached to the option is not looked at, as in conntrack(8).
func (s *scan) optional() (string, bool) {
	if s.has || s.rest != "" || s.at == len(s.args) {
		return "", false
	}
	a := s.args[s.at]
	if a != "" && (a[0] == '-' || a[0] == '!') {
		return "", false
	}
	s.argN = s.at
	s.at++
	return a, true
}

// usage is a failure at the option that was found last.
func (s *scan) usage(text string) *Failure {
	return &Failure{Status: statusUsage, Text: text, Arg: s.cur}
}

// wrong is a failure at its argument.
func (s *scan) wrong(text string) *Failure {
	return &Failure{Status: statusUsage, Text: text, Arg: s.argN}
}
