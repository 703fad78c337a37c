package conntrack

import "strconv"

// whyKind is a remark of the last Track or Confirm, as log_invalid words it.
type whyKind uint8

const (
	whyNothing whyKind = iota
	whyTableFull
	whyShort
	whyTruncated
	whyMalformed
	whyChecksum
	whyTCPFlags
	whyInvalidNew
	whyTCPIgnored
	whyTCPInvalid
	whyTCPChallenge
	whyTCPRST
	whySeqOver
	whySeqUnder
	whyAckOver
	whyAckUnder
	whyOvershoot
	whyICMPShort
	whyICMPType
	whyICMPInner
	whyICMPUnknown
	whyICMPOuter
	whySCTPTag
	whySCTPChunks
	whySCTPState
	whyProtoFamily
	whyNoL4
	whyNoTuple
	whyNoInverse
	whyClash
	whyDying
	whyChain
)

// remark is a whyKind with the numbers that its text has.
type remark struct {
	kind whyKind
	a, b uint32
	c    uint8
}

// say records why the packet was called invalid, ignored or dropped.
func (tb *Table) say(k whyKind) { tb.why = remark{kind: k} }

// Why says why the last Track or Confirm called the packet invalid, ignored it
// or dropped it: the words of Linux's log_invalid lines where there is one.
// It is empty when there is nothing to say, and then costs nothing.
func (tb *Table) Why() string {
	if tb.why.kind == whyNothing {
		return ""
	}
	if tb.why.kind == whyICMPOuter {
		return "outer daddr " + tb.outer.IP(tb.outerL3).String() + " != inner " + tb.quoted.IP(tb.outerL3).String()
	}
	return tb.why.text()
}

// LogsWhy reports whether nf_conntrack_log_invalid asks for the remark of a
// packet of that protocol to be logged, and whether Linux has a line for it.
func (tb *Table) LogsWhy(proto uint8) bool {
	if tb.why.kind == whyNothing || tb.why.kind >= whyNoL4 || tb.why.kind == whyTableFull {
		return false
	}
	return tb.cfg.LogInvalid == 255 || tb.cfg.LogInvalid == int(proto)
}

func (r remark) text() string {
	n := func(v uint32) string { return strconv.FormatUint(uint64(v), 10) }
	switch r.kind {
	case whyTableFull:
		return "nf_conntrack: table full, dropping packet"
	case whyShort:
		return "short packet"
	case whyTruncated:
		return "truncated packet"
	case whyMalformed:
		return "truncated/malformed packet"
	case whyChecksum:
		return "bad checksum"
	case whyTCPFlags:
		return "invalid tcp flag combination"
	case whyInvalidNew:
		return "invalid new"
	case whyTCPIgnored:
		return "packet (index " + n(r.a) + ") in dir " + n(r.b) + " ignored, state " + TCPStateName(r.c).String()
	case whyTCPInvalid:
		return "packet (index " + n(r.a) + ") in dir " + n(r.b) + " invalid, state " + TCPStateName(r.c).String()
	case whyTCPChallenge:
		return "challenge-ack ignored"
	case whyTCPRST:
		return "invalid rst"
	case whySeqOver:
		return "SEQ is over upper bound " + n(r.a) + " (over the window of the receiver)"
	case whySeqUnder:
		return "SEQ is under lower bound " + n(r.a) + " (already ACKed data retransmitted)"
	case whyAckOver:
		return "ACK is over upper bound " + n(r.a) + " (ACKed data not seen yet)"
	case whyAckUnder:
		return "ignored ACK under lower bound " + n(r.a) + " (possible overly delayed)"
	case whyOvershoot:
		return n(r.a) + " bytes more than expected"
	case whyICMPShort:
		return "short packet"
	case whyICMPType:
		return "invalid icmp type"
	case whyICMPInner:
		return "quoted packet is too short"
	case whyICMPUnknown:
		return "error about an unknown connection"
	case whySCTPTag:
		return "verification tag check failed"
	case whySCTPChunks:
		return "malformed chunks"
	case whySCTPState:
		return "chunk does not fit the state"
	case whyProtoFamily:
		return "ICMP of the other family"
	case whyNoL4:
		return "no layer-4 header"
	case whyNoTuple:
		return "too short for a tuple"
	case whyNoInverse:
		return "nothing answers this type"
	case whyClash:
		return "another connection has this tuple"
	case whyDying:
		return "connection is being removed"
	case whyChain:
		return "hash chain too long"
	default:
		return ""
	}
}
