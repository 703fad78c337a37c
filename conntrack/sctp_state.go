package conntrack

// SCTPStateName is a state of an SCTP association, with Linux's numbers.
type SCTPStateName uint8

// The states (RFC 9260 section 4, seen from a machine in the middle).
const (
	SCTPNone SCTPStateName = iota
	SCTPClosed
	SCTPCookieWait
	SCTPCookieEchoed
	SCTPEstablished
	SCTPShutdownSent
	SCTPShutdownRecd
	SCTPShutdownAckSent
	SCTPHeartbeatSent
	NumSCTPStates
)

// sctpInvalid, as an entry of the table, means that the chunk does not fit.
const sctpInvalid = NumSCTPStates

// String is the name that conntrack(8) prints.
func (s SCTPStateName) String() string {
	switch s {
	case SCTPNone:
		return "NONE"
	case SCTPClosed:
		return "CLOSED"
	case SCTPCookieWait:
		return "COOKIE_WAIT"
	case SCTPCookieEchoed:
		return "COOKIE_ECHOED"
	case SCTPEstablished:
		return "ESTABLISHED"
	case SCTPShutdownSent:
		return "SHUTDOWN_SENT"
	case SCTPShutdownRecd:
		return "SHUTDOWN_RECD"
	case SCTPShutdownAckSent:
		return "SHUTDOWN_ACK_SENT"
	case SCTPHeartbeatSent:
		return "HEARTBEAT_SENT"
	default:
		return "?"
	}
}

// SCTPState is what the SCTP tracker knows of a connection.
type SCTPState struct {
	State SCTPStateName
	// Tag is the verification tag that packets of each direction carry.
	Tag [2]uint32

	init     [2]bool // INIT seen from that direction
	hbFailed bool    // a heartbeat had the wrong tag
	lastDir  Dir     // of that heartbeat
}

// Chunk types (RFC 9260 section 3.2).
const (
	chunkData             = 0
	chunkInit             = 1
	chunkInitAck          = 2
	chunkHeartbeat        = 4
	chunkHeartbeatAck     = 5
	chunkAbort            = 6
	chunkShutdown         = 7
	chunkShutdownAck      = 8
	chunkError            = 9
	chunkCookieEcho       = 10
	chunkCookieAck        = 11
	chunkShutdownComplete = 14
	numChunks             = 15
)

const (
	pNO = SCTPNone
	pCL = SCTPClosed
	pCW = SCTPCookieWait
	pCE = SCTPCookieEchoed
	pES = SCTPEstablished
	pSS = SCTPShutdownSent
	pSR = SCTPShutdownRecd
	pSA = SCTPShutdownAckSent
	pHS = SCTPHeartbeatSent
	pIV = sctpInvalid
)

// sctpRow is the states after a chunk, by the state before; nil for chunks
// that change nothing.
type sctpRow *[NumSCTPStates]SCTPStateName

// sctpTable is the state after a chunk, by direction and chunk type. It is
// never written. Linux: nf_conntrack_proto_sctp.c sctp_conntracks.
var sctpTable = [2][numChunks]sctpRow{
	Original: {
		//                      NO   CL   CW   CE   ES   SS   SR   SA   HS
		chunkInit:             {pCL, pCL, pCW, pCE, pES, pCL, pCL, pSA, pCW},
		chunkInitAck:          {pCL, pCL, pCW, pCE, pES, pSS, pSR, pSA, pCL},
		chunkAbort:            {pCL, pCL, pCL, pCL, pCL, pCL, pCL, pCL, pCL},
		chunkShutdown:         {pCL, pCL, pCW, pCE, pSS, pSS, pSR, pSA, pCL},
		chunkShutdownAck:      {pSA, pCL, pCW, pCE, pES, pSA, pSA, pSA, pSA},
		chunkError:            {pCL, pCL, pCW, pCE, pES, pSS, pSR, pSA, pCL},
		chunkCookieEcho:       {pCL, pCL, pCE, pCE, pES, pSS, pSR, pSA, pCL},
		chunkCookieAck:        {pCL, pCL, pCW, pES, pES, pSS, pSR, pSA, pCL},
		chunkShutdownComplete: {pCL, pCL, pCW, pCE, pES, pSS, pSR, pCL, pCL},
		chunkHeartbeat:        {pHS, pCL, pCW, pCE, pES, pSS, pSR, pSA, pHS},
		chunkHeartbeatAck:     {pCL, pCL, pCW, pCE, pES, pSS, pSR, pSA, pHS},
	},
	Reply: {
		//                      NO   CL   CW   CE   ES   SS   SR   SA   HS
		chunkInit:             {pIV, pCL, pCW, pCE, pES, pSS, pSR, pSA, pIV},
		chunkInitAck:          {pIV, pCW, pCW, pCE, pES, pSS, pSR, pSA, pIV},
		chunkAbort:            {pIV, pCL, pCL, pCL, pCL, pCL, pCL, pCL, pIV},
		chunkShutdown:         {pIV, pCL, pCW, pCE, pSR, pSS, pSR, pSA, pIV},
		chunkShutdownAck:      {pIV, pCL, pCW, pCE, pES, pSA, pSA, pSA, pIV},
		chunkError:            {pIV, pCL, pCW, pCL, pES, pSS, pSR, pSA, pIV},
		chunkCookieEcho:       {pIV, pCL, pCE, pCE, pES, pSS, pSR, pSA, pIV},
		chunkCookieAck:        {pIV, pCL, pCW, pES, pES, pSS, pSR, pSA, pIV},
		chunkShutdownComplete: {pIV, pCL, pCW, pCE, pES, pSS, pSR, pCL, pIV},
		chunkHeartbeat:        {pIV, pCL, pCW, pCE, pES, pSS, pSR, pSA, pHS},
		chunkHeartbeatAck:     {pIV, pCL, pCW, pCE, pES, pSS, pSR, pSA, pES},
	},
}

// sctpNext is the state after a chunk.
func sctpNext(d Dir, chunk uint8, s SCTPStateName) SCTPStateName {
	if chunk >= numChunks || sctpTable[d][chunk] == nil {
		return s
	}
	return sctpTable[d][chunk][s]
}
