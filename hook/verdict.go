package hook

// Verdict is what a hook function decides. The zero value is Drop, so that a
// forgotten path fails closed.
type Verdict uint8

// The verdicts, with Linux's numbers (NF_DROP …).
const (
	Drop   Verdict = iota // the packet ends here; the traversal says why
	Accept                // on to the next function
	Stolen                // the function keeps the packet
	Queue                 // to a listener outside (Traversal.QueueNum)
	Repeat                // call the same function again
	Stop                  // accept and skip the rest of this point
)

// String is the verdict as traces show it.
func (v Verdict) String() string {
	switch v {
	case Drop:
		return "DROP"
	case Accept:
		return "ACCEPT"
	case Stolen:
		return "STOLEN"
	case Queue:
		return "QUEUE"
	case Repeat:
		return "REPEAT"
	case Stop:
		return "STOP"
	default:
		return "?"
	}
}
