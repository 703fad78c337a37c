// Package journal writes down what rules log (LOG, NFLOG, TRACE and the remarks
// of trackers) while a machine runs: as lines of text, as structured records,
// and with the packets as pcapng in which each packet has the rule as its
// comment.
//
//	j := journal.New(journal.Options{Log: logger, Capture: file})
//	g, errs := gateway.New(dir, gateway.Options{Log: j})
//	…
//	j.Close()
//
// # Bounds
//
// The machine never waits: what comes faster than it can be written is lost and
// counted. Files begin anew at a size, and one older file is kept.
//
// Layer 10: imports capture and hook.
package journal
