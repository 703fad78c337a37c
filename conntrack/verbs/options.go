package verbs

import "strings"

// longs are the options by name.
func longs() []long {
	return []long{
		{"dump", 'L', maybe}, {"create", 'I', maybe}, {"add", 'A', maybe}, {"delete", 'D', maybe}, {"update", 'U', maybe},
		{"get", 'G', maybe}, {"flush", 'F', maybe}, {"event", 'E', maybe}, {"counter", 'C', maybe}, {"stats", 'S', never},
		{"version", 'V', never}, {"help", 'h', never},
		{"orig-src", 's', always}, {"src", 's', always}, {"orig-dst", 'd', always}, {"dst", 'd', always},
		{"reply-src", 'r', always}, {"reply-dst", 'q', always}, {"protonum", 'p', always}, {"timeout", 't', always},
		{"status", 'u', always}, {"zero", 'z', never}, {"event-mask", 'e', always}, {"tuple-src", '[', always},
		{"tuple-dst", ']', always}, {"mask-src", '{', always}, {"mask-dst", '}', always}, {"nat-range", 'a', always},
		{"mark", 'm', always}, {"secmark", 'c', always}, {"id", 'i', maybe}, {"family", 'f', always},
		{"src-nat", 'n', maybe}, {"dst-nat", 'g', maybe}, {"output", 'o', always}, {"buffer-size", 'b', always},
		{"any-nat", 'j', maybe}, {"zone", 'w', always}, {"label", 'l', always}, {"label-add", '<', always},
		{"label-del", '>', maybe}, {"orig-zone", '(', always}, {"reply-zone", ')', always},
		{"helper", 'H', always}, // of weir
	}
}

// long is an option with a name.
type long struct {
	name string
	code rune
	arg  argument
}

// argument says whether an option has one.
type argument uint8

const (
	never argument = iota
	maybe
	always
)

// short is how a letter takes an argument.
func short(c byte) (argument, bool) {
	switch {
	case strings.IndexByte("LIUDGEFACngj", c) >= 0:
		return maybe, true
	case strings.IndexByte("sdrqptueamifocbwl", c) >= 0:
		return always, true
	case strings.IndexByte("hVzS", c) >= 0:
		return never, true
	}
	return never, false
}

// names are the options as messages call them.
func (o option) String() string {
	return [...]string{
		"src", "dst", "reply-src", "reply-dst", "protonum", "timeout", "status", "zero", "event-mask", "tuple-src",
		"tuple-dst", "mask-src", "mask-dst", "nat-range", "mark", "id", "family", "src-nat", "dst-nat", "output",
		"secmark", "buffer-size", "any-nat", "zone", "label", "label-add", "label-del", "orig-zone", "reply-zone", "helper",
	}[o]
}

// legal is which options a command may have: 0 never, 1 always, 2 perhaps, 3 in
// pairs. One digit an option, in their order; what is cut off is 0.
func legal(v Verb, t Table) string {
	if t == Expectations {
		switch v {
		case List:
			return "00000000000000002002"
		case Create:
			return "112211200111100"
		case Delete, Get:
			return "11221"
		case Events:
			return "00000000000000000002"
		}
		return ""
	}
	switch v {
	case List:
		return "22222022000220202222202220022"
	case Create, Add:
		return "333311200000022002200002020222"
	case Update:
		return "22222220000220222222000022200"
	case Delete:
		return "22222220000220222222000220022"
	case Get:
		return "33331000000000020002000020000"
	case Flush:
		return "00000000000000002"
	case Events:
		return "22222000200220202222222220022"
	case Help:
		return "00002"
	}
	return ""
}
