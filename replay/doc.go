// Package replay runs packets of a capture, or packets written as lines,
// through a machine: it finds the interface of each, keeps the clock, and
// hands out what became of them in the order of the input.
//
// Layer 10: imports engine, machine, capture, scenario/line.
package replay
