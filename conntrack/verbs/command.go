package verbs

import (
	"weir/conntrack"
	"weir/conntrack/show"
	"weir/packet"
)

// Verb is what a command line asks for.
type Verb uint8

// The verbs, by the letter that conntrack(8) has for them.
const (
	List    Verb = iota + 1 // -L
	Create                  // -I
	Update                  // -U
	Delete                  // -D
	Get                     // -G
	Flush                   // -F
	Events                  // -E
	Version                 // -V
	Help                    // -h
	Count                   // -C
	Stats                   // -S
	Add                     // -A: Create where there is none
)

// Table is what a verb works on.
type Table uint8

// The tables.
const (
	Connections  Table = iota
	Expectations       // expect
	Dying              // dying: connections that ended and are not freed yet
	Unconfirmed        // unconfirmed: connections of packets under way
)

// option is an option of all protocols, in the order of conntrack's table of
// legal combinations.
type option uint

const (
	optSrc option = iota
	optDst
	optReplySrc
	optReplyDst
	optProto
	optTimeout
	optStatus
	optZero
	optEvents
	optTupleSrc
	optTupleDst
	optMaskSrc
	optMaskDst
	optNATRange // deprecated, never set
	optMark
	optID
	optFamily
	optSrcNAT
	optDstNAT
	optOutput
	optSecmark
	optBuffer
	optAnyNAT
	optZone
	optLabel
	optLabelAdd
	optLabelDel
	optOrigZone
	optReplyZone
	optHelper // of weir
	numOptions
)

// options is a set of options.
type options uint32

func (o options) has(x option) bool { return o>>x&1 != 0 }
func (o options) any(l ...option) bool {
	for _, x := range l {
		if o.has(x) {
			return true
		}
	}
	return false
}

// field is what an attribute set says something about.
type field uint8

const (
	fOrigSrc field = iota
	fOrigDst
	fReplySrc
	fReplyDst
	fOrigL3
	fReplyL3
	fL4
	fOrigSport // ports, or GRE keys
	fOrigDport
	fReplySport
	fReplyDport
	fICMPType
	fICMPCode
	fICMPID
	fState
	fVTagOrig
	fVTagReply
	fTimeout
	fStatus
	fZone
	fOrigZone
	fReplyZone
	fID
	fSecmark
	fSNATAddr
	fDNATAddr
	fSNATPort
	fDNATPort
)

// attrs is what a command line says of a connection, an expectation or a mask.
type attrs struct {
	set uint32
	// tuple has addresses and ports; icmp has type, code and id.
	tuple               conntrack.Tuple
	reply               conntrack.Tuple
	icmpType, icmpCode  uint8
	icmpID              uint16
	state               uint8
	vtag                [2]uint32
	timeout             uint32 // s
	status              conntrack.Status
	zone                uint16
	origZone, replyZone uint16
	id, secmark         uint32
	snat, dnat          packet.Addr
	snatPort, dnatPort  uint16
}

func (a *attrs) has(f field) bool { return a.set>>f&1 != 0 }
func (a *attrs) say(f field)      { a.set |= 1 << f }

// Command is a command line that was read.
type Command struct {
	Verb  Verb
	Table Table

	opts   options
	family packet.Family // 0: not said
	proto  *protocol     // nil: no -p
	number uint8         // of the protocol

	ct, exp, mask attrs

	mark, markMask uint32
	// statusMask is the bits that -u says with ! or UNREPLIED.
	statusMask conntrack.Status
	labels     *[2]uint64 // to be set
	change     *[2]uint64 // labels to add or remove; nil with optLabelDel: all
	helper     string
	restore    bool // the line is one of a saved state
	events     eventKinds
	// flagged are the flags of the protocol that were given, natAddr the address
	// of the -n, -g or -j that was read last.
	flagged uint
	natAddr packet.Addr

	names    *show.LabelNames
	output   show.Options
	warnings []byte
}

// eventKinds is a set of kinds of events.
type eventKinds uint8

const (
	kindNew eventKinds = 1 << iota
	kindUpdate
	kindDestroy
	kindAll = kindNew | kindUpdate | kindDestroy
)

// Failure is why a command line was not understood or not carried out.
type Failure struct {
	// Status is the exit status: 2 for the command line, 1 for the rest.
	Status int
	Text   string
	// Arg is the index of the argument at fault, -1 if no single one is.
	Arg int
	// said is what was written to standard error before.
	said []byte
}

// Error is the text alone.
func (f *Failure) Error() string { return f.Text }

// Output is what conntrack(8) writes to standard error for it.
func (f *Failure) Output() []byte {
	b := append(append(append([]byte(nil), f.said...), banner...), f.Text...)
	b = append(b, '\n')
	if f.Status == statusUsage {
		b = append(b, "Try `conntrack -h' or 'conntrack --help' for more information.\n"...)
	}
	return b
}

// The exit statuses of conntrack(8).
const (
	statusFailed = 1
	statusUsage  = 2
)

// banner stands in front of each message.
const banner = "conntrack v1.4.7 (conntrack-tools): "
