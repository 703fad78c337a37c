package xtables

import (
	"strconv"

	"weir/hook"
	"weir/ipset"
	"weir/packet"
)

// Match is one compiled -m of a rule. Do not confuse it with its text: all
// that can be converted was converted when the rules were loaded.
type Match interface {
	// Match answers for the packet. It allocates nothing and does not fail;
	// a packet too broken to judge sets t.Hotdrop and returns false.
	Match(t *hook.Traversal) bool
	// AppendArgs appends the options as iptables-save prints them behind
	// "-m name", each with a space before it.
	AppendArgs(b []byte) []byte
}

// Steady is a Match whose answer is the same for all packets of a connection
// that have the same direction, interfaces, status, marks and connection state
// and are whole: it looks at nothing else of the packet. The engine remembers
// what it answered. A Match without this method is asked for every packet.
type Steady interface {
	Steady() bool
}

// StatusReader is a Match that may look at the status of a connection, of
// which ASSURED comes while packets of one kind flow. What a walk did in which
// nobody looked is remembered beyond that. A Steady match that reads the status
// has to have this method.
type StatusReader interface {
	ReadsStatus() bool
}

// Explainer is a Match that can say, for traces, what the packet had where
// the match looked: "state is NEW", "is 8080". Called right after Match
// returned false, before anything else ran.
type Explainer interface {
	Explain(t *hook.Traversal) string
}

// Code is what a target decides.
type Code uint8

// The codes of a target. The zero value drops.
const (
	Drop     Code = iota // drop; t.Why is set
	Accept               // end of this table at this point
	Continue             // on with the next rule
	Stolen
	Queue
	Return // as -j RETURN
)

// Target is one compiled -j extension of a rule.
type Target interface {
	// Do acts on the packet and decides. A Drop sets t.Why.
	Do(t *hook.Traversal) Code
	// AppendArgs appends the options as iptables-save prints them behind
	// "-j NAME", each with a space before it.
	AppendArgs(b []byte) []byte
}

// ConntrackUser is a Target whose options decide whether loading it switches
// tracking on; its answer counts instead of TargetExt.NeedsConntrack.
type ConntrackUser interface {
	NeedsConntrack() bool
}

// Families says for which of iptables and ip6tables an extension exists.
type Families uint8

// The families of an extension.
const (
	V4   Families = 1
	V6   Families = 2
	Both Families = 3
)

// Has reports whether f is among the families.
func (fs Families) Has(f packet.Family) bool {
	if f == packet.IPv6 {
		return fs&V6 != 0
	}
	return fs&V4 != 0
}

// Arity is how many words an option takes.
type Arity uint8

// The arities of options.
const (
	NoArg Arity = iota
	OneArg
	TwoArgs // --tcp-flags mask comp
	OptArg  // getopt's optional_argument: the next word if it is no option
)

// Option is one long option of an extension, as getopt would know it.
type Option struct {
	Name string // without the dashes
	Args Arity
	// Short is a one-letter form (few have one), 0 if none.
	Short byte
	// NoInvert refuses "!" before it. Most options of matches take one; no
	// target's does.
	NoInvert bool
	// Multi lets the option stand more than once in a rule.
	Multi bool
	// Alias is another name under which Given shows it ("destination-port"
	// is given as "dport").
	Alias string
	// Beyond marks what Linux does not have: weir's own, and refused where only
	// Linux's rules are wanted (List.StrictLinux).
	Beyond bool
}

// Pos is a place in a rule file. Line and Col count from 1, Col in bytes.
type Pos struct {
	File      string
	Line, Col int
}

// Word is a word of a rule with the place where it stood.
type Word struct {
	Text string
	Pos  Pos
}

// Given is one option as it stood in the rule.
type Given struct {
	Name   string // the option's Alias if it has one, else its Name
	Invert bool
	Args   []Word
	Pos    Pos
}

// Context is what an extension may know of the rule it stands in.
type Context struct {
	Family packet.Family
	Table  string
	Chain  string
	// Proto is the rule's -p number, 0 for none; ProtoInvert its "!".
	Proto       uint8
	ProtoInvert bool
	// Points is the hook points from which the chain is reached. It is known
	// only when Check is called, after all rules of the table were read.
	Points hook.Mask
	// Rule has the whole rule for the few that look at their neighbours
	// (REJECT wants -p tcp for tcp-reset: use Proto; TCPMSS wants a match on
	// SYN: look here). Nil while parsing.
	Rule *Rule
	// Sets are the sets that the rule may name; nil is none.
	Sets *ipset.Sets
	// Known is what else it may name.
	Known Known
}

// MatchExt describes a match: its options, where it may stand, how it is read.
type MatchExt struct {
	Name     string
	Families Families
	Options  []Option
	// Protos are the protocols of which the rule must name one, without "!".
	// Empty: any. A match named like its protocol (tcp, udp, icmp …) is
	// loaded by -p alone when one of its options stands in the rule.
	Protos []uint8
	// Tables and Points restrict where a rule with it may stand; empty: anywhere.
	Tables []string
	Points hook.Mask
	// NeedsConntrack switches tracking on for the family, as loading such a
	// rule does in Linux.
	NeedsConntrack bool
	// NeedsDefrag switches defragmentation on, which tracking does too.
	NeedsDefrag bool
	// Parse reads the options; errors are *Error with a place, or plain ones
	// that get the place of the extension.
	Parse func(c *Context, given []Given) (Match, error)
	// Check runs when the whole table is known; nil if there is nothing to check.
	Check func(c *Context, m Match) error
	// Refuse, when set, says why weir does not have this extension; a rule
	// that uses it is refused with this text.
	Refuse string
	// Doc is one line for docs/support.md: what of it is there.
	Doc string
}

// TargetExt describes a target.
type TargetExt struct {
	Name           string
	Families       Families
	Options        []Option
	Protos         []uint8
	Tables         []string
	Points         hook.Mask
	NeedsConntrack bool
	NeedsDefrag    bool
	Parse          func(c *Context, given []Given) (Target, error)
	Check          func(c *Context, t Target) error
	Refuse         string
	Doc            string
}

// Binder is a Match or Target that needs state shared between rule sets, or
// wants to keep its own when an unchanged rule is loaded again. Bind is called
// once when the rule set is put to use.
type Binder interface {
	Bind(s *Shared) error
}

// Unbinder is a Binder that holds something until its rule set is replaced.
type Unbinder interface {
	Unbind()
}

// List is the extensions that a parser knows: the one explicit list of them
// is in package xtables/std.
type List struct {
	Matches []MatchExt
	Targets []TargetExt
	// Sets are the sets that rules may name; a rule that names another is
	// refused.
	Sets *ipset.Sets
	// Known is what else rules may name.
	Known Known
	// StrictLinux refuses what Linux does not have (Option.Beyond).
	StrictLinux bool
}

// Error is a complaint about a rule file with its place.
type Error struct {
	Pos Pos
	Msg string
	// Said is what iptables 1.8.9 itself says to this, without its name and
	// version, and Status how it ends: 1 the rule set would not have it, 2 the
	// command line is wrong, 3 there is no such table. Zero: nothing is known.
	Said   string
	Status int
}

// Error is "file:line:column: message".
func (e *Error) Error() string {
	return e.Pos.File + ":" + strconv.Itoa(e.Pos.Line) + ":" + strconv.Itoa(e.Pos.Col) + ": " + e.Msg
}
