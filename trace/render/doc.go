// Package render turns a packet's walk into text that people read and into
// JSON that programs read, and any packet into one short line.
//
// Layer 1: imports packet and trace.
package render
