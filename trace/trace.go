// Package trace records a packet's walk. A nil *Recorder is off, and each
// method accepts it, so that the packet path asks nothing. Layer 0.
package trace

// Kind is the kind of a step.
type Kind string

// The kinds of steps.
const (
	KindRule      Kind = "rule"
	KindPolicy    Kind = "policy"
	KindConntrack Kind = "conntrack"
	KindNAT       Kind = "nat"
	KindRoute     Kind = "route"
	KindDefrag    Kind = "defrag"
	KindConfirm   Kind = "confirm"
	KindHelper    Kind = "helper"
	KindEmit      Kind = "emit"  // the machine answered with a packet of its own; its steps follow
	KindHook      Kind = "hook"  // a function of the library's user
	KindQueue     Kind = "queue" // the packet was handed to who listens to a queue, or came back
)

// Step is one thing that happened to the packet. Fields that do not apply are
// empty.
type Step struct {
	Kind  Kind   `json:"kind"`
	Hook  string `json:"hook,omitempty"`
	Table string `json:"table,omitempty"`
	Chain string `json:"chain,omitempty"`
	// Rule counts from 1 in its chain.
	Rule int `json:"rule,omitempty"`
	// Text is the rule as iptables-save prints it, or what the step did in words.
	Text  string `json:"text,omitempty"`
	File  string `json:"file,omitempty"`
	Line  int    `json:"line,omitempty"`
	Match bool   `json:"match"`
	// Failed is the test that failed, and Actual what the packet had there.
	Failed string `json:"failed,omitempty"`
	Actual string `json:"actual,omitempty"`
	Target string `json:"target,omitempty"`
	// Verdict is ACCEPT, DROP, … , CONTINUE, RETURN, JUMP, GOTO.
	Verdict string `json:"verdict,omitempty"`
	// Depth is how many user chains deep the rule stands.
	Depth int `json:"depth,omitempty"`
	// Detail holds further values in order of interest.
	Detail []Pair `json:"detail,omitempty"`
}

// Pair is a named value of a step.
type Pair struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Recorder collects steps of one packet. Not safe for concurrent use.
type Recorder struct {
	Steps []Step
	hook  string
}

// On reports whether anyone listens; guard expensive descriptions with it.
func (r *Recorder) On() bool { return r != nil }

// SetHook names the hook of the steps that follow; it returns the one before.
func (r *Recorder) SetHook(h string) (before string) {
	if r == nil {
		return ""
	}
	before, r.hook = r.hook, h
	return before
}

// Add appends a step; Hook is filled in when empty.
func (r *Recorder) Add(s Step) {
	if r == nil {
		return
	}
	if s.Hook == "" {
		s.Hook = r.hook
	}
	r.Steps = append(r.Steps, s)
}

// Reset forgets the steps and keeps the memory.
func (r *Recorder) Reset() {
	if r == nil {
		return
	}
	r.Steps = r.Steps[:0]
	r.hook = ""
}
