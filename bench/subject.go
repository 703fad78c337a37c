package main

import "errors"

// Subject is a gateway that takes packets. One goroutine, locked to its
// thread, uses it.
type Subject interface {
	// Variants are the ways to push a packet that are measured, by the
	// names of the rows that they become.
	Variants() []string
	// Open builds the gateway for at most so many connections, with rules
	// before those that accept.
	Open(conns int, rules []Rule) error
	// Push lets one packet arrive and returns what leaves, valid until the
	// next call, or nil.
	Push(w Way, b []byte, now int64) []byte
	// Stage prepares a batch for Run, untimed. The packets stay as they are
	// until Run has returned.
	Stage(variant string, batch []Packet)
	// Run pushes the staged batch, timed, and says how many packets left.
	Run(now, step int64) int
	// Translates says whether it masquerades.
	Translates() bool
	Version() string
	Close()
}

// foreign is a Subject that keeps its connections outside of this process's
// memory.
type foreign interface {
	// Memory is how many bytes it holds now; Fixed what it holds from the
	// start whatever the number of connections (the hash table).
	Memory() int64
	Fixed() int64
}

// Packet is one packet of a batch.
type Packet struct {
	Data []byte
	Way  Way
}

// errSkip wraps the reason why a subject cannot run.
type errSkip struct{ why string }

func (e errSkip) Error() string { return e.why }

func skipReason(err error) (string, bool) {
	var s errSkip
	ok := errors.As(err, &s)
	return s.why, ok
}

// newSubject makes the subject that a process measures.
func newSubject(name string) Subject {
	switch name {
	case "weir":
		return &weirSubject{}
	case "gvisor":
		return &gvisorSubject{}
	case "linux":
		return &linuxSubject{gateway: true}
	case "linux-forwarding":
		return &linuxSubject{}
	}
	return nil
}

// timeouts are longer than any run for what keeps real time.
var timeouts = map[string]string{
	"net.netfilter.nf_conntrack_udp_timeout":          "3600",
	"net.netfilter.nf_conntrack_udp_timeout_stream":   "3600",
	"net.netfilter.nf_conntrack_tcp_timeout_syn_sent": "3600",
	"net.netfilter.nf_conntrack_tcp_timeout_syn_recv": "3600",
}
