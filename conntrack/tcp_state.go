package conntrack

// TCPStateName is a state of a TCP connection, with Linux's numbers.
type TCPStateName uint8

// The states (RFC 9293 names, seen from a machine in the middle).
const (
	TCPNone TCPStateName = iota
	TCPSynSent
	TCPSynRecv
	TCPEstablished
	TCPFinWait
	TCPCloseWait
	TCPLastAck
	TCPTimeWait
	TCPClose
	TCPSynSent2 // simultaneous open
	// numTCPStates counts the states. As an entry of the table it means
	// that the packet does not fit; tcpIgnore, that it changes nothing.
	numTCPStates
	tcpIgnore
)

// Indices of timeouts that belong to no state.
const (
	TCPRetrans     = int(numTCPStates) // after repeated segments
	TCPUnack       = TCPRetrans + 1    // while data is not acknowledged
	NumTCPTimeouts = TCPUnack + 1
)

// String is the name that conntrack(8) prints.
func (s TCPStateName) String() string {
	switch s {
	case TCPNone:
		return "NONE"
	case TCPSynSent:
		return "SYN_SENT"
	case TCPSynRecv:
		return "SYN_RECV"
	case TCPEstablished:
		return "ESTABLISHED"
	case TCPFinWait:
		return "FIN_WAIT"
	case TCPCloseWait:
		return "CLOSE_WAIT"
	case TCPLastAck:
		return "LAST_ACK"
	case TCPTimeWait:
		return "TIME_WAIT"
	case TCPClose:
		return "CLOSE"
	case TCPSynSent2:
		return "SYN_SENT2"
	default:
		return "?"
	}
}

// tcpClass is what flags make of a segment.
type tcpClass uint8

const (
	classSyn tcpClass = iota
	classSynAck
	classFin
	classAck
	classRst
	classNone
	numTCPClasses
)

// tcpNext is the state after a segment: by direction, class and state before.
// Rows are classes, columns states in the order of their numbers.
//
//	sNO none      sSS SYN sent        sSR SYN received  sES established
//	sFW FIN wait  sCW close wait      sLA last ACK      sTW time wait
//	sCL closed    sS2 SYN both ways   sIV does not fit  sIG let through, changes nothing
//
// Linux: net/netfilter/nf_conntrack_proto_tcp.c tcp_conntracks.
func tcpNext(d Dir, class tcpClass, s TCPStateName) TCPStateName {
	return tcpTable[d][class][s]
}

const (
	sNO = TCPNone
	sSS = TCPSynSent
	sSR = TCPSynRecv
	sES = TCPEstablished
	sFW = TCPFinWait
	sCW = TCPCloseWait
	sLA = TCPLastAck
	sTW = TCPTimeWait
	sCL = TCPClose
	sS2 = TCPSynSent2
	sIV = numTCPStates
	sIG = tcpIgnore
)

// tcpTable is never written.
var tcpTable = [2][numTCPClasses][numTCPStates]TCPStateName{
	Original: {
		//            NO   SS   SR   ES   FW   CW   LA   TW   CL   S2
		classSyn:    {sSS, sSS, sIG, sIG, sIG, sIG, sIG, sSS, sSS, sS2}, // TW, CL: reopened, if it was closed in order
		classSynAck: {sIV, sIV, sSR, sIV, sIV, sIV, sIV, sIV, sIV, sSR},
		classFin:    {sIV, sIV, sFW, sFW, sLA, sLA, sLA, sTW, sCL, sIV},
		classAck:    {sES, sIV, sES, sES, sCW, sCW, sTW, sTW, sCL, sIV}, // NO: picked up in the middle
		classRst:    {sIV, sCL, sCL, sCL, sCL, sCL, sCL, sCL, sCL, sCL},
		classNone:   {sIV, sIV, sIV, sIV, sIV, sIV, sIV, sIV, sIV, sIV},
	},
	Reply: {
		//            NO   SS   SR   ES   FW   CW   LA   TW   CL   S2
		classSyn:    {sIV, sS2, sIV, sIV, sIV, sIV, sIV, sSS, sIV, sS2}, // SS: simultaneous open
		classSynAck: {sIV, sSR, sIG, sIG, sIG, sIG, sIG, sIG, sIG, sSR},
		classFin:    {sIV, sIV, sFW, sFW, sLA, sLA, sLA, sTW, sCL, sIV},
		classAck:    {sIV, sIG, sSR, sES, sCW, sCW, sTW, sTW, sCL, sIG}, // SS: perhaps a challenge ACK
		classRst:    {sIV, sCL, sCL, sCL, sCL, sCL, sCL, sCL, sCL, sCL},
		classNone:   {sIV, sIV, sIV, sIV, sIV, sIV, sIV, sIV, sIV, sIV},
	},
}

// TCPState is what the TCP tracker knows of a connection.
type TCPState struct {
	Side  [2]TCPSide // by the direction of the sender
	State TCPStateName

	lastDir    Dir // of the last segment that was looked at
	lastClass  tcpClass
	retrans    uint8 // times that the last pure acknowledgement was repeated
	lastWScale uint8
	lastFlags  TCPFlags
	lastWin    uint16 // as in the header
	lastSeq    uint32
	lastAck    uint32
	lastEnd    uint32
}

// TCPSide is one end of a TCP connection.
type TCPSide struct {
	End    uint32 // highest sequence number sent, plus length
	MaxEnd uint32 // highest that the peer's window allows
	MaxWin uint32 // largest window advertised, 0 before the first segment
	MaxAck uint32 // highest acknowledgement sent, if MaxAckSet
	Scale  uint8  // window scale, 0 to 14
	Flags  TCPFlags
}

// TCPFlags is properties of one end, with the values that ctnetlink shows.
type TCPFlags uint8

// The flags.
const (
	TCPWindowScale TCPFlags = 1 << iota // offered window scaling
	TCPSackPerm                         // offered selective acknowledgement
	TCPCloseInit                        // sent the first FIN
	TCPBeLiberal                        // its windows are not enforced
	TCPDataUnacked                      // sent data that is not acknowledged yet
	TCPMaxAckSet                        // MaxAck is valid
	// In lastFlags only:
	tcpExpChallenge // a challenge ACK may follow the SYN that was let through
	tcpSimOpen      // both sides sent SYN
)
