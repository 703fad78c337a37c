package verbs

import (
	"strconv"
	"strings"

	"weir/conntrack"
	"weir/conntrack/show"
	"weir/packet"
)

// protoCode is where the codes of a protocol's options begin.
const protoCode = 256

// Parse reads a command line, without the name of the program. names are the
// labels' names; nil for none.
func Parse(args []string, names *show.LabelNames) (*Command, *Failure) {
	return parse(args, names, false)
}

// parse is Parse; restore takes all that -o save prints.
func parse(args []string, names *show.LabelNames, restore bool) (*Command, *Failure) {
	c := &Command{names: names, restore: restore}
	s := &scan{args: args, longs: longs()}
	for {
		code, bad := s.next()
		if bad == nil && code == 0 {
			break
		}
		if bad == nil {
			bad = c.option(s, code)
		}
		if bad != nil {
			bad.said = c.warnings
			return nil, bad
		}
	}
	if bad := c.finish(); bad != nil {
		bad.said = c.warnings
		return nil, bad
	}
	return c, nil
}

// option takes one option.
func (c *Command) option(s *scan, code rune) *Failure {
	switch {
	case code >= protoCode:
		i := int(code - protoCode)
		if why := c.proto.flags[i].parse(c, s.arg); why != "" {
			return s.wrong(why)
		}
		c.flagged |= 1 << i
		return nil
	case strings.ContainsRune("LIUDGFECSAVh", code):
		return c.verb(s, code)
	case strings.ContainsRune("sdrq[]{}", code):
		return c.address(s, code, s.arg)
	case strings.ContainsRune("ngj", code):
		return c.nat(s, code)
	case strings.ContainsRune("l<>", code):
		return c.label(s, code)
	}
	return c.value(s, code)
}

// verb takes a command and the table behind it.
func (c *Command) verb(s *scan, code rune) *Failure {
	t := Connections
	if name, ok := s.optional(); ok {
		switch {
		case strings.HasPrefix("expect", name):
			t = Expectations
		case strings.HasPrefix("conntrack", name):
		case strings.HasPrefix("dying", name):
			t = Dying
		case strings.HasPrefix("unconfirmed", name):
			t = Unconfirmed
		default:
			return s.wrong("unknown type `" + name + "'")
		}
	}
	v := map[rune]Verb{'L': List, 'I': Create, 'U': Update, 'D': Delete, 'G': Get, 'F': Flush, 'E': Events, 'V': Version, 'h': Help, 'C': Count, 'S': Stats, 'A': Add}[code]
	switch {
	case v != List && (t == Dying || t == Unconfirmed):
		return s.usage("Can't do that command with tables `dying' and `unconfirmed'")
	case t == Expectations && (v == Update || v == Add):
		name := "update"
		if v == Add {
			name = "add"
		}
		return s.usage("Can't do --" + name + " on expectations")
	case c.Verb != 0:
		return s.usage("Invalid commands combination")
	}
	c.Verb, c.Table = v, t
	return nil
}

// value takes the options with plain values.
func (c *Command) value(s *scan, code rune) *Failure {
	v := s.arg
	switch code {
	case 'p':
		p, n, ok := findProtocol(v)
		if !ok {
			return s.wrong("`" + v + "' unsupported protocol")
		}
		c.proto, c.number = p, n
		c.flagged = 0
		s.longs = longs()
		for i, f := range p.flags {
			for _, name := range append([]string{f.name}, f.also...) {
				s.longs = append(s.longs, long{name, rune(protoCode + i), always})
			}
		}
		c.ct.tuple.Proto, c.ct.reply.Proto = n, n
		c.ct.say(fL4)
		c.opts |= 1 << optProto
	case 't':
		c.ct.timeout = uint32(atoi(v))
		c.ct.say(fTimeout)
		c.opts |= 1 << optTimeout
	case 'u':
		c.opts |= 1 << optStatus
		if why := c.status(v); why != "" {
			return s.wrong(why)
		}
		c.ct.say(fStatus)
	case 'e':
		c.opts |= 1 << optEvents
		if why := c.eventMask(v); why != "" {
			return s.wrong(why)
		}
	case 'o':
		c.opts |= 1 << optOutput
		return c.outputs(s, v)
	case 'z':
		c.opts |= 1 << optZero
	case 'w', '(', ')':
		n, _ := cUint(v, 0)
		switch code {
		case 'w':
			c.ct.zone = uint16(n)
			c.ct.say(fZone)
			c.opts |= 1 << optZone
		case '(':
			c.ct.origZone = uint16(n)
			c.ct.say(fOrigZone)
			c.opts |= 1 << optOrigZone
		default:
			c.ct.replyZone = uint16(n)
			c.ct.say(fReplyZone)
			c.opts |= 1 << optReplyZone
		}
	case 'i':
		c.opts |= 1 << optID
		n, _ := cUint(v, 0)
		c.ct.id = uint32(n)
		c.ct.say(fID)
	case 'c':
		c.opts |= 1 << optSecmark
		n, _ := cUint(v, 0)
		c.ct.secmark = uint32(n)
		c.ct.say(fSecmark)
	case 'm':
		c.opts |= 1 << optMark
		n, end := cUint(v, 0)
		c.mark, c.markMask = uint32(n), 1<<32-1
		if end < len(v) && v[end] == '/' {
			n, _ = cUint(v[end+1:], 0)
			c.markMask = uint32(n)
		}
	case 'a':
		c.warnings = append(c.warnings, "WARNING: ignoring -a, deprecated option.\n"...)
	case 'f':
		c.opts |= 1 << optFamily
		switch {
		case strings.HasPrefix(v, "ipv4"):
			return c.setFamily(s, packet.IPv4)
		case strings.HasPrefix(v, "ipv6"):
			return c.setFamily(s, packet.IPv6)
		}
		return s.wrong("`" + v + "' unsupported protocol")
	case 'b':
		c.opts |= 1 << optBuffer
	case 'H':
		c.helper = v
		c.opts |= 1 << optHelper
	}
	return nil
}

func (c *Command) setFamily(s *scan, f packet.Family) *Failure {
	if c.family != 0 && c.family != f {
		return s.wrong("mismatched address family")
	}
	c.family = f
	return nil
}

// words splits at commas as conntrack does: an empty word is an error that
// names the rest of the text.
func words(v string, f func(w string) bool) (why string) {
	for {
		w, rest, more := strings.Cut(v, ",")
		if w == "" || !f(w) {
			return "Bad parameter `" + v + "'"
		}
		if !more {
			return ""
		}
		v = rest
	}
}

// cut reports that w is the beginning of name, in letters of any size.
func cut(name, w string) bool { return len(w) <= len(name) && strings.EqualFold(name[:len(w)], w) }

// translated is the two words that every list takes and ignores.
func (c *Command) translated(w string) bool {
	for _, n := range [...]string{"SRC_NAT", "DST_NAT"} {
		if cut(n, w) {
			c.warnings = append(c.warnings, "WARNING: ignoring "+n+", use --"+strings.ToLower(n[:3])+"-nat instead\n"...)
			return true
		}
	}
	return false
}

// status takes the words of -u; ! and UNREPLIED go to the mask.
func (c *Command) status(v string) string {
	return words(v, func(w string) bool {
		to := &c.ct.status
		if w[0] == '!' {
			if w = w[1:]; w == "" {
				return false
			}
			to = &c.statusMask
		} else if strings.HasPrefix(w, "UNREPLIED") {
			c.statusMask |= conntrack.SeenReply
			return true
		}
		if c.translated(w) {
			return true
		}
		const offload, hwOffload = 1 << 14, 1 << 15 // IPS_OFFLOAD, IPS_HW_OFFLOAD
		for _, x := range [...]struct {
			name string
			bit  conntrack.Status
		}{{"ASSURED", conntrack.Assured}, {"SEEN_REPLY", conntrack.SeenReply}, {"UNSET", 0}, {"FIXED_TIMEOUT", conntrack.FixedTimeout},
			{"EXPECTED", conntrack.Expected}, {"OFFLOAD", offload}, {"HW_OFFLOAD", hwOffload}} {
			if cut(x.name, w) {
				*to |= x.bit
				return true
			}
		}
		return false
	})
}

func (c *Command) eventMask(v string) string {
	return words(v, func(w string) bool {
		if c.translated(w) {
			return true
		}
		for _, x := range [...]struct {
			name string
			bit  eventKinds
		}{{"ALL", kindAll}, {"NEW", kindNew}, {"UPDATES", kindUpdate}, {"DESTROY", kindDestroy}} {
			if cut(x.name, w) {
				c.events |= x.bit
				return true
			}
		}
		return false
	})
}

// outputs takes the words of -o; the last three are weir's.
func (c *Command) outputs(s *scan, v string) *Failure {
	why := words(v, func(w string) bool {
		if c.translated(w) {
			return true
		}
		for _, x := range [...]struct {
			name string
			bit  show.Options
		}{{"xml", show.XML}, {"extended", show.Extended}, {"timestamp", show.Timestamp}, {"id", show.ID}, {"ktimestamp", show.KTimestamp},
			{"labels", show.Labels}, {"userspace", 0}, {"save", show.Save}, {"json", show.JSON}, {"flat", show.Flat}, {"proc", show.Proc}} {
			if cut(x.name, w) {
				c.output |= x.bit
				return true
			}
		}
		return false
	})
	if why != "" {
		return s.wrong(why)
	}
	if c.output&show.Save != 0 && c.output&^show.Save != 0 {
		bad := s.wrong("cannot combine save output with any other output type, use -o save only")
		bad.Status = statusFailed
		return bad
	}
	return nil
}

// label takes -l, --label-add and --label-del.
func (c *Command) label(s *scan, code rune) *Failure {
	c.opts |= map[rune]options{'l': 1 << optLabel, '<': 1 << optLabelAdd, '>': 1 << optLabelDel}[code]
	if c.opts.has(optLabelAdd) && c.opts.has(optLabelDel) {
		bad := s.usage("cannot use --label-add and --label-del at the same time")
		bad.Status = statusFailed
		return bad
	}
	v := s.arg
	if code == '>' {
		var ok bool
		if v, ok = s.optional(); !ok {
			return nil
		}
	}
	to := &c.change
	if code == 'l' {
		to = &c.labels
	}
	if *to == nil {
		*to = new([2]uint64)
	}
	for _, w := range strings.Split(v, ",") {
		bit, ok := c.names.Bit(w)
		if !ok {
			// A number names a label that has no name; conntrack(8) has no way.
			n, err := strconv.ParseUint(w, 10, 8)
			if err != nil || n >= conntrack.NumLabels || c.names.Name(uint8(n)) != "" {
				return s.wrong("unknown label '" + w + "'")
			}
			bit = uint8(n)
		}
		(*to)[bit/64] |= 1 << (bit % 64)
	}
	return nil
}

// finish checks what belongs together.
func (c *Command) finish() *Failure {
	usage := func(text string) *Failure { return &Failure{Status: statusUsage, Text: text, Arg: -1} }
	// Only these go without a family.
	free := c.Table != Expectations && (c.Verb == List || c.Verb == Update || c.Verb == Delete || c.Verb == Get || c.Verb == Flush || c.Verb == Events)
	if c.family == 0 && !free {
		c.family = packet.IPv4
	}
	if c.opts.has(optAnyNAT) && c.opts.any(optSrcNAT, optDstNAT) {
		return usage("cannot specify `--src-nat' or `--dst-nat' with `--any-nat'")
	}
	allowed := legal(c.Verb, c.Table)
	at := func(s string, i int) byte {
		if i < len(s) {
			return s[i]
		}
		return '0'
	}
	for o := range numOptions {
		switch l := at(allowed, int(o)); {
		case l == '1' && !c.opts.has(o):
			return usage("You need to supply the `--" + o.String() + "' option for this command")
		case l == '0' && c.opts.has(o):
			return usage("Illegal option `--" + o.String() + "' with this command")
		}
	}
	if strings.Contains(allowed, "3") {
		if why := paired(uint(c.opts), [2]string{"`--src' and `--dst'", "`--reply-src' and `--reply-dst'"}); why != "" {
			return usage(why)
		}
	}
	if c.proto == nil || c.Verb == Help || c.restore && c.number == packet.DCCP { // of which -o save tells nothing
		return nil
	}
	allowed = c.proto.legal(c.Verb, c.Table)
	for i, f := range c.proto.flags {
		set := c.flagged>>i&1 != 0
		switch l := at(allowed, i); {
		case l == '1' && !set:
			return usage("You need to supply the `--" + f.name + "' option for this command")
		case l == '0' && set:
			return usage("Illegal option `--" + f.name + "' with this command")
		}
	}
	if strings.Contains(allowed, "3") {
		if why := paired(c.flagged, c.proto.pairs); why != "" {
			return usage(why)
		}
	}
	return nil
}

// paired wants both of the first two flags or both of the next two.
func paired(flags uint, names [2]string) string {
	partial := -1
	for i := range 2 {
		pair := flags >> (2 * i) & 3
		if pair == 3 {
			return ""
		}
		if pair != 0 && partial < 0 {
			partial = i
		}
	}
	return "you have to specify " + names[max(partial, 0)]
}
