// Package hook is netfilter's frame: five points in a packet's way, functions
// ordered by priority at each, verdicts, reasons for drops, and the Traversal,
// which is one packet on its way.
//
// # Who calls
//
// The router runs a Pipeline at each point; the engine builds the Pipeline and
// adapts its mechanisms to Func. A user of the library registers functions of
// his own through engine.Machine.Register.
//
// # Allocation
//
// Running a pipeline allocates nothing.
//
// # Locks
//
// None. A Pipeline is immutable; a Traversal belongs to one goroutine.
//
// Layer 2: imports conntrack and route for the types that a traversal carries.
// It decides nothing. Linux: include/linux/netfilter.h, net/netfilter/core.c.
package hook
